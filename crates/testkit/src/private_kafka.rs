//! A Kafka broker for one test alone, which it may freeze and kill. Needs Java and the jars of Apache Kafka.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rand::Rng as _;
use rand::distr::Alphanumeric;
use tempfile::TempDir;

use crate::process::Process;
use crate::wait::eventually;

/// Broker and controller in one process, data in a folder of its own; both are gone when this is dropped.
#[derive(Debug)]
pub struct PrivateKafka {
    // Before the folder: the broker must be dead when its data goes.
    broker: Option<Process>,
    address: SocketAddr,
    libs: PathBuf,
    folder: TempDir,
    /// What the virtual machine is told about an archive of the broker's classes.
    archive: Option<String>,
}

/// What distinguishes one broker from another.
pub(crate) struct Setup<'a> {
    /// Name and protocol of the clients' listener.
    pub(crate) listener: &'a str,
    /// Lines of the broker's properties beyond the usual ones.
    pub(crate) settings: &'a [String],
    /// Users and passwords, known by SCRAM-SHA-512 from the beginning.
    pub(crate) users: &'a [(&'a str, &'a str)],
}

impl PrivateKafka {
    /// Formats a data folder and starts a broker on free ports, with the jars of `LIENTHONG_TEST_KAFKA_LIBS`.
    /// Each of `settings` is a line of the broker's properties beyond the usual ones.
    ///
    /// # Errors
    /// When Java or the jars are missing, or the broker is not up within a minute.
    pub async fn start(settings: &[&str]) -> Result<Self> {
        let settings: Vec<String> = settings.iter().map(|line| (*line).to_owned()).collect();
        Self::start_as(&Setup { listener: "PLAINTEXT", settings: &settings, users: &[] }).await
    }

    /// As [`Self::start`].
    pub(crate) async fn start_as(setup: &Setup<'_>) -> Result<Self> {
        let libs = PathBuf::from(crate::env::kafka_libs());
        let folder = tempfile::tempdir()?;
        let (address, controller) = free_addresses()?;
        std::fs::write(
            folder.path().join("server.properties"),
            properties(address, controller, folder.path(), setup),
        )?;
        let mut format = java(&libs, "-Xmx128m");
        format.args([
            "kafka.tools.StorageTool",
            "format",
            "--standalone",
            "-t",
            &cluster_id(),
            "-c",
            "server.properties",
        ]);
        for (name, password) in setup.users {
            format.args(["--add-scram", &format!("SCRAM-SHA-512=[name={name},password={password}]")]);
        }
        let done = format.current_dir(folder.path()).output().context("java formats the broker's folder")?;
        ensure!(
            done.status.success(),
            "the folder was not formatted: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        let mut kafka = Self { broker: None, address, libs, folder, archive: None };
        kafka.restart().await?;
        Ok(kafka)
    }

    /// The folder with Kafka's jars.
    pub(crate) fn libs(&self) -> &Path {
        &self.libs
    }

    /// Bootstrap address.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Starts the broker again on its address and data, after [`Self::kill9`] or [`Self::stop`]; ends a running one first.
    ///
    /// # Errors
    /// When it is not up within a minute, with what it said.
    pub async fn restart(&mut self) -> Result<()> {
        self.broker = None;
        let mut command = java(&self.libs, "-Xmx400m");
        if let Some(archive) = &self.archive {
            // A machine that cannot use the archive starts without it, and would say so on every start.
            command.args([archive, "-Xlog:disable"]);
        }
        command.args(["kafka.Kafka", "server.properties"]).current_dir(self.folder.path());
        let mut broker = Process::start(&mut command, &self.folder.path().join("kafka.log"))?;
        let address = self.address;
        let up = async || {
            ensure!(broker.runs()?, "the broker ended: {}", broker.output()?);
            Ok(TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok())
        };
        eventually(Duration::from_secs(60), up).await.context("the private Kafka broker")?;
        self.broker = Some(broker);
        Ok(())
    }

    /// Starts the broker again and keeps an archive of its classes: every later start takes a third of the processor's time. For
    /// tests that kill it often.
    ///
    /// # Errors
    /// As [`Self::stop`] and [`Self::restart`].
    pub async fn quicken(&mut self) -> Result<()> {
        let file = self.folder.path().join("kafka.jsa");
        self.archive = Some(format!("-XX:ArchiveClassesAtExit={}", file.display()));
        self.restart().await?;
        self.stop().await?;
        ensure!(file.exists(), "java wrote no archive of the broker's classes");
        self.archive = Some(format!("-XX:SharedArchiveFile={}", file.display()));
        self.restart().await
    }

    /// SIGKILL.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill9(&mut self) -> Result<()> {
        self.running()?.kill9()?;
        self.broker = None;
        Ok(())
    }

    /// SIGTERM, and waits for a clean end.
    ///
    /// # Errors
    /// When it is not running or does not end within two minutes: one that keeps an archive writes it at its end, beside whatever
    /// else runs.
    pub async fn stop(&mut self) -> Result<()> {
        let broker = self.running()?;
        broker.terminate()?;
        broker.wait(Duration::from_secs(120)).await?;
        self.broker = None;
        Ok(())
    }

    /// SIGSTOP: connections stay open and nothing answers.
    ///
    /// # Errors
    /// When it is not running.
    pub fn sigstop(&mut self) -> Result<()> {
        self.running()?.sigstop()
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// When it is not running.
    pub fn sigcont(&mut self) -> Result<()> {
        self.running()?.sigcont()
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.broker.as_mut().context("the private Kafka broker is not running")
    }
}

/// The first compiler and the plain collector: a broker that lives for seconds does not earn the others back.
pub(crate) fn java(libs: &Path, memory: &str) -> Command {
    let mut command = Command::new("java");
    command.args([memory, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp"]).arg(libs.join("*"));
    command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn");
    command
}

/// Two free ports below those that systems give to outgoing connections (32768 and above on Linux): nobody gets one by chance while
/// the broker is down, not even a client that tries to reach it.
pub(crate) fn free_addresses() -> Result<(SocketAddr, SocketAddr)> {
    let mut free = Vec::new();
    for _ in 0..1000 {
        let address = SocketAddr::from(([127, 0, 0, 1], rand::rng().random_range(10_000..32_000)));
        // Held until both are found, so that they differ.
        free.extend(TcpListener::bind(address).ok());
        if let [one, two] = &free[..] {
            return Ok((one.local_addr()?, two.local_addr()?));
        }
    }
    bail!("no two free ports between 10000 and 32000")
}

/// 16 random bytes in URL-safe base64, as Kafka wants them: the last of 22 characters carries two bits only.
fn cluster_id() -> String {
    let random = rand::rng().sample_iter(Alphanumeric).take(21).map(char::from);
    random.chain(std::iter::once('A')).collect()
}

/// The session is short because a broker that was killed may register again only when its former session has run out.
fn properties(broker: SocketAddr, controller: SocketAddr, folder: &Path, setup: &Setup<'_>) -> String {
    let (data, name) = (folder.join("data"), setup.listener);
    let mut text = format!(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers={controller}\n\
         listeners={name}://{broker},CONTROLLER://{controller}\nadvertised.listeners={name}://{broker}\n\
         controller.listener.names=CONTROLLER\nlistener.security.protocol.map=CONTROLLER:PLAINTEXT,{name}:{name}\n\
         log.dirs={}\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=4\n\
         transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=4\ngroup.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n\
         broker.session.timeout.ms=1000\nbroker.heartbeat.interval.ms=300\n",
        data.display()
    );
    for setting in setup.settings {
        // Writing to a string does not fail.
        let _written = writeln!(text, "{setting}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_killed_broker_comes_back_on_its_address() -> Result<()> {
        let mut kafka = PrivateKafka::start(&[]).await?;
        kafka.kill9()?;
        let address: SocketAddr = kafka.address().parse()?;
        assert!(TcpStream::connect(address).is_err());
        kafka.restart().await?;
        assert!(TcpStream::connect(address).is_ok());
        kafka.quicken().await?;
        kafka.kill9()?;
        kafka.restart().await?;
        assert!(TcpStream::connect(address).is_ok());
        kafka.stop().await
    }
}
