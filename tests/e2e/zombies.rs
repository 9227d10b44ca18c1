//! Two routers for one subscriber, one of them frozen in the middle of a delivery and woken up after the other has taken over.

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::database::{Database, is_free};
use lienthong_testkit::eventually;
use lienthong_testkit::postgres::TestDatabase;
use lienthong_testkit::private_kafka::PrivateKafka;
use lienthong_testkit::proxy::TcpProxy;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::nation::check_receipts_against;
use crate::residents::{self, Residents};
use crate::served::{SOON, Served};
use crate::site::{Engine, Site, kafka_log};

pub(crate) fn signal(child: &Child, name: &str) -> Result<()> {
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

pub(crate) fn end(children: Vec<Child>) -> Result<()> {
    for mut child in children {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

/// Waits until the subscriber equals the publisher.
pub(crate) async fn settled(
    site: &Site,
    owner: &mut Residents,
    subscriber: &str,
    within: Duration,
) -> Result<()> {
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

const RECEIVED: &str = "messaging_client_consumed_messages_total{";
const HELD: &str = "kafka_consumergroup_group_offset{";

/// Partitions that a router holds, of both lanes and of the live lane alone.
pub(crate) async fn held(router: &Served) -> (usize, usize) {
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
