//! `status`: what every process says of itself, and how far the groups are.

use std::collections::BTreeMap;
use std::time::Duration;

use lienthong_log::Log;
use lienthong_router::subscription::group;
use serde_json::{Value, json};

use super::Context;
use crate::exit::Failure;
use crate::output;
use crate::status_merge::merge;
use crate::status_record::{StatusRecord, TOPIC, now};

const COLUMNS: [&str; 18] = [
    "kind",
    "name",
    "state",
    "events",
    "last_event_age_seconds",
    "fresh_through_age_seconds",
    "records_behind",
    "retained",
    "retained_log_bytes",
    "retained_log_growth_bytes_per_second",
    "days_to_loss",
    "first_load_rows",
    "first_load_expected_rows",
    "first_load_rows_per_second",
    "first_load_remaining_seconds",
    "quarantined",
    "set_aside",
    "cause",
];

/// What people see where somebody has it: where the first of them is known.
const SOMEBODYS: [&[&str]; 3] = [
    &["retained_log_bytes", "retained_log_growth_bytes_per_second", "days_to_loss"],
    &[
        "first_load_rows",
        "first_load_expected_rows",
        "first_load_rows_per_second",
        "first_load_remaining_seconds",
    ],
    &["set_aside"],
];

pub(super) async fn run(context: &Context, watch: bool) -> Result<(), Failure> {
    let log = context.log()?;
    loop {
        let (columns, rows) = shown(context.output, rows(context, log.as_ref()).await?);
        if !watch {
            output::rows(context.output, &columns, &rows);
            return Ok(());
        }
        output::again(context.output, &columns, &rows);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
            () = context.shutdown.cancelled() => return Err(Failure::interrupted()),
        }
    }
}

/// Tables whose changes wait, for people.
fn set_aside(record: &StatusRecord) -> Value {
    let told = record.set_aside.iter().map(|aside| format!("{}: {}", aside.table, aside.changes));
    let told: Vec<String> = told.collect();
    if told.is_empty() { Value::Null } else { json!(told.join(", ")) }
}

/// Programs get every column; people those of servers' logs of first loads and of what is set aside only where there are such.
fn shown(output: output::Output, rows: Vec<Vec<Value>>) -> (Vec<&'static str>, Vec<Vec<Value>>) {
    let told = |at: usize| rows.iter().any(|row| row.get(at).is_some_and(|value| !value.is_null()));
    let place = |name: &str| COLUMNS.iter().position(|column| *column == name);
    let nobodys = |group: &&&[&str]| !group.first().and_then(|first| place(first)).is_some_and(told);
    let nobodys: Vec<&str> = SOMEBODYS.iter().filter(nobodys).copied().flatten().copied().collect();
    if output.is_json() || nobodys.is_empty() {
        return (COLUMNS.to_vec(), rows);
    }
    let kept = |at: &usize| !nobodys.contains(&COLUMNS[*at]);
    let places: Vec<usize> = (0..COLUMNS.len()).filter(kept).collect();
    let pick = |row: Vec<Value>| places.iter().filter_map(|at| row.get(*at).cloned()).collect();
    (places.iter().map(|at| COLUMNS[*at]).collect(), rows.into_iter().map(pick).collect())
}

async fn rows(context: &Context, log: &dyn Log) -> Result<Vec<Vec<Value>>, Failure> {
    let now = now();
    let mut rows = Vec::new();
    let mut all: BTreeMap<(String, String), Vec<StatusRecord>> = BTreeMap::new();
    for value in log.table(TOPIC).await?.values() {
        // A record of a newer version is shown as what it is, not dropped.
        match serde_json::from_slice::<StatusRecord>(value) {
            Ok(record) => all.entry((record.kind.clone(), record.name.clone())).or_default().push(record),
            Err(_) => rows.push(vec![json!("unknown"), json!("written by another version")]),
        }
    }
    for ((_, name), records) in all {
        let family = name.split_once('/').and_then(|(_, family)| context.site.catalogue.family(family));
        let Some(record) = merge(records, family.map(|family| family.live.partitions), now) else { continue };
        let behind = behind(context, log, &record).await?;
        rows.push(row(&record, behind, (now, context.output.is_json())));
    }
    Ok(rows)
}

/// Records of the log, control records included, that a subscription has not yet taken. What is not known is null, never 0.
async fn behind(context: &Context, log: &dyn Log, record: &StatusRecord) -> Result<Option<i64>, Failure> {
    let Some((subscriber, family)) = record.name.split_once('/') else { return Ok(None) };
    let Some(family) = context.site.catalogue.family(family) else { return Ok(None) };
    let group = group(subscriber, &family.name);
    let topics: Vec<String> = family.topics().map(|(name, _)| name).collect();
    let told = log.group_offsets(&group, &topics).await?;
    if told.is_empty() {
        return Ok(None);
    }
    let mut behind = 0;
    for (partition, offset) in told {
        behind += (log.watermarks(&partition).await?.high - offset).max(0);
    }
    Ok(Some(behind))
}

fn row(record: &StatusRecord, behind: Option<i64>, (now, json): (i64, bool)) -> Vec<Value> {
    let age = |time: Option<i64>| time.map(|time| (now - time) as f64 / 1e6);
    let load = record.first_load.as_ref();
    vec![
        json!(record.kind),
        json!(record.name),
        json!(record.believed_state(now)),
        json!(record.events),
        json!(age(record.last_event_time)),
        json!(age(record.fresh_through)),
        json!(behind),
        json!(record.retained),
        json!(record.retained_log),
        json!(record.retained_log_growth),
        json!(record.days_to_loss),
        json!(load.map(|load| load.rows)),
        json!(load.and_then(|load| load.expected)),
        json!(load.and_then(|load| load.per_second)),
        json!(load.and_then(|load| load.remaining_seconds)),
        json!(record.quarantined),
        if json { json!(record.set_aside) } else { set_aside(record) },
        json!(record.cause),
    ]
}
