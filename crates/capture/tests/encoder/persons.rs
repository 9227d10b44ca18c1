//! A record about two people goes out once per person.

use std::collections::BTreeSet;

use lienthong_schemas::SubjectRule;
use lienthong_schemas::quality::Checks;

use crate::support::{Row, Sent, Table};

const MARRIAGE: &str = r#"{"type":"record","name":"Marriage","namespace":"vn.test","fields":[
    {"name":"registration_no","type":"string"},
    {"name":"spouse1_pin","type":["null","string"],"default":null},
    {"name":"spouse2_pin","type":["null","string"],"default":null}]}"#;

const AT: &str = "2026-09-07T10:00:00+07:00";
const A: &str = "001099000001";
const B: &str = "079199000002";
const C: &str = "079199000003";

fn table() -> Table {
    let spouse = |pin: &str| SubjectRule::First(vec![pin.into(), "registration_no".into()]);
    Table::new(MARRIAGE, &Checks::default(), &[spouse("spouse1_pin"), spouse("spouse2_pin")])
}

fn sent(before: Option<Row<'_>>, after: Option<Row<'_>>) -> Vec<Sent> {
    let mut table = table();
    table.change(AT, before, after);
    table.sent()
}

/// Operation and subject, in the order of `ce_sequence` within each partition.
fn told(sent: &[Sent]) -> BTreeSet<(&str, &str)> {
    sent.iter().map(|event| (event.operation.as_str(), event.subject.as_str())).collect()
}

const BOTH: Row<'_> = &[("registration_no", "KH-1"), ("spouse1_pin", A), ("spouse2_pin", B)];
const ONE: Row<'_> = &[("registration_no", "KH-1"), ("spouse1_pin", A)];

#[test]
fn each_spouse_has_an_event_of_their_own_with_an_id_of_its_own_on_their_own_partition() {
    let sent = sent(None, Some(BOTH));
    assert_eq!(told(&sent), BTreeSet::from([("insert", A), ("insert", B)]));
    let ids: BTreeSet<&str> = sent.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids, BTreeSet::from(["1-41-0.0", "1-41-0.1"]), "a pure function of the change and the person");
    for event in &sent {
        let partition = lienthong_log::murmur2::partition(event.subject.as_bytes(), 12);
        assert_eq!(event.partition, partition);
        assert_eq!(table().text(event, "spouse2_pin").as_deref(), Some(B), "the whole record");
    }
    let deleted = self::sent(Some(BOTH), None);
    assert_eq!(told(&deleted), BTreeSet::from([("delete", A), ("delete", B)]));
}

#[test]
fn a_spouse_without_a_number_has_the_records_number_and_the_place_in_it_as_key() {
    let foreigner = sent(None, Some(ONE));
    assert_eq!(told(&foreigner), BTreeSet::from([("insert", A), ("insert", "registration_no:KH-1/2")]));
    let neither = sent(None, Some(&[("registration_no", "KH-1")]));
    let keys = BTreeSet::from([("insert", "registration_no:KH-1/1"), ("insert", "registration_no:KH-1/2")]);
    assert_eq!(told(&neither), keys, "two people, two keys");
}

#[test]
fn a_number_that_becomes_known_or_changes_moves_that_spouse_alone() {
    let known = sent(Some(ONE), Some(BOTH));
    let expected = [("rekey", "registration_no:KH-1/2"), ("update", A), ("update", B)];
    assert_eq!(told(&known), BTreeSet::from(expected));
    assert!(known.iter().any(|event| event.id == "1-41-0.1r"));

    let reissued =
        sent(Some(BOTH), Some(&[("registration_no", "KH-1"), ("spouse1_pin", A), ("spouse2_pin", C)]));
    assert_eq!(told(&reissued), BTreeSet::from([("rekey", B), ("update", A), ("update", C)]));
}

#[test]
fn spouses_who_change_places_are_the_same_spouses() {
    let swapped =
        sent(Some(BOTH), Some(&[("registration_no", "KH-1"), ("spouse1_pin", B), ("spouse2_pin", A)]));
    assert_eq!(told(&swapped), BTreeSet::from([("update", A), ("update", B)]));
}

#[test]
fn one_person_in_both_places_has_one_event() {
    let twice = sent(None, Some(&[("registration_no", "KH-1"), ("spouse1_pin", A), ("spouse2_pin", A)]));
    assert_eq!(twice.len(), 1);
}
