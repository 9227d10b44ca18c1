//! Capture from the write-ahead log: a backlog against `pg_recvlogical`, latency, one large transaction, and a first load.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::database::Database;
use lienthong_testkit::postgres::TestDatabase;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Message as _};

use crate::fleet::{Fleet, LEDGER, PARTICIPANT};
use crate::paired::{Pairs, spread};
use crate::{proc, topics};

/// Backlogs and loads are measured so often; what comes first is not counted, because the broker's virtual machine compiles then.
const ROUNDS: usize = 5;
const ROWS_PER_TRANSACTION: u64 = 10;
/// Of the latency.
const ROWS_PER_SECOND: u64 = 5_000;
const SECONDS: u64 = 20;

/// 15 columns of 350 to 400 bytes, of which the contract takes ten.
const TABLE: &str = "create table residence (residence_file_no text primary key, pin text, household_id text,
    relation_to_head text, province_code text, district_code text, commune_code text, street text, unit_version date,
    valid_from date not null, officer text, changed_at timestamptz, branch int, fee numeric(12, 2), note text);
    alter table residence replica identity full";

/// One row per number of `generate_series`.
const ROW: &str = "'HK' || lpad(n::text, 10, '0'), '001' || lpad(n::text, 9, '0'), 'hộ-' || n, 'con ruột của chủ hộ', '01', '001', '00004',
    'Số ' || n || ' ngõ 12 đường Nguyễn Trãi, tổ dân phố số 7, khu dân cư Bắc Linh Đàm mở rộng', date '2025-06-30',
    date '2026-03-01' + (n % 9)::int, 'cán bộ ' || n % 400, timestamptz '2026-03-01 08:00:00.123456+07' + n * interval '1 second',
    (n % 63)::int, 15000.00 + n % 100, 'hồ sơ giấy đã số hóa, tờ khai CT01 kèm theo bản sao giấy chứng nhận quyền sử dụng đất số ' || n";

/// A publisher whose table is captured from its log, with the first load behind it.
struct Publisher {
    fleet: Fleet,
    database: TestDatabase,
    prefix: String,
    _subscriber: TestDatabase,
}

impl Publisher {
    async fn create(before: &[String]) -> Result<Self> {
        let (database, subscriber) = (TestDatabase::create().await?, TestDatabase::create().await?);
        let prefix = lienthong_testkit::kafka::namespace();
        let log = format!(
            "kafka://{}?registry={}&prefix={prefix}&replication=1",
            lienthong_testkit::env::kafka(),
            lienthong_testkit::env::registry(),
        );
        let mut owner = Database::open(database.url()).await?;
        owner.run(&[TABLE.to_owned()]).await?;
        owner.run(before).await?;
        let name = database.name();
        let capture = format!("{{mode: log, slot: {name}, publication: {name}}}");
        let fleet = Fleet::on(&log, (database.url(), &capture), subscriber.url(), LEDGER).await?;
        Ok(Self { fleet, database, prefix, _subscriber: subscriber })
    }

    /// Takes away the slot, which would keep the log of the whole server, and what is left on the broker.
    async fn clean(self, others: &[&str]) -> Result<()> {
        let mut owner = Database::open(self.database.url()).await?;
        for slot in others.iter().copied().chain([self.database.name()]) {
            owner.rows(&format!("select pg_drop_replication_slot('{slot}')::text")).await?;
        }
        topics::delete(&self.prefix).await
    }

    /// Rows `first..first + count`, ten per transaction.
    async fn insert(&self, first: u64, count: u64) -> Result<()> {
        let (rows, last) = (ROWS_PER_TRANSACTION, count / ROWS_PER_TRANSACTION - 1);
        // Sent by itself, because a block that commits cannot run inside of a transaction.
        let script = format!(
            "set synchronous_commit = off;\ndo $$ begin for i in 0..{last} loop insert into residence select {ROW} \
             from generate_series({first} + i * {rows}, {first} + i * {rows} + {rows} - 1) n; commit; end loop; end $$;\ncheckpoint;\n"
        );
        let file = self.fleet.path("insert.sql");
        std::fs::write(&file, script)?;
        let status = program("psql")?
            .args(["-qX", "-v", "ON_ERROR_STOP=1", "-d", self.database.url(), "-f"])
            .arg(file)
            .status()?;
        ensure!(status.success(), "the rows were not inserted");
        Ok(())
    }

    async fn written(&self) -> Result<String> {
        let mut owner = Database::open(self.database.url()).await?;
        let rows = owner.rows("select pg_current_wal_flush_lsn()::text").await?;
        rows[0][0].clone().context("a place of the log")
    }

    /// Runs the connector until it has everything: seconds, its CPU seconds, its largest size in MiB.
    fn connect(&self) -> Result<Run> {
        let before = proc::cpu_of_reaped();
        let start = Instant::now();
        let mut connector = self.fleet.start(&["connect", PARTICIPANT, "--once"])?;
        let mut peak = 0.0_f64;
        while connector.runs()? {
            peak = peak.max(connector.peak());
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Run { seconds: start.elapsed().as_secs_f64(), cpu: proc::cpu_of_reaped() - before, peak })
    }
}

struct Run {
    seconds: f64,
    cpu: f64,
    peak: f64,
}

/// A program of the server's, where the others of its version lie.
fn program(name: &str) -> Result<Command> {
    let folders = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        folders.map(|folder| folder.path().join("bin").join(name)).filter(|path| path.exists()).collect();
    found.sort();
    Ok(Command::new(found.pop().with_context(|| format!("{name} is not installed"))?))
}

/// A backlog of small transactions: connector until all is acknowledged by the broker against `pg_recvlogical` into nothing.
pub(crate) async fn backlog(events: u64) -> Result<()> {
    let publisher = Publisher::create(&[]).await?;
    let other = format!("{}_r", publisher.database.name());
    let mut owner = Database::open(publisher.database.url()).await?;
    owner.rows(&format!("select pg_create_logical_replication_slot('{other}', 'pgoutput')::text")).await?;
    publisher.connect()?;
    let (mut pairs, mut cpu, mut peak) = (Pairs::default(), Vec::new(), 0.0_f64);
    for round in 0..=ROUNDS as u64 {
        publisher.insert(round * events, events).await?;
        let end = publisher.written().await?;
        let first = if round % 2 == 0 { Some(receive(&publisher, &other, &end)?) } else { None };
        let ours = publisher.connect()?;
        let theirs = match first {
            Some(seconds) => seconds,
            None => receive(&publisher, &other, &end)?,
        };
        println!(
            "round {round}: {:.0} events/s against {:.0}; {:.1} us of CPU per event, {:.0} MiB",
            events as f64 / ours.seconds,
            events as f64 / theirs,
            ours.cpu / events as f64 * 1e6,
            ours.peak
        );
        if round > 0 {
            pairs.push(ours.seconds, theirs);
            cpu.push(ours.cpu / events as f64 * 1e6);
            peak = peak.max(ours.peak);
        }
    }
    pairs.report(
        "backlog of the write-ahead log, against pg_recvlogical into /dev/null",
        events,
        "event",
        0.6,
    );
    told("the connector's CPU us per event", &cpu, 6.0);
    told("the connector's RSS MiB", &[peak], 64.0);
    publisher.clean(&[&other]).await
}

/// Seconds until everything before `end` has been received.
fn receive(publisher: &Publisher, slot: &str, end: &str) -> Result<f64> {
    let start = Instant::now();
    let publication = format!("publication_names={}", publisher.database.name());
    let status = program("pg_recvlogical")?
        .args(["-d", publisher.database.url(), "-S", slot, "--start", "-f", "/dev/null", "-n", "-E", end])
        .args(["-o", "proto_version=1", "-o", &publication, "-o", "binary=true"])
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "pg_recvlogical ended with {status}");
    Ok(start.elapsed().as_secs_f64())
}

fn told(name: &str, values: &[f64], bound: f64) {
    let (low, middle, high) = spread(values);
    let verdict = if middle <= bound { "reached" } else { "MISSED" };
    println!("{name}: {middle:.1} ({low:.1}-{high:.1}), bound {bound}: {verdict}");
}

/// One transaction of so many rows.
pub(crate) async fn whole(rows: u64) -> Result<()> {
    let publisher = Publisher::create(&[]).await?;
    publisher.connect()?;
    let mut owner = Database::open(publisher.database.url()).await?;
    owner.run(&[format!("insert into residence select {ROW} from generate_series(1, {rows}) n")]).await?;
    let run = publisher.connect()?;
    println!("one transaction of {rows} rows: {:.0} events/s", rows as f64 / run.seconds);
    told("the connector's RSS MiB while it passes", &[run.peak], 64.0);
    publisher.clean(&[]).await
}

/// The first load of a table against the slower of `copy` into nothing and the bare append of as many bytes.
pub(crate) async fn load(rows: u64) -> Result<()> {
    let fill = format!("insert into residence select {ROW} from generate_series(1, {rows}) n");
    let (mut pairs, mut peak) = (Pairs::default(), 0.0_f64);
    for round in 0..=ROUNDS {
        let publisher = Publisher::create(&[fill.clone(), "analyze residence".to_owned()]).await?;
        let ours = publisher.connect()?;
        let copying = Instant::now();
        let status = program("psql")?
            .args(["-qX", "-d", publisher.database.url(), "-c", "copy residence to stdout (format binary)"])
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "copy ended with {status}");
        let copy = copying.elapsed().as_secs_f64();
        let append = crate::append_kafka::bare_seconds(rows).await?;
        println!(
            "round {round}: {:.0} rows/s; copy {:.0}, bare append {:.0}; {:.1} us of CPU per row, {:.0} MiB",
            rows as f64 / ours.seconds,
            rows as f64 / copy,
            rows as f64 / append,
            ours.cpu / rows as f64 * 1e6,
            ours.peak
        );
        if round > 0 {
            pairs.push(ours.seconds, copy.max(append));
            peak = peak.max(ours.peak);
        }
        publisher.clean(&[]).await?;
    }
    pairs.report("first load, against the slower of copy and a bare append", rows, "row", 0.6);
    told("the connector's RSS MiB", &[peak], 64.0);
    Ok(())
}

/// Commit until a consumer of the broker has the event, which is later than the acknowledgement.
pub(crate) async fn latency() -> Result<()> {
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let publisher = Publisher::create(&[]).await?;
        publisher.connect()?;
        let mut connector = publisher.fleet.start(&["connect", PARTICIPANT])?;
        let topic = format!("{}lt.residence.live", publisher.prefix);
        let seen = std::thread::spawn(move || consume(&topic, ROWS_PER_SECOND * SECONDS));
        tokio::time::sleep(Duration::from_secs(4)).await;
        let committed = commit(publisher.database.url()).await?;
        let seen = seen.join().map_err(|_| anyhow::anyhow!("the consumer ended"))??;
        connector.ensure_running()?;
        // The first second warms caches.
        let mut waits: Vec<f64> = seen
            .iter()
            .enumerate()
            .skip(usize::try_from(ROWS_PER_SECOND)?)
            .filter_map(|(n, seen)| {
                let committed = committed.get(n / usize::try_from(ROWS_PER_TRANSACTION).ok()?)?;
                Some((*seen)?.saturating_duration_since(*committed).as_secs_f64() * 1e3)
            })
            .collect();
        waits.sort_by(f64::total_cmp);
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize];
        println!("round {round}: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms", at(0.5), at(0.99), at(1.0));
        if round > 0 {
            p50.push(at(0.5));
            p99.push(at(0.99));
        }
        drop(connector);
        tokio::time::sleep(Duration::from_secs(1)).await;
        publisher.clean(&[]).await?;
    }
    told("commit to a consumer of the broker at 5,000 rows/s, p50 ms", &p50, 5.0);
    told("commit to a consumer of the broker at 5,000 rows/s, p99 ms", &p99, 20.0);
    Ok(())
}

/// Transactions of ten rows at an even pace; when each commit had returned.
async fn commit(url: &str) -> Result<Vec<Instant>> {
    let mut owner = Database::open(url).await?;
    let insert = format!(
        "insert into residence select {ROW} from generate_series($1::text::bigint, $1::text::bigint + {}) n",
        ROWS_PER_TRANSACTION - 1
    );
    let transactions = ROWS_PER_SECOND * SECONDS / ROWS_PER_TRANSACTION;
    let (start, pace) =
        (Instant::now(), Duration::from_nanos(1_000_000_000 * ROWS_PER_TRANSACTION / ROWS_PER_SECOND));
    let mut committed = Vec::new();
    for n in 0..transactions {
        tokio::time::sleep_until((start + pace * u32::try_from(n)?).into()).await;
        let first = (n * ROWS_PER_TRANSACTION).to_string();
        owner.rows_with(&insert, &[&first]).await?;
        committed.push(Instant::now());
    }
    Ok(committed)
}

/// When a consumer had each of `rows` rows.
fn consume(topic: &str, rows: u64) -> Result<Vec<Option<Instant>>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", lienthong_testkit::env::kafka())
        .set("group.id", topic)
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "5")
        .create()?;
    consumer.subscribe(&[topic])?;
    let mut seen = vec![None; usize::try_from(rows)?];
    let (mut left, give_up) = (seen.len(), Instant::now() + Duration::from_secs(120));
    while left > 0 {
        ensure!(Instant::now() < give_up, "{left} rows did not arrive");
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message?;
        // `HK0000000123`, behind the frame of five bytes and a length.
        let number = message
            .payload()
            .and_then(|value| value.get(8..18))
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let place = number.and_then(|digits| digits.parse::<usize>().ok()).and_then(|n| seen.get_mut(n));
        if let Some(place @ None) = place {
            *place = Some(Instant::now());
            left -= 1;
        }
    }
    Ok(seen)
}
