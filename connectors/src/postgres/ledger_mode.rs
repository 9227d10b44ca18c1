//! Writes of one table and round whose versions are in the ledger.

use std::collections::{BTreeMap, BTreeSet};

use lienthong_contract::Cell;
use lienthong_contract::keys::KeyHash;
use lienthong_contract::ledger::LedgerEntry;
use lienthong_contract::sink::{Action, Applied, KeyWrite, SinkError};

use super::ledger;
use super::sink::Place;
use super::staging::Rows;
use super::statements;
use crate::judge::{self, Judged, Shape};

/// A judged write.
struct Step<'w, 'd> {
    write: &'w KeyWrite<'d>,
    judged: Judged<'d>,
    entry: LedgerEntry,
}

/// Reads the entries, judges, writes entries and then rows. `writes` stand in the order of key hashes.
pub(super) async fn write(mut place: Place<'_>, writes: &[&KeyWrite<'_>]) -> Result<Applied, SinkError> {
    let keys: Vec<KeyHash> = writes.iter().map(|write| write.key_hash).collect();
    let stored = ledger::read(&mut place, &keys).await?;
    let steps: Vec<Step<'_, '_>> = writes
        .iter()
        .map(|write| {
            let mut entry = stored.get(&write.key_hash).cloned().unwrap_or_default();
            let judged = judge::judge(&place.fitted.table, write, &mut entry);
            Step { write, judged, entry }
        })
        .collect();
    let mut shapes: BTreeMap<Shape<'_>, Vec<usize>> = BTreeMap::new();
    let mut applied = Applied::default();
    for (index, step) in steps.iter().enumerate() {
        match &step.judged.shape {
            Some(shape) => shapes.entry(shape.clone()).or_default().push(index),
            None => applied.older += 1,
        }
    }
    let missing = missing_rows(&mut place, &steps, &shapes).await?;
    let untaught = LedgerEntry::default();
    let (mut known, mut new) = (Vec::new(), Vec::new());
    for (index, step) in steps.iter().enumerate() {
        // An update that finds no row has not happened, so its version is not known; what taught nothing leaves no entry.
        let before = stored.get(&step.write.key_hash).unwrap_or(&untaught);
        if missing.contains(&index) || *before == step.entry {
            continue;
        }
        let place = if stored.contains_key(&step.write.key_hash) { &mut known } else { &mut new };
        place.push((step.write.key_hash, step.entry.clone()));
    }
    ledger::keep(&mut place, &known, &new).await?;
    for (shape, indexes) in &shapes {
        let chosen = indexes.iter().filter(|index| !missing.contains(*index)).map(|index| &steps[*index]);
        let rows = rows(&place, shape, chosen.map(|step| (step.write, &step.judged, None)));
        applied.unchanged += (indexes.len() - rows.len()) as u64;
        let changed = run(&mut place, shape, rows).await?;
        applied.changed += changed.0;
        applied.unchanged += changed.1;
    }
    Ok(applied)
}

/// Updates whose row is not there.
async fn missing_rows(
    place: &mut Place<'_>,
    steps: &[Step<'_, '_>],
    shapes: &BTreeMap<Shape<'_>, Vec<usize>>,
) -> Result<BTreeSet<usize>, SinkError> {
    let updates: Vec<usize> = shapes
        .iter()
        .filter(|(shape, _)| matches!(shape, Shape::Update(_)))
        .flat_map(|(_, indexes)| indexes.iter().copied())
        .collect();
    if updates.is_empty() {
        return Ok(BTreeSet::new());
    }
    let keys = place.fitted.table.key.len();
    let mut rows = Rows::new(keys + 1);
    for index in &updates {
        push_key(place, &mut rows, steps[*index].write.key);
        rows.push(Some(index.to_string()));
    }
    rows.stage(place).await?;
    let query = rows.bind(statements::existing(place.fitted, keys, &rows.source()));
    let found = query.fetch_all(&mut *place.conn).await.map_err(|error| place.error(&error))?;
    let mut missing: BTreeSet<usize> = updates.into_iter().collect();
    for row in found {
        let index: String = sqlx::Row::try_get(&row, 0).map_err(|error| place.error(&error))?;
        missing.remove(&index.parse().unwrap_or(usize::MAX));
    }
    Ok(missing)
}

fn push_key(place: &Place<'_>, rows: &mut Rows, key: &[Cell<'_>]) {
    for (column, cell) in place.fitted.table.key.iter().zip(key) {
        rows.push(place.fitted.text(&column.name, cell));
    }
}

/// The rows of a shape: key, values, and the version where it is written beside them.
pub(super) fn rows<'w, 'd: 'w>(
    place: &Place<'_>,
    shape: &Shape<'_>,
    writes: impl Iterator<Item = (&'w KeyWrite<'d>, &'w Judged<'d>, Option<&'w str>)>,
) -> Rows {
    let fitted = place.fitted;
    let names = statements::values(fitted, shape);
    let versioned = judge::version_column(&fitted.table).is_some();
    let mut rows = Rows::new(fitted.table.key.len() + names.len() + usize::from(versioned));
    for (write, judged, version) in writes {
        push_key(place, &mut rows, write.key);
        if let Action::Void { at, .. } = &write.action {
            rows.push(names.first().and_then(|name| fitted.text(name, &Cell::Timestamp(*at))));
        } else {
            let values = judged.cells(&fitted.table);
            for (name, cell) in names.iter().zip(&values) {
                rows.push(fitted.text(name, cell));
            }
        }
        if versioned {
            rows.push(version.map(str::to_owned));
        }
    }
    rows
}

/// Runs a shape's statement: rows changed, rows that were as wanted or not there.
pub(super) async fn run(
    place: &mut Place<'_>,
    shape: &Shape<'_>,
    mut rows: Rows,
) -> Result<(u64, u64), SinkError> {
    let count = rows.len() as u64;
    if count == 0 {
        return Ok((0, 0));
    }
    rows.stage(place).await?;
    let query = rows.bind(statements::write(place.fitted, shape, &rows.source()));
    let done = query.execute(&mut *place.conn).await.map_err(|error| place.error(&error))?;
    let changed = done.rows_affected();
    Ok((changed, count.saturating_sub(changed)))
}
