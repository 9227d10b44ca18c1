//! Random workloads of several sessions ([`lienthong_testkit::workload`]), captured from the log by a source that dies and goes on
//! from what it had told before: what it gives replays to the tables' rows, and what comes again comes as it came before.
//!
//! The server is the test's own: transactions that are left open or prepared keep slots from being made on all of a server.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use lienthong_connectors::SourceConfig;
use lienthong_contract::position::Position;
use lienthong_contract::source::RowOp;
use lienthong_testkit::database::Database;
use lienthong_testkit::postgres::TestDatabase;
use lienthong_testkit::private_postgres::PrivatePostgres;
use lienthong_testkit::workload::{COLUMNS, Done, Workload, create_table};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::kind::{Kind as _, Postgres};
use crate::log_kind::PostgresLog;
use crate::publisher::{Change, Publisher, Reader, Replay, capture};

const SEEDS: u64 = 50;
/// So many at a time.
const LANES: usize = 4;
/// Of one seed.
const LONGEST: Duration = Duration::from_secs(120);
const STEPS: u32 = 100;
/// Characters of three bytes.
const LARGE: u32 = 35_000;
const TABLES: [&str; 2] = ["residence", "note"];

const SETTINGS: [&str; 3] =
    ["max_prepared_transactions = 40", "max_connections = 100", "max_replication_slots = 20"];

/// What the log of the bus would hold: changes, and the positions behind some of them.
#[derive(Default)]
struct Taken {
    changes: Vec<Change>,
    positions: Vec<(Position, usize)>,
    /// Every change of the stream that was ever given out.
    met: HashMap<String, Change>,
    again: usize,
    /// The first position is the earliest that may be asked for; else the beginning may.
    forgotten: bool,
}

impl Taken {
    /// Keeps what a reader gave, whose first change follows the last one here.
    fn take(&mut self, reader: &Reader) -> Result<()> {
        let before = self.changes.len();
        for change in reader.changes.iter().filter(|change| change.op != RowOp::Snapshot) {
            match self.met.get(&change.id) {
                Some(met) => {
                    ensure!(met == change, "{} comes again as another change", change.id);
                    self.again += 1;
                }
                None => drop(self.met.insert(change.id.clone(), change.clone())),
            }
        }
        self.changes.extend_from_slice(&reader.changes);
        self.positions
            .extend(reader.positions.iter().map(|(position, count)| (position.clone(), before + count)));
        Ok(())
    }

    /// The crash: only what one of the positions covers is kept.
    fn lose(&mut self, random: &mut StdRng) -> Option<&Position> {
        let at = random.random_range(usize::from(self.forgotten)..=self.positions.len());
        self.positions.truncate(at);
        self.changes.truncate(self.positions.last().map_or(0, |(_, count)| *count));
        self.stored()
    }

    fn stored(&self) -> Option<&Position> {
        self.positions.last().map(|(position, _)| position)
    }

    /// Nothing before the last position can be asked for any more.
    fn forget(&mut self) {
        let last = self.positions.len().saturating_sub(1);
        self.positions.drain(..last);
        self.forgotten = true;
    }
}

async fn write(workload: &mut Workload, random: &mut StdRng) -> Result<()> {
    let long = random.random_range(STEPS / 4..STEPS);
    for step in 0..STEPS {
        if step == long {
            workload.let_go();
        }
        workload.step().await?;
    }
    workload.settle().await
}

/// Reads until everything has come that was there when `written` was set.
async fn read(
    publisher: &Publisher<PostgresLog>,
    written: &Cell<bool>,
    random: &mut StdRng,
) -> Result<Taken> {
    let mut taken = Taken::default();
    loop {
        let mut reader = publisher.reader(taken.stored()).await?;
        let mut left: u32 = random.random_range(1..12);
        while left > 0 {
            let all = written.get();
            left -= u32::from(!all);
            let polled = reader.poll(random.random_range(1..40)).await?;
            if all && polled.caught_up {
                taken.take(&reader)?;
                return Ok(taken);
            }
        }
        taken.take(&reader)?;
        if taken.lose(random).is_some() && random.random_ratio(1, 3) {
            let position = taken.stored().context("a position")?.clone();
            reader.source.forget(&position).await?;
            taken.forget();
        }
    }
}

async fn one(server: &PrivatePostgres, seed: u64) -> Result<(Done, usize, usize)> {
    let mut random = StdRng::seed_from_u64(seed);
    let kind = PostgresLog(Postgres(TestDatabase::create_on(&server.url()).await?));
    let owner = Database::open(&kind.url()).await?;
    let tables: Vec<_> = TABLES.iter().map(|table| capture(table, &COLUMNS)).collect();
    let config =
        SourceConfig { name: "test.source".to_owned(), database: kind.database(), capture: kind.capture() };
    let mut publisher = Publisher { kind, owner, config, tables };
    publisher.run(&TABLES.map(create_table).each_ref().map(String::as_str)).await?;
    let mut workload = Workload::new(&publisher.kind.url(), &TABLES, LARGE, seed);
    for _ in 0..20 {
        workload.step().await?;
    }
    workload.settle().await?;
    publisher.prepare().await?;
    // What is under way when the first load begins.
    for _ in 0..random.random_range(0..40) {
        workload.step().await?;
    }
    workload.hold().await?;
    let written = Cell::new(false);
    let mut reading = StdRng::seed_from_u64(random.random());
    let writer = async {
        let done = write(&mut workload, &mut random).await;
        written.set(true);
        done
    };
    let (done, taken) = tokio::join!(writer, read(&publisher, &written, &mut reading));
    done?;
    let taken = taken?;
    let mut replay = Replay::default();
    replay.take(&publisher.tables, &taken.changes)?;
    ensure!(replay.rows == publisher.state().await?, "the replay ends otherwise than the tables");
    let stream: Vec<_> = taken.changes.iter().filter(|change| change.op != RowOp::Snapshot).collect();
    ensure!(stream.is_sorted_by(|one, next| one.place < next.place), "places go back");
    let kept = stream.len();
    ensure!(kept == taken.met.len(), "{kept} changes are kept of {} that were told", taken.met.len());
    Ok((workload.done, kept, taken.again))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_workloads_replay_to_the_tables_rows_for_fifty_seeds() -> Result<()> {
    let server = PrivatePostgres::start(&SETTINGS).await?;
    let first = lienthong_testkit::seed();
    println!("seeds {first} to {}", first + SEEDS - 1);
    let began = std::time::Instant::now();
    let lane = async |at: u64| {
        let mut told = Vec::new();
        for seed in (first + at..first + SEEDS).step_by(LANES) {
            let ended = tokio::time::timeout(LONGEST, one(&server, seed)).await;
            let ended = ended.unwrap_or_else(|_| Err(anyhow!("it does not come to an end")));
            told.push(ended.with_context(|| format!("LIENTHONG_TEST_SEED={seed}"))?);
        }
        anyhow::Ok(told)
    };
    let (a, b, c, d) = tokio::try_join!(lane(0), lane(1), lane(2), lane(3))?;
    let told = [a, b, c, d].concat();
    println!("{:?}", began.elapsed());
    let sum = |of: fn(&Done) -> u32| told.iter().map(|(done, ..)| of(done)).sum::<u32>();
    let again = told.iter().map(|(.., again)| *again).sum::<usize>();
    let happened = [
        ("commits", sum(|done| done.commits)),
        ("rollbacks", sum(|done| done.rollbacks)),
        ("prepared", sum(|done| done.prepared)),
        ("tables changed", sum(|done| done.tables_changed)),
        ("large values tried", sum(|done| done.large)),
        ("changes that came again", u32::try_from(again)?),
    ];
    println!("in the way: {}", sum(|done| done.in_the_way));
    println!("{happened:?}, of {} changes", told.iter().map(|(_, kept, _)| kept).sum::<usize>());
    for (what, count) in happened {
        ensure!(count >= 20, "next to nothing happened: {what} {count}");
    }
    Ok(())
}
