//! `schema check`: every rule has a bad file, and every objection its place; the shipped contracts pass them all.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use std::path::{Path, PathBuf};

use lienthong_schemas::check::{ContractText, ContractTexts, lint, review};

/// A contract with one field per line, the first in line 3.
fn contract(fields: &str) -> String {
    format!(
        "{{\"type\": \"record\", \"name\": \"R\", \"namespace\": \"vn.t\", \"doc\": \"D.\",\n\"fields\": [\n{fields}\n]}}\n"
    )
}

#[track_caller]
fn objects(fields: &str, expected: &[&str]) {
    let found: Vec<String> = lint("bad.avsc", &contract(fields)).iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(&format!("bad.avsc:{expected}")), "{expected} expected: {found}");
    }
}

#[test]
fn a_contract_after_the_house_rules_passes() {
    objects(
        r#"{"name": "pin", "type": ["null", "string"], "default": null, "doc": "D."},
{"name": "day", "type": {"type": "int", "logicalType": "date"}, "doc": "D."}"#,
        &[],
    );
}

#[test]
fn every_field_and_record_has_a_doc() {
    objects(r#"{"name": "a", "type": "int"}"#, &["3:1: a: the field has no doc"]);
    objects(r#"{"name": "a", "type": "int", "doc": " "}"#, &["3:1: a: the field has no doc"]);
    let inner = r#"{"name": "a", "doc": "D.", "type": {"type": "record", "name": "I", "fields": [
  {"name": "b", "type": "int"}]}}"#;
    objects(inner, &["3:36: a: the record has no doc", "4:3: a.b: the field has no doc"]);
    let root = lint("bad.avsc", r#"{"type": "record", "name": "R", "fields": []}"#);
    assert!(root[0].to_string().starts_with("bad.avsc:1:1: the record: the record has no doc"), "{root:?}");
}

#[test]
fn names_are_snake_case() {
    for name in ["Pin", "birthDate", "birth__date", "birth_", "1st"] {
        let field = format!(r#"{{"name": "{name}", "type": "int", "doc": "D."}}"#);
        objects(&field, &[&format!("3:10: {name}: the name is not snake_case")]);
    }
}

#[test]
fn nothing_has_an_alias() {
    objects(r#"{"name": "a", "type": "int", "doc": "D.", "aliases": ["b"]}"#, &["3:54: a: aliases"]);
    let inner = r#"{"name": "a", "doc": "D.", "type": {"type": "enum", "name": "E", "symbols": ["x"], "aliases": ["F"]}}"#;
    objects(inner, &["3:95: a: aliases"]);
}

#[test]
fn a_union_is_null_and_one_type_with_the_default_null() {
    objects(
        r#"{"name": "a", "type": ["string", "null"], "default": "x", "doc": "D."}"#,
        &["3:23: a: a union must be", "3:54: a: an optional field must have the default null"],
    );
    objects(
        r#"{"name": "a", "type": ["null", "string"], "doc": "D."}"#,
        &["3:1: a: an optional field must have the default null"],
    );
    objects(
        r#"{"name": "a", "type": ["null", "string", "int"], "default": null, "doc": "D."}"#,
        &["3:23: a: a union must be"],
    );
    objects(
        r#"{"name": "a", "type": {"type": "array", "items": ["int", "string"]}, "doc": "D."}"#,
        &["3:50: a: a union must be"],
    );
}

#[test]
fn logical_types_are_those_on_the_list() {
    for logical in ["timestamp-millis", "hijri-date", "local-timestamp-micros"] {
        let field = format!(
            r#"{{"name": "a", "type": {{"type": "long", "logicalType": "{logical}"}}, "doc": "D."}}"#
        );
        objects(
            &field,
            &[&format!("3:55: a: the logical type `{logical}` is not on the list; fix: use one of date,")],
        );
    }
}

#[test]
fn what_is_not_json_has_a_place() {
    let found = lint("bad.avsc", "{\"type\": \"record\",\n\"fields\": [\n");
    assert_eq!(found.len(), 1);
    assert!(found[0].line >= 2 && found[0].message.starts_with("the contract is not JSON"), "{found:?}");
}

const CATALOGUE: &str = r"purposes: {P1: Population}
retention:
  short: {title: Until it is delivered, live_days: 30, bulk_days: 14}
families:
  t:
    title: Things
    owner: a.things
    retention: short
    topics:
      live: {partitions: 1, replication: 1, min_insync_replicas: 1}
      bulk: {partitions: 1, replication: 1, min_insync_replicas: 1}
events:
  t.happened:
    family: t
    title: It happened
    legal_source: Law
    subject: [no]
    classification: {basic: [no]}
    purposes: {P1: [no]}
";

const NO: &str = r#"{"name": "no", "type": "string", "doc": "D."}"#;

fn texts(current: &str, history: &[(u32, &str)]) -> ContractTexts {
    let text = |version: Option<u32>, file: String, fields: &str| ContractText {
        event: "t.happened".to_owned(),
        version,
        file,
        text: contract(fields),
    };
    ContractTexts {
        catalogue_file: "catalogue.yaml".to_owned(),
        catalogue: CATALOGUE.to_owned(),
        contracts: vec![text(None, "t/happened.avsc".to_owned(), current)],
        history: history.iter().map(|(n, fields)| text(Some(*n), format!("{n}.avsc"), fields)).collect(),
    }
}

#[track_caller]
fn reviewed(texts: &ContractTexts, expected: &[&str]) {
    let found: Vec<String> = review(texts).iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{expected} expected: {found}");
    }
}

#[test]
fn a_contract_reads_every_version_that_was_kept() {
    let more = format!("{NO},\n{{\"name\": \"n\", \"type\": \"int\", \"doc\": \"D.\"}}");
    let wider = more.replace("int", "long");
    reviewed(&texts(NO, &[(1, NO)]), &[]);
    // Version 2 added what version 3 removed: the contract in force reads 2, but not 1 through its own eyes.
    let needs = "t/happened.avsc:4:10: n: the field is new and has no default, so it does not read version 1; fix: keep";
    let mut now = texts(&more, &[(1, NO)]);
    now.catalogue = CATALOGUE.replace("basic: [no]", "basic: [no, n]");
    reviewed(&now, &[needs]);
    let mut narrower = texts(&more, &[(1, &wider)]);
    narrower.catalogue = now.catalogue.clone();
    reviewed(&narrower, &["t/happened.avsc:4:10: n: long cannot become int, so it does not read version 1"]);
    // A kept version that could not read the one before it should never have been registered.
    let mut kept = texts(&wider, &[(1, &wider), (2, &more)]);
    kept.catalogue = now.catalogue;
    reviewed(&kept, &["2.avsc:4:10: n: long cannot become int, so it does not read version 1"]);
}

#[test]
fn a_renamed_field_is_told_although_avro_would_read_it() {
    let old = format!(
        "{NO},\n{{\"name\": \"n\", \"type\": [\"null\", \"int\"], \"default\": null, \"doc\": \"D.\"}}"
    );
    let mut new = texts(&old.replace("\"n\"", "\"m\""), &[(1, &old)]);
    new.catalogue = CATALOGUE.replace("basic: [no]", "basic: [no, m]");
    reviewed(
        &new,
        &["t/happened.avsc:4:10: m: it has taken the place of `n`, and a renamed field is a lost one"],
    );
}

#[test]
fn versions_are_kept_without_a_gap_and_never_without_their_event() {
    reviewed(
        &texts(NO, &[(1, NO), (3, NO)]),
        &["3.avsc:1:1: kept versions are numbered without a gap, and number 2"],
    );
    let mut gone = texts(NO, &[(1, NO)]);
    gone.history[0].event = "t.happend".to_owned();
    reviewed(
        &gone,
        &["1.avsc:1:1: `t.happend` has kept versions and no contract in force; fix: restore it; if"],
    );
}

#[test]
fn subjects_and_purposes_are_checked_with_the_catalogue() {
    let mut nullable = texts(&NO.replace("\"string\"", "[\"null\", \"string\"], \"default\": null"), &[]);
    reviewed(
        &nullable,
        &["catalogue.yaml:17:15: the subject may be null; fix: end the list with a mandatory field"],
    );
    nullable = texts(NO, &[]);
    nullable.catalogue = CATALOGUE.replace("{P1: [no]}", "{P1: [no, nr]}");
    reviewed(&nullable, &["catalogue.yaml:19:25: unknown field `nr`; fix: did you mean `no`?"]);
}

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The shipped contracts with the versions that the repository keeps.
fn shipped() -> ContractTexts {
    let mut texts = ContractTexts::shipped();
    for event in std::fs::read_dir(folder("history")).unwrap() {
        let event = event.unwrap();
        for file in std::fs::read_dir(event.path()).unwrap() {
            let file = file.unwrap().path();
            let version = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
            texts.history.push(ContractText {
                event: event.file_name().into_string().unwrap(),
                version: Some(version),
                file: file.display().to_string(),
                text: std::fs::read_to_string(&file).unwrap(),
            });
        }
    }
    texts
}

#[test]
fn the_shipped_contracts_pass_with_every_version_that_is_kept() {
    let texts = shipped();
    let problems: Vec<String> = review(&texts).iter().map(ToString::to_string).collect();
    assert_eq!(problems, Vec::<String>::new());
    for contract in &texts.contracts {
        let kept = texts.history.iter().filter(|kept| kept.event == contract.event);
        let newest = kept.max_by_key(|kept| kept.version);
        let newest = newest.unwrap_or_else(|| panic!("{} has no kept version", contract.event));
        assert_eq!(newest.text, contract.text, "keep {} as its next version", contract.file);
    }
}

#[test]
fn a_contract_that_cannot_be_carried_is_told_together_with_the_house_rules() {
    let own = r#"{"name": "a", "type": {"type": "record", "name": "I", "doc": "D.", "fields": [
  {"name": "b", "type": ["null", "I"], "default": null, "doc": "D."}]}}"#;
    reviewed(&texts(own, &[]), &["t/happened.avsc:1:1: ", "t/happened.avsc:3:1: a: the field has no doc"]);
}
