//! Every mistake in a catalogue is told at once, with its place and a way out.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use std::collections::BTreeMap;

use lienthong_schemas::{
    Catalogue, FieldPath, Problem, RecordSchema, bundled, bundled_schemas, bundled_texts,
};

const GOOD: &str = r"purposes:
  P1: Population
families:
  birth:
    title: Births
    owner: moj.civil-status
    topics:
      live: {partitions: 4, replication: 3, min_insync_replicas: 2, retention_days: 30}
      bulk: {partitions: 4, replication: 3, min_insync_replicas: 2, retention_days: 30}
events:
  birth.registered:
    family: birth
    title: Birth registered
    legal_source: Law
    subject: [child.pin, no]
    record_number: no
    classification: {basic: [no, child], sensitive: [child.origin]}
    purposes:
      P1: [no, child.pin]
";

fn schemas() -> BTreeMap<String, RecordSchema> {
    let text = r#"{"type":"record","name":"B","fields":[{"name":"no","type":"string"},
        {"name":"child","type":{"type":"record","name":"C","fields":[
            {"name":"pin","type":["null","string"],"default":null},
            {"name":"origin","type":["null","string"],"default":null}]}}]}"#;
    BTreeMap::from([("birth.registered".to_owned(), RecordSchema::parse(text).unwrap())])
}

fn problems(from: &str, to: &str) -> Vec<Problem> {
    assert!(GOOD.contains(from), "{from}");
    Catalogue::parse("catalogue.yaml", &GOOD.replace(from, to), &schemas()).unwrap_err()
}

/// The only problem, as `line:column: message; fix`.
fn problem(from: &str, to: &str) -> String {
    let problems = problems(from, to);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].to_string().replace("catalogue.yaml:", "")
}

#[test]
fn a_good_catalogue_answers_questions() {
    let catalogue = Catalogue::parse("catalogue.yaml", GOOD, &schemas()).unwrap();
    let family = catalogue.family("birth").unwrap();
    assert_eq!((family.live_topic(), family.bulk_topic()), ("lt.birth.live".into(), "lt.birth.bulk".into()));
    assert_eq!(catalogue.events_of("birth").count(), 1);
    let event = catalogue.event("birth.registered").unwrap();
    assert_eq!(event.record_number, Some(FieldPath::new("no")));
    assert!(catalogue.event("birth.unregistered").is_none());
}

#[test]
fn names_that_do_not_exist_get_the_nearest_one() {
    let unknown = problem("[no, child.pin]", "[no, child.pn]");
    assert_eq!(unknown, "19:16: unknown field `child.pn`; fix: did you mean `child.pin`?");
    let unknown = problem("subject: [child.pin, no]", "subject: [child.pim, no]");
    assert_eq!(unknown, "15:15: unknown field `child.pim`; fix: did you mean `child.pin`?");
    assert!(problem("family: birth", "family: births").starts_with("12:13: unknown family `births`"));
    assert!(problem("      P1: [", "      PURPOSE: [").contains("unknown purpose `PURPOSE`"));
}

#[test]
fn a_subject_must_never_be_null() {
    let nullable = problem("subject: [child.pin, no]", "subject: [child.pin]");
    assert_eq!(nullable, "15:15: the subject may be null; fix: end the list with a mandatory field");
    let composed = problem("subject: [child.pin, no]", "subject: {compose: [no, child.pin]}");
    assert!(composed.ends_with("fix: compose mandatory fields only"), "{composed}");
    assert!(problem("subject: [child.pin, no]", "subject: []").contains("may be null"));
    assert!(problem("subject: [child.pin, no]", "subject: [child, no]").contains("`child` is a record"));
}

#[test]
fn every_field_is_classified_once() {
    let missing = problems("basic: [no, child]", "basic: [no]");
    assert_eq!(missing.len(), 1);
    assert!(missing[0].message.contains("`child.pin` has no classification"), "{}", missing[0]);
    assert!(problem("sensitive: [child.origin]", "sensitive: [child]").contains("has two classes"));
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    let text = GOOD
        .replace(
            "min_insync_replicas: 2, retention_days: 30}\n      bulk",
            "min_insync_replicas: 4, retention_days: 30}\n      bulk",
        )
        .replace("record_number: no", "record_number: number")
        .replace("[no, child.pin]\n", "[number]\n");
    let problems = Catalogue::parse("catalogue.yaml", &text, &schemas()).unwrap_err();
    let lines: Vec<_> = problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [8, 16, 19, 19], "{problems:?}");
}

#[test]
fn schemas_and_events_must_be_pairs() {
    let without_schema = Catalogue::parse("catalogue.yaml", GOOD, &BTreeMap::new()).unwrap_err();
    assert!(without_schema[0].message.contains("`birth.registered` has no schema"), "{}", without_schema[0]);
    assert_eq!(without_schema[0].fix, "add schemas/avro/birth/registered.avsc");
    let mut more = schemas();
    let schema = more["birth.registered"].clone();
    more.insert("birth.corrected".to_owned(), schema.clone());
    more.insert("lienthong.heartbeat".to_owned(), schema);
    let problems = Catalogue::parse("catalogue.yaml", GOOD, &more).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("`birth.corrected` has no entry"), "{}", problems[0]);
}

#[test]
fn unknown_keys_and_broken_yaml_have_a_place() {
    let key = problem("    record_number: no\n", "    record_no: no\n");
    assert!(key.starts_with("16:5: ") && key.contains("record_no"), "{key}");
    let purpose = problem("P1: [no, child.pin]", "P1: everything");
    assert!(purpose.starts_with("19:"), "{purpose}");
    let broken = Catalogue::parse("catalogue.yaml", "purposes: [", &schemas()).unwrap_err();
    assert_eq!(broken.len(), 1);
    assert!(broken[0].line > 0 && !broken[0].message.contains('\n'), "{broken:?}");
}

#[test]
fn revocations_are_checked_against_what_they_revoke() {
    let text = bundled_texts().catalogue;
    let parse = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let schemas = bundled_schemas().unwrap();
        Catalogue::parse("catalogue.yaml", &text.replace(from, to), &schemas).unwrap_err()[0].message.clone()
    };
    let types = "types: [civil_status.birth.registered, civil_status.death.registered]";
    assert!(
        parse(types, "types: [civil_status.birth.registered, civil_status.birth.undone]").contains("undone")
    );
    assert!(parse("{child.pin: pin,", "{infant.pin: pin,").contains("no revoked event has the field"));
    let revoked = "types: [admin_unit.changed, civil_status.birth.registered, civil_status.death.registered]";
    assert!(parse(types, revoked).contains("has no record_number"));

    let catalogue = bundled().unwrap();
    let revocation = catalogue.event("civil_status.record.revoked").unwrap();
    let death = catalogue.event("civil_status.death.registered").unwrap();
    let matches = revocation.revoke_matches(death);
    assert_eq!(matches, [(FieldPath::new("deceased.pin"), FieldPath::new("pin"))]);
}

#[test]
fn checks_name_fields_that_can_be_checked_so() {
    let with = |checks: &str| {
        problem("    purposes:\n      P1", &format!("    checks: {checks}\n    purposes:\n      P1"))
    };
    let unknown = with("{persons: [{pin: child.pn}]}");
    assert_eq!(unknown, "18:30: unknown field `child.pn`; fix: did you mean `child.pin`?");
    let sex = with("{persons: [{pin: child.pin, sex: child.origin}]}");
    assert!(sex.starts_with("18:46: `child.origin` is not an enum with male and female"), "{sex}");
    let level = with("{units: [{code: no, level: communes}]}");
    assert_eq!(level, "18:40: unknown level `communes`; fix: did you mean `commune`?");
    let length = with("{max_length: {no: 0}}");
    assert_eq!(length, "18:31: no text has 0 characters; fix: use 1 or more");
    let record = with("{dates: [child]}");
    assert!(record.contains("`child` is a record"), "{record}");
    assert!(with("{person: []}").starts_with("18:"), "unknown keys have a place");
}
