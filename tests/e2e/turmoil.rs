//! Sessions at work on a publisher that is captured from its log, while connector, router, the publisher's server and the broker are
//! killed: the copy ends equal, and the log holds what the owner's own history says, once and in order.

use std::process::Child;
use std::time::Duration;

use anyhow::{Result, ensure};
use lienthong_testkit::database::Database;
use lienthong_testkit::private_kafka::PrivateKafka;
use lienthong_testkit::private_postgres::PrivatePostgres;
use lienthong_testkit::workload::{Workload, create_table};
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::{Instant, sleep};

use crate::history::{self, EMPTY};
use crate::nation::check_receipts_against;
use crate::residents;
use crate::site::{Engine, Site, kafka_log, log_address};

/// Each is printed. A broker that was killed takes its time to come back.
const SEEDS: (u64, u64) = (3, 2);
/// As PostgreSQL writes it where two-phase commit is allowed.
const SETTINGS: [&str; 1] = ["max_prepared_transactions = 20"];

const SOON: Duration = Duration::from_secs(40);
/// Characters of a large street: fewer than a contract takes, and more bytes than PostgreSQL keeps inside of a row.
const LARGE: u32 = 900;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Blow {
    Connector,
    Router,
    Postgres,
    Kafka,
}

/// What runs.
struct Running<'a> {
    site: &'a Site,
    connector: Child,
    router: Child,
}

impl<'a> Running<'a> {
    fn start(site: &'a Site) -> Result<Self> {
        let connector = site.start(&["connect", residents::PARTICIPANT, "--heartbeat", "1"])?;
        Ok(Self { site, connector, router: site.start(&["route"])? })
    }

    /// Nobody ends by itself, whatever was killed under it.
    fn both_run(&mut self) -> Result<()> {
        for (name, child) in [("connector", &mut self.connector), ("router", &mut self.router)] {
            if let Some(status) = child.try_wait()? {
                anyhow::bail!("the {name} ended with {status}\n{}", self.site.said()?);
            }
        }
        Ok(())
    }

    fn kill(child: &mut Child) -> Result<()> {
        child.kill()?;
        child.wait()?;
        Ok(())
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        for child in [&mut self.connector, &mut self.router] {
            // It may have ended already.
            let _ended = child.kill();
            let _reaped = child.wait();
        }
    }
}

async fn work(workload: &mut Workload, random: &mut StdRng, millis: std::ops::Range<u64>) -> Result<()> {
    let until = Instant::now() + Duration::from_millis(random.random_range(millis));
    while Instant::now() < until {
        workload.step().await?;
        if random.random_ratio(1, 4) {
            sleep(Duration::from_millis(random.random_range(0..10))).await;
        }
    }
    Ok(())
}

/// Connectors whose events have been delivered.
async fn writers(subscriber: &mut Database) -> Result<u64> {
    let query = "select cast(count(distinct writer_epoch) as text) from lienthong_receipt";
    let rows = subscriber.rows(query).await?;
    Ok(rows.iter().flatten().flatten().next().map_or(Ok(0), |text| text.parse())?)
}

/// A site whose owner has some rows, and a history that is empty; nobody is at work.
async fn prepared(
    log: &str,
    url: &str,
    slot: &str,
    subscriber: &str,
    workload: &mut Workload,
) -> Result<Site> {
    let site = Site::residence_on(log, url, subscriber)?;
    site.session("1s")?;
    site.capture_from_log(slot)?;
    let mut statements = vec![create_table("residence")];
    statements.push("alter table residence replica identity full".to_owned());
    statements.extend(history::KEEP.map(str::to_owned));
    let mut owner = Database::open(url).await?;
    owner.run(&statements).await?;
    residents::create_copy(subscriber).await?;
    for _ in 0..40 {
        workload.step().await?;
    }
    workload.settle().await?;
    site.prepare()?;
    owner.run(&[EMPTY.to_owned()]).await?;
    Ok(site)
}

/// Copy and log against the owner's tables, when everything has come.
pub(crate) async fn ends_equal(
    site: &Site,
    log: &str,
    url: &str,
    subscriber: &str,
) -> Result<(usize, usize)> {
    site.succeed(&["connect", residents::PARTICIPANT, "--once"])?;
    site.succeed(&["route", "--once"])?;
    let mut owner = Database::open(url).await?;
    let expected = owner.rows("select file_no, pin, street from residence order by file_no").await?;
    let rows = residents::copy(subscriber).await?;
    ensure!(rows == expected, "{} rows where {} are expected, or others", rows.len(), expected.len());
    check_receipts_against(site, "residence", subscriber).await?;
    history::check(site, log, &mut owner).await
}

/// Gives the events that the log holds, and by how many connectors they were written.
async fn turmoil(
    log: &str,
    server: &mut PrivatePostgres,
    mut kafka: Option<&mut PrivateKafka>,
    seed: u64,
) -> Result<(usize, usize)> {
    let mut random = StdRng::seed_from_u64(seed);
    let (name, folder) = (format!("owner_{seed}"), tempfile::tempdir()?);
    server.run(&[&format!("create database {name}")]).await?;
    let (url, subscriber) =
        (server.url_of(&name), format!("sqlite:{}", folder.path().join("subscriber.db").display()));
    let mut workload = Workload::new(&url, &["residence"], LARGE, seed);
    let site = prepared(log, &url, &name, &subscriber, &mut workload).await?;
    // Under way before the first load, and beyond it.
    workload.hold().await?;
    let mut blows = vec![Blow::Connector, Blow::Connector, Blow::Postgres, Blow::Router];
    blows.extend(if kafka.is_some() { vec![Blow::Kafka] } else { vec![Blow::Connector, Blow::Postgres] });
    blows.shuffle(&mut random);
    let mut copy = Database::open(&subscriber).await?;
    let mut known = 0;
    let mut running = Running::start(&site)?;
    for (at, blow) in blows.iter().enumerate() {
        // The first connector dies after it has published, of the others some, and some perhaps before.
        let patience = Instant::now() + SOON;
        let published = *blow == Blow::Connector && (known == 0 || at % 2 == 0);
        while published && writers(&mut copy).await? == known {
            work(&mut workload, &mut random, 10..100).await?;
            ensure!(Instant::now() < patience, "nothing is delivered\n{}", site.said()?);
        }
        work(&mut workload, &mut random, 50..800).await?;
        if at == 2 {
            workload.let_go();
        }
        running.both_run()?;
        match (blow, &mut kafka) {
            (Blow::Connector, _) => {
                Running::kill(&mut running.connector)?;
                work(&mut workload, &mut random, 0..100).await?;
                known = writers(&mut copy).await?;
                running.connector = site.start(&["connect", residents::PARTICIPANT, "--heartbeat", "1"])?;
            }
            (Blow::Router, _) => {
                Running::kill(&mut running.router)?;
                running.router = site.start(&["route"])?;
            }
            (Blow::Postgres, _) => {
                server.stop_immediately().await?;
                sleep(Duration::from_millis(random.random_range(0..500))).await;
                server.restart().await?;
            }
            (Blow::Kafka, Some(kafka)) => {
                kafka.kill9()?;
                work(&mut workload, &mut random, 0..500).await?;
                kafka.restart().await?;
            }
            (Blow::Kafka, None) => {}
        }
    }
    work(&mut workload, &mut random, 50..800).await?;
    running.both_run()?;
    workload.settle().await?;
    drop(running);
    ensure!(workload.done.broken > 0, "no session was at work when its server was killed");
    ends_equal(&site, log, &url, &subscriber).await
}

async fn seeds(engine: Engine) -> Result<()> {
    let mut server = PrivatePostgres::start(&SETTINGS).await?;
    let mut kafka = match engine {
        Engine::Embedded => None,
        // Brokers refuse sessions of less than six seconds unless told otherwise.
        Engine::Kafka => Some(PrivateKafka::start(&["group.min.session.timeout.ms=1000"]).await?),
    };
    let first = lienthong_testkit::seed();
    let count = if kafka.is_none() { SEEDS.0 } else { SEEDS.1 };
    for seed in first..first + count {
        println!("seed {seed}");
        let log = match &kafka {
            None => log_address(engine),
            Some(kafka) => kafka_log(&kafka.address()),
        };
        let began = Instant::now();
        let (events, writers) = turmoil(&log, &mut server, kafka.as_mut(), seed).await?;
        println!("{events} events by {writers} connectors in {:?}", began.elapsed());
        ensure!(events > 30 && writers > 1, "seed {seed}: {events} events by {writers} connectors");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_and_processes_that_are_killed_lose_and_double_nothing_of_the_log_on_the_embedded_log()
-> Result<()> {
    seeds(Engine::Embedded).await
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_and_processes_that_are_killed_lose_and_double_nothing_of_the_log_on_kafka() -> Result<()> {
    seeds(Engine::Kafka).await
}
