//! The whole path: drain of a backlog, and commit-to-visible latency at a steady rate.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lienthong_testkit::database::Database;
use lienthong_testkit::postgres::TestDatabase;
use tempfile::TempDir;

use crate::fleet::{COLUMN, Fleet, LEDGER, PARTICIPANT, insert, inserts, row};
use crate::paired::spread;
use crate::{proc, topics};

/// Cores that the ideal is computed with.
const CORES: f64 = 2.0;
/// Rounds of a drain, and from how many events on one is enough.
const ROUNDS: usize = 3;
const LARGE: u64 = 500_000;
/// Rounds of the latency that are not counted, and those that are.
const WARMING: usize = 2;
const LATENCY_ROUNDS: usize = 5;

/// What a path runs on; keeps its databases alive.
struct Path {
    name: &'static str,
    log: String,
    publisher: String,
    subscriber: String,
    /// Of the topics on the shared broker.
    prefix: Option<String>,
    _databases: Vec<TestDatabase>,
    _folder: TempDir,
}

async fn kafka() -> Result<Path> {
    let (publisher, subscriber) = (TestDatabase::create().await?, TestDatabase::create().await?);
    let prefix = lienthong_testkit::kafka::namespace();
    Ok(Path {
        name: "PostgreSQL -> Kafka -> PostgreSQL",
        log: format!(
            "kafka://{}?registry={}&prefix={prefix}&replication=1",
            lienthong_testkit::env::kafka(),
            lienthong_testkit::env::registry(),
        ),
        publisher: publisher.url().to_owned(),
        subscriber: subscriber.url().to_owned(),
        prefix: Some(prefix),
        _databases: vec![publisher, subscriber],
        _folder: tempfile::tempdir()?,
    })
}

fn embedded() -> Result<Path> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    Ok(Path {
        name: "SQLite -> embedded -> SQLite",
        log: "sqlite:var/lienthong.db".to_owned(),
        publisher: url("publisher.db"),
        subscriber: url("subscriber.db"),
        prefix: None,
        _databases: Vec::new(),
        _folder: folder,
    })
}

impl Path {
    /// Takes away what is left on the shared broker.
    async fn clean(self) -> Result<()> {
        match &self.prefix {
            Some(prefix) => topics::delete(prefix).await,
            None => Ok(()),
        }
    }
}

/// Which log is in the middle.
#[derive(Clone, Copy)]
enum Engine {
    Kafka,
    Embedded,
}

impl Engine {
    async fn path(self) -> Result<Path> {
        match self {
            Self::Kafka => kafka().await,
            Self::Embedded => embedded(),
        }
    }
}

async fn paths() -> Result<[Path; 2]> {
    Ok([Engine::Kafka.path().await?, Engine::Embedded.path().await?])
}

/// Drains `events` on both paths, both kinds of version.
pub(crate) async fn drain(events: u64) -> Result<()> {
    for version in [LEDGER, COLUMN] {
        let mut figures = [Vec::new(), Vec::new()];
        for _ in 0..if events < LARGE { ROUNDS } else { 1 } {
            for (path, figures) in paths().await?.into_iter().zip(&mut figures) {
                figures.push((path.name, drain_once(&path, version, events).await?));
                path.clean().await?;
            }
        }
        for figures in figures {
            report(version, events, &figures);
        }
    }
    Ok(())
}

struct Drained {
    seconds: f64,
    connector: f64,
    router: f64,
    servers: f64,
    connector_peak: f64,
    router_peak: f64,
}

async fn drain_once(path: &Path, version: &str, events: u64) -> Result<Drained> {
    let fleet = Fleet::create(&path.log, &path.publisher, &path.subscriber, version).await?;
    // The first load of an empty table first, so that the backlog goes through the outbox.
    fleet.run(&["connect", PARTICIPANT, "--once"])?;
    let mut owner = Database::open(&fleet.publisher).await?;
    for some in inserts(0, events).chunks(20) {
        owner.run(some).await?;
    }
    let servers = || proc::cpu_of_all("postgres") + proc::cpu_of_all("java");
    let before = servers();
    let start = Instant::now();
    let mut connector = fleet.start(&["connect", PARTICIPANT])?;
    let mut router = fleet.start(&["route"])?;
    let mut target = Database::open(&fleet.subscriber).await?;
    loop {
        tokio::time::sleep(Duration::from_millis(250)).await;
        let rows = target.rows("select cast(sum(events_delivered) as text) from lienthong_receipt").await?;
        let delivered = rows[0][0].as_deref().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        if delivered >= events {
            break;
        }
        connector.ensure_running()?;
        router.ensure_running()?;
        ensure!(start.elapsed() < Duration::from_secs(1_800), "{delivered} of {events} after half an hour");
    }
    let seconds = start.elapsed().as_secs_f64();
    let rows = target.rows("select cast(count(*) as text) from resident").await?;
    ensure!(rows[0][0].as_deref() == Some(events.to_string().as_str()), "rows are missing: {:?}", rows[0][0]);
    Ok(Drained {
        seconds,
        connector: connector.cpu(),
        router: router.cpu(),
        servers: servers() - before,
        connector_peak: connector.peak(),
        router_peak: router.peak(),
    })
}

fn report(version: &str, events: u64, figures: &[(&str, Drained)]) {
    let middle = |value: &dyn Fn(&Drained) -> f64| {
        spread(&figures.iter().map(|(_, d)| value(d)).collect::<Vec<_>>()).1
    };
    let each = |value: &dyn Fn(&Drained) -> f64| middle(&|d| value(d) / events as f64 * 1e6);
    let cpu = |d: &Drained| d.connector + d.router + d.servers;
    let rate = middle(&|d| events as f64 / d.seconds);
    let ratio = middle(&|d| events as f64 / d.seconds / (CORES * events as f64 / cpu(d)));
    println!(
        "drain of {events}, {}, version {version}: {rate:.0} events/s, {ratio:.2}x of two cores' limit, bound 0.5x: {}; CPU us/event connector {:.1}, router {:.1}, servers {:.1}; RSS connector {:.0} MiB, router {:.0} MiB",
        figures[0].0,
        if ratio >= 0.5 { "reached" } else { "MISSED" },
        each(&|d| d.connector),
        each(&|d| d.router),
        each(&|d| d.servers),
        figures.iter().map(|(_, d)| d.connector_peak).fold(0.0, f64::max),
        figures.iter().map(|(_, d)| d.router_peak).fold(0.0, f64::max),
    );
}

/// Waits of the rows of one round, ascending, in milliseconds.
struct Waits(Vec<f64>);

impl Waits {
    fn at(&self, share: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * share) as usize]
    }
}

/// Several rounds on each path, of which the first ones only warm the servers: a broker's virtual machine compiles what is used often.
pub(crate) async fn latency(rate: u64, seconds: u64) -> Result<()> {
    for engine in [Engine::Kafka, Engine::Embedded] {
        let mut rounds = Vec::new();
        let mut name = "";
        for round in 0..WARMING + LATENCY_ROUNDS {
            let path = engine.path().await?;
            name = path.name;
            let waits = latency_once(&path, rate, seconds).await?;
            path.clean().await?;
            if round < WARMING {
                println!("warming: {name}: p50 {:.1} ms, p99 {:.1} ms", waits.at(0.5), waits.at(0.99));
            } else {
                rounds.push(waits);
            }
        }
        let of = |share: f64| spread(&rounds.iter().map(|waits| waits.at(share)).collect::<Vec<_>>());
        let (p50, p99, most) = (of(0.5), of(0.99), of(1.0));
        let told = |(least, middle, most): (f64, f64, f64)| format!("{middle:.1} ms ({least:.1}-{most:.1})");
        println!(
            "commit to visible at {rate} events/s, {name}: p50 {}, p99 {}, max {}; bounds 25 and 100: {}",
            told(p50),
            told(p99),
            told(most),
            if p50.1 <= 25.0 && p99.1 <= 100.0 { "reached" } else { "MISSED" }
        );
    }
    Ok(())
}

/// Commits `rate` rows per second for `seconds`, and looks every millisecond which have become visible.
async fn latency_once(path: &Path, rate: u64, seconds: u64) -> Result<Waits> {
    let fleet = Fleet::create(&path.log, &path.publisher, &path.subscriber, LEDGER).await?;
    fleet.run(&["connect", PARTICIPANT, "--once"])?;
    let mut connector = fleet.start(&["connect", PARTICIPANT])?;
    let mut router = fleet.start(&["route"])?;
    // Both are joined and idle when the clock starts.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let committed = tokio::spawn(commit(fleet.publisher.clone(), rate, seconds));
    let seen = tokio::spawn(look(fleet.subscriber.clone(), rate * seconds));
    let (committed, seen) = (committed.await??, seen.await??);
    connector.ensure_running()?;
    router.ensure_running()?;
    // The first second warms caches on both sides.
    let warm = usize::try_from(rate)?;
    let mut waits: Vec<f64> = committed
        .iter()
        .zip(&seen)
        .skip(warm)
        .map(|(committed, seen)| seen.saturating_duration_since(*committed).as_secs_f64() * 1e3)
        .collect();
    waits.sort_by(f64::total_cmp);
    Ok(Waits(waits))
}

/// One row per transaction at an even pace; when each commit had returned.
async fn commit(url: String, rate: u64, seconds: u64) -> Result<Vec<Instant>> {
    let mut owner = Database::open(&url).await?;
    let insert = insert(&url);
    let start = Instant::now();
    let mut committed = Vec::new();
    for n in 0..rate * seconds {
        let due = start + Duration::from_nanos(1_000_000_000 / rate * n);
        tokio::time::sleep_until(due.into()).await;
        let cells = row(n);
        owner.rows_with(&insert, &cells.each_ref().map(String::as_str)).await?;
        committed.push(Instant::now());
    }
    Ok(committed)
}

/// When each row was first seen by a reader of the subscriber's database.
async fn look(url: String, rows: u64) -> Result<Vec<Instant>> {
    let mut target = Database::open(&url).await?;
    let mut seen = vec![None; usize::try_from(rows)?];
    let (mut floor, give_up) = (0_usize, Instant::now() + Duration::from_secs(600));
    while floor < seen.len() {
        ensure!(Instant::now() < give_up, "row {floor} did not arrive");
        let from = format!("HK{floor:010}");
        let found = target.rows_with("select file_no from resident where file_no >= $1", &[&from]).await?;
        let now = Instant::now();
        for row in found {
            let number =
                row[0].as_deref().and_then(|text| text.trim_start_matches("HK").parse::<usize>().ok());
            if let Some(slot) = number.and_then(|number| seen.get_mut(number)) {
                slot.get_or_insert(now);
            }
        }
        while seen.get(floor).is_some_and(Option::is_some) {
            floor += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(seen.into_iter().flatten().collect())
}
