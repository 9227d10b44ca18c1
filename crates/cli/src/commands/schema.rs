//! `schema check` and `schema register`.

use lienthong_schemas::Family;
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
    let problems: Vec<String> = context
        .site
        .catalogue
        .events()
        .flat_map(|event| {
            lienthong_schemas::check::lint(&event.schema)
                .into_iter()
                .map(move |problem| format!("{}: {problem}", event.name))
        })
        .collect();
    if problems.is_empty() {
        println!("{} contracts: no mistake found", context.site.catalogue.events().count());
        return Ok(());
    }
    Err(Failure::problems(problems))
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
