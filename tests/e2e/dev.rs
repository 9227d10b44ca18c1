//! `make dev-up` and `make dev-down`, with the servers of the tests and with servers of their own: what they print is what a user types.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::database::Database;

struct Dev {
    base: PathBuf,
    /// Whether the servers of the tests are used.
    given: bool,
    _folder: tempfile::TempDir,
}

impl Dev {
    fn new(given: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // PostgreSQL runs as another user when this runs as root.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { base: folder.path().join("dev"), given, _folder: folder })
    }

    fn run(&self, script: &str) -> Result<Output> {
        let mut command = script_of(script, self.given);
        command.env("LIENTHONG_DEV_DIR", &self.base).env("LIENTHONG_BIN", env!("CARGO_BIN_EXE_lienthong"));
        succeeded(command)
    }

    /// What `up` prints.
    fn up(&self) -> Result<String> {
        Ok(String::from_utf8(self.run("up")?.stdout)?)
    }

    /// Types the three commands; what the last one prints.
    fn tried(&self, told: &str) -> Result<String> {
        let commands: Vec<&str> = told.lines().filter_map(|line| line.trim().strip_prefix("$ ")).collect();
        assert_eq!(commands.len(), 3, "{told}");
        let mut last = String::new();
        for command in commands {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!(". {}/env; {command}", self.base.display())]);
            last = String::from_utf8(succeeded(shell)?.stdout)?;
        }
        Ok(last)
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // A test that failed leaves no database behind; one that passed has nothing left.
        let _down = self.run("down");
    }
}

fn script_of(name: &str, given: bool) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/dev").join(name));
    if !given {
        for server in ["PG", "KAFKA", "REGISTRY"] {
            command.env_remove(format!("LIENTHONG_TEST_{server}"));
        }
    }
    command
}

fn succeeded(mut command: Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{command:?} ended with {}: {said}", output.status);
    Ok(output)
}

/// The value behind a name in what `up` or `servers env` prints.
fn value<'t>(told: &'t str, name: &str) -> Result<&'t str> {
    let found = told.lines().find_map(|line| line.split_once(name).map(|(_, value)| value.trim()));
    found.with_context(|| format!("{name} in {told}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dev_up_prints_works_and_dev_down_takes_everything_away() -> Result<()> {
    let dev = Dev::new(true)?;
    let told = dev.up()?;
    assert_eq!(told, dev.up()?, "a second time it says the same and changes nothing");
    let last = dev.tried(&told)?;
    assert!(last.contains("Phường Ba Đình") && last.contains("(3 rows)"), "{last}");

    let nso = value(&told, "NSO_URL=")?;
    assert!(Database::open(nso).await.is_ok());
    dev.run("down")?;
    assert!(!dev.base.exists());
    assert!(Database::open(nso).await.is_err(), "the databases are gone");
    Ok(())
}

/// Servers as `make test` starts them, stopped at the end.
struct Run(PathBuf);

impl Run {
    fn servers(&self, verb: &str) -> Result<Output> {
        let mut command = script_of("servers", false);
        command.arg(verb).arg(&self.0);
        succeeded(command)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // It has been stopped already where the test passed.
        let _stopped = self.servers("stop");
    }
}

async fn answers(postgres: &str, kafka: &str) -> bool {
    Database::open(postgres).await.is_ok() && tokio::net::TcpStream::connect(kafka).await.is_ok()
}

/// Where servers were named, or run in containers, there is one set of them: then this says that it was not run.
#[tokio::test(flavor = "multi_thread")]
async fn two_runs_at_once_have_servers_of_their_own_and_neither_stops_the_others() -> Result<()> {
    if std::env::var("LIENTHONG_TEST_SERVERS").as_deref() != Ok("here") {
        println!(
            "not run: nothing says that this machine can start servers of its own; `make test` does, after `make setup`"
        );
        return Ok(());
    }
    let dev = Dev::new(false)?;
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
    let run = Run(folder.path().join("run"));
    let (told, started) = std::thread::scope(|scope| {
        let started = scope.spawn(|| run.servers("start"));
        (dev.up(), started.join())
    });
    let Ok(started) = started else { anyhow::bail!("the thread of the second run has panicked") };
    started?;
    let told = told?;
    let addresses = String::from_utf8(run.servers("env")?.stdout)?;
    let other = |name: &str| value(&addresses, &format!("LIENTHONG_TEST_{name}="));
    let own = [value(&told, "PostgreSQL  ")?, value(&told, "Kafka       ")?, value(&told, "Registry    ")?];
    let others = [other("PG")?, other("KAFKA")?, other("REGISTRY")?];
    for (own, other) in own.iter().zip(others) {
        assert_ne!(*own, other);
    }
    let last = dev.tried(&told)?;
    assert!(last.contains("(3 rows)"), "{last}");
    dev.run("down")?;
    assert!(answers(others[0], others[1]).await, "the other run goes on");
    assert!(!answers(own[0], own[1]).await);
    run.servers("stop")?;
    assert!(!answers(others[0], others[1]).await);
    Ok(())
}
