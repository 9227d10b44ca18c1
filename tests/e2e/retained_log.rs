//! A bound of what a PostgreSQL server keeps of its log for a connector that cannot publish.

use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::database::Database;
use lienthong_testkit::eventually;
use serde_json::Value;

use crate::from_log::{self, FromLog};
use crate::residents::PARTICIPANT;
use crate::served::Served;

const LONG: Duration = Duration::from_secs(120);
const AWAY: &str = "kafka://127.0.0.1:1?registry=http://127.0.0.1:1";
/// More than the bound.
const WRITE: &str = "select count(pg_logical_emit_message(false, 'test', repeat('x', 1048576)))::text from generate_series(1, 70)";
const CONNECT: [&str; 2] = ["connect", PARTICIPANT];
const ONCE: [&str; 3] = ["connect", PARTICIPANT, "--once"];

/// A publisher whose first rows are delivered.
async fn delivered(at_bound: &str) -> Result<FromLog> {
    let mut this = from_log::site(&format!(", max_retained_wal: 64MiB, at_bound: {at_bound}")).await?;
    this.owner.log_whole_rows().await?;
    this.owner.insert(5).await?;
    this.site.prepare()?;
    this.deliver().await?;
    Ok(this)
}

async fn code(child: &mut Child) -> Result<Option<i32>> {
    let mut ended = None;
    eventually(LONG, async || {
        ended = child.try_wait()?;
        Ok(ended.is_some())
    })
    .await
    .context("it goes on")?;
    Ok(ended.and_then(|status| status.code()))
}

/// How many slots the publisher has.
async fn slots(this: &FromLog) -> Result<usize> {
    let sql = "select slot_name::text from pg_replication_slots where database = current_database()";
    Ok(this.sql(sql).await?.len())
}

fn says(text: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part} expected: {text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_bound_it_stops_though_the_log_is_away_and_goes_on_when_that_is_back() -> Result<()> {
    let mut this = delivered("stop").await?;
    let mut child = this.site.start(&[&["--log", AWAY], &CONNECT[..]].concat())?;
    this.owner.insert(3).await?;
    this.sql(WRITE).await?;
    let code = code(&mut child).await?;
    let said = this.site.said()?;
    ensure!(code == Some(3), "{code:?} {said}");
    says(
        &said,
        &[
            "near to where changes are lost",
            "max_retained_wal is 64 MiB",
            "public.residence",
            "the slot is kept",
            "fix: ",
        ],
    )?;
    assert_eq!(slots(&this).await?, 1);
    let warned = said.matches("near to where changes are lost").count();
    ensure!((1..=2).contains(&warned), "near, and at it: {warned} {said}");
    // Above the bound, and working through what was kept.
    this.deliver().await
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_bound_the_slot_is_dropped_though_the_log_is_away_and_every_start_tells_the_gap() -> Result<()>
{
    let mut this = delivered("drop-slot").await?;
    let mut child = this.site.start(&[&["--log", AWAY], &CONNECT[..]].concat())?;
    this.owner.insert(3).await?;
    this.sql(WRITE).await?;
    let code = code(&mut child).await?;
    let said = this.site.said()?;
    ensure!(code == Some(3), "{code:?} {said}");
    says(&said, &["will be missing for ever", "public.residence", "the slot is dropped", "ERROR"])?;
    assert_eq!(slots(&this).await?, 0);
    for _ in 0..2 {
        let (code, said) = this.said(&ONCE)?;
        ensure!(code == Some(3), "{code:?} {said}");
        says(&said, &["changes are missing", "is gone", "public.residence from ", "fix: "])?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_told_and_where_an_open_transaction_keeps_too_much_the_gap_is_put_on_record()
-> Result<()> {
    let mut this = delivered("drop-slot").await?;
    let mut connector = Served::start(&this.site, &CONNECT)?;
    connector.becomes(200).await?;
    let participant = format!("{{participant=\"{PARTICIPANT}\"}}");
    let metric = |name: &str| format!("lienthong_connector_retained_log_{name}{participant}");
    connector.metric(&metric("bytes"), |bytes| bytes > 0.0).await?;
    connector.metric(&metric("room_bytes"), |room| room > 0.0).await?;
    connector.metric(&metric("growth_bytes_per_second"), f64::is_nan).await?;
    connector.metric(&metric("days_to_loss"), f64::is_nan).await?;
    eventually(LONG, async || {
        let output = this.site.run(&["status", "--output", "json"])?;
        let status: Value = serde_json::from_slice(&output.stdout)?;
        let rows = status.as_array().context("rows")?;
        let row = rows.iter().find(|row| row["name"] == PARTICIPANT).context("a row")?;
        ensure!(row["days_to_loss"].is_null(), "unknown: {row}");
        Ok(row["retained_log_bytes"].as_u64().is_some_and(|bytes| bytes > 0))
    })
    .await?;
    let (_, table) = this.said(&["status"])?;
    says(&table, &["retained log", "days to loss", "iB"])?;
    // Anybody's transaction holds it back: here one of the publisher's own.
    let mut forgotten = Database::open(this.publisher.url()).await?;
    forgotten.rows("begin").await?;
    forgotten.rows("insert into residence values ('HKopen', '001090088888', 'open')").await?;
    this.owner.insert(3).await?;
    this.sql(WRITE).await?;
    let code = code(&mut connector.child).await?;
    let said = connector.said()?;
    ensure!(code == Some(3), "{code:?} {said}");
    says(&said, &["the gap is on record", "will be missing for ever", "the slot is dropped"])?;
    assert_eq!(slots(&this).await?, 0);
    let (code, said) = this.said(&ONCE)?;
    ensure!(code == Some(3), "{code:?} {said}");
    says(&said, &["changes are missing", "was given up", "public.residence from ", "max_retained_wal"])
}
