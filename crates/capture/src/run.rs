//! A connector's whole life: open, pump, and open again when a dependency was away.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use lienthong_contract::aside::AsideTable;
use lienthong_contract::counted;
use lienthong_contract::event::Lane;
use lienthong_contract::load::LoadProgress;
use lienthong_contract::participant::ParticipantId;
use lienthong_contract::position::{Lineage, Position};
use lienthong_contract::source::{Source, SourceError, TableCapture};
use lienthong_log::{Log, LogError, Mark, Writer, WriterError};
use lienthong_telemetry::{ConnectorMeters, Traces};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::aside::{Mender, Retry};
use crate::encode::{Encoder, EncoderParts};
use crate::first_load::{FirstLoad, Pace};
use crate::lineage;
use crate::publication::Publication;
use crate::pump::{Pump, SetAside};
use crate::quarantine::QuarantineKeys;
use crate::recent::Recent;
use crate::requests::{Offer, Requests};
use crate::retention::{Retained, Retention, act};
use crate::when;

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
    /// While nothing but heartbeats is written, a checkpoint follows them after so long. It must be much shorter than any topic's
    /// retention, which may otherwise pass the newest checkpoint.
    pub idle_checkpoint: Duration,
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
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// Events appended since the start.
    pub events: u64,
    /// Rows set aside since the start.
    pub quarantined: u64,
    /// Tables whose changes are set aside.
    pub aside: Vec<AsideTable>,
    /// Changes that the source keeps for the bus; `None` until it was asked.
    pub retained: Option<u64>,
    /// What the source's server keeps of its log; `None` until it was looked at, and where there is no such log.
    pub retained_log: Option<Retained>,
    /// Newest commit time appended, microseconds.
    pub last_event_time: Option<i64>,
    /// How late the batches of the last minute were.
    pub recent: Recent,
    /// Heartbeat time, microseconds.
    pub fresh_through: Option<i64>,
    /// How far requests for rows have come, the newest last.
    pub loads: Vec<LoadProgress>,
    /// Number of the first request that has not been served as a whole; `None` where nobody can ask.
    pub served: Option<i64>,
    /// How far the first load is, where one is under way that is told.
    pub first_load: Option<FirstLoad>,
    /// Rounds of asking the source, appending and checkpointing that were finished: it stands still when source or log do not answer.
    pub rounds: u64,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            state: State::Starting,
            events: 0,
            quarantined: 0,
            aside: Vec::new(),
            retained: None,
            retained_log: None,
            last_event_time: None,
            recent: Recent::default(),
            fresh_through: None,
            loads: Vec::new(),
            served: None,
            first_load: None,
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
        "the source's lineage has changed: {part} was {stored}, is {present}; changes of {tables} from the last checkpoint on are missing; fix: point the connector at the database it was capturing, or, if this one replaces it, run `lienthong connect {participant} --accept-lineage REASON`"
    )]
    Lineage {
        /// Whose.
        participant: String,
        /// The captured ones.
        tables: String,
        /// Which part.
        part: String,
        /// Then.
        stored: String,
        /// Now.
        present: String,
    },
    /// There is no lineage to accept.
    #[error(
        "{participant}: {problem}, so there is no lineage to accept; fix: run `lienthong connect {participant}`"
    )]
    SameLineage {
        /// Whose.
        participant: String,
        /// Why not.
        problem: &'static str,
    },
    /// A condition does not suit the table as the database has it.
    #[error(
        "{place}: {message}, by the types that the columns of {table} have in the database; fix: {FIX_WHEN}"
    )]
    When {
        /// File, line, column, and the condition.
        place: String,
        /// What is wrong.
        message: String,
        /// Which table.
        table: String,
    },
    /// Too many rows broke their contract.
    #[error(
        "set aside: {}, the last by rule {rule}; fix: mend the rows or the mapping, see the quarantine topic", counted(*limit, "row")
    )]
    QuarantineFull {
        /// The bound.
        limit: u64,
        /// Of the last row.
        rule: &'static str,
    },
    /// A row of a table that was set aside would be set aside again.
    #[error(
        "a row of {table} that was set aside breaks its contract: {column}, rule {rule}; nothing of what was set aside is published; fix: change \
         the participant's file, or publish the other rows by --leave-broken"
    )]
    StillBroken {
        /// Which table.
        table: String,
        /// Field of the contract, or column of the table.
        column: String,
        /// Broken rule.
        rule: &'static str,
    },
    /// This program has a defect: something panicked. No checkpoint covers what was in hand.
    #[error("a defect of this program ended it; fix: report it with the lines before")]
    Defect,
}

const FIX_WHEN: &str = "compare each column with values of its own type: text in quotes, numbers without";

impl CaptureError {
    /// Whether waiting may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            // A connector that has just lost its connection meets its own ghost: the server keeps the lock until it notices.
            Self::Source(error) => {
                matches!(error, SourceError::Unreachable { .. } | SourceError::Held { .. })
            }
            Self::Writer(WriterError::Lost(_)) => true,
            Self::Writer(WriterError::Log(error)) | Self::Log(error) => {
                matches!(error, LogError::Unreachable { .. } | LogError::RegistryDown(_))
            }
            Self::Writer(WriterError::Fenced { .. } | WriterError::Broken { .. })
            | Self::Lineage { .. }
            | Self::SameLineage { .. }
            | Self::When { .. }
            | Self::QuarantineFull { .. }
            | Self::StillBroken { .. }
            | Self::Defect => false,
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// More than a source waits for a lock, or a client for the answer of a broker.
const WAITED: Duration = Duration::from_secs(12);
/// What is under way at `shutdown` may take so long to become durable; then it is dropped, which is as safe as a kill.
const FAREWELL: Duration = Duration::from_secs(5);

/// Runs until `shutdown`, or with `once` until everything committed before the start is in the log. Dependencies that are away or held
/// by another connector are waited for, at most `timeout`. After `shutdown` it returns within seconds, also when a dependency is silent.
///
/// # Errors
/// What ended the connector: fenced, lineage, quarantine bound, a dependency away for too long, or a defect.
pub async fn run(
    connector: Connector,
    options: CaptureOptions,
    status: watch::Sender<Status>,
    shutdown: CancellationToken,
) -> Result<(), CaptureError> {
    guarded(connector, options, None, (&status, shutdown)).await
}

/// Publishes what was committed and can be, then what was set aside, then the rest, as [`run`] does with `once`.
///
/// # Errors
/// As [`run`]; and when what was set aside still cannot be published as a whole: nothing of it is published then.
pub async fn retry(
    connector: Connector,
    options: CaptureOptions,
    retry: Retry,
    status: watch::Sender<Status>,
    shutdown: CancellationToken,
) -> Result<(), CaptureError> {
    let options = CaptureOptions { once: true, ..options };
    guarded(connector, options, Some(retry), (&status, shutdown)).await
}

async fn guarded(
    connector: Connector,
    options: CaptureOptions,
    retry: Option<Retry>,
    (status, shutdown): (&watch::Sender<Status>, CancellationToken),
) -> Result<(), CaptureError> {
    let sessions = Box::pin(sessions(connector, (options, retry), status, shutdown));
    let sessions = AssertUnwindSafe(sessions).catch_unwind();
    sessions.await.unwrap_or_else(|_| {
        status.send_modify(|status| status.state = State::Stopped);
        Err(CaptureError::Defect)
    })
}

/// Where a connector is with what was set aside.
enum Mending {
    /// It stays so, but for what has been decided before.
    Nothing,
    /// First everything else that waits is read: a change may have been taken back in the log already.
    Before(Retry),
    /// It is to be published.
    Due(Retry),
}

impl Mending {
    /// Whether it is what comes next, since everything else has been read in a session that ended so.
    fn is_due_after(&mut self, ended: &Result<(), CaptureError>) -> bool {
        let read = matches!(ended, Ok(()) | Err(CaptureError::Source(SourceError::Aside { .. })));
        match std::mem::replace(self, Self::Nothing) {
            Self::Before(retry) if read => {
                *self = Self::Due(retry);
                true
            }
            other => {
                *self = other;
                false
            }
        }
    }
}

/// One writer after the other: source or log may be away in between.
async fn sessions(
    mut connector: Connector,
    (options, retry): (CaptureOptions, Option<Retry>),
    status: &watch::Sender<Status>,
    shutdown: CancellationToken,
) -> Result<(), CaptureError> {
    let mut pause = FIRST_PAUSE;
    let mut away_since = None;
    let (mut set_aside, mut retention) = (SetAside::default(), Retention::default());
    let mut mending = retry.map_or(Mending::Nothing, Mending::Before);
    loop {
        let before = status.borrow().events;
        let begun = tokio::time::Instant::now();
        let ended = tokio::select! {
            biased;
            ended = session(&mut connector, (&mut set_aside, &mut retention, &mending), &options, status, &shutdown) => ended,
            () = overdue(&shutdown) => {
                tracing::warn!(participant = %connector.participant, "a dependency is silent; what was under way is dropped");
                Ok(())
            }
        };
        // What was ended for it is not under way any more.
        let ended = match ended {
            Err(CaptureError::Source(error)) => Err(act(connector.source.as_mut(), error).await.into()),
            ended => ended,
        };
        if mending.is_due_after(&ended) && !shutdown.is_cancelled() {
            continue;
        }
        let error = match ended {
            Err(error) if error.is_transient() => error,
            ended => {
                status.send_modify(|status| status.state = State::Stopped);
                return ended;
            }
        };
        if shutdown.is_cancelled() {
            tracing::warn!(participant = %connector.participant, %error, "stopped while a dependency was away");
            status.send_modify(|status| status.state = State::Stopped);
            return Ok(());
        }
        // A session that fails soon has done little but wait.
        let mut away = if begun.elapsed() <= WAITED { begun } else { tokio::time::Instant::now() };
        // Whoever was live had everything: what is away now is away anew.
        if status.borrow().events != before || status.borrow().state == State::Live {
            (pause, away_since, away) = (FIRST_PAUSE, None, tokio::time::Instant::now());
        }
        let since = *away_since.get_or_insert(away);
        if options.timeout.is_some_and(|limit| since.elapsed() >= limit) {
            status.send_modify(|status| status.state = State::Stopped);
            return Err(error);
        }
        status.send_modify(|status| status.state = State::Waiting(error.to_string()));
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
            () = shutdown.cancelled() => {
                status.send_modify(|status| status.state = State::Stopped);
                return Ok(());
            }
        }
    }
}

async fn overdue(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(FAREWELL).await;
}

/// What a session begins with.
struct Opened {
    writer: Box<dyn Writer>,
    encoder: Encoder,
    lineage: Lineage,
    lineage_epoch: u32,
    /// Of the newest checkpoint.
    covered: Option<Position>,
    requests: Option<Requests>,
    /// How far the log reached with that.
    mark: Mark,
    /// For an encoder of which nothing is published.
    trial: EncoderParts,
}

/// One writer's life.
async fn session(
    connector: &mut Connector,
    (set_aside, retention, mending): (&mut SetAside, &mut Retention, &Mending),
    options: &CaptureOptions,
    status: &watch::Sender<Status>,
    shutdown: &CancellationToken,
) -> Result<(), CaptureError> {
    // Nothing is under way before the first batch: the start may be dropped at once.
    let Opened { mut writer, mut encoder, lineage, lineage_epoch, covered, requests, mark, trial } = tokio::select! {
        opened = open(connector, options, (retention, status)) => {
            opened.map_err(|error| lineage::naming(error, &connector.participant))?
        }
        () = shutdown.cancelled() => return Ok(()),
    };
    let participant = connector.participant.clone();
    status.send_modify(|status| status.state = State::CatchingUp);
    let mut mender = Mender {
        participant: participant.as_str(),
        source: connector.source.as_mut(),
        writer: writer.as_mut(),
        log: connector.log.as_ref(),
        keys: &connector.keys,
        lineage: &lineage,
        lineage_epoch,
        clock: options.clock,
        status,
    };
    if let Mending::Due(retry) = mending {
        mender.decide(retry, (new_encoder(trial)?, &mark)).await?;
    }
    mender.complete(&mut encoder).await?;
    let pump = Pump {
        participant: connector.participant.as_str(),
        source: connector.source.as_mut(),
        writer: writer.as_mut(),
        log: connector.log.as_ref(),
        encoder,
        set_aside,
        retention,
        covered,
        lineage,
        lineage_epoch,
        requests,
        told: None,
        pace: Pace::default(),
        options,
        status,
    };
    pump.run(shutdown).await.map_err(|error| lineage::naming(error, &participant))
}

/// The source's own lock first, then the claim, so that a healthy holder is not fenced in vain.
async fn open(
    connector: &mut Connector,
    options: &CaptureOptions,
    (retention, status): (&mut Retention, &watch::Sender<Status>),
) -> Result<Opened, CaptureError> {
    let lineage = connector.source.open().await?;
    let types = |table| connector.source.column_types(table);
    when::check(&connector.publications, &connector.tables, types)?;
    // A log that is away fails at once, and the next session looks again.
    retention.look(connector.source.as_mut(), status).await?;
    let topics = topics(&connector.publications);
    let claiming = async {
        let schema_ids = schema_ids(&connector.log, &connector.publications).await?;
        let (writer, recovered) = connector.log.open_writer(&connector.participant, &topics).await?;
        Ok::<_, CaptureError>((schema_ids, writer, recovered))
    };
    let claimed = retention.beside(connector.source.as_mut(), status, claiming).await?;
    let (schema_ids, writer, recovered) = claimed?;
    let checkpoint = recovered.checkpoint;
    lineage::seek(connector, &lineage, checkpoint.as_ref()).await?;
    let covered = checkpoint.as_ref().and_then(lienthong_log::CheckpointBody::position);
    let requests = match connector.source.served() {
        Some(next) => Some(Requests::open(Arc::clone(&connector.log), offer(connector), next).await?),
        None => None,
    };
    let lineage_epoch = checkpoint.as_ref().map_or(1, |checkpoint| checkpoint.lineage_epoch);
    let parts = EncoderParts {
        urn: connector.participant.urn(),
        tables: Arc::clone(&connector.tables),
        publications: Arc::clone(&connector.publications),
        schema_ids,
        partitions: recovered.partitions,
        keys: connector.keys.clone(),
        lineage_epoch,
        writer_epoch: recovered.epoch,
        counter: checkpoint.map_or(0, |checkpoint| checkpoint.counter),
        collected: HashSet::new(),
        traces: options.traces.clone(),
    };
    let trial = parts.clone();
    let encoder = new_encoder(EncoderParts { collected: recovered.collected, ..parts })?;
    let mark = recovered.mark;
    Ok(Opened { writer, encoder, lineage, lineage_epoch, covered, requests, mark, trial })
}

fn new_encoder(parts: EncoderParts) -> Result<Encoder, LogError> {
    Encoder::new(parts).map_err(|topic| LogError::Topic {
        problem: format!("topic {topic} does not exist"),
        fix: "lienthong topics create".to_owned(),
    })
}

fn offer(connector: &Connector) -> Offer {
    Offer {
        participant: connector.participant.to_string(),
        seal: connector.keys.seal.clone(),
        tables: Arc::clone(&connector.tables),
        publications: Arc::clone(&connector.publications),
    }
}

/// Live and bulk topics of every family that is published.
#[must_use]
pub fn topics(publications: &[Publication]) -> Vec<String> {
    let mut topics: Vec<String> = publications
        .iter()
        .flat_map(|entry| [Lane::Live, Lane::Bulk].map(|lane| lane.topic(&entry.stem)))
        .collect();
    topics.sort();
    topics.dedup();
    topics
}

async fn schema_ids(log: &Arc<dyn Log>, publications: &[Publication]) -> Result<Vec<(u32, u32)>, LogError> {
    let mut ids = Vec::new();
    for entry in publications {
        let id = |lane: Lane| {
            let log = Arc::clone(log);
            async move { log.schema_id(&lane.topic(&entry.stem), &entry.full_name, &entry.schema_text).await }
        };
        ids.push((id(Lane::Live).await?, id(Lane::Bulk).await?));
    }
    Ok(ids)
}
