//! One partition of a group's member: its state, and records that are not handed out yet.

use lienthong_contract::sink::OffsetState;
use rdkafka::message::{BorrowedMessage, Message as _};

use super::decode;
use crate::api::{LogError, TopicPartition};
use crate::marks::{Intake, state_after};
use crate::record::LogBatch;

/// A partition of this member.
pub(super) struct Held {
    pub(super) source: TopicPartition,
    /// Topic as the cluster names it.
    pub(super) physical: String,
    /// Behind the records that were handed out; `None` until the owner has said where to start.
    pub(super) state: Option<OffsetState>,
    pub(super) paused: bool,
    /// Read, but not handed out yet.
    pub(super) ready: Option<(Intake, Vec<u8>)>,
}

impl Held {
    /// Takes the next message.
    pub(super) fn take(&mut self, message: &BorrowedMessage<'_>) -> Result<(), LogError> {
        let Some(state) = self.state else { return Ok(()) };
        let (intake, body) =
            self.ready.get_or_insert_with(|| (Intake::new(self.source.clone(), &state), Vec::new()));
        // Fetched before a pause, and now again.
        if message.offset() < intake.next_offset() {
            return Ok(());
        }
        decode::take(intake, body, message)
    }

    /// What stands ready, as a batch.
    pub(super) fn hand_out(&mut self) -> Option<LogBatch> {
        let (intake, body) = self.ready.take()?;
        let batch = intake.finish(body.into());
        self.state = self.state.map(|state| state_after(&state, &batch));
        Some(batch)
    }

    /// Bytes of what is read but not handed out.
    pub(super) fn ready_bytes(&self) -> usize {
        self.ready.as_ref().map_or(0, |(_, body)| body.len())
    }
}
