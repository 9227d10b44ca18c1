//! The writing and reading rules of fenced sequences: exactly once into the log without transactions.
//!
//! **Invariant:** pure. No I/O, no clock, no async: records go in, verdicts come out; both engines and the model test drive the
//! same code. The order of a writer's life:
//!
//! 1. append a claim ([`PositionRecord::Claim`] under [`claim_key`]) to the participant's `lt.positions` partition; its offset is the
//!    writer epoch;
//! 2. append a fence of that epoch to every partition;
//! 3. read `lt.positions` up to the own claim into [`Positions`]; [`Positions::newest_valid`] is where to go on from;
//! 4. per partition, once the own fence there is acked, feed a [`ReadBack`] from [`ReadBack::start`] until it says `Done`;
//! 5. append with the epoch and the sequences that [`Progress`] gives, skipping the collected ids;
//! 6. [`Progress::checkpoint`], append under [`checkpoint_key`], acked; feed [`Positions`] up to it; [`Positions::superseded`] =
//!    stop for good, otherwise the source may forget. The next checkpoint is sent only after that.

mod positions;
mod progress;
mod read_back;
mod reading;
mod starts;
#[cfg(test)]
mod tests;

pub use positions::{
    Checkpoint, Claim, PartitionPoint, PositionRecord, Positions, checkpoint_key, claim_key, milestone_key,
};
pub use progress::{Mark, Progress};
pub use read_back::{ReadBack, Step};
pub use reading::{Judgement, MarkKind, Reader, RecordMark};
pub use starts::Starts;

use crate::api::WriterError;

/// The log's history contradicts itself; nobody may write until an operator has looked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; fix: {fix}")]
pub struct Broken {
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

impl Broken {
    /// From two sentences.
    #[must_use]
    pub fn new(problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { problem: problem.into(), fix: fix.into() }
    }

    /// A fence above the own epoch stands in a partition without such a claim in `lt.positions`.
    #[must_use]
    pub fn fence_without_claim(topic: &str, partition: i32, fence: i64, own: i64) -> Self {
        Self::new(
            format!(
                "{topic}/{partition} holds a fence of epoch {fence}, above this writer's claim {own}, but lt.positions has no such \
                 claim: lt.positions was recreated or cut"
            ),
            "restore lt.positions, or move the participant to new topics; never write on",
        )
    }
}

impl From<Broken> for WriterError {
    fn from(broken: Broken) -> Self {
        Self::Broken { problem: broken.problem, fix: broken.fix }
    }
}
