//! `quarantine retry`: what was set aside is published in order.
//!
//! The command is a connector until everything is in the log; a connector that runs is not disturbed, and waited for as any dependency.

use std::time::Duration;

use lienthong_capture::{Absent, Mending, Renamed, Retry};
use lienthong_connectors::{can_be_asked, whole_name};
use lienthong_schemas::{counted, nearest, shown};
use lienthong_site::Participant;
use serde_json::json;

use super::{Context, connect};
use crate::args::QuarantineRetry;
use crate::exit::{Code, Failure};
use crate::observe::Observer;
use crate::output;

/// Of the connector that this command is.
const HEARTBEAT: Duration = Duration::from_secs(5);

pub(super) async fn retry(context: &Context, options: &QuarantineRetry) -> Result<(), Failure> {
    let compiled = connect::participant(context, &options.participant)?;
    let id = compiled.participant.as_str();
    if !can_be_asked(&compiled.source) {
        let line = format!("{id} is captured by an outbox, and no table of it is ever set aside");
        return Err(Failure::new(Code::Configuration, line));
    }
    let retry = Retry { mending: mending(options, compiled)?, leave_broken: options.leave_broken };
    let observer = Observer::start(context, "lienthong-quarantine", None).await?;
    let capture = connect::capture(context, true, HEARTBEAT, id, &observer);
    let worked = connect::work(context, compiled, (capture, Some(retry)), &observer).await;
    observer.finish().await;
    let status = worked?;
    if context.shutdown.is_cancelled() {
        return Err(Failure::interrupted());
    }
    if let Some(line) = connect::set_aside(id, &status) {
        return Err(Failure::new(Code::Differences, line));
    }
    let sentence = format!(
        "{id}: nothing is set aside any more; {} published, {} left in quarantine",
        counted(status.events, "event"),
        counted(status.quarantined, "row")
    );
    output::done(
        context.output,
        &sentence,
        &json!({"participant": id, "events": status.events, "quarantined": status.quarantined}),
    );
    if status.quarantined > 0 {
        let line =
            format!("{} broke the contract: see lt.quarantine.{id}", counted(status.quarantined, "row"));
        return Err(Failure::new(Code::Differences, line));
    }
    Ok(())
}

/// What is said of columns, each a captured one of a captured table.
fn mending(options: &QuarantineRetry, compiled: &Participant) -> Result<Mending, Failure> {
    let mut mending = Mending::default();
    for (table, old, new) in &options.rename {
        let (table, new) = captured(compiled, table, new)?;
        mending.renames.push(Renamed { table, old: old.clone(), new });
    }
    for (table, column) in &options.absent {
        let (table, column) = captured(compiled, table, column)?;
        mending.absent.push(Absent { table, column });
    }
    Ok(mending)
}

fn captured(compiled: &Participant, table: &str, column: &str) -> Result<(String, String), Failure> {
    let wrong = |what: String, near: Option<&str>| {
        let hint = near.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        Err(Failure::new(Code::Configuration, format!("the participant's file captures no {what}{hint}")))
    };
    let whole = whole_name(table);
    let Some(capture) = compiled.tables.iter().find(|capture| whole_name(&capture.table) == whole) else {
        let near = nearest(table, compiled.tables.iter().map(|capture| capture.table.as_str()));
        return wrong(format!("table {}", shown(table)), near);
    };
    if !capture.columns.iter().any(|known| known == column) {
        let near = nearest(column, capture.columns.iter().map(String::as_str));
        return wrong(format!("column {} of {}", shown(column), capture.table), near);
    }
    Ok((whole, column.to_owned()))
}
