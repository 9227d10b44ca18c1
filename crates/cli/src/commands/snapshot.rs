//! `snapshot`: rows of one event that are there, asked of the participant's connector.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lienthong_capture::requests::{self, Request};
use lienthong_capture::{State, Wanted};
use lienthong_connectors::can_be_asked;
use lienthong_log::Log;
use lienthong_schemas::{counted, nearest, shown};
use lienthong_site::Participant;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{Context, connect, snapshot_keys};
use crate::args::Snapshot;
use crate::exit::{Code, Failure};
use crate::observe::Observer;
use crate::output;
use crate::progress::{Counts, Progress, Title};
use crate::status_record::{LoadRecord, StatusRecord, TOPIC, now};

const COLUMNS: [&str; 7] = ["request", "state", "rows", "remaining", "estimated", "missing", "cause"];
/// How often the connector's state is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Of a connector that this command runs.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What has been asked.
struct Asked {
    /// Id and number of each request.
    requests: Vec<(String, Option<i64>)>,
    /// The newest that is known of each.
    told: BTreeMap<String, LoadRecord>,
}

pub(super) async fn run(context: &Context, options: &Snapshot) -> Result<(), Failure> {
    let compiled = connect::participant(context, &options.participant)?;
    let Some(event) = &options.event else { return list(context, compiled).await };
    let wanted = wanted(options, compiled, event)?;
    let log = context.checked_log()?;
    let mut asked = ask(context, log.as_ref(), compiled, event, &wanted, options.rate).await?;
    let id = &options.participant;
    let ids: Vec<&str> = asked.requests.iter().map(|(id, _)| id.as_str()).collect();
    if options.no_wait {
        let sentence = format!("{id}: asked for {event}; `lienthong snapshot {id}` tells how far it is");
        let object = json!({"participant": id, "event": event, "requests": ids});
        output::done(context.output, &sentence, &object);
        return Ok(());
    }
    if alive(&records(log.as_ref(), compiled).await?) {
        watch(context, log.as_ref(), compiled, &mut asked).await?;
    } else {
        work(context, compiled, &mut asked).await?;
    }
    tell(context, options, event, &asked)
}

/// Which rows of which tables, before anything is asked: all mistakes of the command line are told first.
fn wanted(options: &Snapshot, compiled: &Participant, event: &str) -> Result<Vec<(String, Wanted)>, Failure> {
    let configuration = |line: String| Failure::new(Code::Configuration, line);
    let id = &options.participant;
    let mut tables: Vec<usize> = compiled
        .publications
        .iter()
        .filter_map(|entry| (entry.event == event).then_some(entry.table))
        .collect();
    tables.sort_unstable();
    tables.dedup();
    if tables.is_empty() {
        let near = nearest(event, compiled.publications.iter().map(|entry| entry.event.as_str()));
        let hint = near.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        return Err(configuration(format!("{id} publishes no event {}{hint}", shown(event))));
    }
    if !can_be_asked(&compiled.source) {
        return Err(configuration(format!(
            "{id} is captured by an outbox, and rows cannot be asked for there yet; fix: capture a PostgreSQL database from its log, with capture: {{mode: log}}"
        )));
    }
    let keys = options.keys.as_deref().map(snapshot_keys::read).transpose()?;
    let mut wanted = Vec::new();
    for table in tables.into_iter().map(|table| &compiled.tables[table]) {
        let rows = match (&keys, &options.range) {
            (Some(file), _) => snapshot_keys::requests(snapshot_keys::keys(file, &table.key)?),
            (None, Some(text)) => vec![snapshot_keys::range(text)?],
            (None, None) => vec![Wanted::Range { from: None, to: None }],
        };
        wanted.extend(rows.into_iter().map(|rows| (table.table.clone(), rows)));
    }
    Ok(wanted)
}

async fn ask(
    context: &Context,
    log: &dyn Log,
    compiled: &Participant,
    event: &str,
    wanted: &[(String, Wanted)],
    rate: u32,
) -> Result<Asked, Failure> {
    let seal = &context.keys()?.seal;
    let participant = compiled.participant.as_str();
    let from = requests::end(log, participant).await?;
    let mut asked = Asked { requests: Vec::new(), told: BTreeMap::new() };
    for (table, rows) in wanted {
        let id = format!("{:016x}", rand::random::<u64>());
        let (event, table, rows) = (event.to_owned(), table.clone(), rows.clone());
        let request = Request { id: id.clone(), event, table, rows, rate };
        requests::ask(log, participant, seal, &request).await?;
        let number = requests::number_of(log, participant, &id, from).await?;
        asked.requests.push((id, number));
    }
    Ok(asked)
}

/// What connectors of the participant say of themselves.
async fn records(log: &dyn Log, compiled: &Participant) -> Result<Vec<StatusRecord>, Failure> {
    let name = compiled.participant.as_str();
    let values = log.table(TOPIC).await?.into_values();
    let records = values.filter_map(|value| serde_json::from_slice::<StatusRecord>(&value).ok());
    Ok(records.filter(|record| record.kind == "connector" && record.name == name).collect())
}

fn alive(records: &[StatusRecord]) -> bool {
    let now = now();
    records.iter().any(|record| !record.has_ended() && record.believed_state(now) == record.state)
}

impl Asked {
    fn take<'a>(&mut self, loads: impl Iterator<Item = &'a LoadRecord>) {
        for load in loads {
            let known = self.told.get(&load.id).is_some_and(|known| known.done || known.rows > load.rows);
            if !known && self.requests.iter().any(|(id, _)| *id == load.id) {
                self.told.insert(load.id.clone(), load.clone());
            }
        }
    }

    /// Whether nothing more comes: it was told, or the connector has gone on behind the request.
    fn done(&self, served: Option<i64>) -> bool {
        self.requests.iter().all(|(id, number)| {
            let behind = number.zip(served).is_some_and(|(number, served)| served > number);
            behind || self.told.get(id).is_some_and(|load| load.done)
        })
    }

    /// All requests as one.
    fn sum(&self) -> LoadRecord {
        let told = || self.told.values();
        let known = self.told.len() == self.requests.len();
        LoadRecord {
            id: String::new(),
            rows: told().map(|load| load.rows).sum(),
            missing: told().map(|load| load.missing).sum(),
            total: if known { told().map(|load| load.total).sum() } else { None },
            estimated: told().any(|load| load.estimated),
            done: false,
            refused: None,
        }
    }
}

/// What is shown while a connector works.
#[derive(Clone)]
struct Watched {
    state: &'static str,
    cause: Option<String>,
    load: LoadRecord,
}

impl Counts for Watched {
    const WHAT: &'static str = "rows";

    fn done(&self) -> u64 {
        self.load.rows
    }

    fn state(&self) -> (&'static str, Option<&str>) {
        (self.state, self.cause.as_deref())
    }

    fn load(&self) -> Option<LoadRecord> {
        Some(self.load.clone())
    }
}

/// A connector works: shows how far it is until all is done.
async fn watch(
    context: &Context,
    log: &dyn Log,
    compiled: &Participant,
    asked: &mut Asked,
) -> Result<(), Failure> {
    let id = compiled.participant.as_str();
    let begin = Watched { state: "loading", cause: None, load: asked.sum() };
    let (sender, receiver) = watch::channel(begin);
    let progress = Progress::start(Title { kind: "snapshot", name: id.to_owned() }, receiver);
    let mut seen = Instant::now();
    let ended = loop {
        let records = match records(log, compiled).await {
            Ok(records) => records,
            Err(failure) => break Err(failure),
        };
        asked.take(records.iter().flat_map(|record| &record.loads));
        if asked.done(records.iter().filter_map(|record| record.served).max()) {
            break Ok(());
        }
        let (mut state, mut cause) = ("loading", None);
        if alive(&records) {
            seen = Instant::now();
        } else {
            state = "waiting";
            cause = Some(format!("no connector is heard; fix: start it, `lienthong connect {id}`"));
            if context.timeout.is_some_and(|timeout| seen.elapsed() >= timeout) {
                let line =
                    format!("{id}: no connector is heard; the request stands, and the next one serves it");
                break Err(Failure::new(Code::Unreachable, line));
            }
        }
        sender.send_replace(Watched { state, cause, load: asked.sum() });
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = context.shutdown.cancelled() => {
                eprintln!("lienthong: the load goes on; `lienthong snapshot {id}` tells how far it is");
                break Err(Failure::interrupted());
            }
        }
    };
    progress.finish().await;
    ended
}

/// No connector works: this process is one until all is done.
async fn work(context: &Context, compiled: &Participant, asked: &mut Asked) -> Result<(), Failure> {
    let id = compiled.participant.as_str();
    let observer = Observer::start(context, "lienthong-snapshot", None).await?;
    let capture = connect::capture(context, true, HEARTBEAT, id, &observer);
    let worked = connect::work(context, compiled, (capture, None), &observer).await;
    observer.finish().await;
    let status = worked?;
    debug_assert_eq!(status.state, State::Stopped);
    let loads: Vec<LoadRecord> = status.loads.iter().map(LoadRecord::from).collect();
    asked.take(loads.iter());
    if !asked.done(status.served) {
        eprintln!("lienthong: the request stands; `lienthong connect {id}` goes on with it");
        return Err(Failure::interrupted());
    }
    if status.quarantined > 0 {
        let rows = counted(status.quarantined, "row");
        let line = format!("{rows} broke the contract: see lt.quarantine.{id}");
        return Err(Failure::new(Code::Differences, line));
    }
    Ok(())
}

fn tell(context: &Context, options: &Snapshot, event: &str, asked: &Asked) -> Result<(), Failure> {
    let id = &options.participant;
    if let Some(reason) = asked.told.values().find_map(|load| load.refused.as_ref()) {
        return Err(Failure::new(Code::Configuration, format!("{id} refuses the request: {reason}")));
    }
    let LoadRecord { rows, missing, .. } = asked.sum();
    let gone = match missing {
        0 => String::new(),
        1 => "; 1 key belongs to no row".to_owned(),
        missing => format!("; {} belong to no row", counted(missing, "key")),
    };
    let requests: Vec<&str> = asked.requests.iter().map(|(id, _)| id.as_str()).collect();
    output::done(
        context.output,
        &format!("{id}: {} of {event} loaded{gone}", counted(rows, "row")),
        &json!({"participant": id, "event": event, "requests": requests, "rows": rows, "missing": missing}),
    );
    Ok(())
}

/// What is under way and was done lately, as far as the connector tells.
async fn list(context: &Context, compiled: &Participant) -> Result<(), Failure> {
    let log = context.checked_log()?;
    let mut records = records(log.as_ref(), compiled).await?;
    records.sort_by_key(|record| record.at);
    let mut loads: Vec<&LoadRecord> = Vec::new();
    for load in records.iter().flat_map(|record| &record.loads) {
        loads.retain(|known| known.id != load.id);
        loads.push(load);
    }
    let row = |load: &&LoadRecord| -> Vec<Value> {
        let state = match load {
            LoadRecord { refused: Some(_), .. } => "refused",
            LoadRecord { done: true, .. } => "done",
            LoadRecord { .. } => "loading",
        };
        vec![
            json!(load.id),
            json!(state),
            json!(load.rows),
            json!(load.remaining()),
            json!(load.estimated),
            json!(load.missing),
            json!(load.refused),
        ]
    };
    output::rows(context.output, &COLUMNS, &loads.iter().map(row).collect::<Vec<_>>());
    Ok(())
}
