//! Two routers for one subscriber, one of them frozen and woken up after the other has taken over; order per key under many
//! partitions and two routers.

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::database::{Database, is_free};
use lienthong_testkit::eventually;
use lienthong_testkit::postgres::TestDatabase;
use lienthong_testkit::private_kafka::PrivateKafka;
use lienthong_testkit::proxy::TcpProxy;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;

use crate::nation::check_receipts_against;
use crate::residents::{self, Residents};
use crate::served::{SOON, Served};
use crate::site::{Engine, Site, kafka_log};

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

/// What stands between routers and the subscriber's database. A router that is frozen before it has its delivery half done.
enum Door {
    /// The lock of the subscriber's file, which everybody waits for while the test has it.
    Lock(Database),
    /// A proxy for each router, in front of the subscriber's server.
    Proxies([TcpProxy; 2]),
}

impl Door {
    fn sql(&self, statement: &str) -> Result<()> {
        if let Self::Lock(Database::Sqlite(file)) = self {
            file.execute_batch(statement)?;
        }
        Ok(())
    }

    fn shut(&self, router: usize) -> Result<()> {
        if let Self::Proxies(proxies) = self {
            proxies[router].hold();
        }
        self.sql("begin immediate")
    }

    /// Whether a router stands before it that has something to deliver.
    fn is_waited_at(&self, router: usize) -> bool {
        match self {
            Self::Lock(_) => true,
            Self::Proxies(proxies) => proxies[router].held() > 0,
        }
    }

    /// A router that is frozen does not go through it yet.
    fn open_to_others(&self) -> Result<()> {
        self.sql("rollback")
    }

    fn open(&self, router: usize) {
        if let Self::Proxies(proxies) = self {
            proxies[router].release();
        }
    }
}

const DELIVERED: &str = "lienthong_subscription_delivered_events_total{";
const RECEIVED: &str = "messaging_client_consumed_messages_total{";
const HELD: &str = "kafka_consumergroup_group_offset{";

/// Partitions that a router holds, of both lanes and of the live lane alone.
async fn held(router: &Served) -> (usize, usize) {
    let live = format!(
        "{HELD}cluster_name=\"vn.test\",group=\"lienthong.mps.population.residence\",topic=\"lt.residence.live\""
    );
    (router.sum(HELD).await.0, router.sum(&live).await.0)
}

/// How often a router has been refused because another one had written.
fn fenced(router: &Served) -> Result<usize> {
    Ok(router.said()?.matches("fenced: another router has written").count())
}

/// Rounds at least, and at most until a zombie's delivery has been refused in two of them.
const ROUNDS: (usize, usize) = (3, 10);

/// While both routers run, one is frozen in the middle of a delivery, and woken up after the other has taken over its partitions.
/// It goes on with the delivery and is refused. Every write of a zombie would show: each version is written once and in order, or the
/// log table of the subscriber says so.
async fn frozen_router(
    site: &Site,
    owner: &mut Residents,
    subscriber: &str,
    door: &Door,
    routers: &[Served; 2],
    files: &[PathBuf],
) -> Result<()> {
    let seed = lienthong_testkit::seed();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut refused = 0;
    for round in 0..ROUNDS.1 {
        eventually(SOON, async || Ok(held(&routers[0]).await.0 > 0 && held(&routers[1]).await.0 > 0))
            .await
            .context("one of the routers holds nothing")?;
        // Kafka's group may give all of the live lane to one of two.
        let mut at = round % 2;
        if held(&routers[at]).await.1 == 0 {
            at = 1 - at;
        }
        let frozen = &routers[at];
        let (received, before) = (frozen.sum(RECEIVED).await.1, fenced(frozen)?);
        door.shut(at)?;
        owner.change_many(&mut random, 40).await?;
        eventually(SOON, async || Ok(frozen.sum(RECEIVED).await.1 > received && door.is_waited_at(at)))
            .await
            .context("the router has nothing to deliver")?;
        freeze(&frozen.child, files).await?;
        door.open_to_others()?;
        owner.change_many(&mut random, 40).await?;
        // The other one takes over everything, without the frozen one's help.
        settled(site, owner, subscriber, SOON).await?;
        door.open(at);
        signal(&frozen.child, "-CONT")?;
        owner.change_many(&mut random, 40).await?;
        settled(site, owner, subscriber, SOON).await?;
        // At another instant it may have had nothing under way: such a round does not count.
        let told = eventually(Duration::from_secs(5), async || Ok(fenced(frozen)? > before)).await;
        refused += usize::from(told.is_ok());
        if round + 1 >= ROUNDS.0 && refused >= 2 {
            break;
        }
    }
    println!("refused: {refused}");
    ensure!(refused >= 2, "no zombie had anything to write\n{}{}", routers[0].said()?, routers[1].said()?);
    residents::check_order(subscriber).await?;
    check_receipts_against(site, "residence", subscriber).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_wakes_up_after_another_took_over_writes_nothing_on_the_embedded_log() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let subscriber = url("subscriber.db");
    let site = Site::residence(Engine::Embedded, &url("publisher.db"), &subscriber)?;
    site.session("2s")?;
    let mut owner = Residents::create(&url("publisher.db")).await?;
    residents::create_copy(&subscriber).await?;
    site.prepare()?;
    let connector = site.start(&["connect", residents::PARTICIPANT, "--heartbeat", "1"])?;
    let routers = [Served::start(&site, &["route"])?, Served::start(&site, &["route"])?];
    owner.insert(50).await?;
    settled(&site, &mut owner, &subscriber, SOON).await?;
    let door = Door::Lock(Database::open(&subscriber).await?);
    // The subscriber's file is the test's own when it freezes.
    let log = [site.path("var/lienthong.db")];
    frozen_router(&site, &mut owner, &subscriber, &door, &routers, &log).await?;
    end(vec![connector])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_wakes_up_after_another_took_over_writes_nothing_on_kafka() -> Result<()> {
    // Brokers refuse sessions of less than six seconds unless told otherwise.
    let broker = PrivateKafka::start(&["group.min.session.timeout.ms=2000"]).await?;
    let (publisher, subscriber) = (TestDatabase::create().await?, TestDatabase::create().await?);
    let server = subscriber.address()?;
    let proxies = [TcpProxy::start(&server).await?, TcpProxy::start(&server).await?];
    let through = |at: usize| subscriber.url_through(&proxies[at].address());
    let log = kafka_log(&broker.address());
    let site = Site::residence_on(&log, publisher.url(), &through(0)?)?;
    site.session("1s")?;
    let mut owner = Residents::create(publisher.url()).await?;
    residents::create_copy(subscriber.url()).await?;
    site.prepare()?;
    owner.insert(50).await?;
    site.succeed(&["connect", residents::PARTICIPANT, "--once"])?;
    let refused = site.run(&["route", "--once"])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(
        refused.status.code() == Some(4) && said.contains("session timeout"),
        "{}: {said}",
        refused.status
    );
    site.session("2s")?;
    let connector = site.start(&["connect", residents::PARTICIPANT, "--heartbeat", "1"])?;
    let first = Served::start(&site, &["route"])?;
    settled(&site, &mut owner, subscriber.url(), SOON).await?;
    site.population(&through(1)?)?;
    let routers = [first, Served::start(&site, &["route"])?];
    frozen_router(&site, &mut owner, subscriber.url(), &Door::Proxies(proxies), &routers, &[]).await?;
    end(vec![connector])
}

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
