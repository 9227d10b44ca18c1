//! The case that a row belongs to goes with each of its events.

use lienthong_schemas::SubjectRule;
use lienthong_schemas::quality::Checks;

use crate::support::{Row, Table};

const STEP: &str = r#"{"type":"record","name":"Step","namespace":"vn.test","fields":[
    {"name":"registration_no","type":"string"},
    {"name":"dossier_code","type":["null","string"],"default":null},
    {"name":"spouse1_pin","type":["null","string"],"default":null}]}"#;
const AT: &str = "2026-09-07T10:00:00+07:00";
const NO: (&str, &str) = ("registration_no", "KH-1");

fn table() -> Table {
    let pin = SubjectRule::First(vec!["spouse1_pin".into(), "registration_no".into()]);
    Table::new(STEP, &Checks::default(), &[pin])
}

#[test]
fn every_event_of_a_row_names_its_case_and_a_row_of_no_case_names_none() {
    let mut table = table();
    let cases: [(Row<'_>, Option<&str>); 3] = [
        (&[NO, ("dossier_code", "H29.1-260907-0012")], Some("H29.1-260907-0012")),
        (&[NO], None),
        (&[NO, ("dossier_code", " ")], None),
    ];
    for (row, expected) in cases {
        table.change(AT, None, Some(row));
        let sent = table.sent();
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].correlation.as_deref(), expected);
        assert_eq!(sent[0].flags, None);
    }
    // A subject that becomes known is two events, of one case.
    let known: Row<'_> = &[NO, ("dossier_code", "H29.2"), ("spouse1_pin", "001099000001")];
    table.change(AT, Some(&[NO, ("dossier_code", "H29.1")]), Some(known));
    let told: Vec<_> = table.sent().into_iter().map(|event| (event.operation, event.correlation)).collect();
    let case = || Some("H29.2".to_owned());
    assert_eq!(told, [("rekey".to_owned(), case()), ("update".to_owned(), case())]);
    // What is deleted names the case of its last row.
    table.change(AT, Some(known), None);
    assert_eq!(table.sent()[0].correlation.as_deref(), Some("H29.2"));
}

#[test]
fn what_is_no_code_is_left_out_and_flagged_and_the_event_goes_out() {
    let mut table = table();
    let spoilt: Row<'_> = &[NO, ("dossier_code", "two\nlines")];
    table.change(AT, None, Some(spoilt));
    table.change(AT, Some(spoilt), None);
    for sent in table.sent() {
        assert_eq!(sent.correlation, None);
        assert_eq!(sent.flags.as_deref(), Some("not-a-correlation-code@correlation"));
    }
    assert!(table.set_aside().is_empty());
}
