//! `docs/contracts`: what is committed is what the contracts say, and the AsyncAPI document is one.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use std::collections::BTreeMap;
use std::path::Path;

use lienthong_schemas::bundled;
use lienthong_schemas::reference::documents;
use serde_json::Value;

fn generated() -> BTreeMap<String, String> {
    documents(&bundled().unwrap())
}

#[test]
fn the_committed_pages_are_those_that_the_contracts_give() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/contracts");
    let mut committed = BTreeMap::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        committed
            .insert(file.file_name().into_string().unwrap(), std::fs::read_to_string(file.path()).unwrap());
    }
    let generated = generated();
    let names = |documents: &BTreeMap<String, String>| documents.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&committed), names(&generated));
    for (name, text) in &generated {
        assert!(&committed[name] == text, "docs/contracts/{name} is old: run `lienthong schema docs`");
    }
}

#[test]
fn the_asyncapi_document_is_valid_by_its_json_schema() {
    let document: Value = serde_saphyr::from_str(&generated()["asyncapi.yaml"]).unwrap();
    let schema: Value = serde_json::from_str(include_str!("data/asyncapi-3.0.0.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(errors, Vec::<String>::new());

    // The schema does look: a partition count that is a text is told.
    let mut wrong = document;
    wrong["channels"]["admin_unit.live"]["bindings"]["kafka"]["partitions"] = Value::from("one");
    assert!(!validator.is_valid(&wrong));
}

#[test]
fn every_reference_of_the_asyncapi_document_leads_somewhere() {
    let document: Value = serde_saphyr::from_str(&generated()["asyncapi.yaml"]).unwrap();
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 100, "{}", references.len());
    for reference in references {
        assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                match value {
                    Value::String(target) if key == "$ref" => references.push(target.clone()),
                    value => collect(value, references),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

/// What a publisher sends, `crates/capture/src/encode.rs`, and what the log adds.
#[test]
fn the_asyncapi_document_lists_the_headers_that_are_sent() {
    let document: Value = serde_saphyr::from_str(&generated()["asyncapi.yaml"]).unwrap();
    let headers = document.pointer("/components/schemas/headers/properties").unwrap();
    for name in ["ce_qualityflags", "lt_lookup", "traceparent", "ce_partitionsequence", "content-type"] {
        assert!(headers[name]["type"] == "string", "{name}");
    }
}

#[test]
fn every_event_field_and_purpose_stands_on_a_page() {
    let (catalogue, documents) = (bundled().unwrap(), generated());
    for event in catalogue.events() {
        let page = &documents[&format!("{}.md", event.family)];
        let (_, section) = page.split_once(&format!("\n## {}\n", event.name)).unwrap();
        let section = section.split("\n## ").next().unwrap();
        for field in event.schema.fields() {
            assert!(section.contains(&format!("| `{}` |", field.path)), "{} {}", event.name, field.path);
        }
        for purpose in event.purposes().keys() {
            assert!(section.contains(&format!("\n| {purpose} ")), "{} {purpose}", event.name);
        }
    }
}
