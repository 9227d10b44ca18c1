//! A column gets another name while its table is captured: that table waits, the other goes on, and `quarantine retry` publishes what waited,
//! by the binary and through kill -9.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lienthong_contract::sink::OffsetState;
use lienthong_log::embedded::EmbeddedLog;
use lienthong_log::{Log as _, TopicPartition};
use lienthong_testkit::database::Database;
use lienthong_testkit::eventually;
use lienthong_testkit::postgres::TestDatabase;
use serde_json::Value;

use crate::residents::{self, PARTICIPANT, Residents};
use crate::site::{Engine, Site};
use crate::stops::is;

const MINISTRY: &str = "ministries/mps.residence.yaml";
/// Changes that wait: enough for kills to meet the command at its work.
const WAITING: u32 = 700;
const RETRY: [&str; 3] = ["quarantine", "retry", PARTICIPANT];
const OTHER: &str = "  - event: residence.permanent.registered
    from: {table: second, key: [file_no]}
    fields: {residence_file_no: file_no, pin: pin, address.street: street, valid_from: {value: \"2026-01-01\"}}
";

struct World {
    site: Site,
    publisher: TestDatabase,
    subscriber: String,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Result<Self> {
        let (publisher, folder) = (TestDatabase::create().await?, tempfile::tempdir()?);
        let subscriber = format!("sqlite:{}", folder.path().join("subscriber.db").display());
        let site = Site::residence(Engine::Embedded, publisher.url(), &subscriber)?;
        site.capture_from_log(publisher.name())?;
        let text = std::fs::read_to_string(site.path(MINISTRY))?;
        site.write(MINISTRY, &format!("{text}{OTHER}"))?;
        let mut owner = Residents::create(publisher.url()).await?;
        owner.log_whole_rows().await?;
        owner.insert(5).await?;
        residents::create_copy(&subscriber).await?;
        let world = Self { site, publisher, subscriber, _folder: folder };
        world.sql("create table second (like residence including all)").await?;
        world.sql("alter table second replica identity full").await?;
        world.site.prepare()?;
        world.site.succeed(&["connect", PARTICIPANT, "--once"])?;
        Ok(world)
    }

    async fn sql(&self, sql: &str) -> Result<()> {
        Database::open(self.publisher.url())
            .await?
            .run(&[sql.to_owned()])
            .await
            .with_context(|| sql.to_owned())
    }

    fn run(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.site.run(arguments)?;
        Ok((output.status.code(), String::from_utf8([output.stdout, output.stderr].concat())?))
    }

    /// The command ends with this code and says all of that.
    fn says(&self, arguments: &[&str], code: i32, words: &[&str]) -> Result<()> {
        let (ended, said) = self.run(arguments)?;
        ensure!(ended == Some(code), "{arguments:?}: {ended:?} {said}");
        for word in words {
            ensure!(said.contains(word), "{arguments:?}: {word} expected: {said}");
        }
        Ok(())
    }

    fn connector(&self) -> Result<Value> {
        let output = self.site.run(&["status", "--output", "json"])?;
        let rows: Vec<Value> = serde_json::from_slice(&output.stdout)?;
        rows.into_iter().find(|row| row["name"] == PARTICIPANT).context("its state")
    }

    /// Streets of a file in the order in which they stand in the log; no id stands there twice.
    async fn streets(&self) -> Result<BTreeMap<String, usize>> {
        let log = EmbeddedLog::open(self.site.path("var/lienthong.db"))?;
        let (mut ids, mut counts) = (HashSet::new(), BTreeMap::new());
        for partition in 0.. {
            let source = TopicPartition { topic: "lt.residence.live".into(), partition };
            let Ok(marks) = log.watermarks(&source).await else { break };
            let (mut state, mut sequences) = (OffsetState::START, BTreeMap::new());
            while state.next_offset < marks.high {
                let batch = log.read(&source, state, 1 << 20).await?;
                for entry in &batch.entries {
                    let record = batch.record(entry)?;
                    let text = |name| std::str::from_utf8(record.header(name).unwrap_or_default());
                    ensure!(ids.insert(text("ce_id")?.to_owned()), "an event stands there twice");
                    let (subject, sequence) =
                        (text("ce_subject")?.to_owned(), text("ce_sequence")?.to_owned());
                    *counts.entry(subject.clone()).or_insert(0) += 1;
                    let before = sequences.insert(subject, sequence.clone());
                    ensure!(before.is_none_or(|before| before < sequence), "an older event comes later");
                }
                state = lienthong_log::marks::state_after(&state, &batch);
            }
        }
        Ok(counts)
    }

    async fn copied(&self, file: &str) -> Result<Option<String>> {
        self.site.succeed(&["route", "--once"])?;
        let rows = residents::copy(&self.subscriber).await?;
        let found = rows.into_iter().find(|row| row[0].as_deref() == Some(file));
        Ok(found.and_then(|row| row[2].clone()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_a_renamed_column_waits_while_others_go_on_and_is_published_in_order_when_retried()
-> Result<()> {
    let world = World::new().await?;
    world.sql("update residence set street = '00000001' where file_no = 'HK000001'").await?;
    world.sql("alter table residence rename street to duong").await?;
    for number in 2..8 {
        world.sql(&format!("update residence set duong = '{number:08}' where file_no = 'HK000001'")).await?;
    }
    world
        .sql(&format!("insert into residence select 'HKnew' || i, '0010901' || lpad(i::text, 5, '0'), '00000001' from generate_series(1, {WAITING}) i"))
        .await?;
    world.sql("update residence set duong = '00000002' where file_no like 'HKnew%'").await?;
    world.sql("insert into second values ('HKsecond', '001090299999', '00000001')").await?;

    let waiting = format!("{} changes of it are set aside", 6 + 2 * WAITING);
    let fix = "lienthong quarantine retry mps.residence";
    world.says(&["connect", PARTICIPANT, "--once"], 5, &[&waiting, "captured column street", fix])?;
    ensure!(world.copied("HK000001").await?.as_deref() == Some("00000001"), "what was before comes");
    ensure!(world.copied("HKsecond").await?.is_some(), "the other table goes on");
    world.says(&["check", "--online"], 0, &["public.residence has no column street", fix])?;
    let told = world.connector()?;
    ensure!(told["set_aside"][0]["table"] == "public.residence", "{told}");
    ensure!(told["set_aside"][0]["changes"] == 6 + 2 * WAITING, "{told}");
    world.says(&["status"], 0, &["set aside", &format!("public.residence: {}", 6 + 2 * WAITING)])?;
    world.says(
        &RETRY,
        3,
        &["does not suit the participant's file", "captured column street", "--absent TABLE.COLUMN"],
    )?;
    for wrong in ["residence.duong=strasse", "residenz.duong=street", "duong=street"] {
        world.says(&[&RETRY[..], &["--rename", wrong]].concat(), 2, &[])?;
    }

    // It does not end by what waits, nor by its own end; who retries meets it.
    let mut connector = world.site.start(&["connect", PARTICIPANT])?;
    is(&world.site, PARTICIPANT, "live").await?;
    world.sql("update second set street = '00000002'").await?;
    world.says(
        &[&RETRY[..], &["--timeout", "1"]].concat(),
        4,
        &["another connector holds this source", "server process"],
    )?;
    connector.kill()?;
    connector.wait()?;

    mended(&world).await
}

async fn mended(world: &World) -> Result<()> {
    let text = std::fs::read_to_string(world.site.path(MINISTRY))?;
    world.site.write(MINISTRY, &text.replacen("address.street: street", "address.street: duong", 1))?;
    // Killed later and later, until it comes to its end before it is.
    for round in 1..60 {
        let mut command = world.site.start(&RETRY)?;
        // A pause that meets nothing makes the test weaker, never red.
        tokio::time::sleep(Duration::from_millis(130 * round)).await;
        if command.try_wait()?.is_some() {
            break;
        }
        command.kill()?;
        command.wait()?;
    }
    world.says(&RETRY, 0, &["nothing is set aside any more"])?;
    world.sql("update residence set duong = '00000008' where file_no = 'HK000001'").await?;
    world.site.succeed(&["connect", PARTICIPANT, "--once"])?;
    let streets = world.streets().await?;
    ensure!(streets["001090000001"] == 8, "{:?}", streets.get("001090000001"));
    let new = streets.iter().filter(|(subject, _)| subject.starts_with("0010901"));
    let (mut people, mut events) = (0, 0);
    new.for_each(|(_, count)| (people, events) = (people + 1, events + count));
    ensure!((people, events) == (WAITING, 2 * WAITING as usize), "{people} {events}");
    ensure!(world.copied("HK000001").await?.as_deref() == Some("00000008"));
    ensure!(world.copied("HKsecond").await?.as_deref() == Some("00000002"));
    residents::check_order(&world.subscriber).await?;
    // What a killed command said last is believed for a while.
    eventually(Duration::from_secs(60), async || Ok(world.connector()?["set_aside"] == serde_json::json!([])))
        .await
}
