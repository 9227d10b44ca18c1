//! The whole nation is run with names, numbers and addresses that occur nowhere else, with errors provoked at every stage; nothing that the
//! system puts out holds one of them, in whatever encoding.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lienthong_demo::PARTICIPANTS;
use lienthong_nation::Nation;
use lienthong_testkit::database::Database;
use lienthong_testkit::kafka::namespace;
use tempfile::TempDir;

mod postgres;

use crate::search::Searcher;
use crate::served;
use crate::traces::Collector;

const CIVIL_STATUS: &str = "moj.civil-status";
/// Between two looks at what the nation shows of itself.
const LOOK: Duration = Duration::from_millis(500);
/// So many digits are nobody's by chance.
const PIN_DIGITS: usize = 11;
/// Where the panics that are asked for happen.
const PANIC: &str = "a defect of this program at crates/contract/src/provoke.rs";
/// Every birth becomes a change, whose names are canaries before and after it.
const CHANGE_BIRTHS: &str = "update birth_registration
    set child_given_name = iif(child_given_name = 'Khuyểuh', 'Thoẵngh', 'Khuyểuh')";

/// A nation's folder, a folder for temporary files, and everything that the binary has put out so far.
struct Nationwide {
    folder: TempDir,
    temporary: TempDir,
    collector: Collector,
    metrics: String,
    /// What it was, and its bytes.
    haul: Vec<(String, Vec<u8>)>,
}

impl Nationwide {
    async fn new() -> Result<Self> {
        let (folder, temporary) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let collector = Collector::start().await?;
        // Free a moment ago; a test that loses it to somebody else fails with the reason.
        let metrics = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let settings = std::fs::read_to_string(root().join("lienthong.yaml"))?;
        let telemetry =
            format!("telemetry: {{metrics: \"{metrics}\", otlp: \"{}\", sample: 1}}", collector.url);
        std::fs::write(folder.path().join("lienthong.yaml"), format!("{settings}{telemetry}\n"))?;
        Ok(Self { folder, temporary, collector, metrics, haul: Vec::new() })
    }

    /// The binary where all that it may leave behind is seen, telling as much as it can.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lienthong"));
        command.arg("-vv").arg("--site").arg(self.folder.path()).args(arguments);
        command.current_dir(self.temporary.path()).env("TMPDIR", self.temporary.path());
        command.env("RUST_BACKTRACE", "full").env("LIENTHONG_LOG_LEVEL", "trace").env_remove("LIENTHONG_LOG");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Keeps what a command said and says it again.
    fn keep(&mut self, arguments: &[&str], output: Output) -> String {
        let mut said = output.stdout;
        said.extend(output.stderr);
        let text = String::from_utf8_lossy(&said).into_owned();
        self.haul.push((format!("lienthong {}", arguments.join(" ")), said));
        text
    }

    /// Runs to the end, which must have this exit code and tell of `wanted`.
    fn run(&mut self, code: i32, wanted: &str, arguments: &[&str]) -> Result<()> {
        let output = self.command(arguments).output()?;
        self.ended(code, wanted, arguments, output)
    }

    fn ended(&mut self, code: i32, wanted: &str, arguments: &[&str], output: Output) -> Result<()> {
        let status = output.status;
        let said = self.keep(arguments, output);
        let telling = ["lienthong: ", "ERROR", "WARN"];
        let end: Vec<&str> =
            said.lines().filter(|line| telling.iter().any(|word| line.contains(word))).collect();
        ensure!(
            status.code() == Some(code) && said.contains(wanted),
            "lienthong {}: {status}, not {code} with {wanted:?}: {end:#?}",
            arguments.join(" ")
        );
        Ok(())
    }

    /// Runs to the end, however that is, and tells of `wanted`.
    fn told(&mut self, wanted: &str, arguments: &[&str]) -> Result<()> {
        let output = self.command(arguments).output()?;
        let code = output.status.code().context("a process that a signal has ended")?;
        self.ended(code, wanted, arguments, output)
    }

    fn folder(&self) -> Result<String> {
        Ok(self.folder.path().to_str().context("a path of text")?.to_owned())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("var").join(format!("{name}.db"))
    }

    async fn database(&self, name: &str) -> Result<Database> {
        Database::open(&format!("sqlite:{}", self.file(name).display())).await
    }

    async fn change(&self, name: &str, statement: &str) -> Result<()> {
        self.database(name).await?.run(&[statement.to_owned()]).await
    }

    /// The nation lives for some seconds, looked at from all sides meanwhile.
    async fn live(&mut self, format: &str) -> Result<Output> {
        let folder = self.folder()?;
        let options =
            ["demo", "--dir", &folder, "--canaries", "--people", "400", "--rate", "30", "--for", "8s"];
        let mut child = self.command(&options).args(["--log-format", format]).spawn()?;
        // Read as it comes: a pipe that is full would stop it.
        let (stdout, stderr) = (drain(child.stdout.take())?, drain(child.stderr.take())?);
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            for page in ["/metrics", "/healthz", "/readyz"] {
                // It does not listen yet, or not any more.
                if let Ok((_, body)) = served::get(&self.metrics, page).await {
                    self.haul.push((page.to_owned(), body.into_bytes()));
                }
            }
            tokio::time::sleep(LOOK).await;
        };
        Ok(Output { status, stdout: joined(stdout)?, stderr: joined(stderr)? })
    }

    /// Everything that was put out, with the files that lie around; databases are where the values belong.
    fn everything(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut all = self.haul.clone();
        let bodies = self.collector.bodies();
        ensure!(!bodies.is_empty(), "no trace was received");
        all.extend(bodies.iter().map(|body| ("traces".to_owned(), body.to_vec())));
        for folder in [self.folder.path(), self.temporary.path()] {
            files(folder, &mut all)?;
        }
        Ok(all)
    }

    /// Canaries, and every number of a person that the ministries know.
    async fn secrets(&self) -> Result<BTreeSet<String>> {
        let mut secrets: BTreeSet<String> =
            Nation::canaries().iter().map(|text| (*text).to_owned()).collect();
        let columns = "select m.name, c.name from sqlite_master m join pragma_table_info(m.name) c
            where m.type = 'table' and m.name not like 'lienthong%' and c.name like '%pin'";
        for publisher in PARTICIPANTS {
            let mut database = self.database(publisher).await?;
            for row in database.rows(columns).await? {
                let [Some(table), Some(column)] = row.as_slice() else { continue };
                let numbers = database.rows(&format!("select distinct {column} from {table}")).await?;
                let numbers = numbers.into_iter().flatten().flatten();
                secrets.extend(numbers.filter(|number| number.chars().count() >= PIN_DIGITS));
            }
        }
        ensure!(secrets.len() > 400, "only {} texts to search for", secrets.len());
        Ok(secrets)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn drain<R: std::io::Read + Send + 'static>(
    pipe: Option<R>,
) -> Result<std::thread::JoinHandle<std::io::Result<Vec<u8>>>> {
    let mut pipe = pipe.context("a pipe")?;
    Ok(std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).map(|_| bytes)
    }))
}

fn joined(reader: std::thread::JoinHandle<std::io::Result<Vec<u8>>>) -> Result<Vec<u8>> {
    match reader.join() {
        Ok(bytes) => Ok(bytes?),
        Err(_) => bail!("the reader of a pipe has panicked"),
    }
}

fn files(folder: &Path, all: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.display().to_string();
        all.push(("name of a file".to_owned(), name.clone().into_bytes()));
        if path.is_dir() {
            files(&path, all)?;
        } else if ![".db", ".db-wal", ".db-shm"].iter().any(|end| name.ends_with(end)) {
            all.push((name, std::fs::read(&path)?));
        }
    }
    Ok(())
}

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
    let file = nation.folder.path().join("router/agreements/mof.tax.yaml");
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
    nation.run(2, "", &["--log", &log, "status"])?;
    let log = format!("kafka://127.0.0.1:1?registry=http://u:{}@127.0.0.1:1", postgres::PASSWORD);
    nation.run(4, "127.0.0.1:1", &["--log", &log, "--timeout", "3", "connect", "mps.population", "--once"])
}

/// What people and programs ask, without being shown values.
fn ask(nation: &mut Nationwide) -> Result<()> {
    for output in ["table", "json"] {
        nation.run(0, CIVIL_STATUS, &["--output", output, "status"])?;
        for family in ["civil_status", "population", "residence", "identity", "insurance"] {
            nation.run(0, family, &["--output", output, "tail", family])?;
        }
    }
    nation.run(0, "civil_status", &["tail", "civil_status", "--limit", "5"])?;
    let arguments = ["tail", "population", "--subject", "-"];
    let mut child = nation.command(&arguments).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().context("a pipe")?.write_all(b"001085730194")?;
    let output = child.wait_with_output()?;
    nation.ended(0, "", &arguments, output)
}

/// The same publishers and subscribers over Kafka, with what they need and without.
async fn over_kafka(nation: &mut Nationwide) -> Result<()> {
    let (brokers, registry) = (lienthong_testkit::env::kafka(), lienthong_testkit::env::registry());
    let address = |brokers: &str, registry: &str, prefix: &str| {
        format!("kafka://{brokers}?registry={registry}&prefix={prefix}&replication=1")
    };
    let prefix = namespace();
    let log = address(&brokers, &registry, &prefix);
    nation.run(0, "", &["--log", &log, "topics", "create"])?;
    nation.run(0, "", &["--log", &log, "schema", "register"])?;
    let astray =
        [address(&brokers, "http://127.0.0.1:1", &prefix), address("127.0.0.1:1", &registry, &prefix)];
    for log in &astray {
        let lost = ["--log", log, "--timeout", "3", "connect", "mps.population", "--once"];
        nation.run(4, "127.0.0.1:1", &lost)?;
    }
    nation.told("events published", &["--log", &log, "connect", "mps.population", "--once"])?;
    // Another log has other offsets.
    nation.change("subscriber.mof.tax", "delete from lienthong_offset").await?;
    nation.told("127.0.0.1:1", &["--log", &astray[0], "--timeout", "3", "route", "mof.tax", "--once"])?;
    nation.told("mof.tax", &["--log", &log, "route", "mof.tax", "--once"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_nation_of_canaries_puts_out_holds_a_name_a_number_or_an_address() -> Result<()> {
    let mut nation = Nationwide::new().await?;
    let lived = nation.live("json").await?;
    nation.ended(0, "0 differences", &["demo", "json"], lived)?;
    ensure!(nation.haul.iter().filter(|(name, _)| name == "/metrics").count() > 1, "metrics were served");
    break_the_publisher(&mut nation).await?;
    break_the_subscribers(&mut nation).await?;
    // Life goes on with the refusing trigger in place.
    let lived = nation.live("text").await?;
    nation.ended(3, "birth", &["demo", "text"], lived)?;
    break_life(&mut nation).await?;
    ask(&mut nation)?;
    over_kafka(&mut nation).await?;
    nation.change(CIVIL_STATUS, CHANGE_BIRTHS).await?;
    nation.change(CIVIL_STATUS, "update lienthong_outbox set op = 'Khuyểuh', layout = 987654321").await?;
    nation.run(3, CIVIL_STATUS, &["connect", CIVIL_STATUS, "--once"])?;
    mistake(&mut nation)?;
    postgres::over_postgres(&mut nation).await?;

    let mut secrets = nation.secrets().await?;
    secrets.insert(postgres::PASSWORD.to_owned());
    let searcher = Searcher::new(secrets.iter().map(String::as_str));
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
