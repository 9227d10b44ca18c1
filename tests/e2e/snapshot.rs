//! Rows that somebody asks a participant for: by the running connector, through kill -9, and without one.

use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::database::Database;
use lienthong_testkit::eventually;
use lienthong_testkit::postgres::TestDatabase;
use serde_json::Value;

use crate::residents::{self, PARTICIPANT, Residents};
use crate::site::{Engine, Site};
use crate::stops::is;

const EVENT: &str = "residence.permanent.registered";
/// At the rate of the test a load of them takes twenty seconds: kills meet it under way.
const PEOPLE: u32 = 1_200;
const SOON: Duration = Duration::from_secs(60);

struct Asked {
    site: Site,
    subscriber: String,
    owner: Residents,
    _publisher: TestDatabase,
    _folder: tempfile::TempDir,
}

/// A connector or a command that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Asked {
    /// So many people, published and delivered, from the log of their server.
    async fn of(people: u32) -> Result<Self> {
        let (publisher, folder) = (TestDatabase::create().await?, tempfile::tempdir()?);
        let subscriber = format!("sqlite:{}", folder.path().join("subscriber.db").display());
        let site = Site::residence(Engine::Embedded, publisher.url(), &subscriber)?;
        site.capture_from_log(publisher.name())?;
        let mut owner = Residents::create(publisher.url()).await?;
        owner.log_whole_rows().await?;
        owner.insert(people).await?;
        residents::create_copy(&subscriber).await?;
        site.prepare()?;
        site.succeed(&["connect", PARTICIPANT, "--once"])?;
        site.succeed(&["route", "--once"])?;
        let this = Self { site, subscriber, owner, _publisher: publisher, _folder: folder };
        Ok(this)
    }

    fn ask(&self, more: &[&str]) -> Result<(Option<i32>, String, String)> {
        let begin = ["snapshot", PARTICIPANT, "--event", EVENT];
        let output = self.site.run(&[&begin[..], more].concat())?;
        let text = |bytes| String::from_utf8(bytes);
        Ok((output.status.code(), text(output.stdout)?, text(output.stderr)?))
    }

    /// As JSON.
    fn loaded(&self, more: &[&str]) -> Result<Value> {
        let (code, out, said) = self.ask(&[more, &["--output", "json"]].concat())?;
        ensure!(code == Some(0), "{code:?} {out} {said}");
        Ok(serde_json::from_str(&out)?)
    }

    async fn damage(&self, sql: &str) -> Result<()> {
        Database::open(&self.subscriber).await?.run(&[sql.to_owned()]).await
    }

    async fn equal(&mut self) -> Result<()> {
        self.site.succeed(&["route", "--once"])?;
        let (expected, rows) = (self.owner.rows().await?, residents::copy(&self.subscriber).await?);
        ensure!(rows == expected, "{} rows where {} are expected, or others", rows.len(), expected.len());
        Ok(())
    }

    /// Snapshot events in the log.
    fn snapshots(&self) -> Result<usize> {
        self.operations("snapshot")
    }

    fn operations(&self, operation: &str) -> Result<usize> {
        let output = self.site.run(&["tail", "residence", "--output", "json"])?;
        Ok(String::from_utf8(output.stdout)?.matches(&format!("\"operation\":\"{operation}\"")).count())
    }

    fn listed(&self) -> Result<Vec<Value>> {
        let output = self.site.run(&["snapshot", PARTICIPANT, "--output", "json"])?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    async fn connector(&self) -> Result<Running> {
        let child = Running(self.site.start(&["connect", PARTICIPANT])?);
        is(&self.site, PARTICIPANT, "live").await?;
        Ok(child)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_rows_are_repaired_with_and_without_a_running_connector() -> Result<()> {
    let mut this = Asked::of(50).await?;
    let before = this.snapshots()?;
    this.damage("update resident set street = 'by hand' where file_no in ('HK000003', 'HK000007')").await?;
    this.damage("delete from resident where file_no = 'HK000009'").await?;
    ensure!(this.equal().await.is_err(), "it is damaged");

    // No connector runs: the command is one.
    this.site.write("keys.txt", "HK000003\nHK000003\nHKnobody\n")?;
    let file = this.site.path("keys.txt").display().to_string();
    let told = this.loaded(&["--keys", &file])?;
    ensure!(told["rows"] == 1 && told["missing"] == 1 && told["event"] == EVENT, "{told}");
    ensure!(this.snapshots()? == before + 1, "that row alone");

    let connector = this.connector().await?;
    let (code, out, said) = this.ask(&["--range", "HK000007..HK000009"])?;
    ensure!(
        code == Some(0) && out.contains("3 rows of residence.permanent.registered loaded"),
        "{out} {said}"
    );
    ensure!(this.snapshots()? == before + 4, "those rows alone");
    this.equal().await?;

    let told = this.loaded(&[])?;
    ensure!(told["rows"] == 50 && told["missing"] == 0, "{told}");
    ensure!(this.snapshots()? == before + 54, "all rows once");
    let listed = this.listed()?;
    ensure!(listed.len() >= 2 && listed.iter().all(|load| load["state"] == "done"), "{listed:?}");
    drop(connector);
    this.equal().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_survives_kill_9_at_any_chunk_and_changes_are_not_held_back() -> Result<()> {
    let mut this = Asked::of(PEOPLE).await?;
    let before = this.snapshots()?;
    this.damage("update resident set street = 'by hand'").await?;
    let mut connector = this.connector().await?;
    let begin = ["snapshot", PARTICIPANT, "--event", EVENT, "--rate", "60"];
    let mut watching = Running(this.site.start(&begin)?);
    let loaded = PEOPLE as usize;
    for round in 0..3 {
        let known = this.snapshots()?;
        eventually(SOON, async || Ok(this.snapshots()? >= known + 30)).await?;
        if round == 0 {
            // A change goes by the load.
            this.owner.insert(1).await?;
            eventually(SOON, async || Ok(this.operations("insert")? == 1)).await?;
        }
        ensure!(this.snapshots()? < before + loaded, "the load is still under way");
        ensure!(this.listed()?.iter().any(|load| load["state"] == "loading"), "and told");
        connector.0.kill()?;
        connector.0.wait()?;
        connector = this.connector().await?;
    }
    let mut ended = None;
    eventually(SOON, async || {
        ended = watching.0.try_wait()?;
        Ok(ended.is_some())
    })
    .await?;
    ensure!(ended.context("it has ended")?.success(), "{}", this.site.said()?);
    drop(connector);
    let snapshots = this.snapshots()?;
    ensure!(
        (before + loaded..=before + loaded + 1).contains(&snapshots),
        "every row once: {}",
        snapshots - before
    );
    this.equal().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_told_with_its_place_and_without_a_value() -> Result<()> {
    let this = Asked::of(3).await?;
    let path = |name: &str| this.site.path(name).display().to_string();
    std::fs::write(this.site.path("bad.txt"), b"HK000001\n\xff0010857\n")?;
    this.site.write("none.txt", "\n")?;
    let cases: [(&[&str], &str); 6] = [
        (&["--keys", &path("bad.txt")], "bad.txt:2: this is not UTF-8"),
        (&["--keys", &path("none.txt")], "none.txt:1: no key stands here"),
        (&["--keys", &path("nowhere.txt")], "nowhere.txt: entity not found"),
        (&["--range", "0010857"], "--range: write A..B, A.. or ..B"),
        (&["--range", "a..b", "--keys", "-"], "cannot be used with"),
        (&["--rate", "0"], "--rate"),
    ];
    for (arguments, expected) in cases {
        let (code, _, said) = this.ask(arguments)?;
        ensure!(code == Some(2) && said.contains(expected), "{arguments:?}: {code:?} {said}");
        ensure!(arguments.contains(&"0010857") || !said.contains("0010857"), "{said}");
    }
    for (arguments, expected) in [
        (["snapshot", "mps.residense", "--event", EVENT], "did you mean mps.residence?"),
        (["snapshot", PARTICIPANT, "--event", "residence.permanent.register"], "did you mean residence"),
    ] {
        let output = this.site.run(&arguments)?;
        let said = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(2) && said.contains(expected), "{said}");
    }
    ensure!(this.listed()?.is_empty(), "nothing was asked");

    // Keys lie in the log under seal.
    this.site.write("keys.txt", "HKsecretkey\n")?;
    let (code, ..) = this.ask(&["--keys", &path("keys.txt"), "--no-wait"])?;
    ensure!(code == Some(0), "asked");
    for file in std::fs::read_dir(this.site.path("var"))? {
        let bytes = std::fs::read(file?.path())?;
        ensure!(!bytes.windows(11).any(|window| window == b"HKsecretkey"), "a key lies in clear");
    }
    // A key of another site is refused, and the next request served.
    std::fs::remove_file(this.site.path("secrets/seal.key"))?;
    this.site.succeed(&["keys", "new"])?;
    let told = this.loaded(&["--range", "..HK000001"])?;
    ensure!(told["rows"] == 2, "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_cannot_be_asked_yet_and_says_so() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let site = Site::residence(Engine::Embedded, &url("publisher.db"), &url("subscriber.db"))?;
    site.succeed(&["topics", "create"])?;
    let output = site.run(&["snapshot", PARTICIPANT, "--event", EVENT])?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(2) && said.contains("captured by an outbox"), "{said}");
    Ok(())
}
