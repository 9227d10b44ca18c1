//! The schema registry goes away and comes back: who starts meanwhile says what it waits for and goes on by itself, who runs goes on.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::process::Process;
use lienthong_testkit::proxy::TcpProxy;
use lienthong_testkit::{env, eventually, kafka};
use serde_json::Value;

use crate::nation::{Publisher, copy, create_copy};
use crate::site::{PARTICIPANT, Site};

const SUBSCRIPTION: &str = "nso.statistics/admin_unit";
const SOON: Duration = Duration::from_secs(60);

/// A registry that can be cut off, and where it is then.
async fn registry() -> Result<(TcpProxy, String)> {
    let url = env::registry();
    let rest = url.strip_prefix("http://").context("a registry without TLS")?;
    let (server, path) = rest.split_once('/').context("a path")?;
    let proxy = TcpProxy::start(server).await?;
    let url = format!("http://{}/{path}", proxy.address());
    Ok((proxy, url))
}

/// State and cause of a process, as `lienthong status` tells them.
fn told(site: &Site, name: &str) -> Result<(String, String)> {
    let output = site.run(&["status", "--output", "json"])?;
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).context("status tells rows")?;
    let text = |row: &Value, column: &str| row[column].as_str().unwrap_or_default().to_owned();
    let row = rows.iter().find(|row| row["name"] == name);
    Ok(row.map(|row| (text(row, "state"), text(row, "cause"))).unwrap_or_default())
}

async fn becomes(site: &Site, name: &str, state: &str, cause: &str) -> Result<()> {
    let mut last = Default::default();
    let asked = eventually(SOON, async || {
        last = told(site, name)?;
        Ok(last.0 == state && last.1.contains(cause))
    });
    asked.await.with_context(|| format!("{name} is {last:?}, not {state:?} with {cause:?}"))
}

async fn arrived(owner: &mut Publisher, subscriber: &str) -> Result<()> {
    let expected = owner.rows().await?;
    eventually(SOON, async || Ok(copy(subscriber).await? == expected)).await.context("the copy differs")
}

fn start(site: &Site, folder: &Path, arguments: &[&str]) -> Result<Process> {
    Process::start(&mut site.command(arguments), &folder.join(arguments[0]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_away_is_named_and_everything_goes_on_by_itself_when_it_is_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let (publisher, subscriber) = (url("publisher.db"), url("subscriber.db"));
    let (proxy, registry) = registry().await?;
    let log = format!(
        "\"kafka://{}?registry={registry}&prefix={}&replication=1\"",
        kafka::brokers(),
        kafka::namespace()
    );
    let site = Site::on(&log, &publisher, &[("nso.statistics", &subscriber)])?;
    let mut owner = Publisher::create(&publisher).await?;
    owner.insert(10).await?;
    create_copy(&subscriber).await?;
    site.prepare()?;
    // Something that the router must decode.
    site.succeed(&["connect", PARTICIPANT, "--once"])?;

    proxy.cut();
    owner.insert(10).await?;
    let mut connector = start(&site, folder.path(), &["connect", PARTICIPANT])?;
    let mut router = start(&site, folder.path(), &["route"])?;
    let cause = format!("the schema registry is unreachable: {}", proxy.address());
    for name in [PARTICIPANT, SUBSCRIPTION] {
        becomes(&site, name, "waiting", &cause).await?;
    }
    ensure!(copy(&subscriber).await?.is_empty(), "nothing can have been decoded");

    proxy.heal();
    arrived(&mut owner, &subscriber).await?;
    for name in [PARTICIPANT, SUBSCRIPTION] {
        becomes(&site, name, "live", "").await?;
    }

    // Whoever knows its schemas does not ask again.
    proxy.cut();
    owner.insert(10).await?;
    arrived(&mut owner, &subscriber).await?;
    for (name, process) in [(PARTICIPANT, &mut connector), (SUBSCRIPTION, &mut router)] {
        ensure!(process.runs()?, "{name} has ended: {}", process.output()?);
        ensure!(told(&site, name)?.0 == "live", "{name}: {:?}", told(&site, name)?);
        process.terminate()?;
        let status = process.wait(Duration::from_secs(10)).await?;
        ensure!(status.code() == Some(130), "{name} ended with {status}: {}", process.output()?);
    }
    Ok(())
}
