//! Read-back: which events of former writers are already in a partition.

use std::collections::HashSet;

use super::{Broken, Checkpoint, Judgement, MarkKind, PartitionPoint, Reader, RecordMark};

/// What to do after a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Read on.
    More,
    /// The own fence is reached: everything that will ever count from former writers is known.
    Done,
    /// A higher epoch stands there. With a claim of that offset in `lt.positions` this writer is fenced; without one
    /// the history is broken ([`Broken::fence_without_claim`]).
    Newer(i64),
}

/// Reads one partition from the newest valid checkpoint to the own fence. Must begin only after the own fence there is acked: what
/// lands behind it never counts, what lands before it is seen.
#[derive(Clone, Debug)]
pub struct ReadBack {
    own: i64,
    start: i64,
    reader: Reader,
    collected: HashSet<Box<str>>,
    fence: Option<i64>,
}

impl ReadBack {
    /// For one partition; without a checkpoint, or for a partition that it does not know, from offset 0 with no epoch.
    #[must_use]
    pub fn new(own: i64, checkpoint: Option<&Checkpoint>, topic: &str, partition: i32) -> Self {
        let point: Option<&PartitionPoint> = checkpoint.and_then(|known| known.point(topic, partition));
        let (start, reader) = point.map_or((0, Reader::START), |point| {
            (point.next_offset, Reader { epoch: point.epoch, sequence: point.sequence })
        });
        Self { own, start, reader, collected: HashSet::new(), fence: None }
    }

    /// First offset to read.
    #[must_use]
    pub fn start(&self) -> i64 {
        self.start
    }

    /// Retention must not have passed the start: what is gone could neither be skipped nor sent again.
    ///
    /// # Errors
    /// States the gap.
    pub fn check_retention(&self, topic: &str, partition: i32, low: i64) -> Result<(), Broken> {
        if self.start >= low {
            return Ok(());
        }
        Err(Broken::new(
            format!(
                "retention of {topic}/{partition} has passed the newest valid checkpoint: offsets {} to {} are gone",
                self.start,
                low - 1
            ),
            "compare source and subscribers, then start the participant anew with a snapshot",
        ))
    }

    /// Takes the next record; `mark` is `None` for a record that no writer of the bus made, `id` its `ce_id`.
    ///
    /// # Errors
    /// When an accepted event has no id: it could not be recognised when the source gives it again.
    pub fn observe(
        &mut self,
        offset: i64,
        mark: Option<RecordMark>,
        id: Option<&str>,
    ) -> Result<Step, Broken> {
        let Some(mark) = mark else { return Ok(Step::More) };
        if mark.epoch > self.own {
            return Ok(Step::Newer(mark.epoch));
        }
        let judgement = self.reader.judge(mark);
        if mark.epoch == self.own {
            self.fence = Some(offset);
            return Ok(Step::Done);
        }
        // Only what counts is collected: an ignored record's event must be sent again.
        if judgement == Judgement::Accept && mark.kind == MarkKind::Data {
            let id = id.ok_or_else(|| {
                Broken::new(
                    format!("the event at offset {offset} of epoch {} has no ce_id", mark.epoch),
                    "only connectors of this bus may write family topics: check the ACLs",
                )
            })?;
            self.collected.insert(id.into());
        }
        Ok(Step::More)
    }

    /// Last sequence accepted so far: the own records go on from the next one.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.reader.sequence
    }

    /// Offset of the own fence, once it was reached.
    #[must_use]
    pub fn fence(&self) -> Option<i64> {
        self.fence
    }

    /// The ids collected.
    #[must_use]
    pub fn into_collected(self) -> HashSet<Box<str>> {
        self.collected
    }
}
