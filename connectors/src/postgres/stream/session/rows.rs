//! What one row message gives out.

use lienthong_contract::digits;
use lienthong_contract::source::{Place, RowChange, RowVisitor, SourceError};

use super::super::super::wal::message::Message;
use super::super::change::{self, Changed, Unreadable, unread};
use super::super::kept::Spot;
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
        let (first, second) = change::read(message, plan, (&of.keys, of.capture.columns.len()), &self.arena)
            .map_err(|reason| unread(of, reason))?;
        if let Some(chunk) = self.chunk.as_mut().filter(|chunk| chunk.table == table)
            && !chunk.snapshot.sees(open.xid)
        {
            let changed = [Some(&first), second.as_ref()];
            for cells in
                changed.into_iter().flatten().flat_map(|change| [change.before, change.after]).flatten()
            {
                chunk.changed(cells, of);
            }
        }
        let spot = Spot { commit: open.commit, index, time: open.time };
        let mut give = |change: &RowChange<'_>| {
            if passed { visitor.passed(change) } else { visitor.row(change) }
        };
        Ok(changes((first, second), (table, spot), &mut self.id, &mut give))
    }
}

/// Gives one change, or a delete and an insert where the key has changed; `id` is room for the changes' ids.
pub(super) fn changes(
    (first, second): (Changed<'_>, Option<Changed<'_>>),
    (table, spot): (usize, Spot),
    id: &mut String,
    give: &mut dyn FnMut(&RowChange<'_>),
) -> usize {
    let mut rows = 0;
    for (at, Changed { op, before, after, broken }) in (0..).zip([Some(first), second].into_iter().flatten())
    {
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
        give(&RowChange { table, op, id, moved_from, time, place, before, after, broken });
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
