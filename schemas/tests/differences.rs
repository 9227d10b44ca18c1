//! `schema diff`: every kind of change in words, and whether it breaks somebody.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use std::collections::BTreeSet;

use lienthong_schemas::check::ContractTexts;
use lienthong_schemas::diff::{Change, catalogues, contracts};
use lienthong_schemas::{FieldPath, RecordSchema};

fn record(fields: &str) -> RecordSchema {
    let text = format!(r#"{{"type":"record","name":"R","namespace":"vn.t","doc":"D.","fields":[{fields}]}}"#);
    RecordSchema::parse(&text).unwrap()
}

fn shown(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| format!("{} {change}", if change.breaks { "breaks" } else { "notes" }))
        .collect()
}

fn between(before: &str, after: &str) -> Vec<String> {
    shown(&contracts("t.e", &record(before), &record(after)))
}

#[test]
fn every_change_of_a_contract_is_told_in_words() {
    let a = |kind: &str| format!(r#"{{"name":"a","type":{kind},"doc":"D."}}"#);
    let int = a(r#""int""#);
    assert_eq!(between(&int, &int), Vec::<String>::new());
    assert_eq!(between(&int, ""), ["breaks t.e: `a` is removed"]);
    let optional = r#"{"name":"a","type":["null","int"],"default":null,"doc":"D."}"#;
    assert_eq!(between("", optional), ["notes t.e: `a` is added, null in older records"]);
    let default = r#"{"name":"a","type":"int","default":0,"doc":"D."}"#;
    assert_eq!(between("", default), ["notes t.e: `a` is added, with its default in older records"]);
    let new = between("", &int);
    assert_eq!(new, ["breaks t.e: `a` cannot be read as before: the field is new and has no default"]);
    assert_eq!(between(&int, &a(r#""long""#)), ["notes t.e: `a` changes its type from int to long"]);
    let narrower = between(&a(r#""long""#), &int);
    assert_eq!(narrower[0], "breaks t.e: `a` cannot be read as before: long cannot become int");
    assert_eq!(between(&int, optional), ["notes t.e: `a` may be null from now on"]);
    assert!(
        between(optional, &int)[0]
            .starts_with("breaks t.e: `a` cannot be read as before: the field is no longer")
    );
    assert_eq!(
        between(&int, &int.replace("D.", "In days.")),
        ["notes t.e: `a` is described in other words: see whether it means the same"]
    );
    let symbols = |list: &str| a(&format!(r#"{{"type":"enum","name":"E","symbols":{list},"default":"x"}}"#));
    let more = between(&symbols(r#"["x"]"#), &symbols(r#"["x","y"]"#));
    assert!(more[0].starts_with("notes t.e: `a` may be `y` as well"), "{more:?}");
    let fewer = between(&symbols(r#"["x","y"]"#), &symbols(r#"["x"]"#));
    assert!(fewer[0].starts_with("notes t.e: `a` is never `y` again"), "{fewer:?}");
}

#[test]
fn a_record_that_goes_is_told_once_and_not_field_by_field() {
    let inner = r#"{"name":"a","doc":"D.","type":{"type":"record","name":"I","doc":"D.","fields":[
        {"name":"b","type":"int","doc":"D."}]}}"#;
    assert_eq!(between(inner, ""), ["breaks t.e: `a` is removed"]);
}

/// The shipped catalogue against itself with one text replaced.
fn catalogue_with(from: &str, to: &str) -> Vec<Change> {
    let before = ContractTexts::shipped();
    let mut after = before.clone();
    assert!(after.catalogue.contains(from), "{from}");
    after.catalogue = after.catalogue.replacen(from, to, 1);
    let parsed = |texts: &ContractTexts| texts.catalogue().unwrap_or_else(|problems| panic!("{problems:?}"));
    catalogues(&parsed(&before), &parsed(&after))
}

#[test]
fn what_changes_in_the_catalogue_is_told_too() {
    assert_eq!(catalogue_with("purposes:", "purposes:"), []);
    let seen = shown(&catalogue_with("P16: [pin, schedule_status]", "P16: [pin]"));
    let event = "vaccination.dose.recorded";
    assert_eq!(seen, [format!("breaks {event}: `schedule_status` is no longer for purpose P16")]);
    let seen = shown(&catalogue_with("P16: [pin, schedule_status]", "P16: [pin, schedule_status, lot]"));
    assert_eq!(seen, [format!("notes {event}: `lot` is for purpose P16 as well")]);
    let seen = shown(&catalogue_with(
        "P16: [pin, schedule_status]",
        "P16: {fields: [schedule_status], pseudonym: [pin]}",
    ));
    assert_eq!(seen, [format!("breaks {event}: `pin` is for purpose P16 as a pseudonym only")]);
    let seen = shown(&catalogue_with("subject: [pin, dose_id]", "subject: [dose_id]"));
    assert!(seen[0].starts_with(&format!("breaks {event}: the subject is found in another way")), "{seen:?}");
    let seen = shown(&catalogue_with("record_number: dose_id", "record_number: lot"));
    assert!(seen[0].starts_with(&format!("breaks {event}: records are numbered")), "{seen:?}");
    let seen = shown(&catalogue_with("owner: moh.vaccination", "owner: moh.clinics"));
    assert_eq!(seen, [format!("notes {event}: it is published by moh.clinics instead of moh.vaccination")]);
    let seen = shown(&catalogue_with("[vss.insurance, moh.social-protection]", "[moh.social-protection]"));
    assert!(seen.contains(
        &"breaks benefit.decision.made: it leaves the topic lt.benefit.vss.insurance.live".to_owned()
    ));
    let seen = shown(&catalogue_with("matching: [P11]", "matching: [P11, P16]"));
    assert!(
        seen.contains(&format!("notes {event}: purpose P16 may have the key of its pseudonyms")),
        "{seen:?}"
    );
    let seen = shown(&catalogue_with("live: {partitions: 1,", "live: {partitions: 2,"));
    let told =
        "breaks admin_unit.changed: lt.admin_unit.live would go from 1 to 2 partitions, which breaks order";
    assert_eq!(seen, [told]);
}

#[test]
fn records_that_are_kept_for_less_are_told_as_a_break() {
    let kept = |live: u32| format!("live_days: {live}, bulk_days: 3650}}");
    let seen = shown(&catalogue_with(&kept(3650), &kept(30)));
    let what = "admin_unit.changed: lt.admin_unit.live keeps records for";
    assert_eq!(seen, [format!("breaks {what} 30 days instead of 3650 days")]);
    let seen = shown(&catalogue_with(&kept(3650), &kept(4000)));
    assert_eq!(seen, [format!("notes {what} 4000 days instead of 3650 days")]);
}

#[test]
fn other_rules_laws_and_names_are_told() {
    let event = "vaccination.dose.recorded";
    let seen =
        shown(&catalogue_with("max_length: {dose_id: 50, lot: 50}", "max_length: {dose_id: 50, lot: 60}"));
    assert_eq!(
        seen,
        [format!("notes {event}: rows are checked by other rules before they leave their owner")]
    );
    let law = "Law on Disease Prevention 114/2025/QH15; Decree 165/2026/ND-CP";
    let seen = shown(&catalogue_with(law, "Another law"));
    assert_eq!(seen, [format!("notes {event}: it rests on Another law instead of {law}")]);
    let seen = shown(&catalogue_with("osia: [newPerson]", "osia: [updatePerson]"));
    let told = "notes population.person.created: other names in OSIA, DCI or OpenCRVS stand for it";
    assert_eq!(seen, [told]);
    let seen = shown(&catalogue_with("      sensitive: [reason]\n", "      restricted: [reason]\n"));
    assert_eq!(seen, ["notes population.pin.reissued: `reason` is classified anew"]);
}

#[test]
fn an_event_that_goes_breaks_whoever_takes_it_and_a_new_one_nobody() {
    let texts = ContractTexts::shipped();
    let mut fewer = texts.clone();
    fewer.contracts.retain(|contract| contract.event != "quality.mismatch.reported");
    let at = fewer.catalogue.find("\n  quality.mismatch.reported:").unwrap();
    fewer.catalogue.truncate(at);
    let (all, fewer) = (texts.catalogue().unwrap(), fewer.catalogue().unwrap());
    assert_eq!(shown(&catalogues(&all, &fewer)), ["breaks quality.mismatch.reported: the event is removed"]);
    assert_eq!(shown(&catalogues(&fewer, &all)), ["notes quality.mismatch.reported: the event is added"]);
}

#[test]
fn a_change_touches_those_who_read_the_field_for_that_purpose() {
    let change = &catalogue_with("P16: [pin, schedule_status]", "P16: [pin]")[0];
    let reads =
        |paths: &[&str]| -> BTreeSet<FieldPath> { paths.iter().map(|path| FieldPath::new(*path)).collect() };
    let event = "vaccination.dose.recorded";
    assert!(change.touches(event, "P16", &reads(&["pin", "schedule_status"])));
    assert!(!change.touches(event, "P9", &reads(&["schedule_status"])), "another purpose");
    assert!(!change.touches(event, "P16", &reads(&["pin"])), "another field");
    assert!(!change.touches("vaccination.dose", "P16", &reads(&["schedule_status"])), "another event");
}
