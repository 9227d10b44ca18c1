//! `connect`: one participant's connector.

use std::sync::Arc;
use std::time::Duration;

use lienthong_capture::quarantine::QuarantineKeys;
use lienthong_capture::{CaptureOptions, Connector, Retry, State, Status};
use lienthong_connectors::CaptureConfig;
use lienthong_log::Log;
use lienthong_schemas::{counted, nearest, shown};
use lienthong_site::{Keys, Participant};
use serde_json::json;
use tokio::sync::watch;

use super::{Context, accept};
use crate::args::Connect;
use crate::exit::{Code, Failure};
use crate::observe::Observer;
use crate::observe_connector;
use crate::output;
use crate::progress::{Counts, Progress, Title};
use crate::reporter::{Reports, report};
use crate::status_record::{AsideRecord, FirstLoadRecord, LoadRecord, StatusRecord, instance, now};

/// Rows per batch: large enough that costs per batch vanish, small enough for 64 MiB with three batches in hand.
const BATCH_ROWS: usize = 4_000;
/// Rows set aside before the connector halts.
const QUARANTINE_LIMIT: u64 = 10_000;
/// While only heartbeats are written, a checkpoint follows them so often: no topic keeps records for less than hours.
const IDLE_CHECKPOINT: Duration = Duration::from_secs(60);
/// `--once` gives up on a dependency after this, unless told otherwise.
pub(super) const ONCE_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn run(context: &Context, options: &Connect) -> Result<(), Failure> {
    let compiled = participant(context, &options.participant)?;
    if options.prepare || options.unprepare || options.print_ddl {
        return administer(context, options, compiled).await;
    }
    if let Some(reason) = &options.accept_lineage {
        return accept::run(context, compiled, reason).await;
    }
    let observer = Observer::start(context, "lienthong-connect", options.metrics).await?;
    let done = serve(context, options, compiled, &observer).await;
    observer.finish().await;
    done
}

/// What `prepare` makes, made, taken away or printed.
async fn administer(context: &Context, options: &Connect, compiled: &Participant) -> Result<(), Failure> {
    let mut admin = lienthong_connectors::source_admin(&compiled.source, compiled.tables.clone());
    let (id, lose) = (&options.participant, options.lose_unpublished);
    let made = match compiled.source.capture {
        CaptureConfig::Outbox { .. } => "outbox and triggers",
        CaptureConfig::Log { .. } => "publication and slot",
    };
    if options.print_ddl {
        let ddl = if options.unprepare { admin.removal_ddl(lose).await? } else { admin.ddl().await? };
        output::done(context.output, &ddl, &json!({"participant": id, "ddl": ddl}));
    } else if options.unprepare {
        admin.remove(lose).await?;
        let sentence = format!(
            "{id}: {made} are gone, and its history with them: to publish again, --prepare it and accept its new lineage"
        );
        output::done(context.output, &sentence, &json!({"participant": id, "prepared": false}));
    } else {
        admin.prepare().await?;
        let sentence = format!("{id}: {made} are in place");
        output::done(context.output, &sentence, &json!({"participant": id, "prepared": true}));
    }
    Ok(())
}

async fn serve(
    context: &Context,
    options: &Connect,
    compiled: &Participant,
    observer: &Observer,
) -> Result<(), Failure> {
    let capture = capture(context, options.once, options.heartbeat, &options.participant, observer);
    let status = work(context, compiled, (capture, None), observer).await?;
    let Status { events, quarantined, .. } = status;
    output::done(
        context.output,
        &format!(
            "{}: {} published, {} set aside",
            options.participant,
            counted(events, "event"),
            counted(quarantined, "row")
        ),
        &json!({"participant": options.participant, "events": events, "quarantined": quarantined}),
    );
    if context.shutdown.is_cancelled() {
        return Err(Failure::interrupted());
    }
    if options.once && quarantined > 0 {
        let line = format!(
            "{} broke the contract: see lt.quarantine.{}",
            counted(quarantined, "row"),
            options.participant
        );
        return Err(Failure::new(Code::Differences, line));
    }
    match set_aside(&options.participant, &status).filter(|_| options.once) {
        Some(line) => Err(Failure::new(Code::Differences, line)),
        None => Ok(()),
    }
}

/// What is told of tables whose changes wait.
pub(super) fn set_aside(participant: &str, status: &Status) -> Option<String> {
    let tables = status.aside.iter();
    let told = tables.map(|table| {
        format!(
            "{}; {} of it are set aside; fix: {}",
            table.problem,
            counted(table.rows, "change"),
            table.fix
        )
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| format!("{participant}: {}", told.join("; ")))
}

/// A connector's life with all that tells of it; gives its last state.
pub(super) async fn work(
    context: &Context,
    compiled: &Participant,
    (capture, retry): (CaptureOptions, Option<Retry>),
    observer: &Observer,
) -> Result<Status, Failure> {
    let participant = compiled.participant.to_string();
    let keys = context.keys()?;
    let log = context.checked_log()?;
    let connector = connector(compiled, keys, &log);
    let (sender, receiver) = watch::channel(Status::default());
    let reporter = tokio::spawn(report(log, participant.clone(), receiver.clone()));
    let title = Title { kind: "connector", name: participant.clone() };
    let progress = Progress::start(title, receiver.clone());
    observe_connector::watch(observer, &participant, receiver.clone());
    let shutdown = context.shutdown.clone();
    let outcome = match retry {
        None => lienthong_capture::run(connector, capture, sender, shutdown).await,
        Some(retry) => lienthong_capture::retry(connector, capture, retry, sender, shutdown).await,
    };
    progress.finish().await;
    let status = receiver.borrow().clone();
    // Ends by itself: the sender is gone.
    let reported = reporter.await;
    outcome?;
    reported?;
    Ok(status)
}

/// A participant's connector, ready to run.
pub(super) fn connector(compiled: &Participant, keys: &Keys, log: &Arc<dyn Log>) -> Connector {
    Connector {
        participant: compiled.participant.clone(),
        source: lienthong_connectors::open_source(&compiled.source, compiled.tables.clone(), &keys.subject),
        tables: compiled.tables.clone().into(),
        publications: Arc::clone(&compiled.publications),
        log: Arc::clone(log),
        keys: QuarantineKeys { subject: keys.subject.clone(), seal: keys.seal.clone() },
    }
}

/// How every connector of this binary runs.
pub(super) fn capture(
    context: &Context,
    once: bool,
    heartbeat: Duration,
    participant: &str,
    observer: &Observer,
) -> CaptureOptions {
    CaptureOptions {
        once,
        batch_rows: BATCH_ROWS,
        heartbeat,
        idle_checkpoint: IDLE_CHECKPOINT,
        quarantine_limit: QUARANTINE_LIMIT,
        timeout: context.timeout.or(once.then_some(ONCE_TIMEOUT)),
        clock: now,
        meters: observer.connector_meters(participant),
        traces: observer.traces.clone(),
    }
}

pub(super) fn participant<'a>(context: &'a Context, id: &str) -> Result<&'a Participant, Failure> {
    context.site.participant(id).ok_or_else(|| {
        let near = nearest(id, context.site.participants());
        let hint = near.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        Failure::new(Code::Configuration, format!("this site has no participant {}{hint}", shown(id)))
    })
}

impl Reports for Status {
    fn record(&self, name: &str) -> StatusRecord {
        let (state, cause) = words(&self.state);
        StatusRecord {
            kind: "connector".into(),
            name: name.into(),
            state: state.into(),
            cause: cause.map(str::to_owned),
            events: self.events,
            last_event_time: self.last_event_time,
            fresh_through: self.fresh_through,
            quarantined: self.quarantined,
            set_aside: self.aside.iter().map(AsideRecord::from).collect(),
            retained: self.retained,
            retained_log: self.retained_log.map(|log| log.bytes),
            retained_log_growth: self.retained_log.and_then(|log| log.growth),
            days_to_loss: self.retained_log.and_then(|log| log.days_to_loss()),
            partitions: None,
            loads: self.loads.iter().map(LoadRecord::from).collect(),
            served: self.served,
            first_load: self.first_load.map(FirstLoadRecord::from),
            instance: instance(),
            at: now(),
        }
    }
}

impl Counts for Status {
    fn done(&self) -> u64 {
        self.events
    }

    fn state(&self) -> (&'static str, Option<&str>) {
        words(&self.state)
    }

    fn load(&self) -> Option<LoadRecord> {
        self.loads.iter().find(|load| !load.done).map(LoadRecord::from)
    }

    fn first_load(&self) -> Option<FirstLoadRecord> {
        self.first_load.map(FirstLoadRecord::from)
    }
}

/// A state in a word, and why.
pub(crate) fn words(state: &State) -> (&'static str, Option<&str>) {
    match state {
        State::Starting => ("starting", None),
        State::CatchingUp => ("catching-up", None),
        State::Live => ("live", None),
        State::Waiting(cause) => ("waiting", Some(cause)),
        State::Stopped => ("stopped", None),
    }
}
