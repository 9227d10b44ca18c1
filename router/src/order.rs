//! The second guard of order. The log's reader applies the reading rule already; this one stands directly before the
//! subscriber's database and trusts nobody about duplicates and holes.

use lienthong_contract::sink::OffsetState;
use lienthong_log::LogBatch;
use lienthong_log::record::Entry;

/// What an entry is to a partition that stands somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The next one.
    Accept,
    /// Delivered before, or of a writer that was fenced: left out.
    Duplicate,
    /// Records before it are missing.
    Hole,
}

/// Where a partition stands while entries come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard {
    state: OffsetState,
}

impl Guard {
    /// From the offset row.
    #[must_use]
    pub(crate) fn new(state: OffsetState) -> Self {
        Self { state }
    }

    /// The state after what has been accepted.
    #[must_use]
    pub(crate) fn state(&self) -> OffsetState {
        self.state
    }

    /// Judges the next entry. Heartbeats take sequences but are no entries, so that a step of the sequence may be larger than
    /// one; but every missing sequence must have taken an offset of its own, else it is a hole.
    pub(crate) fn judge(&mut self, entry: &Entry) -> Order {
        let state = &mut self.state;
        if entry.offset < state.next_offset || entry.sequence <= state.sequence || entry.epoch < state.epoch {
            return Order::Duplicate;
        }
        let offsets = entry.offset.saturating_sub(state.next_offset).saturating_add(1);
        if entry.sequence - state.sequence > offsets.unsigned_abs() {
            return Order::Hole;
        }
        *state = OffsetState {
            next_offset: entry.offset + 1,
            epoch: entry.epoch,
            sequence: entry.sequence,
            fresh_through: state.fresh_through,
        };
        Order::Accept
    }

    /// After all entries of a batch: past its control records, and as fresh as its newest heartbeat.
    pub(crate) fn close(&mut self, batch: &LogBatch) {
        let state = &mut self.state;
        if batch.next_offset < state.next_offset {
            return;
        }
        state.next_offset = batch.next_offset;
        state.epoch = state.epoch.max(batch.epoch);
        state.sequence = state.sequence.max(batch.sequence);
        state.fresh_through = state.fresh_through.max(batch.heartbeat.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(offset: i64, epoch: i64, sequence: u64) -> Entry {
        Entry { offset, at: 0, epoch, sequence, append_time: 0 }
    }

    #[test]
    fn the_next_counts_the_former_do_not_and_a_gap_is_a_hole() {
        let mut guard = Guard::new(OffsetState { next_offset: 10, epoch: 3, sequence: 7, fresh_through: 0 });
        assert_eq!(guard.judge(&entry(9, 3, 8)), Order::Duplicate, "offset delivered before");
        assert_eq!(guard.judge(&entry(11, 3, 7)), Order::Duplicate, "sequence delivered before");
        assert_eq!(guard.judge(&entry(11, 2, 8)), Order::Duplicate, "of a fenced writer");
        assert_eq!(guard.judge(&entry(10, 3, 9)), Order::Hole, "8 cannot stand anywhere");
        assert_eq!(guard.judge(&entry(11, 3, 9)), Order::Accept, "8 may be a heartbeat at 10");
        assert_eq!(guard.judge(&entry(20, 5, 10)), Order::Accept, "fences and ignored records take offsets");
        let state = guard.state();
        assert_eq!((state.next_offset, state.epoch, state.sequence), (21, 5, 10));
    }
}
