//! Events that change only some fields, and events about several people, in a site's files.

mod support;

use lienthong_schemas::FieldPath;
use support::{Folder, MOJ, VSS, only};

/// Into the table that births make: two columns of one field, one of another, and one of a field that is always there.
const CORRECTION: &str = r#"  - event: civil_status.person.corrected
    fields: [pin, decided_on, family_name, birth_date]
    where: "event.pin != null"
    effect: {update: {if_missing: skip}}
    into:
      table: insured_child
      key: [child_pin]
      columns:
        child_pin: pin
        ho: family_name
        ngay_sinh: {date: birth_date, partial: null}
        ngay_sinh_edtf: birth_date
        corrected_on: decided_on
    on_revoked: hard
    on_deleted: ignore
"#;

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write(VSS, &format!("{}{CORRECTION}", folder.text(VSS)));
    folder.write_keys();
    folder
}

/// One mistake in the correction's entry.
fn mistaken(from: &str, to: &str, parts: &[&str]) {
    let folder = folder();
    let text = folder.text(VSS);
    assert_eq!(text.matches(from).count(), 1, "{from}");
    folder.write(VSS, &text.replace(from, to));
    only(&folder, "agreements/vss.yaml:", parts);
}

#[test]
fn each_field_of_a_delta_event_has_a_column_group_of_its_own() {
    let site = folder().site();
    let vss = site.subscriber("vss.insurance").expect("it is listed");
    let subscription = &vss.subscriptions(site.keys().expect("they are written"))[0];
    assert_eq!(subscription.validate(), Ok(()));
    let table = &subscription.tables[0];
    let rule = &subscription.rules[2];
    let mut written: Vec<(Vec<&str>, Option<&str>)> = rule
        .groups
        .iter()
        .map(|source| {
            let columns = &table.groups[source.group].columns;
            let names = columns.iter().map(|column| column.name.as_str()).collect();
            (names, source.listed.as_ref().map(FieldPath::as_str))
        })
        .collect();
    written.sort();
    let expected = [
        (vec!["corrected_on"], None),
        (vec!["ho"], Some("family_name")),
        (vec!["ngay_sinh"], Some("birth_date")),
        (vec!["ngay_sinh_edtf"], Some("birth_date")),
    ];
    assert_eq!(written, expected, "births write ngay_sinh too, and not the column beside it");
    assert_eq!(rule.delta.map(|path| rule.paths[path].as_str()), Some("fields_changed"));
    assert!(
        !rule.fields.iter().any(|field| field.as_str() == "fields_changed"),
        "the list itself is not agreed"
    );
    let births = &subscription.rules[0];
    assert!(births.delta.is_none() && births.groups.iter().all(|group| group.listed.is_none()));
}

#[test]
fn columns_of_one_field_stay_together_where_nobody_else_writes_them() {
    let folder = folder();
    folder.write(
        VSS,
        &folder.text(VSS).replace(
            "        ngay_sinh: {date: birth_date, partial: null}\n",
            "        born: {date: birth_date, partial: null}\n",
        ),
    );
    let site = folder.site();
    let vss = site.subscriber("vss.insurance").expect("it is listed");
    let subscription = &vss.subscriptions(site.keys().expect("they are written"))[0];
    let groups = &subscription.tables[0].groups;
    let born = groups.iter().find(|group| group.name == "born").expect("a group");
    assert_eq!(born.columns.len(), 2);
}

#[test]
fn a_delta_event_creates_no_row_and_says_nothing_of_what_was_before() {
    let effect = "    effect: {update: {if_missing: skip}}\n";
    mistaken(effect, "", &["cannot create a row", "write effect: {update: {if_missing: skip}}, or insert"]);
    mistaken(
        "    on_deleted: ignore\n",
        "",
        &["does not say what its fields held before", "add on_deleted: ignore"],
    );
    let soft = "    on_revoked: {soft: {column: void}}\n    on_deleted: ignore\n";
    mistaken(
        "    on_revoked: hard\n    on_deleted: ignore\n",
        soft,
        &["`soft` marks a row", "write on_revoked: hard"],
    );
}

#[test]
fn a_row_is_not_found_by_a_field_that_may_not_be_listed() {
    let folder = Folder::new();
    let entry = CORRECTION
        .replace("insured_child", "corrected")
        .replace("key: [child_pin]", "key: [ho]")
        .replace("event.pin != null", "event.family_name != null");
    folder.write(
        VSS,
        &format!("{}{}", folder.text(VSS), entry.replace("on_revoked: hard", "on_revoked: ignore")),
    );
    only(&folder, "agreements/vss.yaml:", &["`family_name` is there only when it is listed"]);
}

#[test]
fn one_version_for_a_whole_row_does_not_fit_single_fields() {
    let folder = Folder::new();
    let entry = CORRECTION.replace("insured_child", "corrected").replace(
        "      key: [child_pin]\n",
        "      key: [child_pin]\n      version: {column: lienthong_version}\n",
    );
    folder.write(VSS, &format!("{}{entry}", folder.text(VSS)));
    only(
        &folder,
        "agreements/vss.yaml:",
        &["serves one column group, and this table has", "write version: ledger"],
    );
}

const MARRIAGE: &str = r"  - event: civil_status.marriage.changed
    from: {table: marriage, key: [registration_no]}
    fields:
      registration_no: registration_no
      office_code: office_code
      registered_on: registered_on
      kind: {value: marriage}
      effective_date: effective_date
      spouse1_pin: spouse1_pin
      spouse2_pin: spouse2_pin
";

#[test]
fn a_marriage_is_published_once_per_spouse() {
    let folder = Folder::new();
    folder.write(MOJ, &format!("{}{MARRIAGE}", folder.text(MOJ)));
    let site = folder.site();
    let marriage = &site.participant("moj.civil-status").expect("it is listed").publications[1];
    let slots: Vec<&[usize]> = marriage.subjects.iter().map(|subject| subject.slots.as_slice()).collect();
    assert_eq!(slots, [[5, 0], [6, 0]], "each spouse's number, then the registration's");
}

#[test]
fn a_delta_event_is_published_with_the_list_of_what_it_changes() {
    let correction = r"  - event: civil_status.person.corrected
    from: {table: correction, key: [correction_no]}
    fields:
      correction_no: correction_no
      pin: pin
      decision_no: decision_no
      decided_on: decided_on
      ground: {value: correction}
      given_name: ten
";
    let folder = Folder::new();
    folder.write(MOJ, &format!("{}{correction}", folder.text(MOJ)));
    only(
        &folder,
        "ministries/moj.yaml:22:7: ",
        &["`fields_changed` names, and it has no source", "list: \",\""],
    );
    folder
        .write(MOJ, &format!("{}      fields_changed: {{column: changed, list: \",\"}}\n", folder.text(MOJ)));
    folder.site();
}

/// What the population database keeps of a correction.
const JOURNAL: &str = r#"agreement: mps.population/2026-01
subscriber: mps.population
purpose: P1
legal_basis: "Law on Identification 26/2023/QH15, article 9"
valid: {from: 2026-01-01, until: 2027-12-31}
target: {kind: postgres, url: "${env:VSS_URL}"}
delivers:
  - event: civil_status.person.corrected
    fields: [correction_no, family_name, before]
    effect: {update: {if_missing: insert}}
    into:
      table: correction
      key: [correction_no]
      columns: {correction_no: correction_no, ho: family_name, ho_cu: before.family_name, sinh_cu: before.birth_date}
    on_revoked: hard
    on_deleted: ignore
"#;

#[test]
fn what_was_before_is_written_when_what_is_now_is_listed() {
    let folder = folder();
    folder.write("agreements/mps.yaml", JOURNAL);
    let site = folder.site();
    let mps = site.subscriber("mps.population").expect("it is listed");
    let subscription = &mps.subscriptions(site.keys().expect("they are written"))[0];
    let (table, rule) = (&subscription.tables[0], &subscription.rules[0]);
    let mut written: Vec<(&str, Option<&str>)> = Vec::new();
    for source in &rule.groups {
        let listed = source.listed.as_ref().map(FieldPath::as_str);
        written
            .extend(table.groups[source.group].columns.iter().map(|column| (column.name.as_str(), listed)));
    }
    written.sort_unstable();
    let expected =
        [("ho", Some("family_name")), ("ho_cu", Some("family_name")), ("sinh_cu", Some("birth_date"))];
    assert_eq!(written, expected);
}

#[test]
fn what_was_before_is_not_for_whoever_only_holds_the_person() {
    mistaken(
        "fields: [pin, decided_on, family_name",
        "fields: [pin, decided_on, before.family_name, family_name",
        &["P3"],
    );
}
