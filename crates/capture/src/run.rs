//! A connector's whole life: open, pump, and open again when a dependency was away.

use std::sync::Arc;
use std::time::Duration;

use lienthong_contract::event::Lane;
use lienthong_contract::participant::ParticipantId;
use lienthong_contract::source::{Source, SourceError, TableCapture};
use lienthong_log::{Log, LogError, WriterError};
use lienthong_telemetry::{ConnectorMeters, Traces};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::encode::{Encoder, EncoderParts};
use crate::publication::Publication;
use crate::pump::Pump;
use crate::quarantine::QuarantineKeys;

/// One participant's connector, ready to run.
pub struct Connector {
    /// Whose.
    pub participant: ParticipantId,
    /// Its database.
    pub source: Box<dyn Source>,
    /// Captured tables, in the order in which the source was opened with them.
    pub tables: Arc<[TableCapture]>,
    /// Compiled `publishes` entries.
    pub publications: Arc<[Publication]>,
    /// The log.
    pub log: Arc<dyn Log>,
    /// Keys of quarantine.
    pub keys: QuarantineKeys,
}

/// How to run.
#[derive(Clone, Debug)]
pub struct CaptureOptions {
    /// Stop when everything committed before the start is in the log.
    pub once: bool,
    /// Rows per batch.
    pub batch_rows: usize,
    /// Heartbeat interval.
    pub heartbeat: Duration,
    /// Rows set aside before the connector halts.
    pub quarantine_limit: u64,
    /// How long a dependency may be away before giving up; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// Microseconds since 1970 UTC.
    pub clock: fn() -> i64,
    /// What is counted on the way.
    pub meters: ConnectorMeters,
    /// Where traces go.
    pub traces: Traces,
}

/// What a connector is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Opening source and log, reading back.
    Starting,
    /// Behind its source.
    CatchingUp,
    /// Everything committed is in the log.
    Live,
    /// A dependency is away; tries again by itself. The text says which and why, without values.
    Waiting(String),
    /// Ended.
    Stopped,
}

/// A connector's gauges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// Events appended since the start.
    pub events: u64,
    /// Rows set aside since the start.
    pub quarantined: u64,
    /// Changes that the source keeps for the bus; `None` until it was asked.
    pub retained: Option<u64>,
    /// Newest commit time appended, microseconds.
    pub last_event_time: Option<i64>,
    /// Heartbeat time, microseconds.
    pub fresh_through: Option<i64>,
    /// Rounds of asking the source, appending and checkpointing that were finished: it stands still when source or log do not answer.
    pub rounds: u64,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            state: State::Starting,
            events: 0,
            quarantined: 0,
            retained: None,
            last_event_time: None,
            fresh_through: None,
            rounds: 0,
        }
    }
}

/// Why a connector ended.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The writer ended.
    #[error(transparent)]
    Writer(#[from] WriterError),
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The database is another one than the position was made in.
    #[error(
        "the source's lineage has changed: {part} was {stored}, is {present}; fix: point the connector at the database it was capturing, or, if this one replaces it, publish under a new participant until accepting a lineage is supported"
    )]
    Lineage {
        /// Which part.
        part: String,
        /// Then.
        stored: String,
        /// Now.
        present: String,
    },
    /// Too many rows broke their contract.
    #[error(
        "{limit} rows were set aside, the last by rule {rule}; fix: mend the rows or the mapping, see the quarantine topic"
    )]
    QuarantineFull {
        /// The bound.
        limit: u64,
        /// Of the last row.
        rule: &'static str,
    },
}

impl CaptureError {
    /// Whether waiting may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Source(error) => matches!(error, SourceError::Unreachable { .. }),
            Self::Writer(WriterError::Lost(_)) => true,
            Self::Writer(WriterError::Log(error)) | Self::Log(error) => {
                matches!(error, LogError::Unreachable { .. } | LogError::RegistryDown(_))
            }
            Self::Writer(WriterError::Fenced { .. } | WriterError::Broken { .. })
            | Self::Lineage { .. }
            | Self::QuarantineFull { .. } => false,
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Runs until `shutdown`, or with `once` until everything committed before the start is in the log. Dependencies that are away are
/// waited for, at most `timeout`.
///
/// # Errors
/// What ended the connector: fenced, lineage, quarantine bound, or a dependency away for too long.
pub async fn run(
    mut connector: Connector,
    options: CaptureOptions,
    status: watch::Sender<Status>,
    shutdown: CancellationToken,
) -> Result<(), CaptureError> {
    let mut pause = FIRST_PAUSE;
    let mut away_since = None;
    loop {
        let before = status.borrow().events;
        let ended = session(&mut connector, &options, &status, &shutdown).await;
        let error = match ended {
            Err(error) if error.is_transient() => error,
            ended => {
                status.send_modify(|status| status.state = State::Stopped);
                return ended;
            }
        };
        if status.borrow().events != before {
            (pause, away_since) = (FIRST_PAUSE, None);
        }
        let since = *away_since.get_or_insert_with(tokio::time::Instant::now);
        if shutdown.is_cancelled() || options.timeout.is_some_and(|limit| since.elapsed() >= limit) {
            status.send_modify(|status| status.state = State::Stopped);
            return Err(error);
        }
        status.send_modify(|status| status.state = State::Waiting(error.to_string()));
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = shutdown.cancelled() => {}
        }
    }
}

/// One writer: the source's own lock first, then the claim, so that a healthy holder is not fenced in vain.
async fn session(
    connector: &mut Connector,
    options: &CaptureOptions,
    status: &watch::Sender<Status>,
    shutdown: &CancellationToken,
) -> Result<(), CaptureError> {
    let lineage = connector.source.open().await?;
    let schema_ids = schema_ids(connector).await?;
    let topics = topics(&connector.publications);
    let (mut writer, recovered) = connector.log.open_writer(&connector.participant, &topics).await?;
    let checkpoint = recovered.checkpoint;
    if let Some((part, stored, present)) =
        checkpoint.as_ref().and_then(|checkpoint| checkpoint.lineage.difference(&lineage))
    {
        return Err(CaptureError::Lineage { part, stored, present });
    }
    let position = checkpoint.as_ref().map(lienthong_log::CheckpointBody::position);
    connector.source.seek(position.as_ref()).await?;
    let lineage_epoch = checkpoint.as_ref().map_or(1, |checkpoint| checkpoint.lineage_epoch);
    let encoder = Encoder::new(EncoderParts {
        urn: connector.participant.urn(),
        tables: Arc::clone(&connector.tables),
        publications: Arc::clone(&connector.publications),
        schema_ids,
        partitions: recovered.partitions,
        keys: connector.keys.clone(),
        lineage_epoch,
        writer_epoch: recovered.epoch,
        counter: checkpoint.map_or(0, |checkpoint| checkpoint.counter),
        collected: recovered.collected,
        traces: options.traces.clone(),
    })
    .map_err(|topic| LogError::Topic {
        problem: format!("topic {topic} does not exist"),
        fix: "lienthong topics create".to_owned(),
    })?;
    status.send_modify(|status| status.state = State::CatchingUp);
    let pump = Pump {
        participant: connector.participant.as_str(),
        source: connector.source.as_mut(),
        writer: writer.as_mut(),
        log: connector.log.as_ref(),
        encoder,
        lineage,
        lineage_epoch,
        options,
        status,
    };
    pump.run(shutdown).await
}

/// Live and bulk topics of every family that is published.
#[must_use]
pub fn topics(publications: &[Publication]) -> Vec<String> {
    let mut topics: Vec<String> = publications
        .iter()
        .flat_map(|entry| [Lane::Live, Lane::Bulk].map(|lane| lane.topic(&entry.family)))
        .collect();
    topics.sort();
    topics.dedup();
    topics
}

async fn schema_ids(connector: &Connector) -> Result<Vec<(u32, u32)>, LogError> {
    let mut ids = Vec::new();
    for entry in connector.publications.iter() {
        let id = |lane: Lane| {
            let log = Arc::clone(&connector.log);
            async move { log.schema_id(&lane.topic(&entry.family), &entry.full_name, &entry.schema_text).await }
        };
        ids.push((id(Lane::Live).await?, id(Lane::Bulk).await?));
    }
    Ok(ids)
}
