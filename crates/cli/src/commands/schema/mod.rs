//! `schema`: lint, compare, document and register contracts.

mod check;
mod diff;
mod docs;

use lienthong_log::Log;
use lienthong_schemas::{Family, Problem};
use serde_json::{Value, json};

use super::Context;
use crate::args::{Global, Schema};
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::signals::Stop;

pub(super) async fn run(global: &Global, action: &Schema, stop: Stop) -> Result<(), Failure> {
    match action {
        Schema::Check { registry } => check::run(global, *registry, stop).await,
        Schema::Diff { before, after } => diff::run(global, before, after),
        Schema::Docs { dir } => docs::run(&Context::load(global, stop)?, dir),
        Schema::Register => register(&Context::load(global, stop)?).await,
    }
}

fn told(global: &Global, problems: &[Problem]) -> Failure {
    output::mistakes(Output::new(global.output, global.color), problems)
}

/// One subject per topic and record; both lanes carry the same contract.
async fn register(context: &Context) -> Result<(), Failure> {
    let rows = write(context, context.log()?.as_ref()).await?;
    output::rows(context.output, &["event", "subject", "id"], &rows);
    Ok(())
}

/// Writes every contract, the bus's own included; tells of each event's subjects.
pub(super) async fn write(context: &Context, log: &dyn Log) -> Result<Vec<Vec<Value>>, Failure> {
    let mut rows = Vec::new();
    for event in context.site.catalogue.events() {
        let family = context.site.catalogue.family(&event.family);
        for (topic, _) in family.into_iter().flat_map(Family::topics) {
            let id = log.register_schema(&topic, event.schema.full_name(), event.schema.text()).await?;
            rows.push(vec![
                json!(event.name),
                json!(format!("{topic}-{}", event.schema.full_name())),
                json!(id),
            ]);
        }
    }
    for (name, text) in lienthong_log::control::schemas() {
        for family in context.site.catalogue.families() {
            for (topic, _) in family.topics() {
                log.register_schema(&topic, name, text).await?;
            }
        }
    }
    Ok(rows)
}
