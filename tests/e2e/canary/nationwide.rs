//! The nation's folder, the binary run in it so that all that it puts out is kept, and many runs at once.

use std::io::Read;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use lienthong_testkit::database::Database;
use tempfile::TempDir;

use crate::reader::root;
use crate::served;
use crate::traces::Collector;

/// Between two looks at what the nation shows of itself.
const LOOK: Duration = Duration::from_millis(500);
/// Between two looks whether it has ended.
const ENDED: Duration = Duration::from_millis(20);
/// What a process shows of itself.
pub(super) const PAGES: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

/// A nation's folder, a folder for temporary files, and everything that the binary has put out so far.
pub(super) struct Nationwide {
    folder: TempDir,
    temporary: TempDir,
    collector: Collector,
    /// Where whoever is told nothing else shows itself.
    metrics: String,
    /// What it was, and its bytes.
    haul: Vec<(String, Vec<u8>)>,
}

/// A run of the binary to its end, and what must come of it.
pub(super) struct Run {
    pub(super) codes: RangeInclusive<i32>,
    pub(super) wanted: String,
    pub(super) arguments: Vec<String>,
    /// A variable of its environment.
    pub(super) variable: Option<(&'static str, String)>,
}

impl Run {
    pub(super) fn new(code: i32, wanted: &str, arguments: &[&str]) -> Self {
        Self::with(code..=code, wanted, arguments)
    }

    pub(super) fn with(codes: RangeInclusive<i32>, wanted: &str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|word| (*word).to_owned()).collect();
        Self { codes, wanted: wanted.to_owned(), arguments, variable: None }
    }

    fn output(&self, nation: &Nationwide) -> Result<Output> {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let variables = self.variable.iter().map(|(name, value)| (*name, value));
        Ok(nation.command(&arguments).envs(variables).output()?)
    }
}

/// An address that was free a moment ago; a test that loses it to somebody else fails with the reason.
pub(super) fn free_address() -> Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

impl Nationwide {
    pub(super) async fn new() -> Result<Self> {
        let (folder, temporary) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let collector = Collector::start().await?;
        let metrics = free_address()?;
        let settings = std::fs::read_to_string(root()?.join("lienthong.yaml"))?;
        // Whoever waits for so long is told on the page of readiness, with what it waits for.
        let telemetry = format!(
            "telemetry: {{metrics: \"{metrics}\", otlp: \"{}\", sample: 1, stalled_after: 5s}}",
            collector.url
        );
        std::fs::write(folder.path().join("lienthong.yaml"), format!("{settings}{telemetry}\n"))?;
        Ok(Self { folder, temporary, collector, metrics, haul: Vec::new() })
    }

    /// The binary where all that it may leave behind is seen, telling as much as it can.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
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
    pub(super) fn run(&mut self, code: i32, wanted: &str, arguments: &[&str]) -> Result<()> {
        let output = self.command(arguments).output()?;
        self.ended(code, wanted, arguments, output)
    }

    /// Several rows of runs at once, each row in its order: most of them only wait. They show themselves nowhere, or would want one address.
    pub(super) fn at_once(&mut self, rows: &[Vec<Run>]) -> Result<()> {
        let nation = &*self;
        let outputs = std::thread::scope(|scope| {
            let of_row = |row: &[Run]| row.iter().map(|run| run.output(nation)).collect::<Result<Vec<_>>>();
            let tasks: Vec<_> = rows.iter().map(|row| scope.spawn(move || of_row(row))).collect();
            let ended = tasks.into_iter().map(|task| task.join().map_err(|_| anyhow!("a panic"))?);
            ended.collect::<Result<Vec<_>>>()
        })?;
        for (run, output) in rows.iter().flatten().zip(outputs.into_iter().flatten()) {
            let arguments: Vec<&str> = run.arguments.iter().map(String::as_str).collect();
            self.ended_within(&run.codes, &run.wanted, &arguments, output)?;
        }
        Ok(())
    }

    pub(super) fn ended(
        &mut self,
        code: i32,
        wanted: &str,
        arguments: &[&str],
        output: Output,
    ) -> Result<()> {
        self.ended_within(&(code..=code), wanted, arguments, output)
    }

    fn ended_within(
        &mut self,
        codes: &RangeInclusive<i32>,
        wanted: &str,
        arguments: &[&str],
        output: Output,
    ) -> Result<()> {
        let status = output.status;
        let said = self.keep(arguments, output);
        let telling = ["lienthong: ", "ERROR", "WARN"];
        let end: Vec<&str> =
            said.lines().filter(|line| telling.iter().any(|word| line.contains(word))).collect();
        ensure!(
            status.code().is_some_and(|code| codes.contains(&code)) && said.contains(wanted),
            "lienthong {}: {status}, not {codes:?} with {wanted:?}: {end:#?}",
            arguments.join(" ")
        );
        Ok(())
    }

    /// Runs to the end, however that is, and tells of `wanted`.
    pub(super) fn told(&mut self, wanted: &str, arguments: &[&str]) -> Result<()> {
        let output = self.command(arguments).output()?;
        // A process that a signal has ended has no code.
        self.ended_within(&(i32::MIN..=i32::MAX), wanted, arguments, output)
    }

    /// As [`Nationwide::run`], with its pages looked at meanwhile.
    pub(super) async fn watched(&mut self, code: i32, wanted: &str, arguments: &[&str]) -> Result<()> {
        let output = self.watch(self.command(arguments).spawn()?).await?;
        self.ended(code, wanted, arguments, output)
    }

    /// To the end of a process, whose pages are looked at meanwhile.
    async fn watch(&mut self, mut child: Child) -> Result<Output> {
        // Read as it comes: a pipe that is full would stop it.
        let (stdout, stderr) = (drain(child.stdout.take())?, drain(child.stderr.take())?);
        let address = self.metrics.clone();
        let mut last: Option<Instant> = None;
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            // It does not listen yet, or not any more, when it does not answer.
            if last.is_none_or(|last| last.elapsed() > LOOK) && self.look(&address).await.is_ok() {
                last = Some(Instant::now());
            }
            tokio::time::sleep(ENDED).await;
        };
        Ok(Output { status, stdout: joined(stdout)?, stderr: joined(stderr)? })
    }

    /// Keeps what a process shows of itself, and gives it.
    pub(super) async fn look(&mut self, address: &str) -> Result<[(u16, String); 3]> {
        let mut pages = Vec::new();
        for page in PAGES {
            let (status, body) = served::get(address, page).await?;
            self.haul.push((page.to_owned(), body.clone().into_bytes()));
            pages.push((status, body));
        }
        pages.try_into().map_err(|_| anyhow!("every page"))
    }

    /// How often pages were read.
    pub(super) fn looks(&self) -> usize {
        self.haul.iter().filter(|(name, _)| name == PAGES[0]).count()
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn temporary(&self) -> &Path {
        self.temporary.path()
    }

    pub(super) fn folder(&self) -> Result<String> {
        Ok(self.folder.path().to_str().context("a path of text")?.to_owned())
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("var").join(format!("{name}.db"))
    }

    pub(super) async fn database(&self, name: &str) -> Result<Database> {
        Database::open(&format!("sqlite:{}", self.file(name).display())).await
    }

    pub(super) async fn change(&self, name: &str, statement: &str) -> Result<()> {
        self.database(name).await?.run(&[statement.to_owned()]).await
    }

    /// The nation lives for some seconds, looked at from all sides meanwhile.
    pub(super) async fn live(&mut self, format: &str) -> Result<Output> {
        let folder = self.folder()?;
        let options =
            ["demo", "--dir", &folder, "--canaries", "--people", "400", "--rate", "30", "--for", "8s"];
        let child = self.command(&options).args(["--log-format", format]).spawn()?;
        let before = self.looks();
        let output = self.watch(child).await?;
        ensure!(self.looks() > before, "metrics were served");
        Ok(output)
    }

    /// Everything that was put out, with the files that lie around; databases are where the values belong.
    pub(super) fn everything(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut all = self.haul.clone();
        let bodies = self.collector.bodies();
        ensure!(!bodies.is_empty(), "no trace was received");
        all.extend(bodies.iter().map(|body| ("traces".to_owned(), body.to_vec())));
        for folder in [self.folder.path(), self.temporary.path()] {
            files(folder, &mut all)?;
        }
        Ok(all)
    }
}

pub(super) fn drain<R: Read + Send + 'static>(
    pipe: Option<R>,
) -> Result<JoinHandle<std::io::Result<Vec<u8>>>> {
    let mut pipe = pipe.context("a pipe")?;
    Ok(std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).map(|_| bytes)
    }))
}

pub(super) fn joined(reader: JoinHandle<std::io::Result<Vec<u8>>>) -> Result<Vec<u8>> {
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
