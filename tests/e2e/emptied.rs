//! `truncate: delete`: a table that is captured from its server's log is emptied, and every row that was published is deleted, once, through
//! kill -9.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lienthong_log::{Log, TopicPartition};
use lienthong_testkit::database::Database;
use lienthong_testkit::eventually;
use lienthong_testkit::postgres::TestDatabase;

use crate::history;
use crate::residents::{self, PARTICIPANT, Residents};
use crate::site::{self, Engine, Site};

const MINISTRY: &str = "ministries/mps.residence.yaml";
/// Rows that are deleted: enough for kills to meet the connector among them.
const ROWS: u32 = 6_000;
/// The history knows what the log of the server does not say.
const KEEP_TRUNCATE: [&str; 2] = [
    "create function emptied() returns trigger language plpgsql as $$ begin
       insert into history (operation, file_no, pin, street) select 'delete', file_no, pin, street from residence; return null; end $$",
    "create trigger emptied before truncate on residence for each statement execute function emptied()",
];

fn statements(all: &[&str]) -> Vec<String> {
    all.iter().map(|statement| (*statement).to_owned()).collect()
}

/// Records of the live lane.
async fn written(log: &dyn Log) -> Result<i64> {
    let mut written = 0;
    for partition in 0.. {
        let source = TopicPartition { topic: "lt.residence.live".into(), partition };
        let Ok(marks) = log.watermarks(&source).await else { break };
        written += marks.high;
    }
    Ok(written)
}

/// What the owner has, the subscriber has; and the log has each change of the history once.
async fn equal(
    site: &Site,
    log: &str,
    owner: &mut Database,
    residents: &mut Residents,
    copy: &str,
) -> Result<()> {
    site.succeed(&["route", "--once"])?;
    let (expected, rows) = (residents.rows().await?, residents::copy(copy).await?);
    ensure!(rows == expected, "{} rows where {} are expected, or others", rows.len(), expected.len());
    history::check(site, log, owner).await.map(drop)
}

async fn on(engine: Engine, kills: u32) -> Result<()> {
    let (publisher, folder) = (TestDatabase::create().await?, tempfile::tempdir()?);
    let copy = format!("sqlite:{}", folder.path().join("subscriber.db").display());
    let log = site::log_address(engine);
    let site = Site::residence_on(&log, publisher.url(), &copy)?;
    site.capture_from_log(publisher.name())?;
    let file = std::fs::read_to_string(site.path(MINISTRY))?;
    site.write(MINISTRY, &file.replace("{mode: log,", "{mode: log, truncate: delete,"))?;
    let mut residents = Residents::create(publisher.url()).await?;
    residents.log_whole_rows().await?;
    let mut owner = Database::open(publisher.url()).await?;
    owner.run(&statements(&history::KEEP)).await?;
    owner.run(&statements(&KEEP_TRUNCATE)).await?;
    let fill = |from: u32, to: u32| {
        format!(
            "insert into residence select 'HK' || n, '001' || lpad(n::text, 9, '0'), 'old' from generate_series({from}, {to}) n"
        )
    };
    owner.run(&[fill(1, ROWS)]).await?;
    owner.run(&statements(&[history::EMPTY])).await?;
    residents::create_copy(&copy).await?;
    site.prepare()?;
    site.succeed(&["connect", PARTICIPANT, "--once"])?;

    // Known by the first load, by a change, by neither any more, under another key, and by the very transaction that empties the table.
    for statement in [
        "delete from residence where file_no in ('HK1', 'HK2')",
        "update residence set street = 'new' where file_no = 'HK3'",
        "update residence set file_no = 'HKother' where file_no = 'HK4'",
    ] {
        owner.run(&statements(&[statement])).await?;
    }
    owner
        .run(&statements(&[
            "insert into residence values ('HKmine', '001999999999', 'mine')",
            "truncate residence",
            "insert into residence values ('HK5', '001000000005', 'again'), ('HKnew', '001888888888', 'new')",
        ]))
        .await?;
    let opened = history::open(&site, &log)?;
    let (begin, mut killed) = (written(opened.as_ref()).await?, 0);
    for _ in 0..kills {
        let before = written(opened.as_ref()).await?;
        let mut connector = site.start(&["connect", PARTICIPANT, "--once"])?;
        eventually(Duration::from_secs(60), async || {
            Ok(written(opened.as_ref()).await? >= before + 300 || connector.try_wait()?.is_some())
        })
        .await?;
        // It may have ended by itself.
        let _ = connector.kill();
        connector.wait()?;
        killed += u32::from(written(opened.as_ref()).await? < begin + i64::from(ROWS));
    }
    ensure!(killed > 0, "no kill met the connector among the deletions");
    site.succeed(&["connect", PARTICIPANT, "--once"])?;
    equal(&site, &log, &mut owner, &mut residents, &copy).await?;

    // Again, and of an empty table.
    owner.run(&statements(&["truncate residence"])).await?;
    owner.run(&statements(&["truncate residence"])).await?;
    site.succeed(&["connect", PARTICIPANT, "--once"])?;
    equal(&site, &log, &mut owner, &mut residents, &copy).await.context("emptied twice more")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_known_row_of_an_emptied_table_is_deleted_once_in_the_embedded_log() -> Result<()> {
    on(Engine::Embedded, 3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_known_row_of_an_emptied_table_is_deleted_once_on_kafka() -> Result<()> {
    on(Engine::Kafka, 1).await
}
