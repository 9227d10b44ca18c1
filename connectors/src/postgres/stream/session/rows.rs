//! What one row message gives out.

use bumpalo::Bump;
use lienthong_contract::source::{Place, RowChange, RowVisitor, Side, SourceError};
use lienthong_contract::{Cell, digits};

use super::super::super::joins;
use super::super::super::wal::message::Message;
use super::super::change::{self, Changed, Unreadable, unread};
use super::super::kept::Spot;
use super::super::looked::{self, ByKey};
use super::super::tables::StreamTable;
use super::Session;

impl Session {
    /// Gives out what happened to a row; one that was given out before only passes.
    pub(super) fn row(
        &mut self,
        message: &Message<'_>,
        (table, index, passed): (usize, u32, bool),
        visitor: &mut dyn RowVisitor,
    ) -> Result<usize, SourceError> {
        let of = &self.tables.all[table];
        let (Some(open), Some(plan)) = (&self.open, &of.plan) else {
            return Err(unread(of, Unreadable::Misfit));
        };
        if let Some(partitions) = &of.partitions {
            partitions.tell(&of.captured.name, message)?;
        }
        self.arena.reset();
        let read = if of.is_by_key() {
            looked::read(message, (of, plan), |key| self.answers.own(table, key), &self.arena)
        } else {
            let changes = change::read(message, plan, (&of.keys, of.capture.columns.len()), &self.arena);
            changes.map(|(first, second)| ByKey { changes: [Some(first), second], gone: None })
        };
        let ByKey { changes: all, gone } = read.map_err(|reason| unread(of, reason))?;
        if let Some(chunk) = self.chunk.as_mut().filter(|chunk| chunk.table == table)
            && !chunk.snapshot.sees(open.xid)
        {
            let sides = all.iter().flatten().flat_map(|change| [change.before, change.after]);
            for cells in sides.chain([gone]).flatten() {
                chunk.changed(cells, of);
            }
        }
        let spot = Spot { commit: open.commit, index, time: open.time };
        let mut give = |change: &RowChange<'_>| {
            if passed { visitor.passed(change) } else { visitor.row(change) }
        };
        let all = all.map(|change| {
            change
                .map(|change| joined(change, of, |at, key| self.answers.taken((table, at), key), &self.arena))
        });
        Ok(changes(all, (table, spot), &mut self.id, &mut give))
    }
}

/// Gives one change, or a delete and an insert where the key has changed; `id` is room for the changes' ids.
pub(super) fn changes(
    all: [Option<Changed<'_>>; 2],
    (table, spot): (usize, Spot),
    id: &mut String,
    give: &mut dyn FnMut(&RowChange<'_>),
) -> usize {
    let mut rows = 0;
    for (at, Changed { op, before, after, broken, looked_up }) in (0..).zip(all.into_iter().flatten()) {
        name(spot, id);
        let first = id.len();
        if at > 0 {
            id.push('.');
            digits::decimal(u64::from(at), 1, id);
        }
        let moved_from = (at > 0).then_some(&id[..first]);
        // A changed key is two changes, each with a place of its own.
        let place = Some(Place { lsn: spot.commit, index: spot.index.saturating_mul(2).saturating_add(at) });
        let (id, time, broken) = (&*id, spot.time, &broken);
        give(&RowChange { table, op, id, moved_from, time, place, before, after, broken, looked_up });
        rows += 1;
    }
    rows
}

/// The id of what happens first by a row message.
pub(super) fn name(spot: Spot, id: &mut String) {
    id.clear();
    id.push('w');
    digits::hex(spot.commit, 16, id);
    id.push('/');
    digits::decimal(u64::from(spot.index), 1, id);
}

/// With what the row takes from other tables.
fn joined<'a, 's>(
    row: Changed<'a>,
    of: &StreamTable,
    answer: impl Fn(usize, Vec<Option<String>>) -> Option<&'s str>,
    arena: &'a Bump,
) -> Changed<'a> {
    let joins = &of.captured.joins;
    let Changed { op, before, after, mut broken, looked_up } = row;
    let Some(cells) = after.or(before).filter(|_| !joins.is_empty()) else {
        return Changed { op, before, after, broken, looked_up };
    };
    let found: Vec<Option<&str>> =
        joins.iter().enumerate().map(|(at, join)| answer(at, join.key(cells))).collect();
    let mut extend = |cells: Option<&'a [Cell<'a>]>, side| {
        cells.map(|cells| joins::extend(cells, joins, |at| found[at], (side, &mut broken), arena))
    };
    let (before, after) = (extend(before, Side::Before), extend(after, Side::After));
    let later = looked_up.iter().copied().chain(cells.len()..cells.len() + joins.len());
    let looked_up = arena.alloc_slice_fill_iter(later.collect::<Vec<_>>());
    Changed { op, before, after, broken, looked_up }
}
