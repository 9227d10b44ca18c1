//! From a record's headers to what the reading rule needs, and from judged records to a [`LogBatch`].

use bytes::Bytes;
use lienthong_contract::event::header;
use lienthong_contract::sink::OffsetState;

use lienthong_contract::event::Lane;

use crate::api::TopicPartition;
use crate::record::{Entry, LogBatch, RecordRef};
use crate::rules::{Judgement, MarkKind, Reader, RecordMark};

/// The mark of a record by its headers; `None` when no writer of the bus made it: such a record never counts.
pub fn mark_of<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Option<RecordMark> {
    let (mut kind, mut epoch, mut sequence) = (MarkKind::Data, None, None);
    for (name, value) in headers {
        match name {
            header::TYPE if value == header::FENCE.as_bytes() => kind = MarkKind::Fence,
            header::TYPE if value == header::HEARTBEAT.as_bytes() => kind = MarkKind::Heartbeat,
            header::WRITER_EPOCH => epoch = number(value),
            header::PARTITION_SEQUENCE => sequence = number(value),
            _ => {}
        }
    }
    let epoch = i64::try_from(epoch?).ok()?;
    let sequence = if kind == MarkKind::Fence { 0 } else { sequence? };
    Some(RecordMark { kind, epoch, sequence })
}

/// The mark of a record in the body layout.
#[must_use]
pub fn mark_of_record(record: &RecordRef<'_>) -> Option<RecordMark> {
    mark_of(record.headers())
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Whether a topic is under the reading rule. All others are side topics: their records have neither epoch nor sequence, and
/// all of them count.
#[must_use]
pub fn is_family_topic(topic: &str) -> bool {
    topic.rsplit_once('.').is_some_and(|(_, lane)| lane == Lane::Live.as_str() || lane == Lane::Bulk.as_str())
}

/// Whether a topic takes heartbeats.
#[must_use]
pub fn is_live_topic(topic: &str) -> bool {
    topic.rsplit_once('.').is_some_and(|(_, lane)| lane == Lane::Live.as_str())
}

/// Judges a partition's records one by one and keeps what a [`LogBatch`] says.
#[derive(Debug)]
pub struct Intake {
    source: TopicPartition,
    family: bool,
    reader: Reader,
    entries: Vec<Entry>,
    from_offset: i64,
    next_offset: i64,
    ignored: u64,
    heartbeat: Option<i64>,
}

/// Where a record came from and would go to.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Offset in the partition.
    pub offset: i64,
    /// Time at which the log took it, microseconds.
    pub append_time: i64,
    /// Where its body begins, or will begin, in the batch's buffer.
    pub at: usize,
}

impl Intake {
    /// From a reader's state. A side topic ([`is_family_topic`]) takes every record, with epoch -1 and sequence 0.
    #[must_use]
    pub fn new(source: TopicPartition, state: &OffsetState) -> Self {
        let next_offset = state.next_offset;
        Self {
            family: is_family_topic(&source.topic),
            source,
            reader: Reader::from_state(state),
            entries: Vec::new(),
            from_offset: next_offset,
            next_offset,
            ignored: 0,
            heartbeat: None,
        }
    }

    /// Takes the next record; whether it is an event that counts, so that its body must stand at `place.at`. `time` is the
    /// record's own time (a heartbeat's time).
    pub fn take(&mut self, mark: Option<RecordMark>, time: i64, place: Place) -> bool {
        self.next_offset = self.next_offset.max(place.offset + 1);
        if !self.family {
            self.keep(place, -1, 0);
            return true;
        }
        let Some(mark) = mark else {
            self.ignored += 1;
            return false;
        };
        let judgement = self.reader.judge(mark);
        self.ignored += u64::from(judgement.is_ignored());
        match (judgement, mark.kind) {
            (Judgement::Accept, MarkKind::Data) => {
                self.keep(place, mark.epoch, mark.sequence);
                true
            }
            (Judgement::Accept, MarkKind::Heartbeat) => {
                self.heartbeat = self.heartbeat.max(Some(time));
                false
            }
            _ => false,
        }
    }

    fn keep(&mut self, place: Place, epoch: i64, sequence: u64) {
        let Place { offset, append_time, at } = place;
        self.entries.push(Entry { offset, at, epoch, sequence, append_time });
    }

    /// Moves the next offset past a range that holds no records (compacted or aborted).
    pub fn skip_to(&mut self, next_offset: i64) {
        self.next_offset = self.next_offset.max(next_offset);
    }

    /// Offset to go on from.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.next_offset
    }

    /// Events taken so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no event was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The batch; `body` is what the entries point into.
    #[must_use]
    pub fn finish(self, body: Bytes) -> LogBatch {
        LogBatch {
            source: self.source,
            body,
            entries: self.entries,
            from_offset: self.from_offset,
            next_offset: self.next_offset,
            epoch: self.reader.epoch,
            sequence: self.reader.sequence,
            ignored: self.ignored,
            heartbeat: self.heartbeat,
        }
    }
}

/// A reader's state after a batch.
#[must_use]
pub fn state_after(before: &OffsetState, batch: &LogBatch) -> OffsetState {
    OffsetState {
        next_offset: batch.next_offset,
        epoch: batch.epoch,
        sequence: batch.sequence,
        fresh_through: before.fresh_through.max(batch.heartbeat.unwrap_or(0)),
    }
}
