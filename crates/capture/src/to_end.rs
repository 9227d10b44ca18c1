//! What a partition holds, up to the end that it has when reading begins.

use lienthong_contract::sink::OffsetState;
use lienthong_log::{Log, LogBatch, LogError, TopicPartition, marks};

/// What is asked for at once.
pub(crate) const FETCH_BYTES: usize = 1 << 20;

/// Reads a partition batch by batch.
pub(crate) struct ToEnd<'a> {
    log: &'a dyn Log,
    place: &'a TopicPartition,
    /// Where reading goes on.
    pub(crate) state: OffsetState,
    end: i64,
}

impl<'a> ToEnd<'a> {
    /// From `state` on; `end` is the offset behind the last record.
    pub(crate) fn from(log: &'a dyn Log, place: &'a TopicPartition, state: OffsetState, end: i64) -> Self {
        Self { log, place, state, end }
    }

    /// From the oldest record that may be read, and whether the log has let go of something before it.
    pub(crate) async fn whole(log: &'a dyn Log, place: &'a TopicPartition) -> Result<(Self, bool), LogError> {
        let marks = log.watermarks(place).await?;
        let state = log.start_at(place, marks.low).await?;
        Ok((Self::from(log, place, state, marks.high), marks.low > 0))
    }

    /// The next batch, until the end.
    pub(crate) async fn next(&mut self) -> Result<Option<LogBatch>, LogError> {
        if self.state.next_offset >= self.end {
            return Ok(None);
        }
        let batch = self.log.read(self.place, self.state, FETCH_BYTES).await?;
        if batch.next_offset <= self.state.next_offset {
            return Ok(None);
        }
        self.state = marks::state_after(&self.state, &batch);
        Ok(Some(batch))
    }
}
