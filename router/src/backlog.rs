//! What waits for one partition, cut into transactions.

use std::collections::VecDeque;
use std::sync::Arc;

use lienthong_contract::sink::OffsetState;
use lienthong_log::LogBatch;
use lienthong_log::record::Entry;

use crate::error::RouterError;
use crate::order::{Guard, Order};

/// Bounds of one transaction, or what is left of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Events.
    pub(crate) rows: usize,
    /// Bytes of their records.
    pub(crate) bytes: usize,
}

impl Bounds {
    /// Whether nothing more goes in.
    pub(crate) fn used_up(self) -> bool {
        self.rows == 0 || self.bytes == 0
    }

    /// Whether at least this part of `whole` has been taken.
    pub(crate) fn taken(self, whole: Self, part: usize) -> bool {
        let took = |left: usize, whole: usize| whole.saturating_sub(left) >= whole.div_ceil(part.max(1));
        took(self.rows, whole.rows) || took(self.bytes, whole.bytes)
    }
}

/// Bytes that a batch holds while it waits.
pub(crate) fn weight(batch: &LogBatch) -> usize {
    batch.body.len() + batch.entries.len() * size_of::<Entry>()
}

/// One partition's events of one transaction.
#[derive(Debug)]
pub(crate) struct Unit {
    /// Accepted entries, with the batch that holds them.
    pub(crate) parts: Vec<(Arc<LogBatch>, Vec<Entry>)>,
    /// The offset row afterwards.
    pub(crate) next: OffsetState,
    /// Weight of the batches that are used up with this unit.
    pub(crate) released: usize,
}

impl Unit {
    /// Events in it.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.parts.iter().map(|(_, entries)| entries.len()).sum()
    }

    /// First and last offset of its events.
    #[must_use]
    pub(crate) fn offsets(&self) -> Option<(i64, i64)> {
        let first = self.parts.first()?.1.first()?;
        let last = self.parts.last()?.1.last()?;
        Some((first.offset, last.offset))
    }

    /// Whether only control records passed.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Two halves, the earlier one first; the unit itself when it cannot be divided. What keeps a unit from being applied is found
    /// by halving, so that everything before it is delivered and its own offset can be named. `before`: the offset row.
    pub(crate) fn halves(self, before: Option<OffsetState>) -> Result<(Self, Self), Self> {
        let mut rest = self.len() / 2;
        if rest == 0 {
            return Err(self);
        }
        let fresh_through = before.map_or(0, |state| state.fresh_through);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        let mut next = self.next;
        for (batch, mut entries) in self.parts {
            let later = entries.split_off(rest.min(entries.len()));
            rest -= entries.len();
            if let Some(last) = entries.last() {
                let (next_offset, epoch, sequence) = (last.offset + 1, last.epoch, last.sequence);
                next = OffsetState { next_offset, epoch, sequence, fresh_through };
                first.push((Arc::clone(&batch), entries));
            }
            if !later.is_empty() {
                second.push((batch, later));
            }
        }
        let second = Self { parts: second, next: self.next, released: self.released };
        Ok((Self { parts: first, next, released: 0 }, second))
    }
}

/// Batches in order, and how far they are used up.
#[derive(Debug)]
pub(crate) struct Backlog {
    batches: VecDeque<Arc<LogBatch>>,
    at: usize,
    guard: Guard,
}

impl Backlog {
    /// From the offset row.
    #[must_use]
    pub(crate) fn new(state: OffsetState) -> Self {
        Self { batches: VecDeque::new(), at: 0, guard: Guard::new(state) }
    }

    /// Adds what came.
    pub(crate) fn push(&mut self, batch: LogBatch) {
        self.batches.push_back(Arc::new(batch));
    }

    /// Whether nothing waits.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Entries that wait, duplicates among them.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.batches.iter().map(|batch| batch.entries.len()).sum::<usize>().saturating_sub(self.at)
    }

    /// The next transaction's events: all that waits, up to what is left of the bounds, and at least one.
    ///
    /// # Errors
    /// When records are missing.
    pub(crate) fn take(&mut self, left: &mut Bounds) -> Result<Unit, RouterError> {
        let mut unit = Unit { parts: Vec::new(), next: self.guard.state(), released: 0 };
        let mut rows = 0;
        while let Some(batch) = self.batches.front().map(Arc::clone) {
            if self.at == 0 && batch.from_offset > self.guard.state().next_offset {
                return if rows > 0 {
                    Ok(self.ended(unit))
                } else {
                    Err(skipped(&batch, self.guard.state()))
                };
            }
            let mut entries = Vec::new();
            while let Some(entry) = batch.entries.get(self.at) {
                let size = size_of_entry(&batch, self.at);
                if rows > 0 && (left.rows == 0 || size > left.bytes) {
                    break;
                }
                match self.guard.judge(entry) {
                    Order::Accept => {
                        entries.push(*entry);
                        rows += 1;
                        left.rows = left.rows.saturating_sub(1);
                        left.bytes = left.bytes.saturating_sub(size);
                    }
                    Order::Duplicate => {}
                    // What stands before it is delivered first.
                    Order::Hole if rows > 0 => {
                        unit.parts.push((batch, entries));
                        return Ok(self.ended(unit));
                    }
                    Order::Hole => return Err(hole(&batch, entry, self.guard.state())),
                }
                self.at += 1;
            }
            let used_up = self.at >= batch.entries.len();
            if used_up {
                self.guard.close(&batch);
                unit.released += weight(&batch);
                self.batches.pop_front();
                self.at = 0;
            }
            unit.parts.push((batch, entries));
            if !used_up {
                break;
            }
        }
        Ok(self.ended(unit))
    }

    fn ended(&self, mut unit: Unit) -> Unit {
        unit.parts.retain(|(_, entries)| !entries.is_empty());
        unit.next = self.guard.state();
        unit
    }
}

fn size_of_entry(batch: &LogBatch, index: usize) -> usize {
    let start = batch.entries[index].at;
    let end = batch.entries.get(index + 1).map_or(batch.body.len(), |next| next.at);
    end.saturating_sub(start)
}

fn skipped(batch: &LogBatch, state: OffsetState) -> RouterError {
    let (topic, partition) = (&batch.source.topic, batch.source.partition);
    RouterError::halted(
        format!(
            "offsets {} to {} of {topic}/{partition} were not read",
            state.next_offset,
            batch.from_offset - 1
        ),
        "report this defect of the log's client; starting again reads them",
    )
}

fn hole(batch: &LogBatch, entry: &Entry, state: OffsetState) -> RouterError {
    let (topic, partition) = (&batch.source.topic, batch.source.partition);
    RouterError::halted(
        format!(
            "records of {topic}/{partition} are missing: sequence {} at offset {} follows sequence {} at offset {}",
            entry.sequence,
            entry.offset,
            state.sequence,
            state.next_offset - 1
        ),
        "compare the partition with the publisher's checkpoint; a snapshot of the affected keys repairs the rows",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use lienthong_log::TopicPartition;

    fn batch(first: i64, count: i64, heartbeat: Option<i64>) -> LogBatch {
        let entries = (0..count)
            .map(|index| Entry {
                offset: first + index,
                at: index as usize * 10,
                epoch: 1,
                sequence: (first + index + 1) as u64,
                append_time: 0,
            })
            .collect();
        let beats = i64::from(heartbeat.is_some());
        LogBatch {
            source: TopicPartition { topic: "lt.a.live".into(), partition: 0 },
            body: Bytes::from(vec![0; count as usize * 10]),
            entries,
            from_offset: first,
            next_offset: first + count + beats,
            epoch: 1,
            sequence: (first + count + beats) as u64,
            ignored: 0,
            heartbeat,
        }
    }

    #[test]
    fn units_cut_and_join_batches_and_every_state_is_one_of_the_log() {
        let mut backlog = Backlog::new(OffsetState::START);
        backlog.push(batch(0, 5, Some(7)));
        backlog.push(batch(6, 2, None));
        let bounds = Bounds { rows: 3, bytes: 1_000 };
        let unit = backlog.take(&mut { bounds }).expect("first");
        assert_eq!((unit.len(), unit.next.next_offset, unit.next.fresh_through, unit.released), (3, 3, 0, 0));
        let unit = backlog.take(&mut { bounds }).expect("second");
        assert_eq!((unit.len(), unit.parts.len(), unit.next.next_offset), (3, 2, 7));
        assert_eq!(
            (unit.next.sequence, unit.next.fresh_through, unit.released),
            (7, 7, weight(&batch(0, 5, None)))
        );
        let unit = backlog.take(&mut Bounds { rows: 3, bytes: 1 }).expect("third");
        assert_eq!((unit.len(), unit.next.next_offset, backlog.is_empty()), (1, 8, true), "at least one");
    }

    #[test]
    fn what_one_partition_takes_is_missing_from_the_bounds_of_the_next() {
        let whole = Bounds { rows: 10, bytes: 1_000 };
        let mut left = whole;
        for (count, rows, bytes) in [(4, 6, 960), (9, 0, 900)] {
            let mut backlog = Backlog::new(OffsetState::START);
            backlog.push(batch(0, count, None));
            backlog.take(&mut left).expect("unit");
            assert_eq!((left.rows, left.bytes, left.used_up()), (rows, bytes, rows == 0));
        }
        assert!(
            Bounds { rows: 8, bytes: 750 }.taken(whole, 4) && !Bounds { rows: 8, bytes: 751 }.taken(whole, 4)
        );
        assert!(
            Bounds { rows: 7, bytes: 999 }.taken(whole, 4) && Bounds { rows: 0, bytes: 999 }.taken(whole, 1)
        );
    }

    #[test]
    fn what_comes_again_is_left_out_and_control_records_alone_are_an_empty_unit() {
        let mut backlog =
            Backlog::new(OffsetState { next_offset: 3, epoch: 1, sequence: 3, fresh_through: 0 });
        backlog.push(batch(0, 5, None));
        let bounds = Bounds { rows: 10, bytes: 1_000 };
        assert_eq!(backlog.take(&mut { bounds }).expect("overlap").len(), 2);
        backlog.push(batch(5, 0, Some(9)));
        let unit = backlog.take(&mut { bounds }).expect("heartbeat");
        assert!(unit.is_empty());
        assert_eq!((unit.next.next_offset, unit.next.fresh_through), (6, 9));
    }

    #[test]
    fn a_unit_is_halved_down_to_single_events_and_every_half_ends_in_a_state_of_the_log() {
        let mut backlog = Backlog::new(OffsetState::START);
        backlog.push(batch(0, 1, None));
        backlog.push(batch(1, 4, Some(7)));
        let whole = backlog.take(&mut Bounds { rows: 10, bytes: 1_000 }).expect("unit");
        let (end, released) = (whole.next, whole.released);
        let (first, second) = whole.halves(None).expect("halves");
        assert_eq!((first.offsets(), first.next.next_offset, first.next.sequence), (Some((0, 1)), 2, 2));
        assert_eq!((first.next.fresh_through, first.released), (0, 0));
        assert_eq!((second.offsets(), second.next, second.released), (Some((2, 4)), end, released));
        let (one, rest) = second.halves(Some(first.next)).expect("halves");
        assert_eq!((one.offsets(), one.next.next_offset, rest.len()), (Some((2, 2)), 3, 2));
        assert!(one.halves(None).is_err(), "one event cannot be divided");
    }

    #[test]
    fn a_hole_halts_after_what_stands_before_it() {
        let mut backlog = Backlog::new(OffsetState::START);
        let mut broken = batch(0, 2, None);
        broken.entries[1].sequence = 3;
        backlog.push(broken);
        let bounds = Bounds { rows: 10, bytes: 1_000 };
        let unit = backlog.take(&mut { bounds }).expect("before the hole");
        assert_eq!((unit.offsets(), unit.next.next_offset), (Some((0, 0)), 1));
        let error = backlog.take(&mut { bounds }).expect_err("hole");
        assert!(error.to_string().contains("lt.a.live/0 are missing: sequence 3 at offset 1"), "{error}");
    }
}
