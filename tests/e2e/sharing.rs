//! Several routers for one subscriber: order per key under many partitions while partitions move, and how they are told.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::database::Database;
use lienthong_testkit::eventually;
use lienthong_testkit::postgres::TestDatabase;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use crate::nation::check_receipts_against;
use crate::residents::{self, Residents};
use crate::served::{SOON, Served};
use crate::site::{Engine, Site};
use crate::zombies::{end, held, settled, signal};

const DELIVERED: &str = "lienthong_subscription_delivered_events_total{";

/// Whether all partitions of the family, 12 of each lane, are held and nobody has more than one too many.
async fn is_shared(routers: &[Served]) -> bool {
    let mut counts = Vec::new();
    for router in routers {
        counts.push(held(router).await.0);
    }
    let (least, most) = (counts.iter().min().copied(), counts.iter().max().copied());
    counts.iter().sum::<usize>() == 24 && most.unwrap_or(0) - least.unwrap_or(0) <= 1
}

/// Those that hold partitions of the live lane.
async fn live(routers: &[Served]) -> Vec<&Served> {
    let mut found = Vec::new();
    for router in routers {
        if held(router).await.1 > 0 {
            found.push(router);
        }
    }
    found
}

async fn ordered(engine: Engine, publisher: &str, subscriber: &str) -> Result<()> {
    let site = Site::residence(engine, publisher, subscriber)?;
    let mut owner = Residents::create(publisher).await?;
    residents::create_copy(subscriber).await?;
    site.prepare()?;
    let seed = lienthong_testkit::seed();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    owner.insert(60).await?;
    let connector = site.start(&["connect", residents::PARTICIPANT])?;
    let mut routers = vec![Served::start(&site, &["route"])?];
    for _ in 0..10 {
        owner.change_many(&mut random, 20).await?;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..50))).await;
    }
    // Kafka's group may give all of the live lane to one of two routers, not of three.
    while live(&routers).await.len() < 2 {
        ensure!(routers.len() < 4, "the live lane is not shared");
        routers.push(Served::start(&site, &["route"])?);
        let until = tokio::time::Instant::now() + SOON;
        // Changes go on while partitions move.
        while !is_shared(&routers).await {
            let said = routers.last().map(Served::said).transpose()?.unwrap_or_default();
            ensure!(tokio::time::Instant::now() < until, "the partitions are not shared\n{said}");
            owner.change_many(&mut random, 10).await?;
            tokio::time::sleep(Duration::from_millis(random.random_range(50..150))).await;
        }
    }
    let at_work = live(&routers).await;
    let mut before = Vec::new();
    for router in &at_work {
        before.push(router.sum(DELIVERED).await.1);
    }
    for _ in 0..20 {
        owner.change_many(&mut random, 20).await?;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..50))).await;
    }
    settled(&site, &mut owner, subscriber, Duration::from_secs(60)).await?;
    for (router, before) in at_work.into_iter().zip(before) {
        eventually(SOON, async || Ok(router.sum(DELIVERED).await.1 > before))
            .await
            .context("only one of the routers has delivered")?;
    }
    residents::check_order(subscriber).await?;
    check_receipts_against(&site, "residence", subscriber).await?;
    let mut partitions = Database::open(subscriber).await?;
    let used = partitions.rows("select distinct cast(partition as text) from lienthong_receipt").await?;
    assert!(used.len() >= 8, "events of 60 people lie in {} partitions", used.len());
    end(vec![connector])
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_person_arrive_in_order_under_many_partitions_and_two_routers_on_the_embedded_log()
-> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    ordered(Engine::Embedded, &url("publisher.db"), &url("subscriber.db")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_person_arrive_in_order_under_many_partitions_and_two_routers_on_kafka() -> Result<()> {
    let (publisher, subscriber) = (TestDatabase::create().await?, TestDatabase::create().await?);
    ordered(Engine::Kafka, publisher.url(), subscriber.url()).await
}

/// The subscription's row of `status`.
fn told(site: &Site) -> Result<Value> {
    let output = site.run(&["status", "--output", "json"])?;
    let rows: Value = serde_json::from_slice(&output.stdout)?;
    let mine = rows.as_array().into_iter().flatten().filter(|row| row["kind"] == "subscription");
    let mine: Vec<&Value> = mine.collect();
    ensure!(mine.len() <= 1, "one subscription is told as {}", mine.len());
    Ok(mine.first().map_or(Value::Null, |row| (*row).clone()))
}

async fn told_as(site: &Site, what: &str, so: impl Fn(&Value) -> bool) -> Result<()> {
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let row = told(site)?;
        if so(&row) {
            return Ok(());
        }
        ensure!(tokio::time::Instant::now() < until, "did not come about: {what}; {row}\n{}", site.said()?);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_routers_of_one_subscription_are_told_as_one_and_one_that_stops_does_not_hide_the_other()
-> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let (publisher, subscriber) = (url("publisher.db"), url("subscriber.db"));
    let site = Site::residence(Engine::Embedded, &publisher, &subscriber)?;
    let mut owner = Residents::create(&publisher).await?;
    residents::create_copy(&subscriber).await?;
    site.prepare()?;
    owner.insert(30).await?;
    let connector = site.start(&["connect", residents::PARTICIPANT, "--heartbeat", "1"])?;
    let mut first = site.start(&["route"])?;
    let live = |row: &Value| row["state"] == "live" && row["fresh_through_age_seconds"].is_number();
    told_as(&site, "one router has all partitions", live).await?;
    let second = site.start(&["route"])?;
    let mut log = Database::open(&format!("sqlite:{}", site.path("var/lienthong.db").display())).await?;
    let records = "select cast(value as text) from keyed where cast(key as text) like 'subscription/%'";
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let values = log.rows(records).await?;
        let held = |value: &Vec<Option<String>>| -> Option<usize> {
            let record: Value = serde_json::from_str(value.first()?.as_deref()?).ok()?;
            Some(record["partitions"].as_array()?.len())
        };
        let held: Vec<Option<usize>> = values.iter().map(held).collect();
        if held == [Some(6), Some(6)] {
            break;
        }
        ensure!(tokio::time::Instant::now() < until, "the partitions are not shared: {held:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    told_as(&site, "two routers have all partitions together", live).await?;
    signal(&first, "-TERM")?;
    first.wait()?;
    // For as long as a record is believed, and after.
    told_as(&site, "the other one has all of them", live).await?;
    assert_eq!(told(&site)?["state"], "live");
    let third = site.start(&["route"])?;
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    while log.rows(records).await?.iter().flatten().flatten().any(|record| record.contains("\"stopped\"")) {
        ensure!(tokio::time::Instant::now() < until, "a record of a process that has ended stays");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    end(vec![connector, second, third])
}
