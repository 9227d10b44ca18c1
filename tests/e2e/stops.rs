//! SIGTERM while a dependency is away or silent: within ten seconds, with exit code 130.

use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use lienthong_testkit::database::Database;
use lienthong_testkit::postgres::TestDatabase;
use lienthong_testkit::private_kafka::PrivateKafka;
use lienthong_testkit::proxy::TcpProxy;
use lienthong_testkit::{env, eventually};

use crate::nation::{Publisher, create_copy};
use crate::site::{Engine, PARTICIPANT, Site};

/// Longer than any test waits.
const SILENCE: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(60);
const SUBSCRIPTION: &str = "nso.statistics/admin_unit";

/// Asks a service to stop and holds it to its promise.
fn stops(site: &Site, mut child: Child, what: &str) -> Result<()> {
    let asked = Instant::now();
    let kill = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
    ensure!(kill.success(), "{what} had ended before it was asked to\n{}", site.said()?);
    let status = child.wait()?;
    let took = asked.elapsed();
    ensure!(status.code() == Some(130), "{what} ended with {status} after {took:?}\n{}", site.said()?);
    ensure!(took < Duration::from_secs(10), "{what} took {took:?}\n{}", site.said()?);
    Ok(())
}

/// `postgres://user@host:port/database` with another host and port.
fn through(url: &str, address: &str) -> Result<(String, String)> {
    let (user, rest) = url.split_once('@').context("a URL with a user")?;
    let (server, database) = rest.split_once('/').context("a URL with a database")?;
    Ok((server.to_owned(), format!("{user}@{address}/{database}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_stops_in_time_where_nobody_listens_at_the_logs_address() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let (publisher, subscriber) = (url("publisher.db"), url("subscriber.db"));
    let site = Site::new(Engine::Embedded, &publisher, &[("nso.statistics", &subscriber)])?;
    Publisher::create(&publisher).await?.insert(10).await?;
    create_copy(&subscriber).await?;
    site.prepare()?;
    let away = "kafka://127.0.0.1:1?registry=http://127.0.0.1:1";
    for (command, wait) in
        [(&["connect", PARTICIPANT][..], 500), (&["connect", PARTICIPANT], 4000), (&["route"], 4000)]
    {
        let child = site.start(&[&["--log", away], command].concat())?;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        stops(&site, child, &command.join(" "))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_stops_in_time_when_its_database_has_fallen_silent() -> Result<()> {
    let (publisher, subscriber) = (TestDatabase::create().await?, TestDatabase::create().await?);
    let (server, _) = through(publisher.url(), "")?;
    let (before_owner, before_copy) = (TcpProxy::start(&server).await?, TcpProxy::start(&server).await?);
    let (_, owner_url) = through(publisher.url(), &before_owner.address())?;
    let (_, copy_url) = through(subscriber.url(), &before_copy.address())?;
    let site = Site::new(Engine::Embedded, &owner_url, &[("nso.statistics", &copy_url)])?;
    let mut owner = Publisher::create(publisher.url()).await?;
    owner.insert(10).await?;
    create_copy(subscriber.url()).await?;
    site.prepare()?;
    let connector = site.start(&["connect", PARTICIPANT])?;
    is(&site, PARTICIPANT, "live").await?;
    before_owner.delay(SILENCE);
    owner.insert(10).await?;
    eventually(SOON, async || Ok(before_owner.has_delayed())).await?;
    stops(&site, connector, "connect")?;
    before_owner.delay(Duration::ZERO);
    before_owner.drop_connections();

    let router = site.start(&["route"])?;
    is(&site, SUBSCRIPTION, "live").await?;
    before_copy.delay(SILENCE);
    site.succeed(&["connect", PARTICIPANT, "--once"])?;
    eventually(SOON, async || Ok(before_copy.has_delayed())).await?;
    stops(&site, router, "route")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_stops_in_time_when_the_broker_has_fallen_silent_in_the_middle_of_an_append() -> Result<()>
{
    let mut broker = PrivateKafka::start(&[]).await?;
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let (publisher, subscriber) = (url("publisher.db"), url("subscriber.db"));
    let site = Site::new(Engine::Embedded, &publisher, &[("nso.statistics", &subscriber)])?;
    let prefix = lienthong_testkit::kafka::namespace();
    let log =
        format!("kafka://{}?registry={}&prefix={prefix}&replication=1", broker.address(), env::registry());
    let mut owner = Publisher::create(&publisher).await?;
    owner.insert(10).await?;
    create_copy(&subscriber).await?;
    site.prepare()?;
    site.succeed(&["--log", &log, "topics", "create"])?;
    site.succeed(&["--log", &log, "schema", "register"])?;
    for arguments in [&["connect", PARTICIPANT][..], &["route"]] {
        let child = site.start(&[&["--log", &log], arguments].concat())?;
        let name = if arguments.len() == 2 { PARTICIPANT } else { SUBSCRIPTION };
        reported(&site, &["--log", &log, "status", "--output", "json"], name, "live").await?;
        broker.sigstop()?;
        owner.insert(10).await?;
        // A process that hangs has no state that could be asked for; with too short a pause it hangs less deep.
        tokio::time::sleep(Duration::from_secs(2)).await;
        stops(&site, child, &arguments.join(" "))?;
        broker.sigcont()?;
    }
    Ok(())
}

/// A subscriber in one file with every partition waiting, and the file's lock.
async fn behind_a_lock(journal: &str, lock: &str) -> Result<(tempfile::TempDir, Site, Database)> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let (publisher, subscriber) = (url("publisher.db"), url("subscriber.db"));
    let site = Site::new(Engine::Embedded, &publisher, &[("nso.statistics", &subscriber)])?;
    Publisher::create(&publisher).await?.insert(100).await?;
    create_copy(&subscriber).await?;
    site.prepare()?;
    site.succeed(&["connect", PARTICIPANT, "--once"])?;
    let mut holder = Database::open(&subscriber).await?;
    let Database::Sqlite(file) = &mut holder else { bail!("a file of SQLite") };
    file.pragma_update_and_check(None, "journal_mode", journal, |_| Ok(()))?;
    file.execute_batch(lock)?;
    Ok((folder, site, holder))
}

const LOCKS: [(&str, &str); 3] =
    [("wal", "begin immediate"), ("delete", "begin immediate"), ("delete", "begin exclusive")];

#[tokio::test(flavor = "multi_thread")]
async fn a_subscribers_file_that_somebody_else_has_locked_is_waited_for_as_long_as_was_said() -> Result<()> {
    for (journal, lock) in LOCKS {
        let (_folder, site, holder) = behind_a_lock(journal, lock).await?;
        let asked = Instant::now();
        let output = site.run(&["route", "--once", "--timeout", "3"])?;
        let (took, said) = (asked.elapsed(), String::from_utf8_lossy(&output.stderr).into_owned());
        ensure!(output.status.code() == Some(4), "{journal}, {lock}: {} {said}", output.status);
        ensure!(said.contains("nso.statistics") && said.contains("database is locked"), "{said}");
        ensure!(took < Duration::from_secs(10), "{journal}, {lock}: {took:?}\n{said}");
        drop(holder);
        site.succeed(&["route", "--once"])?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_stops_in_time_while_somebody_else_has_locked_the_file() -> Result<()> {
    for (journal, lock) in LOCKS {
        let (_folder, site, _holder) = behind_a_lock(journal, lock).await?;
        let child = site.start(&["route"])?;
        is(&site, SUBSCRIPTION, "waiting").await?;
        stops(&site, child, &format!("route, {journal}, {lock}"))?;
    }
    Ok(())
}

/// Waits until a service has reported this state.
pub(crate) async fn is(site: &Site, name: &str, state: &str) -> Result<()> {
    reported(site, &["status", "--output", "json"], name, state).await
}

async fn reported(site: &Site, arguments: &[&str], name: &str, state: &str) -> Result<()> {
    eventually(SOON, async || {
        let output = site.run(arguments)?;
        let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let found = |row: &serde_json::Value| row["name"] == name && row["state"] == state;
        Ok(rows.as_array().is_some_and(|rows| rows.iter().any(found)))
    })
    .await
    .with_context(|| format!("{name} is not {state}\n{}", site.said().unwrap_or_default()))
}
