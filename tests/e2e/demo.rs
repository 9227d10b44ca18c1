//! `lienthong demo`: the nation lives, is stopped, killed and continued, and its check finds what is wrong.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use hmac::{Hmac, Mac as _};
use lienthong_testkit::database::Database;
use sha2::Sha256;

use crate::demo_run::Running;
use crate::site::{Engine, log_address};

pub(crate) fn demo(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lienthong"));
    command.arg("demo").arg("--dir").arg(folder).args(arguments).env_remove("LIENTHONG_LOG");
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub(crate) fn ended(output: &Output, code: i32) -> Result<String> {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(code), "{}: {said}\n{complained}", output.status);
    Ok(said)
}

/// Waits until life goes on, then ends the demo in this way: its exit code, and what it said.
fn interrupt(command: Command, name: &str) -> Result<(Option<i32>, String)> {
    let mut running = Running::start(command)?;
    for _ in 0..2 {
        running.line("people live")?;
    }
    running.signal(name)?;
    running.ended()
}

/// Types the commands that the end of a demo tells to look further.
fn as_told(said: &str) -> Result<()> {
    let told = said.split("Everything is in ").nth(1).context("the folder is told")?;
    let commands: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    ensure!(commands.len() == 4, "{told}");
    let programs = Path::new(env!("CARGO_BIN_EXE_lienthong")).parent().context("a folder")?;
    let path = format!("{}:{}", programs.display(), std::env::var("PATH")?);
    for command in commands {
        let output = Command::new("sh").args(["-c", command]).env("PATH", &path).output()?;
        let said = ended(&output, 0).with_context(|| command.to_owned())?;
        ensure!(!command.contains("limit 5") || said.lines().count() == 5, "{command}: {said}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nation_that_is_killed_and_stopped_goes_on_and_every_row_is_right() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = ["--people", "400", "--rate", "30"];
    let (code, said) = interrupt(demo(folder.path(), &options), "KILL")?;
    ensure!(code.is_none(), "killed: {code:?} {said}");
    let (code, said) = interrupt(demo(folder.path(), &["--rate", "30"]), "INT")?;
    ensure!(code == Some(0) && said.contains("; 0 differences"), "{code:?}: {said}");
    as_told(&said)?;
    let other = demo(folder.path(), &["--people", "500", "--for", "1s"]).output()?;
    ended(&other, 2)?;
    let json = demo(folder.path(), &["--for", "2s", "--output", "json"]).output()?;
    let said = ended(&json, 0)?;
    for line in said.lines() {
        let _: serde_json::Value = serde_json::from_str(line)?;
    }
    Ok(())
}

/// What the page on delivery tells whoever has a key: 16 bytes of an HMAC over the length, a 5 for text, and the text.
fn token(key: &[u8], text: &str) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    mac.update(&(text.len() as u64 + 1).to_be_bytes());
    mac.update(&[5]);
    mac.update(text.as_bytes());
    Ok(mac.finalize().into_bytes()[..16].iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A bank finds its own customers by the key that it may have; whoever may not is refused.
async fn a_bank_finds_its_customers(folder: &Path) -> Result<()> {
    let keys = |subscriber: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lienthong"));
        command.args(["keys", "pseudonym", subscriber, "--site"]).arg(folder).env_remove("LIENTHONG_LOG");
        command.output()
    };
    let said = ended(&keys("bank.sample")?, 0)?;
    let key: Vec<u8> =
        (0..32).map(|at| Ok(u8::from_str_radix(&said[at * 2..at * 2 + 2], 16)?)).collect::<Result<_>>()?;
    let url = |name: &str| format!("sqlite:{}", folder.join("var").join(name).display());
    let pins = Database::open(&url("mps.population.db")).await?.rows("select pin from person").await?;
    let tokens =
        pins.iter().flatten().flatten().map(|pin| token(&key, pin)).collect::<Result<BTreeSet<_>>>()?;
    let mut bank = Database::open(&url("subscriber.bank.sample.db")).await?;
    let told = bank.rows("select customer from ask_customer").await?;
    let told: Vec<String> = told.into_iter().flatten().flatten().collect();
    let found = told.iter().filter(|customer| tokens.contains(*customer)).count();
    // A number that was reissued is in the register no more.
    ensure!(found >= 7 && found + 3 >= told.len(), "{found} of {} are found", told.len());
    let refused = keys("nso.statistics")?;
    ended(&refused, 2)?;
    let complaint = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(complaint.contains("P13") && complaint.contains("`matching`"), "{complaint}");
    let refused = keys("bank.sampel")?;
    ended(&refused, 2)?;
    ensure!(String::from_utf8_lossy(&refused.stderr).contains("did you mean bank.sample?"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_tampered_with_is_told_and_ends_with_exit_code_5() -> Result<()> {
    let folder = tempfile::tempdir()?;
    ended(&demo(folder.path(), &["--people", "300", "--rate", "10", "--for", "3s"]).output()?, 0)?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join("var").join(name).display());
    let pin = Database::open(&url("mps.population.db"))
        .await?
        .rows("select pin from person where length(cast(pin as blob)) = 12 limit 1")
        .await?;
    let pin = pin[0][0].clone().unwrap_or_default();
    let tampers = [
        (
            "subscriber.mof.tax.db",
            "delete from taxpayer where rowid in (select rowid from taxpayer limit 1)".to_owned(),
        ),
        ("subscriber.moh.ehr.db", "insert into health_book (registration_no) values ('invented')".to_owned()),
        ("subscriber.psp.cases.db", "update birth_notice set facility_code = 'x' where rowid = 1".to_owned()),
        (
            "subscriber.vss.insurance.db",
            "update residence set own_note = 'from nowhere' where rowid = 1".to_owned(),
        ),
        ("subscriber.nso.statistics.db", format!("insert into birth (token) values ('a {pin} b')")),
        // No mistake: what a bank is told of.
        (
            "mps.population.db",
            "insert into person_update (update_no, pin, updated_on, identity_changed, fields_changed, family_name, reason)
             select 'bank-' || rowid, pin, '2026-11-01', 1, 'family_name', family_name, 'correction' from person
             where length(cast(pin as blob)) = 12 limit 7"
                .to_owned(),
        ),
    ];
    for (name, statement) in tampers {
        Database::open(&url(name)).await?.run(&[statement]).await?;
    }
    let said = ended(&demo(folder.path(), &["--rate", "1", "--for", "1s"]).output()?, 5)?;
    for part in ["missing", "extra", "stale", "leaked", "(whole file)", "5 differences"] {
        let found = said.contains(part) || (part == "5 differences" && said.contains("6 differences"));
        ensure!(found, "{part} is not told: {said}");
    }
    a_bank_finds_its_customers(folder.path()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_nation_lives_over_kafka() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let log = log_address(Engine::Kafka);
    let options = ["--log", &log, "--people", "300", "--rate", "10", "--for", "10s"];
    let said = ended(&demo(folder.path(), &options).output()?, 0)?;
    ensure!(said.contains("0 differences"), "{said}");
    Ok(())
}
