//! The reading rule: which records of a partition count.

use lienthong_contract::sink::OffsetState;

/// What a record is, as far as the rule cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// Opens an epoch; carries no sequence.
    Fence,
    /// An event.
    Data,
    /// Keeps a quiet partition fresh; in sequence like an event.
    Heartbeat,
}

/// What the rule knows of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMark {
    /// Kind.
    pub kind: MarkKind,
    /// The offset of its writer's claim.
    pub epoch: i64,
    /// Partition sequence; 0 for a fence.
    pub sequence: u64,
}

/// What the rule says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It counts.
    Accept,
    /// A fence of the highest epoch so far: nothing to deliver.
    Fence,
    /// Its writer was fenced before it landed: ignored and counted.
    Zombie,
    /// A record before it is missing. The rest of this epoch cannot be next any more; the next writer publishes from the hole.
    Hole,
    /// Its sequence was accepted before.
    Repeated,
}

impl Judgement {
    /// Whether the record is one that readers skip and count.
    #[must_use]
    pub fn is_ignored(self) -> bool {
        matches!(self, Self::Zombie | Self::Hole | Self::Repeated)
    }
}

/// State of the rule in one partition. It is a function of the records alone, so that readers who start from the same state
/// always agree; it must be kept with the offset in one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The highest fence seen; -1 before the first.
    pub epoch: i64,
    /// Sequence of the last accepted record; 0 before the first.
    pub sequence: u64,
}

impl Reader {
    /// Before the first record of a partition.
    pub const START: Self = Self { epoch: -1, sequence: 0 };

    /// From a reader's stored state.
    #[must_use]
    pub fn from_state(state: &OffsetState) -> Self {
        Self { epoch: state.epoch, sequence: state.sequence }
    }

    /// Judges the next record of the partition. A record counts iff its epoch is the highest fenced and its sequence the next;
    /// an epoch above the highest fence (its fence fell to retention) fences like one.
    pub fn judge(&mut self, mark: RecordMark) -> Judgement {
        if mark.epoch < self.epoch {
            return Judgement::Zombie;
        }
        self.epoch = mark.epoch;
        if mark.kind == MarkKind::Fence {
            return Judgement::Fence;
        }
        match mark.sequence.cmp(&(self.sequence + 1)) {
            std::cmp::Ordering::Equal => {
                self.sequence = mark.sequence;
                Judgement::Accept
            }
            std::cmp::Ordering::Greater => Judgement::Hole,
            std::cmp::Ordering::Less => Judgement::Repeated,
        }
    }
}
