//! `schema`: lint, compare, document and register contracts.

mod check;
mod diff;
mod docs;

use lienthong_schemas::{Family, Problem};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Context;
use crate::args::{Global, Schema};
use crate::exit::Failure;
use crate::output;

pub(super) async fn run(
    global: &Global,
    action: &Schema,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    match action {
        Schema::Check { registry } => check::run(global, *registry, shutdown).await,
        Schema::Diff { before, after } => diff::run(global, before, after),
        Schema::Docs { dir } => docs::run(&Context::load(global, shutdown)?, dir),
        Schema::Register => register(&Context::load(global, shutdown)?).await,
    }
}

fn told(problems: &[Problem]) -> Failure {
    Failure::problems(problems.iter().map(ToString::to_string).collect())
}

/// One subject per topic and record; both lanes carry the same contract.
async fn register(context: &Context) -> Result<(), Failure> {
    let log = context.log()?;
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
    output::rows(context.output, &["event", "subject", "id"], &rows);
    Ok(())
}
