//! A first load from PostgreSQL's log that is bounded in its rate: how far it is, is told wherever one looks.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::database::Database;
use lienthong_testkit::eventually;
use lienthong_testkit::postgres::TestDatabase;
use serde_json::Value;

use crate::residents::{self, PARTICIPANT, Residents};
use crate::served::{SOON, Served};
use crate::site::{Engine, Site};

const PEOPLE: u32 = 900;
const RATE: u32 = 100;

/// The connector's line of `status`.
fn status(site: &Site) -> Result<Value> {
    let output = site.run(&["status", "--output", "json"])?;
    let rows: Value = serde_json::from_slice(&output.stdout)?;
    let row = rows.as_array().and_then(|rows| rows.iter().find(|row| row["name"] == PARTICIPANT));
    row.cloned().context("a line of the connector")
}

fn on_a_terminal(line: &str) -> Result<Output> {
    let mut command = Command::new("script");
    // One without a name shows no bars.
    command.args(["-qec", line, "/dev/null"]).env_remove("LIENTHONG_LOG").env("TERM", "xterm");
    let output = command.stdin(Stdio::null()).output();
    output.context("it needs the command script (Debian: apt-get install bsdutils)")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_load_at_a_rate_is_told_in_status_metrics_and_a_bar_and_goes_on_after_a_kill() -> Result<()> {
    let (publisher, folder) = (TestDatabase::create().await?, tempfile::tempdir()?);
    let subscriber = format!("sqlite:{}", folder.path().join("subscriber.db").display());
    let site = Site::residence(Engine::Embedded, publisher.url(), &subscriber)?;
    site.capture_from_log(&format!("{}, load_rate: {RATE}", publisher.name()))?;
    let mut owner = Residents::create(publisher.url()).await?;
    owner.log_whole_rows().await?;
    owner.insert(PEOPLE).await?;
    Database::open(publisher.url()).await?.run(&["analyze residence".to_owned()]).await?;
    residents::create_copy(&subscriber).await?;
    site.prepare()?;

    let began = Instant::now();
    let mut connector = Served::start(&site, &["connect", PARTICIPANT])?;
    connector.becomes(200).await?;
    let metric =
        |name: &str| format!("lienthong_connector_first_load_{name}{{participant=\"{PARTICIPANT}\"}}");
    connector.metric(&metric("rows"), |rows| rows > 0.0 && rows < f64::from(PEOPLE)).await?;
    connector.metric(&metric("expected_rows"), |rows| rows == f64::from(PEOPLE)).await?;
    // Over the first seconds chunks show.
    let near = |rate: f64| rate > 0.0 && rate < 2.0 * f64::from(RATE);
    connector.metric(&metric("rows_per_second"), near).await?;
    connector.metric(&metric("remaining_seconds"), |left| left > 0.0 && left < 60.0).await?;
    let mut told = Value::Null;
    eventually(SOON, async || {
        told = status(&site)?;
        Ok(told["first_load_remaining_seconds"].is_number())
    })
    .await?;
    let rows = told["first_load_rows"].as_u64().context("rows")?;
    ensure!(rows > 0 && told["first_load_expected_rows"] == PEOPLE, "{told}");
    let output = site.run(&["status"])?;
    let table = String::from_utf8(output.stdout)?;
    ensure!(table.contains("first load rows"), "{table}");
    connector.child.kill()?;
    connector.child.wait()?;
    ensure!(rows < u64::from(PEOPLE), "killed in the middle");

    // On a terminal, and from where it was.
    let line = format!(
        "stty cols 200 rows 50; '{}' --site '{}' connect {PARTICIPANT} --once",
        env!("CARGO_BIN_EXE_lienthong"),
        site.path("").display()
    );
    let output = on_a_terminal(&line)?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}");
    let shown = |part: &str| said.contains(part);
    ensure!(
        shown("first load, ") && shown(" of about ") && shown("per second") && shown("remaining"),
        "{said}"
    );
    ensure!(!shown("first load, 0 rows"), "it begins anew: {said}");
    let took = began.elapsed();
    ensure!(took > Duration::from_secs(u64::from(PEOPLE / RATE) - 1), "faster than it may be: {took:?}");

    site.succeed(&["route", "--once"])?;
    let (expected, rows) = (owner.rows().await?, residents::copy(&subscriber).await?);
    ensure!(rows == expected, "{} rows where {} are expected, or others", rows.len(), expected.len());
    // The one that was killed is believed for a while.
    eventually(SOON, async || Ok(status(&site)?["first_load_rows"].is_null())).await.context("it is done")
}
