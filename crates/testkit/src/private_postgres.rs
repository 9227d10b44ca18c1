//! A PostgreSQL server for one test alone, which it may stop, kill, copy and promote. Needs PostgreSQL's own programs.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

use crate::certificates::Authority;
use crate::private_kafka::free_addresses;
use crate::process::Process;
use crate::wait::eventually;

/// Where PostgreSQL's programs are on the systems that tests run on, each with a folder per version.
const HOMES: [(&str, &str); 3] =
    [("/usr/lib/postgresql", "bin"), ("/usr", "bin"), ("/opt/homebrew/opt", "bin")];
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(60);
/// The first lines of the configuration. Without fsync: a killed server loses nothing, only a killed machine would.
const SETTINGS: [&str; 6] = [
    "wal_level = logical",
    "max_wal_senders = 10",
    "max_replication_slots = 10",
    "max_connections = 40",
    "fsync = off",
    "listen_addresses = '127.0.0.1'",
];

/// Server and data folder; both are gone when this is dropped.
#[derive(Debug)]
pub struct PrivatePostgres {
    // Before the folder: the server must be gone when its data goes.
    server: Option<Process>,
    port: u16,
    programs: Programs,
    folder: TempDir,
}

/// The programs, and as whom they run: they refuse to run as root, so root hands them to the user postgres.
#[derive(Clone, Debug)]
struct Programs {
    bin: PathBuf,
    user: Option<(u32, u32)>,
}

impl PrivatePostgres {
    /// Makes an empty cluster with `wal_level = logical` and starts a server on a free port. Each of `settings` is a line of
    /// `postgresql.conf` beyond the usual ones.
    ///
    /// # Errors
    /// When PostgreSQL's programs are missing, or the server is not up within a minute.
    pub async fn start(settings: &[&str]) -> Result<Self> {
        let mut made = Self::stopped()?;
        let mut init = made.programs.command("initdb");
        init.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]);
        run(init.arg(made.data()))?;
        made.configure(&SETTINGS)?;
        made.configure(settings)?;
        made.restart().await?;
        Ok(made)
    }

    /// A folder without data, and a port.
    fn stopped() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().metadata()?.uid() == 0;
        let programs = Programs { bin: bin()?, user: if root { Some(postgres_user()?) } else { None } };
        if let Some((uid, gid)) = programs.user {
            chown(folder.path(), Some(uid), Some(gid))?;
        }
        let (address, _other) = free_addresses()?;
        Ok(Self { server: None, port: address.port(), programs, folder })
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// URL of the database `postgres`, as superuser.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// URL of a database, as superuser.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// What the server has said so far.
    ///
    /// # Errors
    /// When it has never run.
    pub fn said(&self) -> Result<String> {
        let bytes = std::fs::read(self.log())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Adds lines to the configuration, for the next start.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn configure(&self, settings: &[&str]) -> Result<()> {
        let file = self.data().join("postgresql.conf");
        let mut text = std::fs::read_to_string(&file)?;
        for line in settings {
            text.push('\n');
            text.push_str(line);
        }
        text.push('\n');
        std::fs::write(&file, text).with_context(|| file.display().to_string())
    }

    /// Shows a certificate of `authority` for these names from now on, and lets nobody but the superuser in without TLS and a password by
    /// SCRAM. Restarts it.
    ///
    /// # Errors
    /// When a file cannot be written, or as [`Self::restart`].
    pub async fn secure(&mut self, authority: &Authority, hosts: &[&str]) -> Result<()> {
        let signed = authority.sign_for("postgres", hosts)?;
        let hba = "host all postgres 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
        let files =
            [("server.crt", signed.certificate.as_str()), ("server.key", &signed.key), ("pg_hba.conf", hba)];
        for (name, text) in files {
            let file = self.data().join(name);
            std::fs::write(&file, text).with_context(|| file.display().to_string())?;
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
            if let Some((uid, gid)) = self.programs.user {
                chown(&file, Some(uid), Some(gid))?;
            }
        }
        self.configure(&["ssl = on"])?;
        self.restart().await
    }

    /// Runs statements one after the other, each by itself, in the database `postgres`.
    ///
    /// # Errors
    /// When the server does not answer or refuses.
    pub async fn run(&self, statements: &[&str]) -> Result<()> {
        let mut connection = PgConnection::connect(&self.url()).await?;
        for statement in statements {
            connection.execute(AssertSqlSafe((*statement).to_owned())).await?;
        }
        connection.close().await?;
        Ok(())
    }

    /// Starts the server again on its port and data, after a stop or a kill; ends a running one first.
    ///
    /// # Errors
    /// When it is not up within a minute, with what it said.
    pub async fn restart(&mut self) -> Result<()> {
        self.end();
        let mut server = self.launch()?;
        let url = self.url();
        let up = async || {
            if !server.runs()? {
                // The processes of a server that was killed are gone a little later than it is.
                let said = server.output()?;
                let last = said.lines().rev().take(3).collect::<Vec<_>>().join("\n");
                ensure!(last.contains("shared memory"), "the server ended: {last}");
                server = self.launch()?;
            }
            Ok(PgConnection::connect(&url).await.is_ok())
        };
        eventually(START, up).await.context("the private PostgreSQL server")?;
        self.server = Some(server);
        Ok(())
    }

    fn launch(&self) -> Result<Process> {
        let mut server = self.programs.command("postgres");
        server.args(["-p", &self.port.to_string(), "-k"]).arg(self.folder.path());
        server.arg("-D").arg(self.data());
        Process::start(&mut server, &self.log())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("postgres.log")
    }

    /// Ends connections and writes everything out ("fast").
    ///
    /// # Errors
    /// When it is not running or does not end within a minute.
    pub async fn stop(&mut self) -> Result<()> {
        self.signal_and_wait("INT").await
    }

    /// Ends at once, as after a crash ("immediate").
    ///
    /// # Errors
    /// As [`Self::stop`].
    pub async fn stop_immediately(&mut self) -> Result<()> {
        self.signal_and_wait("QUIT").await
    }

    async fn signal_and_wait(&mut self, signal: &str) -> Result<()> {
        let server = self.running()?;
        server.signal(signal)?;
        server.wait(STOP).await?;
        self.server = None;
        Ok(())
    }

    /// SIGKILL of the first process; the others follow by themselves.
    ///
    /// # Errors
    /// When it is not running.
    pub fn kill9(&mut self) -> Result<()> {
        self.running()?.kill9()?;
        self.server = None;
        Ok(())
    }

    /// SIGSTOP of the first process: who is connected is served, nobody else.
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
        self.server.as_mut().context("the private PostgreSQL server is not running")
    }

    /// A copy of the data folder, slots included, as another server with a port of its own, which is not started yet. This one must
    /// be stopped: what a backup of files gives.
    ///
    /// # Errors
    /// When this one runs, or the files cannot be copied.
    pub fn copy(&self) -> Result<Self> {
        ensure!(self.server.is_none(), "a server whose files are copied must be stopped");
        let other = Self::stopped()?;
        run(self.programs.plain("cp").arg("-R").arg(self.data()).arg(other.data()))?;
        Ok(other)
    }

    /// Makes the next start one of a standby, which follows nobody unless `primary_conninfo` is set, until [`Self::promote`].
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn into_standby(&self) -> Result<()> {
        let file = self.data().join("standby.signal");
        std::fs::write(&file, "").with_context(|| file.display().to_string())?;
        if let Some((uid, gid)) = self.programs.user {
            chown(&file, Some(uid), Some(gid))?;
        }
        Ok(())
    }

    /// A standby that follows this server, started. It has none of this one's slots before PostgreSQL 17.
    ///
    /// # Errors
    /// When no base backup can be made, or the standby is not up within a minute.
    pub async fn standby(&self) -> Result<Self> {
        let mut other = Self::stopped()?;
        let mut backup = self.programs.command("pg_basebackup");
        backup.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string()]);
        backup.args(["-X", "stream", "-c", "fast", "--no-sync", "-R", "-D"]).arg(other.data());
        run(&mut backup)?;
        other.restart().await?;
        Ok(other)
    }

    /// Makes a running standby a primary, on a timeline of its own.
    ///
    /// # Errors
    /// When it is none, or it does not come to that within a minute.
    pub async fn promote(&self) -> Result<()> {
        let mut connection = PgConnection::connect(&self.url()).await?;
        let done: bool =
            sqlx::query_scalar("select pg_catalog.pg_promote(true, 60)").fetch_one(&mut connection).await?;
        ensure!(done, "the standby was not promoted");
        connection.close().await?;
        Ok(())
    }

    /// Ends the server without waiting for anybody, and waits until it is gone.
    fn end(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        // It takes its shared memory and its other processes with it, which a kill would leave behind.
        if server.signal("QUIT").is_ok() {
            for _ in 0..1000 {
                if !matches!(server.runs(), Ok(true)) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        self.end();
    }
}

impl Programs {
    fn command(&self, program: &str) -> Command {
        self.plain(self.bin.join(program))
    }

    /// A program of the system, run as whom the server runs.
    fn plain(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        // The caller's own folder may be closed to the other user.
        command.current_dir("/");
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_owned();
    let done = command.output().with_context(|| name.display().to_string())?;
    let said = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{} failed: {said}", name.display());
    Ok(())
}

/// The newest version's programs, or those of the path.
fn bin() -> Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (home, below) in HOMES {
        for entry in std::fs::read_dir(home).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let version = name.trim_start_matches("pgsql-").trim_start_matches("postgresql@");
            let folder = entry.path().join(below);
            if let Ok(version) = version.parse()
                && has_programs(&folder)
            {
                found.push((version, folder));
            }
        }
    }
    if let Some((_, newest)) = found.into_iter().max() {
        return Ok(newest);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    match std::env::split_paths(&path).find(|folder| has_programs(folder)) {
        Some(folder) => Ok(folder),
        None => bail!("PostgreSQL's initdb is missing; run: deploy/dev/servers install"),
    }
}

fn has_programs(folder: &Path) -> bool {
    ["initdb", "postgres", "pg_basebackup"].iter().all(|program| folder.join(program).is_file())
}

fn postgres_user() -> Result<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd")?;
    let fields = users.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<&str> =
        fields.context("there is no user postgres to run the server as")?.split(':').collect();
    match fields[..] {
        [_, _, uid, gid, ..] => Ok((uid.parse()?, gid.parse()?)),
        _ => bail!("/etc/passwd has another form"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn one(server: &PrivatePostgres, sql: &'static str) -> Result<String> {
        let mut connection = PgConnection::connect(&server.url()).await?;
        Ok(sqlx::query_scalar(sql).fetch_one(&mut connection).await?)
    }

    const TIMELINE: &str = "select timeline_id::text from pg_control_checkpoint()";
    const SLOTS: &str = "select count(*)::text from pg_replication_slots";

    #[tokio::test]
    async fn a_server_is_killed_stopped_copied_and_followed() -> Result<()> {
        let mut server = PrivatePostgres::start(&["max_slot_wal_keep_size = '32MB'"]).await?;
        assert_eq!(one(&server, "show max_slot_wal_keep_size").await?, "32MB");
        assert_eq!(one(&server, "show wal_level").await?, "logical");
        server
            .run(&[
                "create table t as select 1 as a",
                "select pg_create_logical_replication_slot('s', 'pgoutput')",
            ])
            .await?;
        server.kill9()?;
        server.restart().await?;
        let standby = server.standby().await?;
        assert_eq!(one(&standby, "select pg_is_in_recovery()::text").await?, "true");
        standby.promote().await?;
        standby.run(&["insert into t values (2)", "checkpoint"]).await?;
        assert_eq!(
            (one(&standby, TIMELINE).await?, one(&standby, SLOTS).await?),
            ("2".to_owned(), "0".to_owned())
        );
        server.stop_immediately().await?;
        server.restart().await?;
        assert!(server.copy().is_err(), "it runs");
        server.stop().await?;
        let mut copy = server.copy()?;
        copy.into_standby()?;
        copy.restart().await?;
        copy.promote().await?;
        copy.run(&["checkpoint"]).await?;
        assert_eq!((one(&copy, TIMELINE).await?, one(&copy, SLOTS).await?), ("2".to_owned(), "1".to_owned()));
        server.restart().await?;
        assert_eq!(one(&server, "select count(*)::text from t").await?, "1");
        let (address, folder) = (server.address(), server.data());
        drop(server);
        assert!(std::net::TcpStream::connect(address).is_err() && !folder.exists());
        Ok(())
    }
}
