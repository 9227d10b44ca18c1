//! `schema check` and `schema register`.

use lienthong_contract::event::Lane;
use lienthong_schemas::Problem;
use serde_json::json;

use super::Context;
use crate::args::Schema;
use crate::exit::Failure;
use crate::output;

pub(super) async fn run(context: &Context, action: &Schema) -> Result<(), Failure> {
    match action {
        Schema::Check => check(context),
        Schema::Register => register(context).await,
    }
}

fn check(context: &Context) -> Result<(), Failure> {
    let events = context.site.catalogue.events();
    let problems: Vec<Problem> = events
        .flat_map(|event| {
            let found = lienthong_schemas::check::lint(&event.schema).into_iter();
            found.map(|problem| Problem::new(&event.name, (0, 0), problem, "change the contract"))
        })
        .collect();
    if problems.is_empty() {
        let count = context.site.catalogue.events().count();
        let sentence = format!("{count} contracts: no mistake found");
        output::done(context.output, &sentence, &json!({"contracts": count, "mistakes": 0}));
        return Ok(());
    }
    Err(output::mistakes(context.output, &problems))
}

/// One subject per topic and record; both lanes carry the same contract.
async fn register(context: &Context) -> Result<(), Failure> {
    let log = context.log()?;
    let mut rows = Vec::new();
    for event in context.site.catalogue.events() {
        for lane in [Lane::Live, Lane::Bulk] {
            let topic = lane.topic(&event.family);
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
            for lane in [Lane::Live, Lane::Bulk] {
                log.register_schema(&lane.topic(&family.name), name, text).await?;
            }
        }
    }
    output::rows(context.output, &["event", "subject", "id"], &rows);
    Ok(())
}
