//! Two routers for one subscriber, one of them frozen and woken up after the other has taken over; order per key under many
//! partitions and two routers.

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use anyhow::{Result, ensure};
use lienthong_testkit::database::{Database, is_free};
use lienthong_testkit::postgres::TestDatabase;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use crate::nation::check_receipts;
use crate::residents::{self, Residents};
use crate::site::{Engine, Site};

fn signal(child: &Child, name: &str) -> Result<()> {
    let status = std::process::Command::new("kill").args([name, &child.id().to_string()]).status()?;
    ensure!(status.success(), "kill {name} ended with {status}");
    Ok(())
}

/// Whether every thread of a process has stopped.
fn all_stopped(child: &Child) -> Result<bool> {
    let mut stopped = true;
    for task in std::fs::read_dir(format!("/proc/{}/task", child.id()))? {
        let stat = std::fs::read_to_string(task?.path().join("stat"))?;
        // The name stands in parentheses and may hold anything; the state follows the last one.
        let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        stopped &= state == Some('T');
    }
    Ok(stopped)
}

fn end(children: Vec<Child>) -> Result<()> {
    for mut child in children {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

/// Waits until the subscriber equals the publisher.
async fn settled(site: &Site, owner: &mut Residents, subscriber: &str, within: Duration) -> Result<()> {
    let until = tokio::time::Instant::now() + within;
    loop {
        let (expected, found) = (owner.rows().await?, residents::copy(subscriber).await?);
        if expected == found {
            return Ok(());
        }
        ensure!(
            tokio::time::Instant::now() < until,
            "after {within:?} the subscriber has {} rows, the publisher {}, {} of them equal\n{}",
            found.len(),
            expected.len(),
            expected.iter().filter(|row| found.contains(row)).count(),
            site.said()?
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Freezes a process. One that is frozen inside an SQLite transaction holds the file's lock, and nobody can take over before it is
/// killed or goes on: that is the file's nature. So it is frozen at an instant outside of one.
async fn freeze(child: &Child, files: &[PathBuf]) -> Result<()> {
    loop {
        signal(child, "-STOP")?;
        // The signal is answered before each thread has stopped: one that still runs could take the lock after the look.
        while !all_stopped(child)? {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if files.iter().map(|file| is_free(file)).collect::<Result<Vec<_>>>()?.iter().all(|free| *free) {
            return Ok(());
        }
        signal(child, "-CONT")?;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// While both routers run, one is frozen again and again at random instants, and woken up after the other has taken over its
/// partitions. Every write of a zombie would show: each version is written once and in order, or the log table of the subscriber says so.
async fn frozen_router(engine: Engine, publisher: &str, subscriber: &str) -> Result<()> {
    let site = Site::residence(engine, publisher, subscriber)?;
    let mut owner = Residents::create(publisher).await?;
    residents::create_copy(subscriber).await?;
    site.prepare()?;
    let seed = lienthong_testkit::seed();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let connector = site.start(&["connect", residents::PARTICIPANT, "--heartbeat", "1"])?;
    let own_log = site.path("var/lienthong.db");
    let target = subscriber.strip_prefix("sqlite:").map(PathBuf::from);
    let files: Vec<PathBuf> =
        target.into_iter().chain((engine == Engine::Embedded).then_some(own_log)).collect();
    let routers = [site.start(&["route"])?, site.start(&["route"])?];
    owner.insert(50).await?;
    settled(&site, &mut owner, subscriber, Duration::from_secs(60)).await?;
    for round in 0..3 {
        let frozen = &routers[round % 2];
        owner.change_many(&mut random, 40).await?;
        freeze(frozen, &files).await?;
        owner.change_many(&mut random, 40).await?;
        // The other one takes over everything, without the frozen one's help.
        settled(&site, &mut owner, subscriber, Duration::from_secs(40)).await?;
        signal(frozen, "-CONT")?;
        owner.change_many(&mut random, 40).await?;
        settled(&site, &mut owner, subscriber, Duration::from_secs(40)).await?;
    }
    check_receipts(subscriber).await?;
    residents::check_order(subscriber).await?;
    let [first, second] = routers;
    end(vec![connector, first, second])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_wakes_up_after_another_took_over_writes_nothing_on_the_embedded_log() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    frozen_router(Engine::Embedded, &url("publisher.db"), &url("subscriber.db")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_wakes_up_after_another_took_over_writes_nothing_on_kafka() -> Result<()> {
    let (publisher, subscriber) = (TestDatabase::create().await?, TestDatabase::create().await?);
    frozen_router(Engine::Kafka, publisher.url(), subscriber.url()).await
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
    let mut processes = vec![site.start(&["connect", residents::PARTICIPANT])?, site.start(&["route"])?];
    for round in 0..30 {
        owner.change_many(&mut random, 20).await?;
        if round == 10 {
            processes.push(site.start(&["route"])?);
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..50))).await;
    }
    settled(&site, &mut owner, subscriber, Duration::from_secs(60)).await?;
    residents::check_order(subscriber).await?;
    check_receipts(subscriber).await?;
    let partitions = Database::open(subscriber).await?;
    let mut partitions = partitions;
    let used = partitions.rows("select distinct cast(partition as text) from lienthong_receipt").await?;
    assert!(used.len() >= 8, "events of 60 people lie in {} partitions", used.len());
    end(processes)
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
