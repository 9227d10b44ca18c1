//! `schema check`: house rules, catalogue, every kept version, and with `--registry` every registered one.

use std::collections::BTreeMap;
use std::sync::Arc;

use lienthong_schemas::check::{ContractTexts, Earlier, against, review};
use lienthong_schemas::{Problem, RecordSchema, counted, shown_reason};
use lienthong_site::Site;
use serde_json::json;

use super::{Context, told};
use crate::args::Global;
use crate::exit::Failure;
use crate::output::{self, Output};
use crate::signals::Stop;

pub(super) async fn run(global: &Global, registry: bool, stop: Stop) -> Result<(), Failure> {
    let texts = Site::contract_texts(&global.site).map_err(|problems| told(global, &problems))?;
    let problems = review(&texts);
    if !problems.is_empty() {
        return Err(told(global, &problems));
    }
    let (contracts, kept) = (texts.contracts.len(), texts.history.len());
    let mut looked_at = format!("{}, {}", counted(contracts, "contract"), counted(kept, "kept version"));
    let mut object = json!({"contracts": contracts, "kept_versions": kept, "mistakes": 0});
    if registry {
        let (versions, problems) = registered(&Context::load(global, stop)?, &texts).await?;
        if !problems.is_empty() {
            return Err(told(global, &problems));
        }
        looked_at.push_str(&format!(", {}", counted(versions, "registered version")));
        object["registered_versions"] = json!(versions);
    }
    output::done(
        Output::new(global.output, global.color),
        &format!("{looked_at}: no mistake found"),
        &object,
    );
    Ok(())
}

/// How many versions the registry holds, and which contracts do not read all of theirs. Topics share most texts, so each
/// text counts once per event.
async fn registered(context: &Context, texts: &ContractTexts) -> Result<(usize, Vec<Problem>), Failure> {
    let log = context.log()?;
    let catalogue = &context.site.catalogue;
    let (mut count, mut problems) = (0, Vec::new());
    for event in catalogue.events() {
        let Some(family) = catalogue.family(&event.family) else { continue };
        let mut versions: BTreeMap<Arc<str>, String> = BTreeMap::new();
        for (topic, _) in family.topics() {
            let found = log.schema_versions(&topic, event.schema.full_name()).await?;
            for (text, number) in found.into_iter().zip(1u32..) {
                let name = || format!("registered version {number} of {topic}");
                versions.entry(text).or_insert_with(name);
            }
        }
        count += versions.len();
        let file = texts.contracts.iter().find(|contract| contract.event == event.name);
        let file = file.map_or(event.name.as_str(), |contract| contract.file.as_str());
        let mut parsed = Vec::new();
        for (text, name) in &versions {
            match RecordSchema::parse(text) {
                Ok(schema) => parsed.push((name, schema)),
                Err(error) => {
                    let fix = "see who else writes to the registry";
                    let why = shown_reason(&error.to_string());
                    problems.push(Problem::new(file, (1, 1), format!("{name} is no contract: {why}"), fix));
                }
            }
        }
        let earlier: Vec<Earlier<'_>> =
            parsed.iter().map(|(name, schema)| Earlier { name, schema }).collect();
        problems.extend(against(file, &event.schema, &earlier));
    }
    Ok((count, problems))
}
