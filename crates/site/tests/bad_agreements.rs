//! One mistake at a time in an agreement: found at its place, told once, with the fix.

mod support;

use support::{Folder, VSS, only, refused};

#[test]
fn an_unknown_purpose_is_refused_with_the_list() {
    refused(VSS, "purpose: P3", "purpose: P99", "3:10", &["unknown purpose `P99`", "use one of: P1, P2, P3"]);
}

#[test]
fn an_impossible_validity_is_refused() {
    refused(
        VSS,
        "2026-01-01",
        "2026-02-30",
        "5:15",
        &["`2026-02-30` is no day of the calendar", "2026-01-31"],
    );
    refused(VSS, "2027-12-31", "2025-12-31", "5:34", &["`until` lies 1 day before `from`"]);
}

#[test]
fn a_field_outside_the_purpose_is_refused() {
    let parts = ["purpose P3 may not see `child.ethnicity_code`", "remove it from `fields`"];
    refused(VSS, "registered_on]", "child.ethnicity_code]", "9:62", &parts);
    refused(VSS, "registered_on]", "mother]", "9:62", &["purpose P3 may not see `mother.full_name`"]);
}

#[test]
fn a_field_that_is_only_a_pseudonym_may_not_be_delivered_as_it_is() {
    let folder = Folder::new();
    folder.replace(VSS, "purpose: P3", "purpose: P13");
    folder.replace(VSS, "fields: [child.pin, child.family_name,", "fields: [child.pin, child.sex,");
    folder.replace(VSS, "ho: child.family_name", "ho: child.sex");
    folder.replace(VSS, "{child_pin: deceased.pin,", "{child_pin: {pseudonym: deceased.pin},");
    let problems = folder.problems();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    let expected = "agreements/vss.yaml:15:20: purpose P13 may see `child.pin` only as a pseudonym; \
                    fix: write {pseudonym: child.pin}";
    assert_eq!(problems[0], expected);
    assert!(
        problems[1].starts_with(
            "agreements/vss.yaml:26:17: the key column `child_pin` is a pseudonym in one place only, see 15:9"
        ),
        "{problems:#?}"
    );
}

#[test]
fn an_unknown_field_of_an_agreement_is_refused_with_the_nearest_name() {
    let parts = ["`registered_om` is not a field of", "did you mean `registered_on`?"];
    refused(VSS, "registered_on]", "registered_om]", "9:62", &parts);
    let parts = ["`child.famili_name` is not a field of", "did you mean `child.family_name`?"];
    refused(VSS, "ho: child.family_name", "ho: child.famili_name", "16:13", &parts);
}

#[test]
fn a_column_from_a_field_that_was_not_agreed_is_refused() {
    let parts = ["`child.given_name` is not among the agreed `fields`", "add `child.given_name` to `fields`"];
    refused(VSS, "ho: child.family_name", "ho: child.given_name", "16:13", &parts);
    refused(
        VSS,
        "ho: child.family_name",
        "ho: child",
        "16:13",
        &["`child` is a record", "such as `child.pin`"],
    );
}

#[test]
fn a_where_that_does_not_fit_the_contract_is_refused_at_its_character() {
    let parts = ["`where`: `child.birth_dat` is not a field", "did you mean `event.child.birth_date`?"];
    refused(VSS, "event.child.birth_date >=", "event.child.birth_dat >=", "10:13", &parts);
    refused(VSS, "&& event.child.pin != null", "&& event.is_late > 3", "10:49", &["cannot be compared with"]);
}

#[test]
fn a_date_column_must_say_what_a_partial_date_becomes() {
    let parts = ["`child.birth_date` may be partial", "add partial: null, or partial: reject"];
    refused(VSS, "{date: child.birth_date, partial: null}", "{date: child.birth_date}", "17:20", &parts);
    refused(
        VSS,
        "birth_date, partial: null}",
        "birth_date, partial: first}",
        "17:54",
        &["unknown value of `partial` `first`", "null, reject"],
    );
}

#[test]
fn a_key_column_that_is_not_mapped_is_refused() {
    let parts = ["the key column `child_pim` is not in `columns`", "did you mean `child_pin`?"];
    let folder = Folder::new();
    let text = folder.text(VSS).replace("key: [child_pin]", "key: [child_pim]");
    let (one, _) = text.split_once("  - event: civil_status.death").expect("there are two entries");
    folder.write(VSS, one);
    only(&folder, "agreements/vss.yaml:13:13: ", &parts);
}

#[test]
fn two_keys_for_one_table_are_refused() {
    let folder = Folder::new();
    folder.replace(VSS, "key: [child_pin]\n      columns: {", "key: [died_on]\n      columns: {");
    folder.replace(VSS, "{date: death_date, partial: null}", "death_date");
    folder.replace(VSS, "on_revoked: hard", "on_revoked: ignore");
    let parts = ["`insured_child` has another key at 13:13", "write key: [child_pin] in both places"];
    only(&folder, "agreements/vss.yaml:25:13: ", &parts);
}

#[test]
fn a_column_of_two_kinds_is_refused() {
    let parts = ["`ho` takes a value of another kind at 16:9"];
    refused(VSS, "died_on: {date", "ho: {date", "26:42", &parts);
}

/// The second entry takes residence, another family.
fn with_residence(effect: &str, column: &str) -> Folder {
    let folder = Folder::new();
    folder.replace(VSS, "civil_status.death.registered", "residence.permanent.registered");
    folder.replace(VSS, "[deceased.pin, death_date]", "[pin, valid_from, address.street]");
    folder.replace(VSS, "event.deceased.pin != null", "event.pin != null");
    folder.replace(VSS, "{update: {if_missing: insert}}", effect);
    folder.replace(
        VSS,
        "deceased.pin, died_on: {date: death_date, partial: null}",
        &format!("pin, {column}"),
    );
    folder
}

#[test]
fn a_second_family_may_write_columns_of_its_own() {
    let folder = with_residence("{update: {if_missing: insert}}", "lives_since: valid_from");
    assert_eq!(folder.problems(), Vec::<String>::new());
}

#[test]
fn a_column_that_two_families_write_is_refused() {
    let folder = with_residence("{update: {if_missing: insert}}", "ho: address.street");
    let parts = [
        "`ho` is written from family `residence` here and from `civil_status` at 16:9",
        "a column of its own",
    ];
    only(&folder, "agreements/vss.yaml:26:33: ", &parts);
}

#[test]
fn two_families_that_create_rows_of_one_table_are_refused() {
    let folder = with_residence("upsert", "lives_since: valid_from");
    let parts = [
        "family `residence` creates or deletes rows",
        "family `civil_status` does at 8:5",
        "{update: {if_missing: insert}}",
    ];
    only(&folder, "agreements/vss.yaml:19:5: ", &parts);
}

#[test]
fn two_entries_of_one_event_that_write_one_column_of_one_row_are_refused() {
    let folder = Folder::new();
    let text = folder.text(VSS);
    let (head, rules) = text.split_once("delivers:\n").expect("the entries come last");
    let (birth, _) = rules.split_once("  - event: civil_status.death").expect("there are two entries");
    let again =
        birth.replace("    where: \"event.child.birth_date >= '2020' && event.child.pin != null\"\n", "");
    folder.write(VSS, &format!("{head}delivers:\n{birth}{again}"));
    let parts =
        ["`ho` of the same row is written by the entry at 8:5 from the same event", "keeps them apart"];
    only(&folder, "agreements/vss.yaml:26:9: ", &parts);
}

#[test]
fn a_version_column_is_refused_where_one_version_is_not_enough() {
    let column = "key: [child_pin]\n      version: {column: v}\n      columns:\n";
    let from = "key: [child_pin]\n      columns:\n";
    refused(VSS, from, column, "14:16", &["one column group, and this table has 2", "version: ledger"]);
    let folder = with_residence("{update: {if_missing: insert}}", "lives_since: valid_from");
    folder.replace(VSS, from, column);
    only(&folder, "agreements/vss.yaml:14:16: ", &["serves one family, and two write this table"]);
    refused(
        VSS,
        from,
        "key: [child_pin]\n      version: row\n      columns:\n",
        "14:16",
        &["unknown value of `version` `row`"],
    );
}

#[test]
fn a_version_column_is_refused_where_a_revocation_must_know_its_record() {
    let folder = Folder::new();
    let text = folder.text(VSS);
    let (one, _) = text.split_once("  - event: civil_status.death").expect("there are two entries");
    let column = "key: [child_pin]\n      version: {column: v}\n      columns:\n";
    folder.write(VSS, &one.replace("key: [child_pin]\n      columns:\n", column));
    let parts = ["cannot tell which record wrote a row", "write version: ledger"];
    only(&folder, "agreements/vss.yaml:14:16: ", &parts);
    folder.replace(VSS, "on_revoked: {soft: {column: voided_at}}", "on_revoked: ignore");
    assert_eq!(folder.problems(), Vec::<String>::new());
}

#[test]
fn an_updating_entry_does_not_mix_hard_and_soft() {
    let folder = Folder::new();
    let soft = "on_revoked: {soft: {column: voided_at}}";
    folder.replace(
        VSS,
        soft,
        &format!("effect: {{update: {{if_missing: skip}}}}\n    {soft}\n    on_deleted: hard"),
    );
    only(&folder, "agreements/vss.yaml:", &["null its columns for the one end", "soft for both"]);
    folder.replace(VSS, "    on_deleted: hard", "    on_deleted: ignore");
    assert_eq!(folder.problems(), Vec::<String>::new());
}

#[test]
fn a_row_that_no_column_tells_to_be_the_records_own_is_refused() {
    let folder = Folder::new();
    folder.replace(VSS, "on_revoked: {soft: {column: voided_at}}", "on_revoked: hard");
    folder.replace(VSS, "        ho: child.family_name\n", "");
    folder.replace(VSS, "ngay_sinh: {date: child.birth_date", "died_on: {date: child.birth_date");
    let parts =
        ["every column of `civil_status.birth.registered` is written by other events too", "registration_no"];
    only(&folder, "agreements/vss.yaml:8:5: ", &parts);
    folder.replace(VSS, "on_revoked: hard\n  - event", "on_revoked: ignore\n  - event");
    assert_eq!(folder.problems(), Vec::<String>::new());
}

#[test]
fn versions_of_one_table_that_differ_are_refused() {
    let folder = Folder::new();
    folder.replace(
        VSS,
        "key: [child_pin]\n      columns:\n",
        "key: [child_pin]\n      version: ledger\n      columns:\n",
    );
    folder.replace(
        VSS,
        "key: [child_pin]\n      columns: {",
        "key: [child_pin]\n      version: {column: v}\n      columns: {",
    );
    only(&folder, "agreements/vss.yaml:27:16: ", &["`version` says something else at 14:16"]);
}

#[test]
fn a_column_of_the_bus_is_not_written_from_a_field() {
    refused(
        VSS,
        "ho: child.family_name",
        "voided_at: child.family_name",
        "16:9",
        &["`voided_at` takes the time of a `soft` policy"],
    );
}

#[test]
fn a_missing_policy_is_refused_where_the_event_can_be_revoked() {
    let parts =
        ["`on_revoked` is missing, and `civil_status.record.revoked` can revoke", "add on_revoked: hard"];
    refused(VSS, "    on_revoked: hard\n", "", "19:5", &parts);
    refused(VSS, "on_revoked: hard", "on_deleted: hard", "19:5", &parts);
}

#[test]
fn an_event_that_nothing_revokes_needs_one_policy() {
    for (policy, accepted) in
        [("    on_deleted: hard\n", true), ("    on_revoked: ignore\n", true), ("", false)]
    {
        let folder = with_residence("{update: {if_missing: insert}}", "lives_since: valid_from");
        folder.replace(VSS, "    on_revoked: hard\n", policy);
        if accepted {
            assert_eq!(folder.problems(), Vec::<String>::new());
        } else {
            only(
                &folder,
                "agreements/vss.yaml:19:5: ",
                &["neither `on_deleted` nor `on_revoked`", "add on_deleted: hard"],
            );
        }
    }
}

#[test]
fn words_that_this_version_does_not_know_are_refused_with_those_that_it_does() {
    let policies = "use one of: hard, soft, ignore";
    refused(
        VSS,
        "on_revoked: hard",
        "on_revoked: restore",
        "27:17",
        &["unknown policy for `on_revoked` `restore`", policies],
    );
    refused(
        VSS,
        "{if_missing: insert}",
        "{if_missing: {park: 30d}}",
        "22:36",
        &["unknown value of `if_missing` `park`", "skip, insert"],
    );
    refused(
        VSS,
        "{update: {if_missing: insert}}",
        "rekey",
        "22:13",
        &["unknown effect `rekey`", "upsert, update, delete"],
    );
    refused(
        VSS,
        "{update: {if_missing: insert}}",
        "update",
        "22:13",
        &["does not say what happens", "if_missing"],
    );
    refused(
        VSS,
        "{soft: {column: voided_at}}",
        "soft",
        "18:17",
        &["not written in its form", "{soft: {column: voided_at}}"],
    );
}

#[test]
fn a_deleting_entry_that_writes_columns_or_undoes_is_refused() {
    let folder = Folder::new();
    folder.replace(VSS, "{update: {if_missing: insert}}", "delete");
    folder.replace(VSS, "on_revoked: hard", "on_revoked: ignore");
    only(
        &folder,
        "agreements/vss.yaml:26:42: ",
        &["writes no columns, and `died_on` is not part of the key"],
    );
    let folder = Folder::new();
    folder.replace(VSS, "{update: {if_missing: insert}}", "delete");
    folder.replace(VSS, ", died_on: {date: death_date, partial: null}", "");
    only(&folder, "agreements/vss.yaml:27:17: ", &["cannot bring it back", "write ignore"]);
}

#[test]
fn a_key_by_which_a_revocation_cannot_find_the_row_is_refused() {
    let folder = Folder::new();
    folder.replace(VSS, "child_pin: child.pin\n", "child_pin: child.family_name\n");
    folder.replace(VSS, "event.child.pin != null", "event.child.family_name != null");
    let parts = [
        "`civil_status.record.revoked` cannot find the row",
        "`child.family_name`",
        "make the key of: child.pin, registration_no",
    ];
    only(&folder, "agreements/vss.yaml:15:9: ", &parts);
}
