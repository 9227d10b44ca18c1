//! Where a partition begins: at its offset row, or, for a subscription that has none yet, where the log allows it.

use lienthong_contract::sink::{LanePartition, OffsetState, Sink, SinkError};
use lienthong_log::{Log, LogError, TopicPartition};
use tokio::sync::watch;

use crate::status::Status;

/// Where a partition begins.
pub(crate) struct Opened {
    /// The offset row.
    pub(crate) row: Option<OffsetState>,
    /// Without a row.
    pub(crate) start: OffsetState,
}

/// Why it is not known where a partition begins.
pub(crate) enum OpenFault {
    Sink(SinkError),
    Log(LogError),
}

/// Looks at the offset row, and without one at the log: offset 0 while it is there, else the oldest place that a valid checkpoint
/// vouches for. A row that retention has overtaken stays what it is: a loss, which halts.
pub(crate) async fn look(
    sink: &mut dyn Sink,
    log: &dyn Log,
    source: &TopicPartition,
    name: &LanePartition,
) -> Result<Opened, OpenFault> {
    match sink.offset(name).await.map_err(OpenFault::Sink)? {
        Some(row) => Ok(Opened { row: Some(row), start: row }),
        None => {
            let start = log.start_at(source, 0).await.map_err(OpenFault::Log)?;
            Ok(Opened { row: None, start })
        }
    }
}

/// Says that a subscription begins when the log has let go of the oldest records already. Nobody expects those, but nobody must think
/// that they came.
pub(crate) fn tell(
    status: &watch::Sender<Status>,
    source: &TopicPartition,
    row: Option<OffsetState>,
    start: OffsetState,
) {
    if row.is_some() || start.next_offset == 0 {
        return;
    }
    let TopicPartition { topic, partition } = source;
    tracing::warn!(%topic, partition, offset = start.next_offset, "begins here: the log no longer holds what stood before");
    status.send_modify(|status| {
        status.late.insert(source.clone(), start.next_offset);
    });
}
