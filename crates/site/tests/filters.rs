//! A `where` tells what it looks at by which rows arrive: it is bound to the purpose like the fields themselves.

mod support;

use support::{Folder, VSS, only, refused};

#[test]
fn a_where_over_a_field_outside_the_purpose_is_refused() {
    let fix = "take it out of the condition, or have the catalogue grant it";
    let denied = "`where`: purpose P3 may not see `mother.full_name` of `civil_status.birth.registered`";
    for condition in
        ["event.mother.full_name == 'A'", "has(event.mother.full_name)", "event.mother.full_name == null"]
    {
        let column = 13 + condition.find("event").expect("a field");
        let place = format!("10:{column}");
        refused(VSS, "event.child.birth_date >= '2020'", condition, &place, &[denied, fix]);
    }
    // Told once, at its first place.
    let twice =
        "event.child.birth_date >= '2020' && event.father.full_name > 'A' && event.father.full_name < 'B'";
    let parts = ["purpose P3 may not see `father.full_name`", fix];
    refused(VSS, "event.child.birth_date >= '2020'", twice, "10:49", &parts);
}

#[test]
fn a_where_may_look_at_what_the_purpose_sees_and_the_agreement_does_not_deliver() {
    let folder = Folder::new();
    let condition = "event.child.sex == 'FEMALE' && event.mother.pin != null && event.father.pin < '0'";
    folder.replace(VSS, "event.child.birth_date >= '2020'", condition);
    assert_eq!(folder.problems(), Vec::<String>::new());
}

/// Statistics, which see whom an event is about only as a token.
const STATISTICS: &str = r#"agreement: vss.insurance/2026-01
subscriber: vss.insurance
purpose: P13
legal_basis: "Law on Statistics 89/2015/QH13"
valid: {from: 2026-01-01, until: 2027-12-31}
target: {kind: sqlite, url: "sqlite:var/statistics.db"}
delivers:
  - event: civil_status.death.registered
    fields: [registration_no, death_date]
    where: "CONDITION"
    into: {table: ended, key: [record], columns: {record: {pseudonym: registration_no}, died_on: death_date}}
    on_revoked: hard
"#;

#[test]
fn a_where_asks_of_a_pseudonym_only_whether_it_is_null() {
    let folder = Folder::new();
    for condition in [
        "event.deceased.pin != null",
        "has(event.deceased.pin)",
        "event.death_date > '2026' && !(null == event.deceased.pin)",
    ] {
        folder.write(VSS, &STATISTICS.replace("CONDITION", condition));
        assert_eq!(folder.problems(), Vec::<String>::new(), "{condition}");
    }
    for (condition, column) in [
        ("event.deceased.pin == '001085730194'", 13),
        ("event.deceased.pin != null && event.deceased.pin.startsWith('001')", 43),
        ("event.death_date == event.deceased.pin", 33),
    ] {
        folder.write(VSS, &STATISTICS.replace("CONDITION", condition));
        let parts = [
            "`where`: purpose P13 may see `deceased.pin` of `civil_status.death.registered` only as a pseudonym",
            "ask `event.deceased.pin != null` or `== null` only",
        ];
        only(&folder, &format!("agreements/vss.yaml:10:{column}: "), &parts);
    }
}
