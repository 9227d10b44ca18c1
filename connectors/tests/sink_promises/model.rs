//! Random deliveries against the oracle.

use anyhow::{Result, ensure};
use lienthong_contract::target::CellKind;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::kind::Kind;
use crate::oracle::{Oracle, STREET};
use crate::subscriber::{Deed, INSURED, Part, Row, Subscriber, VISITS, Value, Worker, Write, version};

use crate::target_types::TargetTypes;

fn value(random: &mut StdRng) -> Value {
    // Few values, so that writes often find what they want to write.
    (random.random_range(0..8) > 0).then(|| random.random_range(0..5).to_string())
}

fn one_part(random: &mut StdRng, group: usize, columns: usize) -> Part {
    let record = (random.random_range(0..3) > 0).then(|| format!("r{}", random.random_range(0..3)));
    let values = (0..columns).map(|_| value(random)).collect();
    Part { group, version: version(random.random_range(1..40)), record, values }
}

fn parts(random: &mut StdRng, table: usize) -> Vec<Part> {
    let both = random.random_range(0..4);
    match (table, both) {
        (VISITS, _) => vec![one_part(random, 0, 2)],
        (_, 0) => vec![one_part(random, 0, 2)],
        (_, 1) => vec![one_part(random, 1, 1)],
        (_, 2) => vec![one_part(random, STREET, 1)],
        (_, _) => vec![one_part(random, 0, 2), one_part(random, 1, 1)],
    }
}

fn deed(random: &mut StdRng, table: usize) -> Deed {
    let group = if table == INSURED { random.random_range(0..3) } else { 0 };
    let version = version(random.random_range(1..40));
    // A version in a column does not know records, so nothing is revoked there.
    let revokes: Option<String> =
        (table == INSURED && random.random()).then(|| format!("r{}", random.random_range(0..3)));
    let rows = revokes.clone().map(|record| match random.random_range(0..3) {
        0 => (vec![0], record),
        1 => (vec![1], record),
        _ => (vec![0, 1], record),
    });
    match random.random_range(0..10) {
        0..5 => Deed::Upsert(parts(random, table)),
        5..7 => Deed::Update(parts(random, table)),
        7 => Deed::Delete { version, revokes: rows },
        8 => Deed::Void { at: random.random_range(1..1_000_000_000), version, revokes: rows },
        _ => Deed::Clear { group, version, revokes },
    }
}

/// A round: each key at most once.
pub(crate) fn round(random: &mut StdRng, keys: u32) -> Vec<Write> {
    let mut round = Vec::new();
    for key in 0..keys {
        if random.random() {
            round.push(Write { table: INSURED, key: vec![format!("p{key}")], deed: deed(random, INSURED) });
        }
        if random.random_range(0..3) == 0 {
            let key = vec![format!("p{}", key / 3), (key % 3).to_string()];
            round.push(Write { table: VISITS, key, deed: deed(random, VISITS) });
        }
    }
    round
}

/// The tables must hold what the oracle holds.
pub(crate) async fn assert_equal<K: Kind + TargetTypes>(
    subscriber: &mut Subscriber<K>,
    oracle: &Oracle,
) -> Result<()> {
    let at = K::text("voided_at", CellKind::Timestamp);
    let insured = format!("select pin, {at} from insured where voided_at is not null");
    let visits = format!("select place, cast(number as text), {at} from visits where voided_at is not null");
    same("insured", &subscriber.housed().await?, &oracle.rows(INSURED))?;
    same("visits", &subscriber.visits().await?, &oracle.rows(VISITS))?;
    same("voided insured", &subscriber.query(&insured).await?, &oracle.voided(INSURED))?;
    same("voided visits", &subscriber.query(&visits).await?, &oracle.voided(VISITS))
}

fn same(what: &str, found: &[Row], expected: &[Row]) -> Result<()> {
    let only = |one: &[Row], other: &[Row]| -> Vec<Row> {
        one.iter().filter(|row| !other.contains(row)).take(3).cloned().collect()
    };
    let (extra, missing) = (only(found, expected), only(expected, found));
    ensure!(found == expected, "{what}: {extra:?} where {missing:?} is expected");
    Ok(())
}

async fn one_run<K: Kind + TargetTypes>(seed: u64) -> Result<()> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker: Worker = subscriber.worker();
    let mut oracle = Oracle::default();
    for _ in 0..40 {
        let rounds: Vec<Vec<Write>> =
            (0..random.random_range(1..4)).map(|_| round(&mut random, 12)).collect();
        let count: usize = rounds.iter().map(Vec::len).sum();
        if random.random_range(0..8) == 0 {
            worker = subscriber.worker();
        }
        let applied = worker.deliver_rounds(&rounds).await?;
        ensure!(
            applied.changed + applied.older + applied.unchanged == count as u64,
            "{applied:?} of {count} writes"
        );
        oracle.take(&rounds);
        assert_equal(&mut subscriber, &oracle).await?;
    }
    Ok(())
}

pub(crate) async fn random_deliveries_end_as_the_oracle_says<K: Kind + TargetTypes>() -> Result<()> {
    let first = lienthong_testkit::seed();
    for seed in first..first + 4 {
        println!("seed {seed}");
        one_run::<K>(seed).await?;
    }
    Ok(())
}

/// Rounds of each size on a fresh table, then once more over what is there.
pub(crate) async fn sizes<K: Kind + TargetTypes>(
    subscriber: &mut Subscriber<K>,
    worker: &mut Worker,
) -> Result<()> {
    let seed = lienthong_testkit::seed();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut oracle = Oracle::default();
    for keys in [1, 499, 500, 3000] {
        for _ in 0..2 {
            let upsert = |key: u32, random: &mut StdRng| Write {
                table: INSURED,
                key: vec![format!("p{key}")],
                deed: Deed::Upsert(parts(random, INSURED)),
            };
            let all: Vec<Write> = (0..keys).map(|key| upsert(key, &mut random)).collect();
            let rounds = [all, round(&mut random, keys)];
            worker.deliver_rounds(&rounds).await?;
            oracle.take(&rounds);
            assert_equal(subscriber, &oracle).await?;
        }
    }
    Ok(())
}

pub(crate) async fn rounds_of_any_size_end_equal<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    sizes(&mut subscriber, &mut worker).await
}
