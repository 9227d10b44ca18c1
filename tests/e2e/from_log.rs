//! A publisher that is captured from the log of its PostgreSQL server, by the binary from beginning to end.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lienthong_contract::sink::OffsetState;
use lienthong_log::embedded::EmbeddedLog;
use lienthong_log::{Log as _, TopicPartition};
use lienthong_testkit::database::Database;
use lienthong_testkit::eventually;
use lienthong_testkit::postgres::TestDatabase;

use crate::residents::{self, PARTICIPANT, Residents};
use crate::site::{Engine, Site};

struct FromLog {
    // Before the database: what runs in it has ended when it goes.
    site: Site,
    subscriber: String,
    owner: Residents,
    publisher: TestDatabase,
    _folder: tempfile::TempDir,
}

async fn site() -> Result<FromLog> {
    let (publisher, folder) = (TestDatabase::create().await?, tempfile::tempdir()?);
    let subscriber = format!("sqlite:{}", folder.path().join("subscriber.db").display());
    let site = Site::residence(Engine::Embedded, publisher.url(), &subscriber)?;
    site.capture_from_log(publisher.name())?;
    let owner = Residents::create(publisher.url()).await?;
    residents::create_copy(&subscriber).await?;
    Ok(FromLog { site, subscriber, owner, publisher, _folder: folder })
}

/// The log, and the partitions of the live topic with their ends.
async fn live(site: &Site) -> Result<(EmbeddedLog, Vec<(TopicPartition, i64)>)> {
    let log = EmbeddedLog::open(site.path("var/lienthong.db"))?;
    let mut partitions = Vec::new();
    for partition in 0.. {
        let source = TopicPartition { topic: "lt.residence.live".into(), partition };
        let Ok(marks) = log.watermarks(&source).await else { break };
        partitions.push((source, marks.high));
    }
    Ok((log, partitions))
}

/// Records in the live topic.
pub(crate) async fn written(site: &Site) -> Result<i64> {
    Ok(live(site).await?.1.iter().map(|(_, high)| high).sum())
}

impl FromLog {
    fn said(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.site.run(arguments)?;
        Ok((output.status.code(), String::from_utf8([output.stdout, output.stderr].concat())?))
    }

    async fn sql(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>> {
        let mut database = Database::open(self.publisher.url()).await?;
        if sql.starts_with("select") {
            return database.rows(sql).await;
        }
        database.run(&[sql.to_owned()]).await?;
        Ok(Vec::new())
    }

    /// The newest transaction in the log has so many events, which say so.
    async fn one_transaction_of(&self, events: u64) -> Result<()> {
        let (log, partitions) = live(&self.site).await?;
        let mut transactions: BTreeMap<String, Vec<(u64, Option<u64>)>> = BTreeMap::new();
        for (source, high) in partitions {
            let mut state = OffsetState::START;
            while state.next_offset < high {
                let batch = log.read(&source, state, 1 << 20).await?;
                state = lienthong_log::marks::state_after(&state, &batch);
                for entry in &batch.entries {
                    let record = batch.record(entry)?;
                    let text = |name: &str| record.header(name).map(std::str::from_utf8).transpose();
                    let number = |name: &str| anyhow::Ok(text(name)?.map(str::parse::<u64>).transpose()?);
                    let order = number("ce_transactionorder")?;
                    if let (Some(id), Some(order)) = (text("ce_transactionid")?, order) {
                        let of = transactions.entry(id.to_owned()).or_default();
                        of.push((order, number("ce_transactioncount")?));
                    }
                }
            }
        }
        let (_, mut newest) = transactions.pop_last().context("a transaction")?;
        newest.sort_unstable();
        let expected: Vec<_> =
            (1..=events).map(|order| (order, (order == events).then_some(events))).collect();
        ensure!(newest == expected, "{} events, or others", newest.len());
        Ok(())
    }

    /// Publishes and delivers what there is; the copy must be what the owner has.
    async fn deliver(&mut self) -> Result<()> {
        self.site.succeed(&["connect", PARTICIPANT, "--once"])?;
        self.site.succeed(&["route", "--once"])?;
        let (expected, rows) = (self.owner.rows().await?, residents::copy(&self.subscriber).await?);
        ensure!(rows == expected, "{} rows where {} are expected, or others", rows.len(), expected.len());
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_in_postgresql_comes_by_its_log() -> Result<()> {
    let mut this = site().await?;
    let prepare = ["connect", PARTICIPANT, "--prepare"];
    let (code, said) = this.said(&prepare)?;
    ensure!(
        code == Some(3) && said.contains("alter table \"public\".\"residence\" replica identity full"),
        "{code:?} {said}"
    );
    this.owner.log_whole_rows().await?;
    this.owner.insert(20).await?;
    this.site.prepare()?;
    let (code, said) = this.said(&prepare)?;
    ensure!(code == Some(0) && said.contains("publication and slot are in place"), "{code:?} {said}");
    let (code, said) = this.said(&["connect", PARTICIPANT, "--print-ddl"])?;
    ensure!(code == Some(0) && said.contains("pg_create_logical_replication_slot"), "{code:?} {said}");
    this.deliver().await?;
    for change in [
        "insert into residence values ('HKnew', '001090099999', 'new')",
        "update residence set street = 'moved' where file_no = 'HK000003'",
        "delete from residence where file_no = 'HK000004'",
        "update residence set file_no = 'HKother' where file_no = 'HK000005'",
    ] {
        this.sql(change).await?;
        this.deliver().await.context(change)?;
    }
    this.sql("insert into residence select 'HKmany' || n, '001' || lpad(n::text, 9, '0'), 'many' from generate_series(1, 2500) n")
        .await?;
    this.deliver().await?;
    this.one_transaction_of(2_500).await?;

    // Nothing to do takes no time.
    let began = Instant::now();
    this.site.succeed(&["connect", PARTICIPANT, "--once"])?;
    let idle = began.elapsed();
    println!("nothing to do: {idle:?}");
    assert!(idle < Duration::from_secs(2), "{idle:?}");

    this.sql("truncate residence").await?;
    let (code, said) = this.said(&["connect", PARTICIPANT, "--once"])?;
    ensure!(code == Some(3) && said.contains("public.residence was emptied by truncate"), "{code:?} {said}");
    let unprepare = ["connect", PARTICIPANT, "--unprepare"];
    let (code, said) = this.said(&unprepare)?;
    ensure!(code == Some(3) && said.contains("1 change (public.residence: 1)"), "{code:?} {said}");
    let (code, said) = this.said(&[&unprepare[..], &["--lose-unpublished"]].concat())?;
    ensure!(code == Some(0) && said.contains("publication and slot are gone"), "{code:?} {said}");
    let left = "select slot_name::text from pg_replication_slots where database = current_database() \
         union all select pubname::text from pg_publication";
    ensure!(this.sql(left).await?.is_empty(), "something is left");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_ends_in_the_middle_of_a_transaction_doubles_nothing_of_it() -> Result<()> {
    const EVENTS: u64 = 40_000;
    let mut this = site().await?;
    this.owner.log_whole_rows().await?;
    this.site.prepare()?;
    this.site.succeed(&["connect", PARTICIPANT, "--once"])?;
    this.sql(&format!(
        "insert into residence select 'HKmany' || n, '001' || lpad(n::text, 9, '0'), 'many' from generate_series(1, {EVENTS}) n"
    ))
    .await?;
    for round in 1..=3 {
        let before = written(&this.site).await?;
        let mut connector = this.site.start(&["connect", PARTICIPANT])?;
        eventually(Duration::from_secs(60), async || Ok(written(&this.site).await? >= before + 3_000))
            .await?;
        let kill =
            std::process::Command::new("kill").args(["-TERM", &connector.id().to_string()]).status()?;
        ensure!(kill.success(), "it has ended by itself");
        let status = connector.wait()?;
        ensure!(status.code() == Some(130), "round {round}: {status}");
    }
    ensure!(
        written(&this.site).await? < i64::try_from(EVENTS)?,
        "the transaction ended before the connector did"
    );
    this.site.succeed(&["connect", PARTICIPANT, "--once"])?;
    this.one_transaction_of(EVENTS).await
}
