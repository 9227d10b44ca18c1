//! Every rule finds what its vectors say, on the road that a connector's rows take.

use std::collections::BTreeMap;

use lienthong_schemas::quality::{Checks, Level, PersonCheck, RULES, Severity, UnitCheck};
use lienthong_schemas::{FieldPath, SubjectRule};

use crate::support::{Table, seal_key};

/// The vectors' contract.
const CONTRACT: &str = r#"{"type":"record","name":"Probe","namespace":"vn.test","fields":[
    {"name":"no","type":"string"},
    {"name":"pin","type":["null","string"],"default":null},
    {"name":"sex","type":["null",{"type":"enum","name":"Sex","symbols":["male","female","unknown"]}],"default":null},
    {"name":"birth_date","type":["null","string"],"default":null},
    {"name":"valid_from","type":["null","string"],"default":null},
    {"name":"registered_on","type":["null",{"type":"int","logicalType":"date"}],"default":null},
    {"name":"seen_at","type":["null",{"type":"long","logicalType":"timestamp-micros"}],"default":null},
    {"name":"province_code","type":["null","string"],"default":null},
    {"name":"commune_code","type":["null","string"],"default":null},
    {"name":"unit_version","type":["null",{"type":"int","logicalType":"date"}],"default":null},
    {"name":"fields_changed","type":{"type":"array","items":"string"},"default":[]},
    {"name":"short","type":["null","string"],"default":null},
    {"name":"name","type":["null","string"],"default":null}]}"#;

/// The day of the vectors, late in the evening of Viet Nam.
const NOW: &str = "2026-09-07T23:30:00+07:00";

fn checks() -> Checks {
    let path = |name: &str| FieldPath::new(name);
    let unit = |code: &str, level| UnitCheck { code: path(code), level, on: Some(path("unit_version")) };
    Checks {
        persons: vec![PersonCheck {
            pin: path("pin"),
            sex: Some(path("sex")),
            birth_date: Some(path("birth_date")),
        }],
        units: vec![unit("province_code", Level::Province), unit("commune_code", Level::Commune)],
        dates: vec![path("birth_date")],
        open_dates: vec![path("valid_from")],
        past: vec![path("registered_on"), path("seen_at"), path("birth_date")],
        changed: Some(path("fields_changed")),
        before: None,
        max_length: BTreeMap::from([(path("short"), 5)]),
    }
}

fn table() -> Table {
    Table::new(CONTRACT, &checks(), &[SubjectRule::First(vec!["no".into()])])
}

/// What was found in one new row: what refused it, or the flags that it went out with.
fn findings(row: &[(&str, &str)]) -> (Option<String>, Vec<String>) {
    let mut table = table();
    let row: Vec<_> = [("no", "N-1")].into_iter().chain(row.iter().copied()).collect();
    table.change(NOW, None, Some(&row));
    let refused = table.set_aside().pop().map(|row| format!("{}@{}", row.rule, row.column));
    let flags = table.sent().pop().and_then(|sent| sent.flags).unwrap_or_default();
    (refused, flags.split(',').filter(|flag| !flag.is_empty()).map(str::to_owned).collect())
}

#[test]
fn every_rule_finds_what_its_vectors_say() {
    for rule in RULES {
        assert!(rule.vectors.iter().any(|vector| vector.found), "{} has no vector", rule.id);
        assert!(rule.vectors.iter().any(|vector| !vector.found), "{} is never quiet", rule.id);
        for (index, vector) in rule.vectors.iter().enumerate() {
            let finding = format!("{}@{}", rule.id, vector.field);
            let (refused, flags) = findings(vector.row);
            let found = match rule.severity {
                Severity::Reject => refused.as_ref() == Some(&finding),
                Severity::Flag => refused.is_none() && flags.contains(&finding),
            };
            assert_eq!(found, vector.found, "vector {index} of {}: {refused:?} {flags:?}", rule.id);
        }
    }
}

#[test]
fn a_flagged_event_goes_out_with_rule_and_field_and_a_right_one_without_a_header() {
    let (refused, flags) = findings(&[
        ("pin", "003324000017"),
        ("sex", "male"),
        ("birth_date", "2026-09-02"),
        ("province_code", "10"),
    ]);
    let expected = [
        "pin-unknown-province@pin",
        "pin-sex-mismatch@pin",
        "pin-year-mismatch@pin",
        "retired-unit-code@province_code",
    ];
    assert_eq!((refused, flags.as_slice()), (None, expected.map(str::to_owned).as_slice()));
    let mut table = table();
    table.change(NOW, None, Some(&[("no", "N-1"), ("pin", "001326000001"), ("name", "Nguyễn Thị An")]));
    assert_eq!(table.sent()[0].flags, None);
}

#[test]
fn texts_leave_in_nfc_and_the_subject_with_them() {
    let mut table = table();
    table.change(NOW, None, Some(&[("no", "Ho\u{301}a-1"), ("name", "Nguye\u{302}\u{303}n Hu\u{341}y")]));
    let sent = table.sent();
    assert_eq!(sent[0].subject, "no:Hóa-1");
    assert_eq!(table.text(&sent[0], "name").as_deref(), Some("Nguyễn Húy"));
    assert_eq!(sent[0].flags.as_deref(), Some("not-nfc@no,deprecated-tone-mark@name"));
}

#[test]
fn an_update_is_flagged_for_what_it_is_now_and_a_normal_form_alone_moves_no_subject() {
    let mut table = table();
    let (decomposed, composed) =
        ([("no", "Ho\u{301}a"), ("sex", "male")], [("no", "Hóa"), ("sex", "female")]);
    table.change(NOW, Some(&decomposed), Some(&composed));
    let sent = table.sent();
    assert_eq!(sent.len(), 1, "no rekey");
    assert_eq!((sent[0].operation.as_str(), &sent[0].flags), ("update", &None));
}

#[test]
fn a_refused_row_is_set_aside_with_its_values_sealed_and_nothing_of_it_goes_out() {
    let mut table = table();
    table.change(NOW, None, Some(&[("no", "N-1"), ("pin", "00132600001"), ("name", "An")]));
    assert!(table.sent().is_empty());
    let row = table.set_aside().pop().unwrap();
    assert_eq!((row.table.as_str(), row.column.as_str(), row.rule), ("probe", "pin", "pin-form"));
    let shown = format!("{row:?}");
    assert!(!shown.contains("00132600001") && !shown.contains("N-1"), "{shown}");
    let values = seal_key().open(row.id.as_bytes(), &row.sealed).unwrap();
    assert!(String::from_utf8(values).unwrap().contains(r#""pin":"00132600001""#));
}
