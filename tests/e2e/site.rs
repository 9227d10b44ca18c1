//! A site in a folder of its own, and the binary run inside it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::reader::root;
use crate::residents;

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Embedded,
    Kafka,
}

/// One organisation's folder with one publisher and some subscribers.
pub(crate) struct Site {
    folder: TempDir,
    participant: &'static str,
}

/// A fresh log of this engine.
pub(crate) fn log_address(engine: Engine) -> String {
    match engine {
        Engine::Embedded => "sqlite:var/lienthong.db".to_owned(),
        Engine::Kafka => kafka_log(&lienthong_testkit::env::kafka()),
    }
}

/// A fresh log on this broker.
pub(crate) fn kafka_log(broker: &str) -> String {
    let registry = lienthong_testkit::env::registry();
    format!(
        "kafka://{broker}?registry={registry}&prefix={}&replication=1",
        lienthong_testkit::kafka::namespace()
    )
}

fn kind(url: &str) -> &'static str {
    if url.starts_with("sqlite") { "sqlite" } else { "postgres" }
}

fn fill(text: &str, url: &str) -> String {
    text.replace("KIND", kind(url)).replace("URL", url)
}

/// As [`log_address`], as `lienthong.yaml` has it.
fn address(engine: Engine) -> String {
    format!("\"{}\"", log_address(engine))
}

impl Site {
    /// The example's contracts on a fresh log, with keys; `publisher` and `subscribers` are database URLs.
    pub(crate) fn new(engine: Engine, publisher: &str, subscribers: &[(&str, &str)]) -> Result<Self> {
        Self::on(&address(engine), publisher, subscribers)
    }

    /// As [`Site::new`], on a log that is given as `lienthong.yaml` has it.
    pub(crate) fn on(log: &str, publisher: &str, subscribers: &[(&str, &str)]) -> Result<Self> {
        let site = Self::empty(log)?;
        let example = root()?.join("docs/examples/admin-units");
        let kind = kind(publisher);
        let ministry = std::fs::read_to_string(example.join("ministries/homeaffairs.admin-units.yaml"))?
            .replace("kind: sqlite", &format!("kind: {kind}"))
            .replace("${env:ADMIN_UNITS_DB}", publisher);
        site.write("ministries/homeaffairs.admin-units.yaml", &ministry)?;
        let agreement = std::fs::read_to_string(example.join("agreements/nso.statistics.yaml"))?;
        for (name, url) in subscribers {
            let text = agreement
                .replace("kind: sqlite", &format!("kind: {}", self::kind(url)))
                .replace("${env:NSO_DB}", url)
                .replace("nso.statistics", name);
            site.write(&format!("agreements/{name}.yaml"), &text)?;
        }
        site.publisher(PARTICIPANT)
    }

    /// People who move ([`crate::residents`]), one publisher and one subscriber.
    pub(crate) fn residence(engine: Engine, publisher: &str, subscriber: &str) -> Result<Self> {
        Self::residence_on(&log_address(engine), publisher, subscriber)
    }

    /// As [`Site::residence`], on this log.
    pub(crate) fn residence_on(log: &str, publisher: &str, subscriber: &str) -> Result<Self> {
        let site = Self::empty(&format!("\"{log}\""))?;
        site.write("ministries/mps.residence.yaml", &fill(residents::MINISTRY, publisher))?;
        site.population(subscriber)?;
        site.publisher(residents::PARTICIPANT)
    }

    /// Captures [`Site::residence`] from the log of the publisher's server from now on; slots are the whole server's. Other keys may follow
    /// the slot's name.
    pub(crate) fn capture_from_log(&self, slot: &str) -> Result<()> {
        let file = "ministries/mps.residence.yaml";
        let text = std::fs::read_to_string(self.path(file))?;
        let (outbox, log) =
            ("{mode: outbox, table: lienthong_outbox}", format!("{{mode: log, slot: {slot}}}"));
        ensure!(text.contains(outbox), "it captures by an outbox");
        self.write(file, &text.replace(outbox, &log))
    }

    /// Delivers [`Site::residence`] to this database from now on.
    pub(crate) fn population(&self, subscriber: &str) -> Result<()> {
        self.write("agreements/mps.population.yaml", &fill(residents::AGREEMENT, subscriber))
    }

    /// Files of a test's own; one participant is prepared by name.
    pub(crate) fn of(engine: Engine, participant: &'static str, files: &[(&str, &str)]) -> Result<Self> {
        Self::of_on(&address(engine), participant, files)
    }

    /// As [`Site::of`], on a log that is given as `lienthong.yaml` has it.
    pub(crate) fn of_on(log: &str, participant: &'static str, files: &[(&str, &str)]) -> Result<Self> {
        let site = Self::empty(log)?;
        for (name, text) in files {
            site.write(name, text)?;
        }
        site.publisher(participant)
    }

    fn publisher(mut self, participant: &'static str) -> Result<Self> {
        self.participant = participant;
        self.succeed(&["keys", "new"])?;
        Ok(self)
    }

    /// Folders and `lienthong.yaml` on a log.
    fn empty(log: &str) -> Result<Self> {
        let site = Self { folder: tempfile::tempdir()?, participant: "" };
        for part in ["var", "ministries", "agreements"] {
            std::fs::create_dir(site.path(part))?;
        }
        let schemas = root()?.join("schemas/avro");
        let yaml = format!(
            "site: vn.test\nlog: {log}\nkeys: {{subject: \"${{file:secrets/subject.key}}\", seal: \"${{file:secrets/seal.key}}\"}}\n\
             paths: {{schemas: {}, ministries: ministries, agreements: agreements}}\n",
            schemas.display()
        );
        site.write("lienthong.yaml", &yaml)?;
        Ok(site)
    }

    /// A path inside the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of the site.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        std::fs::write(self.path(name), text).with_context(|| name.to_owned())
    }

    /// Adds `telemetry` to the site.
    pub(crate) fn telemetry(&self, yaml: &str) -> Result<()> {
        let text = std::fs::read_to_string(self.path("lienthong.yaml"))?;
        self.write("lienthong.yaml", &format!("{text}telemetry: {yaml}\n"))
    }

    /// How long a router may be silent before others take its partitions.
    pub(crate) fn session(&self, duration: &str) -> Result<()> {
        let text = std::fs::read_to_string(self.path("lienthong.yaml"))?;
        let others: Vec<&str> = text.lines().filter(|line| !line.starts_with("route:")).collect();
        self.write("lienthong.yaml", &format!("{}\nroute: {{session: {duration}}}\n", others.join("\n")))
    }

    /// Everything that comes before the first event.
    pub(crate) fn prepare(&self) -> Result<()> {
        self.succeed(&["check"])?;
        self.succeed(&["topics", "create"])?;
        self.succeed(&["schema", "register"])?;
        self.succeed(&["connect", self.participant, "--prepare"])?;
        self.succeed(&["route", "--prepare"])
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).output()?)
    }

    /// Runs the binary to its end with these variables besides.
    pub(crate) fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Result<Output> {
        let mut command = self.command(arguments);
        command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(command.output()?)
    }

    /// Runs the binary to its end; anything but exit code 0 is an error with what it said.
    pub(crate) fn succeed(&self, arguments: &[&str]) -> Result<()> {
        let output = self.run(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success(),
            "lienthong {} ended with {}: {said}",
            arguments.join(" "),
            output.status
        );
        Ok(())
    }

    /// Events of a family in the log, by `topic/partition`.
    pub(crate) fn events(&self, family: &str) -> Result<BTreeMap<String, u64>> {
        let output = self.run(&["tail", family, "--output", "json"])?;
        ensure!(output.status.success(), "tail ended with {}", output.status);
        let mut events = BTreeMap::new();
        for line in String::from_utf8(output.stdout)?.lines() {
            let event: serde_json::Value = serde_json::from_str(line)?;
            let place = event["topic"].as_str().context("an event has a place")?;
            *events.entry(place.to_owned()).or_default() += 1;
        }
        Ok(events)
    }

    /// Starts the binary and leaves it running; what it says goes into a file of the folder.
    pub(crate) fn start(&self, arguments: &[&str]) -> Result<Child> {
        self.start_into(SAID, arguments)
    }

    /// As [`Site::start`], with a file of this name for what it says.
    pub(crate) fn start_into(&self, name: &str, arguments: &[&str]) -> Result<Child> {
        let said = std::fs::File::options().append(true).create(true).open(self.path(name))?;
        let mark = format!("--- lienthong {}\n", arguments.join(" "));
        (&said).write_all(mark.as_bytes())?;
        Ok(self.command(arguments).stdout(Stdio::null()).stderr(said).spawn()?)
    }

    /// The end of what all started binaries have said.
    pub(crate) fn said(&self) -> Result<String> {
        let text = std::fs::read_to_string(self.path(SAID))?;
        let lines: Vec<_> = text.lines().collect();
        Ok(lines[lines.len().saturating_sub(40)..].join("\n"))
    }

    /// The binary on this site, to be run in another way than the others.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lienthong"));
        command.arg("--site").arg(self.folder.path()).args(arguments).env_remove("LIENTHONG_LOG");
        command
    }
}

/// Where the started binaries' standard error goes.
const SAID: &str = "said.log";

/// The only publisher.
pub(crate) const PARTICIPANT: &str = "homeaffairs.admin-units";
