//! kill -9 of connector and router at random instants, while the source goes on changing: the copy ends equal to its source, rows
//! never went back, and the receipts count every event of the log once.

use std::process::Child;
use std::time::Duration;

use anyhow::{Result, ensure};
use lienthong_testkit::database::Database;
use lienthong_testkit::postgres::TestDatabase;
use lienthong_testkit::private_kafka::PrivateKafka;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::Instant;

use crate::nation::check_receipts_against;
use crate::residents::{self, Residents};
use crate::site::{Engine, Site, kafka_log, log_address};

/// Kills per engine; each has a seed of its own, printed when it fails.
const KILLS: u64 = 30;
/// So many of those who were killed had done something, at least.
const AT_WORK: u64 = KILLS / 3;
/// A router waits for the session of the one that was killed before it: until then it owns nothing that could be lost.
const SESSION: &str = "1s";
/// A receipt names the connector that wrote its last event: those who are named have published.
const WRITERS: &str = "distinct writer_epoch";
const SOON: Duration = Duration::from_secs(40);

fn kill(child: &mut Child) -> Result<()> {
    child.kill()?;
    child.wait()?;
    Ok(())
}

async fn count(database: &mut Database, what: &str) -> Result<u64> {
    let rows = database.rows(&format!("select cast(count({what}) as text) from lienthong_receipt")).await?;
    Ok(rows.iter().flatten().flatten().next().map_or(Ok(0), |text| text.parse())?)
}

/// With `slot`, the publisher is captured from its log.
async fn killed_at_random(
    log: &str,
    (publisher, slot): (&str, Option<&str>),
    subscriber: &str,
) -> Result<()> {
    let site = Site::residence_on(log, publisher, subscriber)?;
    site.session(SESSION)?;
    let mut owner = Residents::create(publisher).await?;
    if let Some(slot) = slot {
        site.capture_from_log(slot)?;
        owner.log_whole_rows().await?;
    }
    owner.insert(200).await?;
    residents::create_copy(subscriber).await?;
    site.prepare()?;
    let mut receipts = Database::open(subscriber).await?;
    let mut delivered = 0;
    let first = lienthong_testkit::seed();
    for seed in first..first + KILLS {
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        let (before, known) = (count(&mut receipts, "*").await?, count(&mut receipts, WRITERS).await?);
        let mut connector = site.start(&["connect", residents::PARTICIPANT, "--heartbeat", "1"])?;
        let mut router = site.start(&["route"])?;
        // Every other round ends in the middle of work, when events of one more connector have been delivered; the others perhaps
        // before work has begun.
        let patience = Instant::now() + SOON;
        while seed % 2 == 0 && count(&mut receipts, WRITERS).await? == known {
            owner.change(&mut random).await?;
            ensure!(Instant::now() < patience, "seed {seed}: nothing is delivered\n{}", site.said()?);
            tokio::time::sleep(Duration::from_millis(random.random_range(0..30))).await;
        }
        let until = Instant::now() + Duration::from_millis(random.random_range(20..900));
        while Instant::now() < until {
            owner.change(&mut random).await?;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..10))).await;
        }
        let order =
            if random.random() { [&mut connector, &mut router] } else { [&mut router, &mut connector] };
        for child in order {
            kill(child)?;
        }
        delivered += u64::from(count(&mut receipts, "*").await? > before);
    }
    let published = count(&mut receipts, WRITERS).await?;
    println!(
        "of {KILLS} killed routers {delivered} had delivered, of as many connectors {published} are in receipts"
    );
    site.succeed(&["connect", residents::PARTICIPANT, "--once"])?;
    site.succeed(&["route", "--once"])?;
    let (expected, rows) = (owner.rows().await?, residents::copy(subscriber).await?);
    assert!(rows == expected, "{} rows where {} are expected, or others", rows.len(), expected.len());
    residents::check_order(subscriber).await?;
    check_receipts_against(&site, "residence", subscriber).await?;
    assert!(delivered >= AT_WORK && published >= AT_WORK, "{delivered} and {published} of {KILLS}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_lose_and_double_nothing_on_the_embedded_log() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let log = log_address(Engine::Embedded);
    killed_at_random(&log, (&url("publisher.db"), None), &url("subscriber.db")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_lose_and_double_nothing_captured_from_the_log() -> Result<()> {
    let (publisher, folder) = (TestDatabase::create().await?, tempfile::tempdir()?);
    let subscriber = format!("sqlite:{}", folder.path().join("subscriber.db").display());
    let log = log_address(Engine::Embedded);
    killed_at_random(&log, (publisher.url(), Some(publisher.name())), &subscriber).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processes_lose_and_double_nothing_on_kafka() -> Result<()> {
    // Brokers refuse sessions of less than six seconds unless told otherwise.
    let broker = PrivateKafka::start(&["group.min.session.timeout.ms=1000"]).await?;
    let (publisher, subscriber) = (TestDatabase::create().await?, TestDatabase::create().await?);
    killed_at_random(&kafka_log(&broker.address()), (publisher.url(), None), subscriber.url()).await
}
