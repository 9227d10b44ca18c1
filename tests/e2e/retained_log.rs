//! A bound of what a PostgreSQL server keeps of its log for a connector that cannot publish.

use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::database::Database;
use lienthong_testkit::eventually;
use lienthong_testkit::private_postgres::PrivatePostgres;
use serde_json::Value;

use crate::residents::{self, PARTICIPANT, Residents};
use crate::served::Served;
use crate::site::{Engine, Site};

const LONG: Duration = Duration::from_secs(120);
const AWAY: &str = "kafka://127.0.0.1:1?registry=http://127.0.0.1:1";
/// More than the bound.
const WRITE: &str = "select count(pg_logical_emit_message(false, 'test', repeat('x', 1048576)))::text from generate_series(1, 70)";
const CONNECT: [&str; 2] = ["connect", PARTICIPANT];
const ONCE: [&str; 3] = ["connect", PARTICIPANT, "--once"];

/// A publisher on a server of its own, captured from its log: what others write there counts too.
pub(crate) struct World {
    // Before the server: what uses it has ended when it goes.
    pub(crate) site: Site,
    pub(crate) owner: Residents,
    subscriber: String,
    pub(crate) server: PrivatePostgres,
    _folder: tempfile::TempDir,
}

/// Of which `capture` says this besides the name of its slot.
pub(crate) async fn world(besides: &str) -> Result<World> {
    let (server, folder) = (PrivatePostgres::start(&[]).await?, tempfile::tempdir()?);
    let subscriber = format!("sqlite:{}", folder.path().join("subscriber.db").display());
    let site = Site::residence(Engine::Embedded, &server.url(), &subscriber)?;
    site.capture_from_log(&format!("residence{besides}"))?;
    let owner = Residents::create(&server.url()).await?;
    residents::create_copy(&subscriber).await?;
    Ok(World { site, owner, subscriber, server, _folder: folder })
}

/// With first rows delivered.
async fn delivered(at_bound: &str) -> Result<World> {
    let mut this = world(&format!(", max_retained_wal: 64MiB, at_bound: {at_bound}")).await?;
    this.owner.log_whole_rows().await?;
    this.owner.insert(5).await?;
    this.site.prepare()?;
    this.deliver().await?;
    Ok(this)
}

impl World {
    pub(crate) fn said(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.site.run(arguments)?;
        Ok((output.status.code(), String::from_utf8([output.stdout, output.stderr].concat())?))
    }

    /// Publishes and delivers what there is; the copy must be what the owner has.
    async fn deliver(&mut self) -> Result<()> {
        self.site.succeed(&ONCE)?;
        self.site.succeed(&["route", "--once"])?;
        let (expected, rows) = (self.owner.rows().await?, residents::copy(&self.subscriber).await?);
        ensure!(rows == expected, "{} rows where {} are expected, or others", rows.len(), expected.len());
        Ok(())
    }

    /// A connector whose log is away works until the server keeps too much for it, and ends; gives what was said.
    async fn reaches_the_bound(&mut self) -> Result<String> {
        let mut child = self.site.start(&[&["--log", AWAY], &CONNECT[..]].concat())?;
        self.owner.insert(3).await?;
        self.server.run(&[WRITE]).await?;
        let code = code(&mut child).await?;
        let said = self.site.said()?;
        ensure!(code == Some(3), "{code:?} {said}");
        Ok(said)
    }

    /// How many slots the server has.
    async fn slots(&self) -> Result<usize> {
        let mut database = Database::open(&self.server.url()).await?;
        Ok(database.rows("select slot_name::text from pg_replication_slots").await?.len())
    }
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

pub(crate) fn says(text: &str, parts: &[&str]) -> Result<()> {
    for part in parts {
        ensure!(text.contains(part), "{part} expected: {text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_bound_it_stops_though_the_log_is_away_and_goes_on_when_that_is_back() -> Result<()> {
    let mut this = delivered("stop").await?;
    let said = this.reaches_the_bound().await?;
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
    assert_eq!(this.slots().await?, 1);
    let warned = said.matches("near to where changes are lost").count();
    ensure!((1..=2).contains(&warned), "near, and at it: {warned} {said}");
    // Above the bound, and working through what was kept.
    this.deliver().await
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_bound_the_slot_is_dropped_though_the_log_is_away_and_every_start_tells_the_gap() -> Result<()>
{
    let mut this = delivered("drop-slot").await?;
    let said = this.reaches_the_bound().await?;
    says(&said, &["will be missing for ever", "public.residence", "the slot is dropped", "ERROR"])?;
    assert_eq!(this.slots().await?, 0);
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
    says(&table, &["retained log", "retained log growth", "days to loss"])?;
    // Anybody's transaction holds it back: here one of the publisher's own.
    let mut forgotten = Database::open(&this.server.url()).await?;
    forgotten.rows("begin").await?;
    forgotten.rows("insert into residence values ('HKopen', '001090088888', 'open')").await?;
    this.owner.insert(3).await?;
    this.server.run(&[WRITE]).await?;
    let code = code(&mut connector.child).await?;
    let said = connector.said()?;
    ensure!(code == Some(3), "{code:?} {said}");
    says(&said, &["the gap is on record", "will be missing for ever", "the slot is dropped"])?;
    assert_eq!(this.slots().await?, 0);
    let (code, said) = this.said(&ONCE)?;
    ensure!(code == Some(3), "{code:?} {said}");
    says(&said, &["changes are missing", "was given up", "public.residence from ", "max_retained_wal"])
}
