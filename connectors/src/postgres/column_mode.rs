//! Writes of one table and round whose versions are in a column of the row. The statement itself refuses what is older; the ledger
//! knows only the marks of deleted rows.

use std::collections::BTreeMap;

use lienthong_contract::keys::KeyHash;
use lienthong_contract::ledger::LedgerEntry;
use lienthong_contract::sink::{Applied, Delivery, KeyWrite, SinkError};
use lienthong_contract::target::TargetTable;
use sqlx::postgres::PgConnection;

use super::sink::Place;
use super::{ledger, ledger_mode, statements};
use crate::judge::{self, Judged, Shape};

/// A delete must not pass an insert of the same key that it cannot see yet: transactions that only write share a table's lock,
/// transactions that delete have it alone. In the order of tables, so that nobody waits in a circle.
pub(super) async fn lock(
    conn: &mut PgConnection,
    tables: &[TargetTable],
    delivery: &Delivery<'_>,
) -> Result<(), sqlx::Error> {
    let mut wanted: BTreeMap<usize, bool> = BTreeMap::new();
    for write in delivery.rounds.iter().flatten() {
        if judge::version_column(&tables[write.table]).is_some() {
            *wanted.entry(write.table).or_default() |= judge::row_mark(&write.action).is_some();
        }
    }
    for (table, alone) in wanted {
        let sql = if alone {
            "select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended($1, 0))"
        } else {
            "select pg_catalog.pg_advisory_xact_lock_shared(pg_catalog.hashtextextended($1, 0))"
        };
        sqlx::query(sql).bind(format!("lienthong:{}", tables[table].table)).execute(&mut *conn).await?;
    }
    Ok(())
}

/// Refuses what a mark forbids, writes the rest, leaves marks.
pub(super) async fn write(mut place: Place<'_>, writes: &[&KeyWrite<'_>]) -> Result<Applied, SinkError> {
    if writes.iter().any(|write| judge::revokes(&write.action)) {
        let table = &place.fitted.table.table;
        return Err(SinkError::Unfit {
            problem: format!(
                "{}: {table} keeps versions in a column, which cannot tell which record wrote a row, but a \
                 revocation undoes one record only",
                place.target
            ),
            fix: "keep the versions of this table in the ledger".to_owned(),
        });
    }
    let keys: Vec<KeyHash> = writes.iter().map(|write| write.key_hash).collect();
    let marks = ledger::read(&mut place, &keys).await?;
    let mut applied = Applied::default();
    let mut shapes: BTreeMap<Shape<'_>, Vec<Versioned<'_, '_>>> = BTreeMap::new();
    let (mut known, mut new) = (Vec::new(), Vec::new());
    for write in writes {
        let version = judge::version_of(&write.action);
        let stored = marks.get(&write.key_hash);
        let (judged, version) = match judge::marked(stored, version) {
            None => (judge::unjudged(write), version),
            Some(mark) => match judge::overtaken(&place.fitted.table, write, mark) {
                None => {
                    applied.older += 1;
                    continue;
                }
                Some(judged) => (judged, mark.version.as_str()),
            },
        };
        if let Some(mark) = judge::row_mark(&write.action) {
            let entry = LedgerEntry { mark: Some(mark), ..LedgerEntry::default() };
            let place = if stored.is_some() { &mut known } else { &mut new };
            place.push((write.key_hash, entry));
        }
        if let Some(shape) = judged.shape.clone() {
            shapes.entry(shape).or_default().push((write, judged, version));
        }
    }
    ledger::keep(&mut place, &known, &new).await?;
    for (shape, chosen) in &shapes {
        let with_version = chosen.iter().map(|(write, judged, version)| (*write, judged, Some(*version)));
        let rows = ledger_mode::rows(&place, shape, with_version.clone());
        let (changed, rest) = ledger_mode::run(&mut place, shape, rows).await?;
        applied.changed += changed;
        let older = match shape {
            _ if rest == 0 => 0,
            Shape::Insert(_) => rest,
            _ => count_newer(&mut place, shape, with_version).await?,
        };
        applied.older += older;
        applied.unchanged += rest.saturating_sub(older);
    }
    Ok(applied)
}

/// A write with the version that its row gets.
type Versioned<'w, 'd> = (&'w KeyWrite<'d>, Judged<'d>, &'w str);

/// Of the writes that changed nothing, those that were older than their row.
async fn count_newer<'w, 'd: 'w>(
    place: &mut Place<'_>,
    shape: &Shape<'_>,
    writes: impl Iterator<Item = (&'w KeyWrite<'d>, &'w Judged<'d>, Option<&'w str>)>,
) -> Result<u64, SinkError> {
    let Some(column) = judge::version_column(&place.fitted.table).map(str::to_owned) else { return Ok(0) };
    let mut rows = ledger_mode::rows(place, shape, writes);
    rows.stage(place).await?;
    let version = place.fitted.table.key.len() + statements::values(place.fitted, shape).len();
    let sql = statements::newer(place.fitted, &column, version, &rows.source());
    let row = rows.bind(sql).fetch_one(&mut *place.conn).await.map_err(|error| place.error(&error))?;
    let count: i64 = sqlx::Row::try_get(&row, 0).map_err(|error| place.error(&error))?;
    Ok(count.unsigned_abs())
}
