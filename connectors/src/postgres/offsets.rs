//! The offset rows, and where their chains of receipts end.

use std::collections::BTreeMap;
use std::time::Instant;

use lienthong_contract::sink::{Delivery, LaneMove, LanePartition, OffsetState};
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

/// Reads the offset row.
pub(super) async fn read(
    conn: &mut PgConnection,
    lane: &LanePartition,
) -> Result<Option<OffsetState>, sqlx::Error> {
    let sql = "select next_offset, epoch, sequence, fresh_through from lienthong_offset \
         where subscription = $1 and topic = $2 and partition = $3";
    let row = sqlx::query(sql)
        .bind(&lane.subscription)
        .bind(&lane.topic)
        .bind(lane.partition)
        .fetch_optional(conn)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(OffsetState {
        next_offset: row.try_get("next_offset")?,
        epoch: row.try_get("epoch")?,
        sequence: row.try_get::<i64, _>("sequence")?.cast_unsigned(),
        fresh_through: row.try_get("fresh_through")?,
    }))
}

/// The end of a lane's chain of receipts.
pub(super) struct ChainEnd {
    /// Number of the last receipt; 0 for none.
    pub(super) number: i64,
    /// Its hash.
    pub(super) hash: Option<Vec<u8>>,
}

/// The ends of the chains, read while the offset rows were locked: nobody adds to them before this transaction ends.
pub(super) struct Chains {
    ends: BTreeMap<LanePartition, ChainEnd>,
    clock: i64,
    read_at: Instant,
}

impl Chains {
    /// The end of one lane's chain.
    pub(super) fn end(&self, lane: &LanePartition) -> Option<&ChainEnd> {
        self.ends.get(lane)
    }

    /// The database's clock, microseconds since 1970 UTC, without asking it again.
    pub(super) fn now(&self) -> i64 {
        let since = i64::try_from(self.read_at.elapsed().as_micros()).unwrap_or(0);
        self.clock.saturating_add(since)
    }
}

/// The ends of the chains of the lanes that have `moved`.
macro_rules! chain_ends {
    () => {
        "select m.subscription, m.topic, m.partition, coalesce(last.number, 0) as number, last.hash, \
         (extract(epoch from clock_timestamp()) * 1000000)::bigint as clock \
         from moved m left join lateral (select r.number, r.hash from lienthong_receipt r \
         where r.subscription = m.subscription and r.topic = m.topic and r.partition = m.partition \
         order by r.number desc limit 1) last on true"
    };
}

/// Rows that are there. They are locked lane by lane in the order of the arrays before any is moved: the order in which an update
/// meets its rows is the planner's affair. Whoever had to wait for a row and found it as expected waited for a transaction that was
/// rolled back, so the chain that the statement sees is the whole chain.
const MOVE: &str = concat!(
    "with locked as materialized (select a.* from unnest($1::text[], $2::text[], $3::int[], \
     $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[]) \
     a(subscription, topic, partition, next_offset, epoch, sequence, fresh_through, \
     was_offset, was_epoch, was_sequence, was_fresh_through) \
     cross join lateral (select from lienthong_offset o \
     where o.subscription = a.subscription and o.topic = a.topic and o.partition = a.partition \
     and o.next_offset = a.was_offset and o.epoch = a.was_epoch and o.sequence = a.was_sequence \
     and o.fresh_through = a.was_fresh_through for no key update) o), \
     moved as (update lienthong_offset o set next_offset = l.next_offset, epoch = l.epoch, sequence = l.sequence, \
     fresh_through = l.fresh_through from locked l \
     where o.subscription = l.subscription and o.topic = l.topic and o.partition = l.partition \
     returning o.subscription, o.topic, o.partition) ",
    chain_ends!()
);

/// Rows that are not there yet, in the order of the arrays.
const BEGIN: &str = concat!(
    "with moved as (insert into lienthong_offset \
     (subscription, topic, partition, next_offset, epoch, sequence, fresh_through) \
     select * from unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[]) \
     on conflict (subscription, topic, partition) do nothing returning subscription, topic, partition) ",
    chain_ends!()
);

/// Moves the offset rows of all lanes by compare-and-set; `None` when one of them is not as expected: the transaction must be rolled
/// back. Every transaction locks the rows that are there first and then those that are not, each in the order of lanes, so that no two
/// wait for each other.
pub(super) async fn advance(
    conn: &mut PgConnection,
    delivery: &Delivery<'_>,
) -> Result<Option<Chains>, sqlx::Error> {
    let mut moves: Vec<&LaneMove<'_>> = delivery.lanes.iter().collect();
    moves.sort_by_key(|step| step.lane);
    let (known, new): (Vec<_>, Vec<_>) = moves.into_iter().partition(|step| step.expected.is_some());
    let mut chains = Chains { ends: BTreeMap::new(), clock: 0, read_at: Instant::now() };
    for (sql, moves) in [(MOVE, known), (BEGIN, new)] {
        if !moves.is_empty() && !step(conn, sql, &moves, &mut chains).await? {
            return Ok(None);
        }
    }
    Ok(Some(chains))
}

/// Moves rows of one kind; false when not all of them were as expected.
async fn step(
    conn: &mut PgConnection,
    sql: &'static str,
    moves: &[&LaneMove<'_>],
    chains: &mut Chains,
) -> Result<bool, sqlx::Error> {
    let texts = |text: fn(&LanePartition) -> &str| moves.iter().map(|step| text(step.lane)).collect();
    let (subscriptions, topics): (Vec<&str>, Vec<&str>) =
        (texts(|lane| &lane.subscription), texts(|lane| &lane.topic));
    let partitions: Vec<i32> = moves.iter().map(|step| step.lane.partition).collect();
    let mut query = sqlx::query(sql).bind(subscriptions).bind(topics).bind(partitions);
    let after = moves.iter().map(|step| step.next).collect();
    let before: Vec<OffsetState> = moves.iter().filter_map(|step| step.expected).collect();
    for states in [after, before].into_iter().filter(|states: &Vec<_>| !states.is_empty()) {
        let column = |number: fn(&OffsetState) -> i64| states.iter().map(number).collect::<Vec<i64>>();
        query = query
            .bind(column(|state| state.next_offset))
            .bind(column(|state| state.epoch))
            .bind(column(|state| state.sequence.cast_signed()))
            .bind(column(|state| state.fresh_through));
    }
    let rows = query.fetch_all(conn).await?;
    chains.read_at = Instant::now();
    for row in &rows {
        chains.clock = row.try_get("clock")?;
        let lane = LanePartition {
            subscription: row.try_get("subscription")?,
            topic: row.try_get("topic")?,
            partition: row.try_get("partition")?,
        };
        let end = ChainEnd { number: row.try_get("number")?, hash: row.try_get("hash")? };
        chains.ends.insert(lane, end);
    }
    Ok(rows.len() == moves.len() && moves.iter().all(|step| chains.ends.contains_key(step.lane)))
}
