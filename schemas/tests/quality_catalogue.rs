//! Every field that a check knows is checked, in every event that ships; and the reference of units is the data's.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use std::path::{Path, PathBuf};

use lienthong_schemas::quality::{Level, QualityPlan, RULES, Standing, Units};
use lienthong_schemas::{Cell, EventContract, Field, FieldPath, FieldType, bundled, date};

fn events() -> Vec<EventContract> {
    bundled().unwrap().events().cloned().collect()
}

fn unchecked(is_meant: impl Fn(&Field) -> bool, is_checked: impl Fn(&EventContract, &FieldPath) -> bool) {
    let mut found = Vec::new();
    for event in events() {
        for leaf in event.schema.leaf_paths().filter(|leaf| is_meant(leaf)) {
            if !is_checked(&event, &leaf.path) {
                found.push(format!("{}: {}", event.name, leaf.path));
            }
        }
    }
    assert!(found.is_empty(), "no check in catalogue.yaml for {found:#?}");
}

fn says(field: &Field, words: &str) -> bool {
    field.doc.as_deref().is_some_and(|doc| doc.contains(words))
}

#[test]
fn every_personal_number_is_checked() {
    let meant = |leaf: &Field| {
        let name = leaf.path.last();
        leaf.kind == FieldType::Text
            && (name == "pin" || name.ends_with("_pin") || says(leaf, "ersonal identification number"))
    };
    unchecked(meant, |event, path| event.checks.persons.iter().any(|person| person.pin == *path));
}

#[test]
fn a_number_is_compared_with_the_sex_and_birth_date_beside_it() {
    let mut found = Vec::new();
    for event in events() {
        for person in &event.checks.persons {
            let beside = |name: &str| {
                let path = match person.pin.as_str().rsplit_once('.') {
                    Some((record, "pin")) => format!("{record}.{name}"),
                    None if person.pin.as_str() == "pin" => name.to_owned(),
                    _ => return None,
                };
                event.schema.field(&path).map(|field| field.path.clone())
            };
            if beside("sex") != person.sex || beside("birth_date") != person.birth_date {
                found.push(format!("{}: {}", event.name, person.pin));
            }
        }
    }
    assert!(found.is_empty(), "sex or birth_date is not named for {found:#?}");
}

#[test]
fn every_unit_code_is_checked() {
    let units = ["province_code", "district_code", "commune_code", "office_code"];
    let meant = |leaf: &Field| units.iter().any(|unit| leaf.path.last().ends_with(unit));
    unchecked(meant, |event, path| event.checks.units.iter().any(|unit| unit.code == *path));
}

#[test]
fn every_partial_date_is_checked() {
    unchecked(
        |leaf| leaf.kind == FieldType::Text && says(leaf, "EDTF"),
        |event, path| event.checks.holds_date(path),
    );
}

#[test]
fn the_reference_of_units_is_what_the_data_say() {
    let units = Units::bundled();
    let day = |text| date::parse_date(text).unwrap();
    for (file, in_force, other) in [
        ("admin_units_before_2025-07-01.csv", "2025-06-30", Standing::Retired),
        ("admin_units_from_2025-07-01.csv", "2025-07-01", Standing::Early),
    ] {
        let text =
            std::fs::read_to_string(repository().join("docs/examples/admin-units/data").join(file)).unwrap();
        for line in text.lines().skip(1) {
            let mut columns = line.split(',');
            let (code, level) = (columns.next().unwrap(), columns.next().unwrap());
            let level = Level::ALL.into_iter().find(|known| known.as_str() == level).unwrap();
            assert_eq!(units.on_day(level, code, day(in_force)), Standing::InForce, "{code} of {file}");
            let elsewhere = if other == Standing::Retired { "2025-07-01" } else { "2025-06-30" };
            let standing = units.on_day(level, code, day(elsewhere));
            assert!([Standing::InForce, other].contains(&standing), "{code} of {file}");
        }
    }
}

#[test]
fn the_table_of_the_document_is_the_table_of_the_code() {
    let text = std::fs::read_to_string(repository().join("docs/quality.md")).unwrap();
    let mut expected = String::from("| rule | severity | finds | source |\n|---|---|---|---|\n");
    for rule in RULES {
        let severity = rule.severity.as_str();
        expected.push_str(&format!("| `{}` | {severity} | {} | {} |\n", rule.id, rule.finds, rule.source));
    }
    assert!(text.contains(&expected), "docs/quality.md must hold this table:\n{expected}");
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn the_list_of_changes_names_what_is_now_and_never_what_was_before() {
    let catalogue = bundled().unwrap();
    let event = catalogue.event("civil_status.person.corrected").unwrap();
    let slots = [FieldPath::new("fields_changed")];
    let plan = QualityPlan::compile(&event.checks, &event.schema, &slots);
    let judged = |name: &'static str| {
        let arena = bumpalo::Bump::new();
        let refused = plan.judge(&mut [Cell::List(&[Cell::Str(name)])], 0, &arena, &mut Vec::new());
        refused.err().map(|flag| flag.rule.id)
    };
    assert_eq!(judged("family_name"), None);
    for name in ["before", "before.family_name"] {
        assert_eq!(judged(name), Some("unknown-changed-field"), "{name}");
    }
}
