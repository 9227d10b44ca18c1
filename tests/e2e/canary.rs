//! The whole nation is run with names, numbers and addresses that occur nowhere else, with errors provoked at every stage; nothing that the
//! system puts out holds one of them, in whatever encoding.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::process::{Output, Stdio};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use lienthong_demo::PARTICIPANTS;
use lienthong_testkit::database::Database;

mod kafka;
mod nationwide;
mod postgres;
mod processes;
mod registry;
mod secrets;

use nationwide::{Nationwide, Run, drain, joined};

const CIVIL_STATUS: &str = "moj.civil-status";
/// Where the panics that are asked for happen.
const PANIC: &str = "a defect of this program at crates/contract/src/provoke.rs";
/// Every birth becomes a change, whose names are canaries before and after it.
const CHANGE_BIRTHS: &str = "update birth_registration
    set child_given_name = iif(child_given_name = 'Khuyểuh', 'Thoẵngh', 'Khuyểuh')";

/// Bad rows, a row in hand at a panic, an outbox that somebody has damaged.
async fn break_the_publisher(nation: &mut Nationwide) -> Result<()> {
    let once = ["connect", CIVIL_STATUS, "--once"];
    nation.change(CIVIL_STATUS, CHANGE_BIRTHS).await?;
    let output = nation.command(&once).env("LIENTHONG_TEST_PANIC", "capture").output()?;
    nation.ended(1, PANIC, &once, output)?;
    let bad = "update birth_registration set child_birth_date = 'Khuyểuh', registered_on = '001085730194',
        child_sex = 'Lểuyn', mother_birth_date_precision = 'Ngõ Khuyễnh Đượngh'
        where rowid in (select rowid from birth_registration limit 20)";
    nation.change(CIVIL_STATUS, bad).await?;
    let json = ["--log-format", "json", "--output", "json", "connect", CIVIL_STATUS, "--once"];
    nation.run(5, "quarantined", &json)
}

/// A subscriber whose trigger refuses and says why, one whose file is locked, a row in hand at a panic.
async fn break_the_subscribers(nation: &mut Nationwide) -> Result<()> {
    let once = ["route", "mps.population", "--once", "--timeout", "3"];
    let output = nation.command(&once).env("LIENTHONG_TEST_PANIC", "route").output()?;
    nation.ended(1, PANIC, &once, output)?;
    check_without_a_name(nation).await?;
    for event in ["insert", "update"] {
        let refuse = format!(
            "create trigger refuse_{event} before {event} on birth begin
             select raise(abort, 'refused ' || new.given_name || ' ' || coalesce(new.mother_pin, new.family_name)); end"
        );
        nation.change("subscriber.mps.population", &refuse).await?;
    }
    nation.run(3, "birth", &once)?;
    let mut locked = nation.database("subscriber.vss.insurance").await?;
    let Database::Sqlite(lock) = &mut locked else { bail!("a file of SQLite") };
    lock.execute_batch("begin exclusive")?;
    let once = ["route", "vss.insurance", "--once"];
    let mut child = nation.command(&once).spawn()?;
    let (stdout, mut stderr) = (drain(child.stdout.take())?, child.stderr.take().context("a pipe")?);
    let mut said = Vec::new();
    let waits = |said: &[u8]| String::from_utf8_lossy(said).contains("state=\"waiting\"");
    // To the end of the pipe when it never waits, which is told below.
    while !waits(&said) {
        let mut piece = [0; 4096];
        match stderr.read(&mut piece)? {
            0 => break,
            length => said.extend_from_slice(&piece[..length]),
        }
    }
    lock.execute_batch("rollback")?;
    stderr.read_to_end(&mut said)?;
    let output = Output { status: child.wait()?, stdout: joined(stdout)?, stderr: said };
    nation.ended(0, "state=\"waiting\"", &once, output)
}

/// A check without a name is called by its expression, which holds what the owner wrote.
async fn check_without_a_name(nation: &mut Nationwide) -> Result<()> {
    let name = "subscriber.mps.population";
    let made =
        nation.database(name).await?.rows("select sql from sqlite_master where name = 'birth'").await?;
    let made = made.into_iter().flatten().flatten().next().context("the table")?;
    let columns = made.trim_end().strip_suffix(')').context("columns stand in brackets")?;
    nation.change(name, &format!("drop table birth; {columns}, check (given_name <> 'Khuyểuh'))")).await?;
    nation.run(3, "CHECK", &["route", "mps.population", "--once"])?;
    // The table is copied later, and another trouble must not meet this check first.
    nation.change(name, &format!("drop table birth; {made}")).await
}

/// A panic with a row in hand while the nation lives, and ministries whose triggers refuse what it does.
async fn break_life(nation: &mut Nationwide) -> Result<()> {
    let folder = nation.folder()?;
    let demo = ["demo", "--dir", &folder, "--canaries", "--people", "400", "--rate", "30", "--for", "5s"];
    let output = nation.command(&demo).env("LIENTHONG_TEST_PANIC", "life").output()?;
    nation.ended(1, PANIC, &demo, output)?;
    let tables = "select name from sqlite_master where type = 'table' and sql like '%pin%' and name not like 'lienthong%'";
    for publisher in PARTICIPANTS {
        for table in nation.database(publisher).await?.rows(tables).await?.into_iter().flatten().flatten() {
            let refuse = format!(
                "create trigger canary_{table} before insert on {table} begin select raise(abort, 'Khuyểuh 001085730194'); end"
            );
            nation.change(publisher, &refuse).await?;
        }
    }
    nation.run(1, "SQLite 1811", &demo)?;
    for publisher in PARTICIPANTS {
        let mut database = nation.database(publisher).await?;
        let triggers = "select name from sqlite_master where type = 'trigger' and name like 'canary_%'";
        for trigger in database.rows(triggers).await?.into_iter().flatten().flatten() {
            database.run(&[format!("drop trigger {trigger}")]).await?;
        }
    }
    Ok(())
}

/// Values where names belong, in files and on the command line, and a password in the environment.
fn mistake(nation: &mut Nationwide) -> Result<()> {
    let file = nation.path().join("router/agreements/mof.tax.yaml");
    let right = std::fs::read_to_string(&file)?;
    let (before, after) = right.split_once("    into:").context("a rule")?;
    for wrong in [
        right.replace("fields: [", "fields: [nothing.of.the.kind, "),
        right.replace("fields: [", "fields: [\"001085730194\", 'Ngõ Khuyễnh Đượngh', "),
        format!("{before}    where: \"event.pin == '001085730194\"\n    into:{after}"),
        format!("{before}    where: \"event.pin = 'Khuyểuh'\"\n    into:{after}"),
        format!("{before}    where: \"event.pin + 1 == 001085730194\"\n    into:{after}"),
        format!("{before}    '001085730194': 'Khuyểuh'\n    into:{after}"),
        format!("{before}    Khuyểuh: [001085730194\n    into:{after}"),
    ] {
        std::fs::write(&file, wrong)?;
        nation.run(2, "mof.tax.yaml", &["check"])?;
        nation.run(2, "mof.tax.yaml", &["--log-format", "json", "--output", "json", "status"])?;
    }
    std::fs::write(&file, right)?;
    for arguments in [
        &["tail", "001085730194"][..],
        &["tail", "population", "001085730194"],
        &["tail", "population", "--subject", "001085730194"],
        &["tail", "population", "--from=Khuyểuh"],
        &["tail", "population", "--limit", "x0977318264"],
        &["connect", "Khuyểuh"],
        &["route", "Ngõ Khuyễnh Đượngh"],
        &["Khuyểuh"],
        &["topics", "acls", "--principal", "Khuyểuh=001085730194"],
        &["topics", "acls", "--principal", "Khuyểuh=User:001085730194"],
    ] {
        nation.run(2, "", arguments)?;
    }
    let log = format!("kafka://u:{}@127.0.0.1:9?registry=http://u:{0}@127.0.0.1:1", postgres::PASSWORD);
    for (code, arguments) in [(0, &["status", "--help"][..]), (0, &["--help"]), (2, &["status"])] {
        let output = nation.command(arguments).env("LIENTHONG_LOG", &log).output()?;
        nation.ended(code, "", arguments, output)?;
    }
    nation.run(2, "", &["--log", &log, "status"])
}

/// What people and programs ask, without being shown values.
fn ask(nation: &mut Nationwide) -> Result<()> {
    let catalogue = lienthong_schemas::bundled().map_err(|problems| anyhow!("{problems:?}"))?;
    let mut rows = vec![Vec::new(), Vec::new(), Vec::new()];
    for output in ["table", "json"] {
        nation.run(0, CIVIL_STATUS, &["--output", output, "status"])?;
        for (at, family) in catalogue.families().enumerate() {
            // Of the others nobody in this nation has a record.
            let lives = !family.is_per_publisher()
                && family.publishers().iter().any(|owner| PARTICIPANTS.contains(&owner.as_str()));
            let wanted = if lives { family.name.as_str() } else { "" };
            // All of them, but for the units of the country, which are ten thousand and nobody's.
            let limit = if family.name == "admin_unit" { "1000" } else { "1000000" };
            let words = ["--output", output, "tail", &family.name, "--limit", limit];
            rows[at % 3].push(Run::new(0, wanted, &words));
        }
    }
    nation.at_once(&rows)?;
    nation.run(0, "civil_status", &["tail", "civil_status", "--limit", "5"])?;
    let arguments = ["tail", "population", "--subject", "-"];
    let mut child = nation.command(&arguments).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().context("a pipe")?.write_all(b"001085730194")?;
    let output = child.wait_with_output()?;
    nation.ended(0, "", &arguments, output)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_nation_of_canaries_puts_out_holds_a_name_a_number_or_an_address() -> Result<()> {
    let mut nation = Nationwide::new().await?;
    let lived = nation.live("json").await?;
    nation.ended(0, "0 differences", &["demo", "json"], lived)?;
    break_the_publisher(&mut nation).await?;
    break_the_subscribers(&mut nation).await?;
    processes::show_themselves(&mut nation).await?;
    // Life goes on with the refusing trigger in place.
    let lived = nation.live("text").await?;
    nation.ended(3, "birth", &["demo", "text"], lived)?;
    break_life(&mut nation).await?;
    ask(&mut nation)?;
    kafka::over_kafka(&mut nation).await?;
    nation.change(CIVIL_STATUS, CHANGE_BIRTHS).await?;
    nation.change(CIVIL_STATUS, "update lienthong_outbox set op = 'Khuyểuh', layout = 987654321").await?;
    nation.run(3, CIVIL_STATUS, &["connect", CIVIL_STATUS, "--once"])?;
    mistake(&mut nation)?;
    postgres::over_postgres(&mut nation).await?;

    let searcher = secrets::searcher(&nation).await?;
    let database = std::fs::read(nation.file(CIVIL_STATUS))?;
    ensure!(!searcher.find(&database).is_empty(), "the search finds nothing where the values belong");
    let mut hits: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, bytes) in nation.everything()? {
        let found = searcher.find(&bytes);
        if !found.is_empty() {
            hits.entry(name).or_default().extend(found.into_iter().map(str::to_owned));
        }
    }
    ensure!(hits.is_empty(), "values got out: {hits:#?}");
    Ok(())
}
