//! One mistake at a time in a right site: found at its place, told once, with the fix.

mod support;

use support::{Folder, MOJ, SITE, VSS, only, refused};

#[test]
fn the_site_without_a_mistake_is_accepted() {
    assert_eq!(Folder::new().problems(), Vec::<String>::new());
}

#[test]
fn all_mistakes_of_all_files_are_told_at_once_in_order() {
    let folder = Folder::new();
    folder.replace(SITE, "telemetry:", "telemetri:");
    folder.replace(MOJ, "event: civil_status.birth.registered", "event: civil_status.birth.registerd");
    folder.replace(MOJ, "mode: outbox", "mode: lag");
    folder.replace(VSS, "purpose: P3", "purpose: P99");
    folder.replace(VSS, "ho: child.family_name", "ho: child.famili_name");
    folder.replace(VSS, "on_revoked: hard", "on_revoked: restore");
    let places: Vec<String> = folder
        .problems()
        .iter()
        .map(|problem| problem.split(": ").next().unwrap_or_default().to_owned())
        .collect();
    let expected = [
        "agreements/vss.yaml:3:10",
        "agreements/vss.yaml:16:13",
        "agreements/vss.yaml:27:17",
        "lienthong.yaml:5:1",
        "ministries/moj.yaml:6:19",
        "ministries/moj.yaml:8:12",
    ];
    assert_eq!(places, expected);
}

// Every file.

#[test]
fn an_unknown_key_is_refused_with_the_nearest_name() {
    refused(
        SITE,
        "telemetry:",
        "telemetri:",
        "5:1",
        &["unknown key `telemetri`", "did you mean `telemetry`?"],
    );
    refused(
        SITE,
        "otlp: null",
        "opentel: null",
        "5:13",
        &["unknown key `opentel`", "use one of: otlp, metrics, sample, stalled_after"],
    );
    refused(MOJ, "subject:", "subjekt:", "10:5", &["unknown key `subjekt`", "did you mean `subject`?"]);
    refused(VSS, "where: \"event.d", "when: \"event.d", "21:5", &["unknown key `when`", "use one of: event"]);
}

#[test]
fn a_missing_key_is_refused_with_what_to_add() {
    refused(SITE, "site: vn.test\n", "", "1:1", &["lienthong.yaml has no `site`", "add `site: ..`"]);
    refused(MOJ, "  kind: postgres\n", "", "4:3", &["`source` has no `kind`", "add `kind: ..`"]);
    refused(VSS, "legal_basis: \"Decree 63/2024/ND-CP, article 26\"\n", "", "1:1", &["no `legal_basis`"]);
    refused(
        VSS,
        "      table: insured_child\n      key: [child_pin]\n      columns:\n",
        "      key: [child_pin]\n      columns:\n",
        "12:7",
        &["`into` has no `table`"],
    );
}

#[test]
fn a_key_without_a_value_is_refused() {
    refused(VSS, "purpose: P3", "purpose:", "3:1", &["`purpose` of the file has no value"]);
    refused(VSS, "subscriber: vss.insurance", "subscriber: \"\"", "2:13", &["`subscriber` is empty"]);
}

#[test]
fn a_value_of_another_type_is_refused() {
    let number = "a text belongs here, this is a number";
    refused(MOJ, "Ministry of Justice", "7", "2:15", &[number, "put it in quotes"]);
    refused(
        VSS,
        "key: [child_pin]\n      columns:\n",
        "key: child_pin\n      columns:\n",
        "13:12",
        &["a list belongs here"],
    );
    refused(
        VSS,
        "{from: 2026-01-01, until: 2027-12-31}",
        "2026",
        "5:8",
        &["a map belongs here, this is a number"],
    );
    refused(VSS, "purpose: P3", "purpose: [P3]", "3:10", &["a text belongs here, this is a list"]);
}

#[test]
fn a_repeated_key_is_refused_with_both_places() {
    refused(
        VSS,
        "        ho: ",
        "        ho: child.pin\n        ho: ",
        "17:9",
        &["`ho` stands twice", "first at 16:9"],
    );
    refused(
        SITE,
        "site: vn.test",
        "site: vn.test\nsite: vn.other",
        "2:1",
        &["`site` stands twice", "first at 1:1"],
    );
    refused(
        VSS,
        "key: [child_pin]\n      columns:\n",
        "key: [child_pin, child_pin]\n      columns:\n",
        "13:24",
        &["stands twice in `key`"],
    );
}

#[test]
fn broken_yaml_has_a_place() {
    refused(VSS, "{from: 2026-01-01, until: 2027-12-31}", "{from: 2026-01-01", "6:7", &["correct the YAML"]);
}

#[test]
fn a_reference_that_leads_nowhere_is_refused_at_its_place() {
    refused(
        MOJ,
        "${env:MOJ_URL}",
        "${env:MOJ_URI}",
        "5:8",
        &["variable `MOJ_URI` is not set", "export MOJ_URI=.."],
    );
    refused(MOJ, "${env:MOJ_URL}", "${file:secrets/url}", "5:8", &["the file `secrets/url` does not exist"]);
    refused(VSS, "${env:VSS_URL}", "${VSS_URL}", "6:31", &["`${VSS_URL}` is no reference", "${env:NAME}"]);
    refused(SITE, "vn.test", "\"${env:SITE\"", "1:7", &["no closing `}`"]);
}

#[test]
fn an_id_that_stands_in_two_files_is_refused_with_both_places() {
    let folder = Folder::new();
    folder.write("ministries/zzz.yaml", &folder.text(MOJ));
    only(
        &folder,
        "ministries/zzz.yaml:1:14: ",
        &["participant `moj.civil-status` stands at", "ministries/moj.yaml:1:14 already"],
    );
    let folder = Folder::new();
    folder.write("agreements/zzz.yaml", &folder.text(VSS).replace("vss.insurance/2026-01", "vss.other/1"));
    only(
        &folder,
        "agreements/zzz.yaml:2:13: ",
        &["subscriber `vss.insurance` stands at", "agreements/vss.yaml:2:13"],
    );
    let folder = Folder::new();
    folder.write(
        "agreements/zzz.yaml",
        &folder.text(VSS).replace("subscriber: vss.insurance", "subscriber: vss.other"),
    );
    only(
        &folder,
        "agreements/zzz.yaml:1:12: ",
        &["agreement `vss.insurance/2026-01` stands at", "agreements/vss.yaml:1:12"],
    );
}

#[test]
fn an_id_of_another_form_is_refused() {
    refused(
        VSS,
        "subscriber: vss.insurance",
        "subscriber: Vss",
        "2:13",
        &["a subscriber id is lower-case parts"],
    );
}

#[test]
fn an_unknown_event_is_refused_with_the_nearest_name() {
    let parts =
        ["unknown event `civil_status.birth.registerd`", "did you mean `civil_status.birth.registered`?"];
    for (file, place) in [(MOJ, "8:12"), (VSS, "8:12")] {
        refused(
            file,
            "event: civil_status.birth.registered",
            "event: civil_status.birth.registerd",
            place,
            &parts,
        );
    }
}

// The site's own file.

#[test]
fn a_wrong_log_address_is_refused() {
    refused(SITE, "sqlite:var/log.db", "redis://x", "2:6", &["neither sqlite: nor kafka://", "sqlite:PATH"]);
    refused(
        SITE,
        "sqlite:var/log.db",
        "{kafka: [b], registry: http://r}",
        "2:15",
        &["a broker is not host:port"],
    );
    let sasl = "{kafka: [\"b:1\"], registry: http://r, sasl: {mechanism: MD5, username: u, password: p}}";
    refused(SITE, "sqlite:var/log.db", sasl, "2:61", &["unknown mechanism `MD5`", "SCRAM-SHA-512"]);
    let half = "{kafka: [\"b:1\"], registry: {url: https://r, username: u}}";
    refused(SITE, "sqlite:var/log.db", half, "2:33", &["`username` and `password` belong together"]);
    let half = "{kafka: [\"b:1\"], registry: http://r, tls: {cert: lienthong.yaml}}";
    refused(SITE, "sqlite:var/log.db", half, "2:48", &["`cert` and `key` belong together"]);
    let missing = "{kafka: [\"b:1\"], registry: http://r, tls: {ca: no.pem}}";
    refused(SITE, "sqlite:var/log.db", missing, "2:53", &["`ca`: the file `no.pem` cannot be read", "PEM"]);
    let plain = "{kafka: [\"b:1\"], registry: http://r, sasl: {mechanism: PLAIN, username: u, password: p}}";
    refused(SITE, "sqlite:var/log.db", plain, "2:49", &["PLAIN sends the password as it is", "add `tls`"]);
}

#[test]
fn a_folder_that_is_not_there_and_a_wrong_address_are_refused() {
    refused(SITE, "ministries: ministries", "ministries: ministry", "4:21", &["`ministry` does not exist"]);
    refused(SITE, "127.0.0.1:9464", "localhost", "5:34", &["`metrics` is no address", "127.0.0.1:9464"]);
    refused(
        SITE,
        "otlp: null",
        "otlp: localhost",
        "5:19",
        &["`otlp` is no http address", "http://host:4318"],
    );
    for sample in ["1.5", "\"0.1\"", "-1", "x"] {
        refused(
            SITE,
            "otlp: null",
            &format!("sample: {sample}"),
            "5:21",
            &["`sample` is no share", "0 to 1"],
        );
    }
    for after in ["60", "1s", "2d", "60 s", "s"] {
        let wrong = format!("stalled_after: \"{after}\"");
        refused(SITE, "otlp: null", &wrong, "5:28", &["`stalled_after` is no such duration", "5s to 86400s"]);
    }
    for session in ["8", "0s", "31m", "500ms"] {
        let wrong = format!("route: {{session: \"{session}\"}}\ntelemetry:");
        refused(SITE, "telemetry:", &wrong, "5:18", &["`session` is no such duration", "1s to 1800s"]);
    }
}

#[test]
fn a_broken_key_file_is_refused_without_its_content() {
    let folder = Folder::new();
    folder.write_keys();
    folder.write("secrets/seal.key", "geheim");
    only(&folder, "lienthong.yaml:3:54: ", &["`seal` is not 64 hexadecimal digits", "lienthong keys new"]);
    assert!(!folder.problems()[0].contains("geheim"));
}

#[test]
fn a_folder_without_a_site_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let problems =
        support::load(folder.path(), &lienthong_site::Overrides::default()).expect_err("it is empty");
    assert!(
        problems[0].file.ends_with("lienthong.yaml") && problems[0].fix.contains("--site"),
        "{problems:?}"
    );
}

#[test]
fn mistakes_in_the_sites_own_contracts_are_told_with_the_others() {
    let folder = Folder::new();
    folder.write("schemas/avro/civil_status/birth.registered.avsc", "{");
    folder.write("schemas/catalogue.yaml", "purposes: {}\nfamilies: {}\nevents: {}\nmore: 1\n");
    folder.replace(VSS, "subscriber:", "subscribr:");
    let problems = folder.problems();
    assert_eq!(problems.len(), 4, "{problems:#?}");
    assert!(
        problems[0].starts_with("agreements/vss.yaml:1:1: the file has no `subscriber`"),
        "{problems:#?}"
    );
    assert!(
        problems[2]
            .starts_with("schemas/avro/civil_status/birth.registered.avsc:1:1: the contract is not JSON"),
        "{problems:#?}"
    );
    assert!(problems[3].starts_with("schemas/catalogue.yaml:4:"), "{problems:#?}");
}

// Publishing systems.

#[test]
fn kinds_and_modes_that_do_not_work_yet_are_refused_with_those_that_do() {
    refused(
        MOJ,
        "kind: postgres",
        "kind: mysql",
        "4:9",
        &["unknown kind of database `mysql`", "use one of: postgres, sqlite"],
    );
    let outbox = "{mode: outbox, table: lienthong_outbox}";
    let unknown = ["unknown capture mode `cdc`", "use one of: outbox, log"];
    refused(MOJ, outbox, "{mode: cdc}", "6:19", &unknown);
    let table = "{mode: log, table: lienthong_outbox}";
    refused(MOJ, outbox, table, "6:24", &["unknown key `table`"]);
    let name = ["`slot` is no name that PostgreSQL takes for it", "lower-case letters, digits and _"];
    refused(MOJ, outbox, "{mode: log, slot: moj-slot}", "6:30", &name);
    refused(
        MOJ,
        "\"${env:MOJ_URL}\"",
        "db.sqlite",
        "5:8",
        &["no PostgreSQL address", "postgres://user@host"],
    );
}

#[test]
fn a_bound_of_what_the_server_keeps_is_a_size_and_a_way_to_act() {
    let outbox = "{mode: outbox, table: lienthong_outbox}";
    let size = ["`max_retained_wal` is no such size", "such as 20GiB, at least 64MiB"];
    for text in ["20GB", "20", "1.5GiB", "-1GiB", "63MiB", "9999999TiB", "GiB", "[1]", "true"] {
        let capture = format!("{{mode: log, max_retained_wal: {text}}}");
        refused(MOJ, outbox, &capture, "6:42", &size);
    }
    let unknown = ["unknown way to act at the bound `halt`", "use one of: stop, drop-slot"];
    refused(MOJ, outbox, "{mode: log, max_retained_wal: 1GiB, at_bound: halt}", "6:58", &unknown);
    let without = ["there is none", "add max_retained_wal: 20GiB"];
    refused(MOJ, outbox, "{mode: log, at_bound: drop-slot}", "6:34", &without);
    let near = ["unknown key `max_retained_val`", "did you mean `max_retained_wal`?"];
    refused(MOJ, outbox, "{mode: log, max_retained_val: 1GiB}", "6:24", &near);
    refused(MOJ, outbox, "{mode: outbox, at_bound: stop}", "6:27", &["unknown key `at_bound`"]);
    let unknown = ["unknown way to take a truncate `ignore`", "use one of: refuse, delete"];
    refused(MOJ, outbox, "{mode: log, truncate: ignore}", "6:34", &unknown);
}

#[test]
fn rows_of_an_emptied_table_are_found_by_their_key_in_the_event() {
    let folder = Folder::new();
    let outbox = "{mode: outbox, table: lienthong_outbox}";
    folder.replace(MOJ, outbox, "{mode: log, truncate: delete}");
    folder.replace(MOJ, "key: [registration_no]", "key: [registration_no, volume]");
    only(
        &folder,
        "ministries/moj.yaml:12:7: `truncate: delete` finds rows by the events that they became",
        &["do not hold the key column `volume`", "give a field that column as its source"],
    );
}

#[test]
fn the_rate_of_a_first_load_is_a_number_of_rows() {
    let outbox = "{mode: outbox, table: lienthong_outbox}";
    let rate = ["`load_rate` is no such number", "such as 5000, or leave load_rate out"];
    for text in ["0", "-5", "2.5", "fast", "5000/s", "9999999999", "true", "[1]"] {
        refused(MOJ, outbox, &format!("{{mode: log, load_rate: {text}}}"), "6:35", &rate);
    }
    refused(MOJ, outbox, "{mode: log, load_rates: 5}", "6:24", &["did you mean `load_rate`?"]);
    refused(MOJ, outbox, "{mode: outbox, load_rate: 5}", "6:27", &["unknown key `load_rate`"]);
}

#[test]
fn a_file_is_not_captured_from_a_log() {
    let folder = Folder::new();
    folder.replace(MOJ, "kind: postgres", "kind: sqlite");
    folder.replace(MOJ, "{mode: outbox, table: lienthong_outbox}", "{mode: log}");
    only(&folder, "ministries/moj.yaml:6:19: an SQLite file has no log", &["fix: write mode: outbox"]);
}

#[test]
fn an_event_of_another_owner_is_refused() {
    let parts = ["`civil_status.birth.registered` belongs to `moj.civil-status`, not to `moj.other`"];
    refused(MOJ, "participant: moj.civil-status", "participant: moj.other", "8:12", &parts);
}

#[test]
fn a_field_that_the_contract_does_not_have_is_refused_with_the_nearest_name() {
    let parts = ["`child.pim` is not a field of", "did you mean `child.pin`?"];
    refused(MOJ, "child.pin: child_pin", "child.pin: child_pin\n      child.pim: x", "16:7", &parts);
    let parts = ["`mother` is a record", "such as `mother.pin`"];
    refused(MOJ, "child.pin: child_pin", "child.pin: child_pin\n      mother: x", "16:7", &parts);
}

#[test]
fn a_required_field_without_a_source_is_refused() {
    let parts =
        ["`office_code` of `civil_status.birth.registered` is required", "add `office_code: office_code`"];
    refused(MOJ, "      office_code: office_code\n", "", "12:7", &parts);
    let parts = ["`child.given_name` of", "add `child.given_name: child_given_name`"];
    refused(MOJ, "      child.given_name: ten\n", "", "12:7", &parts);
}

#[test]
fn a_subject_other_than_the_catalogues_is_refused() {
    let fix = "write subject: [child_pin, registration_no], or leave it out";
    let parts = ["has `child.pin` here, not `ten`", fix];
    refused(MOJ, "[child_pin, registration_no]", "[ten, registration_no]", "10:15", &parts);
    refused(
        MOJ,
        "[child_pin, registration_no]",
        "[child_pin, mother_pin]",
        "10:26",
        &["has `registration_no` here", fix],
    );
    refused(
        MOJ,
        "[child_pin, registration_no]",
        "[child_pin]",
        "10:15",
        &["goes on with `registration_no`", fix],
    );
    refused(
        MOJ,
        "[child_pin, registration_no]",
        "[child_pin, registration_no, ten]",
        "10:43",
        &["ends before `ten`", fix],
    );
}

#[test]
fn a_part_of_a_composed_subject_without_a_source_is_refused() {
    let folder = Folder::new();
    let fields = "    fields: {level: {value: commune}, name: n, full_name: f, valid_from: v}\n";
    let entry =
        format!("publishes:\n  - event: admin_unit.changed\n    from: {{table: t, key: [id]}}\n{fields}");
    let text = folder.text(MOJ);
    let (before, _) = text.split_once("publishes:").expect("the entries come last");
    folder.write(MOJ, &format!("{}{entry}", before.replace("moj.civil-status", "homeaffairs.admin-units")));
    only(&folder, "ministries/moj.yaml:10:13: ", &["`code` of `admin_unit.changed` is required"]);
}

#[test]
fn a_wrong_source_of_a_field_is_refused() {
    let parts = ["`child.sex` cannot be `femal`", "did you mean `female`?"];
    refused(MOJ, "{value: unknown}", "{value: femal}", "17:26", &parts);
    let parts = ["is neither a column nor a value", "{column: c, precision_column: p}"];
    refused(MOJ, "{value: unknown}", "{value: unknown, column: sex}", "17:18", &parts);
    refused(
        MOJ,
        "child.pin: child_pin",
        "child.pin: {column: c, list: \",\"}",
        "15:36",
        &["`child.pin` is no list"],
    );
    let parts = ["`registered_on` is no text", "leave `precision_column` out"];
    refused(
        MOJ,
        "registered_on: registered_on",
        "registered_on: {column: r, precision_column: p}",
        "14:52",
        &parts,
    );
}

#[test]
fn a_when_that_is_no_condition_is_refused_at_its_character() {
    refused(MOJ, "status == 'REGISTERED'", "size(status)", "9:68", &["`when`: a truth value belongs here"]);
    refused(
        MOJ,
        "status == 'REGISTERED'",
        "a == 1 && lower(b)",
        "9:79",
        &["the function `lower` is not supported"],
    );
}

#[test]
fn two_entries_of_one_table_with_two_keys_are_refused() {
    let folder = Folder::new();
    let text = folder.text(MOJ);
    let (_, entry) = text.split_once("publishes:\n").expect("the entries come last");
    folder.write(MOJ, &format!("{text}{}", entry.replace("key: [registration_no]", "key: [id]")));
    let parts = ["`public.birth` has another key at 9:39", "write key: [registration_no] in both places"];
    only(&folder, "ministries/moj.yaml:20:39: ", &parts);
}

// Tables that are looked up.

/// The right site, captured from the log, with rows that are looked up. What is asked of a row as it was stands in the key.
fn looked_up() -> Folder {
    let folder = Folder::new();
    folder.replace(MOJ, "{mode: outbox, table: lienthong_outbox}", "{mode: log, look_up: [birth]}");
    let key =
        "key: [registration_no, child_pin, status, office_code, registered_on, ten, ngay_sinh, do_chinh_xac]";
    folder.replace(MOJ, "key: [registration_no]", key);
    folder
}

#[test]
fn a_table_that_is_looked_up_must_do_with_its_key() {
    assert_eq!(looked_up().problems(), Vec::<String>::new());
    let cases: [(&str, &str, &str, &[&str]); 5] = [
        ("look_up: [birth]", "look_up: [birt]", "6:34", &["names `birt`", "did you mean `birth`?"]),
        ("look_up: [birth]", "look_up: []", "6:33", &["`look_up` is empty"]),
        (
            "child_pin, status, ",
            "child_pin, ",
            "9:132",
            &[
                "`when` reads `status`",
                "`public.birth`, which is looked up",
                "alter table public.birth replica identity full",
            ],
        ),
        ("registration_no, child_pin, ", "registration_no, ", "8:5", &["`child.pin` is part of the subject"]),
        (
            "office_code, registered_on, ten, ",
            "office_code, ",
            "8:5",
            &[
                "the deletion of a row of `public.birth`",
                "the contract wants `registered_on`, `child.given_name`",
            ],
        ),
    ];
    for (from, to, place, parts) in cases {
        let folder = looked_up();
        folder.replace(MOJ, from, to);
        only(&folder, &format!("{MOJ}:{place}: "), parts);
    }
    let folder = Folder::new();
    folder.replace(MOJ, "table: lienthong_outbox}", "look_up: [birth]}");
    only(&folder, &format!("{MOJ}:6:27: "), &["unknown key `look_up`"]);
}

// Fields from other tables.

const GIVEN_NAME: &str = "child.given_name: ten";

#[test]
fn a_field_of_another_table_is_found_by_columns_of_the_row_and_is_no_subject() {
    let right = "child.given_name: {lookup: {table: ho_so, by: {ma: ma_ho_so}, take: ten}}";
    let folder = Folder::new();
    folder.replace(MOJ, GIVEN_NAME, right);
    assert_eq!(folder.problems(), Vec::<String>::new());
    let cases: [(&str, &str, &str, &[&str]); 4] = [
        ("take: ten}}", "take: ten}, list: \",\"}", "16:25", &["is looked up, and something else besides"]),
        ("{ma: ma_ho_so}", "{}", "16:53", &["`by` is empty", "by: {its_key_column: column_of_this_row}"]),
        (", take: ten", "", "16:34", &["has no `take`"]),
        ("by: {ma: ma_ho_so}", "by: {ma: [ma_ho_so]}", "16:58", &["`ma`"]),
    ];
    for (from, to, place, parts) in cases {
        let folder = Folder::new();
        folder.replace(MOJ, GIVEN_NAME, &right.replace(from, to));
        only(&folder, &format!("{MOJ}:{place}: "), parts);
    }
    let folder = Folder::new();
    folder.replace(MOJ, "    subject: [child_pin, registration_no]\n", "");
    folder.replace(
        MOJ,
        "child.pin: child_pin",
        "child.pin: {lookup: {table: ho_so, by: {ma: ma_ho_so}, take: pin}}",
    );
    only(
        &folder,
        &format!("{MOJ}:8:5: "),
        &["`child.pin` is part of the subject, and is looked up in another table"],
    );
    let folder = looked_up();
    folder.replace(
        MOJ,
        "office_code: office_code",
        "office_code: {lookup: {table: ho_so, by: {ma: ma_ho_so}, take: ten}}",
    );
    let problems = folder.problems();
    assert!(problems[0].contains("a look-up reads `ma_ho_so`"), "{problems:#?}");
}
