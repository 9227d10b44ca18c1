//! A whole folder of contracts: house rules, every earlier version, the catalogue.

use std::collections::{BTreeMap, BTreeSet};

use super::{Earlier, against, lint};
use crate::bundled::bundled_texts;
use crate::catalogue::Catalogue;
use crate::problem::{Problem, nearest};
use crate::schema::RecordSchema;

/// One contract as text.
#[derive(Clone, Debug)]
pub struct ContractText {
    /// Event name.
    pub event: String,
    /// Number among the kept versions, from 1; `None` for the one in force.
    pub version: Option<u32>,
    /// The file, for messages.
    pub file: String,
    /// Its text.
    pub text: String,
}

impl ContractText {
    /// The contract, if it is one; else why not, with the objections of the house rules, which know more places.
    pub fn parse(&self, problems: &mut Vec<Problem>) -> Option<RecordSchema> {
        let error = match RecordSchema::parse(&self.text) {
            Ok(schema) => return Some(schema),
            Err(error) => error,
        };
        problems.extend(lint(&self.file, &self.text));
        // That a text is no JSON has just been told with its place.
        if is_json(&self.text) {
            problems.push(Problem::new(&self.file, (1, 1), error.to_string(), "correct the contract"));
        }
        None
    }
}

/// A folder of contracts as text.
#[derive(Clone, Debug, Default)]
pub struct ContractTexts {
    /// The catalogue's file, for messages.
    pub catalogue_file: String,
    /// The catalogue.
    pub catalogue: String,
    /// The contracts in force.
    pub contracts: Vec<ContractText>,
    /// The kept versions.
    pub history: Vec<ContractText>,
}

impl ContractTexts {
    /// The contracts that ship with the bus; their earlier versions do not.
    #[must_use]
    pub fn shipped() -> Self {
        let texts = bundled_texts();
        let contract = |(event, text): &(&str, &str)| ContractText {
            event: (*event).to_owned(),
            version: None,
            file: format!("schemas/avro/{}.avsc", event.replacen('.', "/", 1)),
            text: (*text).to_owned(),
        };
        Self {
            catalogue_file: "schemas/catalogue.yaml".to_owned(),
            catalogue: texts.catalogue.to_owned(),
            contracts: texts.schemas.iter().map(contract).collect(),
            history: Vec::new(),
        }
    }

    /// The catalogue that they make.
    ///
    /// # Errors
    /// What is wrong in the contracts, or else in the catalogue.
    pub fn catalogue(&self) -> Result<Catalogue, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut schemas = BTreeMap::new();
        for contract in &self.contracts {
            schemas.extend(contract.parse(&mut problems).map(|schema| (contract.event.clone(), schema)));
        }
        if schemas.len() < self.contracts.len() {
            return Err(problems);
        }
        Catalogue::parse(&self.catalogue_file, &self.catalogue, &schemas)
    }
}

/// Everything that is wrong in a folder of contracts, by file and place.
#[must_use]
pub fn review(texts: &ContractTexts) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut schemas = BTreeMap::new();
    for contract in &texts.contracts {
        problems.extend(lint(&contract.file, &contract.text));
        schemas.extend(contract.parse(&mut problems).map(|schema| (contract.event.clone(), schema)));
    }
    let known: BTreeSet<&str> = texts.contracts.iter().map(|contract| contract.event.as_str()).collect();
    for (event, versions) in versions(texts) {
        if !known.contains(event) {
            let fix = match nearest(event, known.iter().copied()) {
                Some(near) => format!("restore it; if it has become `{near}`, that is a new event type"),
                None => "restore it: records of it may still be read".to_owned(),
            };
            let message = format!("`{event}` has kept versions and no contract in force");
            problems.push(Problem::new(&versions[0].file, (1, 1), message, fix));
        }
        numbered(&versions, &mut problems);
        let kept: Vec<(String, RecordSchema)> =
            versions.iter().filter_map(|text| Some((name(text), text.parse(&mut problems)?))).collect();
        let earlier: Vec<Earlier<'_>> = kept.iter().map(|(name, schema)| Earlier { name, schema }).collect();
        for (index, text) in versions.iter().enumerate().skip(1).filter(|_| kept.len() == versions.len()) {
            problems.extend(against(&text.file, &kept[index].1, &earlier[..index]));
        }
        let current = texts.contracts.iter().find(|contract| contract.event == event);
        if let Some((current, schema)) = current.and_then(|text| Some((text, schemas.get(event)?))) {
            problems.extend(against(&current.file, schema, &earlier));
        }
    }
    // What a broken contract would make wrong in the catalogue too says nothing new.
    if schemas.len() == texts.contracts.len()
        && let Err(found) = Catalogue::parse(&texts.catalogue_file, &texts.catalogue, &schemas)
    {
        problems.extend(found);
    }
    problems.sort();
    problems.dedup();
    problems
}

/// The kept versions by event, in the order of their numbers.
fn versions(texts: &ContractTexts) -> BTreeMap<&str, Vec<&ContractText>> {
    let mut events: BTreeMap<&str, Vec<&ContractText>> = BTreeMap::new();
    for text in &texts.history {
        events.entry(&text.event).or_default().push(text);
    }
    for versions in events.values_mut() {
        versions.sort_by_key(|text| text.version);
    }
    events
}

fn numbered(versions: &[&ContractText], problems: &mut Vec<Problem>) {
    for (text, expected) in versions.iter().zip(1u32..) {
        if text.version != Some(expected) {
            let message =
                format!("kept versions are numbered without a gap, and number {expected} is missing");
            problems.push(Problem::new(
                &text.file,
                (1, 1),
                message,
                "keep every version that was ever registered",
            ));
            return;
        }
    }
}

fn name(text: &ContractText) -> String {
    text.version.map_or_else(|| "the contract in force".to_owned(), |version| format!("version {version}"))
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}
