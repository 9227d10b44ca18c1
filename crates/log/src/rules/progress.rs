//! The writer's own account: sequences given out, offsets acked, checkpoints numbered.

use std::collections::BTreeMap;

use super::{Checkpoint, PartitionPoint};
use crate::api::{CheckpointBody, TopicPartition};

/// What a running writer knows of its partitions.
#[derive(Clone, Debug)]
pub struct Progress {
    participant: String,
    epoch: i64,
    number: u64,
    open: BTreeMap<TopicPartition, Open>,
    carried: Vec<PartitionPoint>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    given: u64,
    acks_due: u64,
    acked: u64,
    next_offset: i64,
}

/// How far the partitions of one writer were: a read-back from a checkpoint made with it begins there.
#[derive(Clone, Debug, Default)]
pub struct Mark {
    points: Vec<PartitionPoint>,
}

impl Mark {
    /// That of a checkpoint, with the epochs that its points have.
    pub(crate) fn of(checkpoint: Option<&Checkpoint>) -> Self {
        Self { points: checkpoint.map(|known| known.partitions.clone()).unwrap_or_default() }
    }
}

impl Progress {
    /// After claim, fences and read-back. `former` is the checkpoint that read-back began from: its points of topics that this
    /// writer does not hold are carried along, so that the topic can come back.
    #[must_use]
    pub fn new(participant: &str, epoch: i64, former: Option<&Checkpoint>) -> Self {
        let carried = former.map(|checkpoint| checkpoint.partitions.clone()).unwrap_or_default();
        Self { participant: participant.to_owned(), epoch, number: 0, open: BTreeMap::new(), carried }
    }

    /// Opens a partition after its read-back: offset of the own fence (for an engine without fence records: one less than the
    /// next offset) and last accepted sequence.
    pub fn open(&mut self, target: TopicPartition, fence: i64, sequence: u64) {
        self.carried.retain(|point| *point.topic != *target.topic || point.partition != target.partition);
        self.open
            .insert(target, Open { given: sequence, acks_due: 0, acked: sequence, next_offset: fence + 1 });
    }

    /// The writer epoch.
    #[must_use]
    pub fn epoch(&self) -> i64 {
        self.epoch
    }

    /// Partitions held, in order.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.open.keys()
    }

    /// Gives out `count` dense sequences; the first of them. `None`: not a partition of this writer.
    pub fn give(&mut self, target: &TopicPartition, count: u64) -> Option<u64> {
        let open = self.open.get_mut(target)?;
        let first = open.given + 1;
        open.given += count;
        open.acks_due += count;
        Some(first)
    }

    /// The record with this sequence is durable at this offset. Acks of a partition may come in any order.
    pub fn acked(&mut self, target: &TopicPartition, sequence: u64, offset: i64) {
        self.acked_run(target, 1, sequence, offset);
    }

    /// A run of `count` records is durable; sequence and offset are those of its last one.
    pub fn acked_run(&mut self, target: &TopicPartition, count: u64, last_sequence: u64, last_offset: i64) {
        let Some(open) = self.open.get_mut(target) else { return };
        open.acks_due = open.acks_due.saturating_sub(count);
        if last_sequence > open.acked {
            open.acked = last_sequence;
            open.next_offset = last_offset + 1;
        }
    }

    /// Whether everything given out is acked: only then may a checkpoint be made.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.open.values().all(|open| open.acks_due == 0)
    }

    /// How far the partitions are. Only when [`Progress::settled`].
    #[must_use]
    pub fn mark(&self) -> Mark {
        let open = self.open.iter().map(|(target, open)| PartitionPoint {
            topic: target.topic.to_string(),
            partition: target.partition,
            epoch: self.epoch,
            next_offset: open.next_offset,
            sequence: open.acked,
        });
        Mark { points: open.chain(self.carried.iter().cloned()).collect() }
    }

    /// The next checkpoint: its position covers all that stands before `mark`, and the next writer reads back what stands behind it. Send it
    /// only when [`Progress::settled`], and the one after it only after `lt.positions` was read up to it.
    pub fn checkpoint(&mut self, body: &CheckpointBody, mark: &Mark) -> Checkpoint {
        let number = self.number;
        self.number += 1;
        Checkpoint {
            participant: self.participant.clone(),
            epoch: self.epoch,
            number,
            body: body.clone(),
            partitions: mark.points.clone(),
        }
    }
}
