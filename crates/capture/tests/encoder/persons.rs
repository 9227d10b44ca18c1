//! A record about two people goes out once per person.

use std::collections::BTreeSet;

use lienthong_contract::source::Place;
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

/// A contract whose records can be just too long for the log by the length of a subject: what fits the contract's bound, and beside it a
/// header of flags as long as a header may be.
fn large() -> (Table, Vec<String>) {
    let names: Vec<String> = (0..64).map(|at| format!("f{at:02}{}", "x".repeat(990))).collect();
    let fields: String = names
        .iter()
        .map(String::as_str)
        .chain(["note"])
        .map(|name| format!(r#",{{"name":"{name}","type":["null","string"],"default":null}}"#))
        .collect();
    let contract = format!("{}{fields}]}}", MARRIAGE.strip_suffix("]}").unwrap());
    let checks = Checks { max_length: [("note".into(), 1 << 20)].into(), ..Checks::default() };
    let spouse = |pin: &str| SubjectRule::First(vec![pin.into(), "registration_no".into()]);
    (Table::new(&contract, &checks, &[spouse("spouse1_pin"), spouse("spouse2_pin")]), names)
}

#[test]
fn a_row_whose_second_event_is_too_long_for_the_log_sends_none() {
    let (mut table, names) = large();
    let (note, long) = ("n".repeat(1_047_000), "9".repeat(1000));
    let with = |second| {
        let mut row = vec![("registration_no", "KH-1"), ("spouse1_pin", A), ("spouse2_pin", second)];
        row.push(("note", note.as_str()));
        // A decomposed letter is flagged.
        row.extend(names.iter().map(|name| (name.as_str(), "a\u{0300}")));
        row
    };
    table.change(AT, None, Some(BOTH));
    table.change(AT, None, Some(&with(&long)));
    let aside = table.set_aside();
    assert_eq!(aside.iter().map(|row| row.rule).collect::<Vec<_>>(), ["record-too-long"]);
    table.change(AT, None, Some(&with(B)));
    assert!(table.set_aside().is_empty(), "it is the second subject's length that was too much");
    let sent = table.sent();
    let subjects: Vec<&str> = sent.iter().map(|event| event.subject.as_str()).collect();
    assert_eq!(subjects.iter().filter(|subject| **subject == A).count(), 2, "{subjects:?}");
    assert_eq!(subjects.iter().filter(|subject| **subject == B).count(), 2);
    assert_eq!(subjects.len(), 4, "nothing of the row that was set aside");
    let counters: BTreeSet<u64> = sent.iter().map(|event| event.counter).collect();
    assert_eq!(counters, BTreeSet::from([1, 2, 3, 4]), "and it has used no number up");
}

#[test]
fn a_change_with_a_place_in_its_databases_log_has_the_sequence_of_that_place_for_each_person() {
    let mut table = table();
    table.place = Some(Place { lsn: 0xff, index: 3 });
    table.change(AT, None, Some(BOTH));
    table.place = None;
    table.change(AT, None, Some(ONE));
    let sent = table.sent();
    let sequences: Vec<&str> = sent.iter().map(|event| event.sequence.as_str()).collect();
    let placed = "000001-00000000000000ff-0000000003";
    assert_eq!(sequences.iter().filter(|sequence| **sequence == placed).count(), 2);
    let counted = BTreeSet::from([1, 2]);
    let rest = sent.iter().filter(|event| event.sequence != placed).map(|event| event.counter);
    assert_eq!(rest.collect::<BTreeSet<u64>>(), counted, "a place uses no number up");
}
