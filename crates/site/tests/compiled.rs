//! What a right site is compiled to.

mod support;

use std::path::{Path, PathBuf};

use lienthong_capture::FieldSource;
use lienthong_connectors::{CaptureConfig, Database};
use lienthong_contract::retained::{AtBound, LogBound};
use lienthong_contract::target::VersionStore;
use lienthong_router::subscription::{ColumnMap, Effect, IfMissing, Partial, Policy};
use lienthong_site::{LogAddress, Login, Overrides, Site, Tls};
use support::{Folder, MOJ, PASSWORD, SITE, VSS, load, only};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples").join(name)
}

fn with_keys(folder: &Folder) -> Site {
    folder.write_keys();
    folder.site()
}

#[test]
fn the_shipped_examples_load() {
    // Mapped columns, and the mark of a `soft` policy.
    for (name, participant, columns) in [
        ("admin-units", "homeaffairs.admin-units", 10 + 1),
        ("foreign-database", "homeaffairs.admin-units", 4),
    ] {
        let site =
            load(&example(name), &Overrides::default()).unwrap_or_else(|problems| panic!("{problems:#?}"));
        assert_eq!(site.participants().collect::<Vec<_>>(), [participant]);
        let found = site.participant(participant).expect("it is listed");
        assert_eq!((found.publications.len(), found.tables.len()), (1, 1), "{name}");
        let subscriber = site.subscriber("nso.statistics").expect("it is listed");
        let table = &subscriber.tables[0];
        let values: usize = table.groups.iter().map(|group| group.columns.len()).sum();
        assert_eq!(table.key.len() + values, columns, "{name}");
        assert_eq!(site.warnings().count(), 0, "{name}");
    }
}

#[test]
fn names_of_slot_and_publication_are_those_of_the_file_or_made_from_the_participants_id() {
    let usual = "lienthong_moj_civil_status";
    let cases = [
        ("{mode: log}", usual, usual),
        ("{mode: log, slot: s_1}", "s_1", usual),
        ("{mode: log, slot: s_1, publication: p}", "s_1", "p"),
    ];
    for (capture, slot, publication) in cases {
        let folder = Folder::new();
        folder.replace("ministries/moj.yaml", "{mode: outbox, table: lienthong_outbox}", capture);
        let site = folder.site();
        let moj = site.participant("moj.civil-status").expect("it is listed");
        let (slot, publication) = (slot.to_owned(), publication.to_owned());
        assert_eq!(
            moj.source.capture,
            CaptureConfig::Log {
                slot,
                publication,
                bound: LogBound::default(),
                truncate: lienthong_contract::source::WhenEmptied::Refuse,
                load_rate: None,
            }
        );
    }
}

#[test]
fn a_bound_of_what_the_server_keeps_is_that_of_the_file() {
    let cases = [
        ("max_retained_wal: 20GiB", 20 << 30, AtBound::Stop),
        ("max_retained_wal: 64 MiB, at_bound: stop", 64 << 20, AtBound::Stop),
        ("max_retained_wal: 1TiB, at_bound: drop-slot", 1 << 40, AtBound::DropSlot),
        ("max_retained_wal: 104857600, at_bound: drop-slot", 100 << 20, AtBound::DropSlot),
        ("max_retained_wal: 70000KiB", 70_000 << 10, AtBound::Stop),
    ];
    for (text, most, then) in cases {
        let folder = Folder::new();
        let capture = format!("{{mode: log, {text}}}");
        folder.replace("ministries/moj.yaml", "{mode: outbox, table: lienthong_outbox}", &capture);
        let site = folder.site();
        let moj = site.participant("moj.civil-status").expect("it is listed");
        let CaptureConfig::Log { bound, .. } = moj.source.capture else { panic!("from the log") };
        assert_eq!(bound, LogBound { most: Some(most), then }, "{text}");
    }
}

#[test]
fn the_rate_of_a_first_load_is_that_of_the_file() {
    let folder = Folder::new();
    let capture = "{mode: log, load_rate: 5000}";
    folder.replace("ministries/moj.yaml", "{mode: outbox, table: lienthong_outbox}", capture);
    let site = folder.site();
    let moj = site.participant("moj.civil-status").expect("it is listed");
    assert!(matches!(moj.source.capture, CaptureConfig::Log { load_rate: Some(5_000), .. }));
}

#[test]
fn a_publication_is_what_its_file_says() {
    let folder = Folder::new();
    let site = folder.site();
    let moj = site.participant("moj.civil-status").expect("it is listed");
    assert_eq!(moj.source.capture, CaptureConfig::Outbox { table: "lienthong_outbox".to_owned() });
    assert!(matches!(&moj.source.database, Database::Postgres { url } if url.contains(PASSWORD)));
    let table = &moj.tables[0];
    assert_eq!(
        (table.table.as_str(), table.key.as_slice()),
        ("public.birth", &["registration_no".to_owned()][..])
    );
    let columns = [
        "registration_no",
        "status",
        "office_code",
        "registered_on",
        "child_pin",
        "ten",
        "ngay_sinh",
        "do_chinh_xac",
    ];
    assert_eq!(table.columns, columns);
    let birth = &moj.publications[0];
    assert_eq!((birth.entry, birth.family.as_str(), birth.plan.width()), (0, "civil_status", 7));
    assert_eq!(birth.subjects[0].slots, [3, 0], "child.pin, then registration_no");
    assert_eq!(birth.when.as_ref().map(|when| when.columns.clone()), Some(vec![1]));
    assert!(matches!(birth.fields[6].source, FieldSource::PartialDate { date: 6, precision: 7 }));
    assert!(matches!(&birth.fields[5].source, FieldSource::Constant(text) if text == "unknown"));
}

#[test]
fn the_column_that_names_the_case_is_captured() {
    let folder = Folder::new();
    let text = folder.text(MOJ);
    folder.write(MOJ, &text.replacen("    fields:\n", "    correlation: ma_ho_so\n    fields:\n", 1));
    let site = folder.site();
    let moj = site.participant("moj.civil-status").expect("it is listed");
    let column = moj.publications[0].correlation.expect("it is named");
    assert_eq!(moj.tables[0].columns[column], "ma_ho_so");
}

#[test]
fn columns_named_as_the_contracts_fields_need_no_fields() {
    let folder = Folder::new();
    let text = folder.text(MOJ);
    let (before, _) = text.split_once("    fields:\n").expect("the fields come last");
    folder.write(MOJ, before);
    let site = folder.site();
    let moj = site.participant("moj.civil-status").expect("it is listed");
    let (birth, table) = (&moj.publications[0], &moj.tables[0]);
    let slot =
        birth.fields.iter().find(|field| field.path == "child.given_name").expect("every field has a source");
    assert!(
        matches!(slot.source, FieldSource::Column(column) if table.columns[column] == "child_given_name")
    );
}

#[test]
fn two_entries_of_one_table_share_its_capture_but_spell_it_as_they_like() {
    let folder = Folder::new();
    let text = folder.text(MOJ);
    let (_, entry) = text.split_once("publishes:\n").expect("the entries come last");
    let again =
        entry.replace("public.birth", "birth").replace("office_code: office_code", "office_code: other");
    folder.write(MOJ, &format!("{text}{again}"));
    let site = folder.site();
    let moj = site.participant("moj.civil-status").expect("it is listed");
    assert_eq!((moj.tables.len(), moj.publications.len()), (1, 2));
    assert_eq!((moj.publications[1].entry, moj.publications[1].table), (1, 0));
    assert!(moj.tables[0].columns.contains(&"other".to_owned()));
}

#[test]
fn subscriptions_fit_their_tables_and_their_groups_do_not_overlap() {
    let site = with_keys(&Folder::new());
    let vss = site.subscriber("vss.insurance").expect("it is listed");
    assert_eq!(vss.families().collect::<Vec<_>>(), ["civil_status"]);
    let subscriptions = vss.subscriptions(site.keys().expect("they are written"));
    let subscription = &subscriptions[0];
    assert_eq!(subscription.validate(), Ok(()));
    assert_eq!(subscription.topics, ["lt.civil_status.live", "lt.civil_status.bulk"]);
    assert_eq!((subscription.valid.from, subscription.valid.until), (20_454, Some(21_183)));
    let table = &subscription.tables[0];
    let groups: Vec<Vec<&str>> = table
        .groups
        .iter()
        .map(|group| group.columns.iter().map(|column| column.name.as_str()).collect())
        .collect();
    assert_eq!(
        groups,
        [vec!["ho", "ngay_sinh", "voided_at"], vec!["died_on"]],
        "a mark belongs to its entry"
    );
    assert_eq!((table.groups[0].name.as_str(), &table.version), ("ho", &VersionStore::Ledger));
    let [birth, death] = subscription.rules.as_slice() else { panic!("two rules are expected") };
    assert_eq!(
        (birth.effect, death.effect),
        (Effect::Upsert, Effect::Update { if_missing: IfMissing::Insert })
    );
    assert_eq!(birth.on_deleted, Policy::Soft { column: "voided_at".to_owned() }, "as on_revoked");
    assert_eq!(birth.groups[0].columns[1].map, ColumnMap::Date { partial: Partial::Null });
    assert_eq!(
        birth.paths[birth.record_number.expect("the catalogue names one")].as_str(),
        "registration_no"
    );
    let filter = birth.filter.as_ref().expect("it has a where");
    let inputs: Vec<&str> = filter.inputs.iter().map(|input| birth.paths[*input].as_str()).collect();
    assert_eq!(inputs, ["child.birth_date", "child.pin"]);
}

#[test]
fn a_revocation_finds_the_rows_by_its_own_fields() {
    let site = with_keys(&Folder::new());
    let vss = site.subscriber("vss.insurance").expect("it is listed");
    let subscription = &vss.subscriptions(site.keys().expect("they are written"))[0];
    let [revocation] = subscription.revocations.as_slice() else { panic!("one revocation is expected") };
    assert_eq!(revocation.event, "civil_status.record.revoked");
    assert_eq!(revocation.paths[revocation.record_number].as_str(), "registration_no");
    assert_eq!(revocation.undoes.iter().map(|undo| undo.rule).collect::<Vec<_>>(), [0, 1]);
    for undo in &revocation.undoes {
        assert_eq!(revocation.paths[undo.key[0].path].as_str(), "pin");
    }
}

#[test]
fn a_column_that_two_entries_write_is_a_group_of_its_own() {
    let folder = Folder::new();
    folder.replace(
        VSS,
        "fields: [deceased.pin, death_date]",
        "fields: [deceased.pin, deceased.full_name, death_date]",
    );
    folder.replace(VSS, "purpose: P3", "purpose: P1");
    folder.replace(VSS, "died_on: {date", "ho: deceased.full_name, died_on: {date");
    let site = with_keys(&folder);
    let vss = site.subscriber("vss.insurance").expect("it is listed");
    let names: Vec<&str> = vss.tables[0].groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["ho", "ngay_sinh", "died_on"]);
    let subscription = &vss.subscriptions(site.keys().expect("they are written"))[0];
    assert_eq!(subscription.validate(), Ok(()));
    let written =
        |rule: usize| subscription.rules[rule].groups.iter().map(|group| group.group).collect::<Vec<_>>();
    assert_eq!((written(0), written(1)), (vec![0, 1], vec![0, 2]));
}

#[test]
fn an_entry_that_deletes_needs_only_the_key() {
    let folder = Folder::new();
    folder.replace(VSS, "effect: {update: {if_missing: insert}}", "effect: delete");
    folder.replace(VSS, ", died_on: {date: death_date, partial: null}", "");
    folder.replace(VSS, "on_revoked: hard", "on_revoked: ignore");
    let site = with_keys(&folder);
    let vss = site.subscriber("vss.insurance").expect("it is listed");
    let subscription = &vss.subscriptions(site.keys().expect("they are written"))[0];
    assert_eq!(subscription.validate(), Ok(()));
    assert_eq!(subscription.rules[1].effect, Effect::Delete);
    assert_eq!(subscription.revocations[0].undoes.len(), 1, "nothing is undone of a deletion");
}

#[test]
fn a_version_column_and_pseudonyms_are_taken_over() {
    let folder = Folder::new();
    let text = folder.text(VSS);
    let (one, _) = text.split_once("  - event: civil_status.death").expect("there are two entries");
    folder.write(
        VSS,
        &one.replace("key: [child_pin]", "key: [child_pin]\n      version: {column: lienthong_version}")
            .replace("{soft: {column: voided_at}}", "ignore"),
    );
    folder.replace(VSS, "ho: child.family_name", "token: {pseudonym: child.pin}");
    let site = with_keys(&folder);
    let vss = site.subscriber("vss.insurance").expect("it is listed");
    assert_eq!(vss.tables[0].version, VersionStore::Column("lienthong_version".to_owned()));
    let subscription = &vss.subscriptions(site.keys().expect("they are written"))[0];
    assert_eq!(subscription.rules[0].groups[0].columns[0].map, ColumnMap::Pseudonym);
}

#[test]
fn a_site_without_key_files_can_be_checked() {
    let folder = Folder::new();
    let problem = folder.site().keys().map(|_| ()).expect_err("there are none yet");
    let shown = folder.shown(&[problem]);
    assert_eq!(
        shown,
        ["lienthong.yaml:3:17: the file `secrets/subject.key` does not exist; fix: run `lienthong keys new`"]
    );
    folder.write_keys();
    assert!(folder.site().keys().is_ok());
}

#[test]
fn what_deserves_a_second_look_is_a_warning() {
    let folder = Folder::new();
    folder.replace(VSS, "if_missing: insert", "if_missing: skip");
    folder.replace(VSS, "    where: \"event.deceased.pin != null\"\n", "");
    let site = folder.site();
    let warnings = folder.shown(&site.warnings().cloned().collect::<Vec<_>>());
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].starts_with("agreements/vss.yaml:21:35: `skip` makes the result depend"),
        "{warnings:?}"
    );
    assert!(warnings[1].starts_with("agreements/vss.yaml:25:17: `deceased.pin` may be null"), "{warnings:?}");
}

#[test]
fn the_log_can_be_set_from_outside() {
    let folder = Folder::new();
    folder.replace(
        SITE,
        "log: sqlite:var/log.db",
        "log: {kafka: [\"${env:UNSET}\"], registry: \"${env:UNSET}\"}",
    );
    let overrides = Overrides { log: Some("kafka://b:9092?registry=http://r:8081&prefix=t".to_owned()) };
    let site = load(folder.path(), &overrides).expect("the site's own log is not used");
    assert!(matches!(&site.log, LogAddress::Kafka(kafka) if kafka.brokers == "b:9092"));
    let overrides = Overrides { log: Some("kafka:b:9092".to_owned()) };
    let problems = load(folder.path(), &overrides).expect_err("it is no address");
    assert!(
        problems[0].to_string().starts_with("--log or LIENTHONG_LOG:0:0: the log's address begins"),
        "{problems:?}"
    );
}

#[test]
fn the_long_form_of_a_log_knows_tls_and_sasl() {
    let folder = Folder::new();
    for name in ["ca.pem", "cert.pem", "key.pem", "other.pem"] {
        folder.write(name, "PEM");
    }
    let log = "log: {kafka: [b1:9093, b2:9093], registry: {url: https://r, username: ru, password: \"${env:PASSWORD}\", \
               ca: other.pem}, replication: 1, tls: {ca: ca.pem, cert: cert.pem, key: key.pem}, \
               sasl: {mechanism: SCRAM-SHA-512, username: u, password: \"${env:PASSWORD}\"}}";
    folder.replace(SITE, "log: sqlite:var/log.db", log);
    let LogAddress::Kafka(kafka) = folder.site().log else { panic!("it is a cluster") };
    assert_eq!((kafka.brokers.as_str(), kafka.replication), ("b1:9093,b2:9093", Some(1)));
    let path = |name: &str| folder.path().join(name);
    let tls = Tls { ca: Some(path("ca.pem")), client: Some((path("cert.pem"), path("key.pem"))) };
    assert_eq!(kafka.tls, Some(tls));
    let told = |login: &Login| (login.username.expose().to_owned(), login.password.expose().to_owned());
    assert_eq!(
        kafka.sasl.as_ref().map(|sasl| told(&sasl.login)),
        Some(("u".to_owned(), PASSWORD.to_owned()))
    );
    let login = kafka.registry_login.as_ref().map(told);
    assert_eq!(login, Some(("ru".to_owned(), PASSWORD.to_owned())));
    assert_eq!((kafka.registry.as_str(), &kafka.registry_ca), ("https://r", &Some(path("other.pem"))));
    assert!(!format!("{kafka:?}").contains(PASSWORD));
}

#[test]
fn telemetry_has_defaults_and_takes_other_values() {
    let folder = Folder::new();
    let telemetry = folder.site().telemetry;
    assert!(telemetry.otlp.is_none() && telemetry.metrics.is_some());
    assert_eq!((telemetry.sample, telemetry.stalled_after.as_secs()), (0.01, 60));
    folder.replace(SITE, "metrics: 127.0.0.1:9464", "metrics: null, sample: 1, stalled_after: 2m");
    let telemetry = folder.site().telemetry;
    assert!(telemetry.metrics.is_none());
    assert_eq!((telemetry.sample, telemetry.stalled_after.as_secs()), (1.0, 120));
}

#[test]
fn a_routers_session_is_the_routers_own_unless_the_site_says_otherwise() {
    let folder = Folder::new();
    assert_eq!(folder.site().route.session, None);
    folder.replace(SITE, "telemetry:", "route: {session: 1m}\ntelemetry:");
    assert_eq!(folder.site().route.session.map(|session| session.as_secs()), Some(60));
}

#[test]
fn no_secret_is_ever_shown() {
    let folder = Folder::new();
    folder.replace(SITE, "otlp: null", "otlp: \"http://u:${env:PASSWORD}@otlp\"");
    folder.replace(SITE, "log: sqlite:var/log.db", "log: \"sqlite:${env:PASSWORD}\"");
    let site = with_keys(&folder);
    let vss = site.subscriber("vss.insurance").expect("it is listed");
    let moj = site.participant("moj.civil-status").expect("it is listed");
    let keys = site.keys().expect("they are written");
    let overrides = Overrides { log: Some(format!("sqlite:{PASSWORD}")) };
    let shown = format!(
        "{site:#?} {vss:?} {moj:?} {keys:?} {:?} {:?} {overrides:?} {:?}",
        site.log, site.telemetry, vss.target
    );
    assert!(!shown.contains(PASSWORD) && !shown.contains("abab") && shown.contains("***"), "{shown}");
    for (file, from) in
        [(MOJ, "event: civil_status.birth.registered"), (VSS, "purpose: P3"), (SITE, "127.0.0.1:9464")]
    {
        let folder = Folder::new();
        let key = from.split_once(": ").map(|(key, _)| format!("{key}: ")).unwrap_or_default();
        folder.replace(file, from, &format!("{key}\"${{env:PASSWORD}}\""));
        let problems = folder.problems();
        assert!(
            !problems.is_empty() && problems.iter().all(|problem| !problem.contains(PASSWORD)),
            "{problems:?}"
        );
    }
}

const BENEFITS: &str = r#"participant: PARTICIPANT
organisation: Somebody
source:
  kind: sqlite
  url: benefits.db
  capture: {mode: outbox, table: lienthong_outbox}
publishes:
  - event: benefit.decision.made
    from: {table: decision, key: [decision_no]}
    fields:
      decision_no: decision_no
      pin: pin
      benefit_kind: {value: funeral}
      decided_on: decided_on
      outcome: outcome
      fund: {value: insurance}
"#;

const CASES: &str = r#"agreement: psp.cases/2026-01
subscriber: psp.cases
purpose: P14
legal_basis: "Decree 63/2024/ND-CP"
valid: {from: 2026-01-01, until: 2027-12-31}
target: {kind: sqlite, url: cases.db}
delivers:
  - event: benefit.decision.made
    fields: [decision_no, pin, outcome]
    into: {table: decision, key: [decision_no], columns: {decision_no: decision_no, outcome: outcome}}
    on_revoked: hard
"#;

#[test]
fn each_publisher_of_a_family_writes_topics_of_its_own_and_a_subscription_reads_them_all() {
    let folder = Folder::new();
    for (file, participant) in [("vss", "vss.insurance"), ("moh", "moh.social-protection")] {
        folder.write(&format!("ministries/{file}.yaml"), &BENEFITS.replace("PARTICIPANT", participant));
    }
    folder.write("agreements/psp.yaml", CASES);
    let site = with_keys(&folder);
    let topics = |id: &str| {
        let participant = site.participant(id).expect("it is listed");
        lienthong_capture::run::topics(&participant.publications)
    };
    assert_eq!(topics("vss.insurance"), ["lt.benefit.vss.insurance.bulk", "lt.benefit.vss.insurance.live"]);
    let moh = ["lt.benefit.moh.social-protection.bulk", "lt.benefit.moh.social-protection.live"];
    assert_eq!(topics("moh.social-protection"), moh);
    let psp = site.subscriber("psp.cases").expect("it is listed");
    let subscription = &psp.subscriptions(site.keys().expect("they are written"))[0];
    assert_eq!(subscription.family, "benefit");
    let mut read = subscription.topics.clone();
    read.sort();
    let mut written = [topics("vss.insurance"), topics("moh.social-protection")].concat();
    written.sort();
    assert_eq!(read, written, "all topics of all publishers, and no other");
}

#[test]
fn a_participant_outside_the_list_may_not_publish() {
    let folder = Folder::new();
    folder.write("ministries/tax.yaml", &BENEFITS.replace("PARTICIPANT", "mof.tax"));
    let told =
        "`benefit.decision.made` belongs to `vss.insurance`, `moh.social-protection`, not to `mof.tax`";
    only(&folder, "ministries/tax.yaml:8:12: ", &[told, "list the participant under `publishers`"]);
}

#[test]
fn rows_of_several_publishers_are_told_apart_by_their_record() {
    let folder = Folder::new();
    let by_person =
        CASES.replace("key: [decision_no]", "key: [pin]").replace("{decision_no: decision_no,", "{pin: pin,");
    folder.write("agreements/psp.yaml", &by_person);
    only(&folder, "agreements/psp.yaml:10:", &["several publishers", "`decision_no`"]);
}
