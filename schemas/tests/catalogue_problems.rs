//! Every mistake in a catalogue is told at once, with its place and a way out.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use std::collections::BTreeMap;

use lienthong_schemas::{
    Catalogue, FieldPath, Problem, RecordSchema, bundled, bundled_schemas, bundled_texts,
};

const GOOD: &str = r"purposes:
  P1: Population
retention:
  short: {title: Until it is delivered, live_days: 30, bulk_days: 14}
families:
  birth:
    title: Births
    owner: moj.civil-status
    retention: short
    topics:
      live: {partitions: 4, replication: 3, min_insync_replicas: 2}
      bulk: {partitions: 4, replication: 3, min_insync_replicas: 2}
events:
  birth.registered:
    family: birth
    title: Birth registered
    legal_source: Law
    subject: [child.pin, no]
    record_number: no
    classification: {basic: [no, child], sensitive: [child.origin]}
    purposes:
      P1: [no, child.pin]
";

fn schemas() -> BTreeMap<String, RecordSchema> {
    let text = r#"{"type":"record","name":"B","fields":[{"name":"no","type":"string"},
        {"name":"child","type":{"type":"record","name":"C","fields":[
            {"name":"pin","type":["null","string"],"default":null},
            {"name":"origin","type":["null","string"],"default":null}]}}]}"#;
    BTreeMap::from([("birth.registered".to_owned(), RecordSchema::parse(text).unwrap())])
}

fn problems(from: &str, to: &str) -> Vec<Problem> {
    assert!(GOOD.contains(from), "{from}");
    Catalogue::parse("catalogue.yaml", &GOOD.replace(from, to), &schemas()).unwrap_err()
}

/// The only problem, as `line:column: message; fix`.
fn problem(from: &str, to: &str) -> String {
    let problems = problems(from, to);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].to_string().replace("catalogue.yaml:", "")
}

#[test]
fn a_good_catalogue_answers_questions() {
    let catalogue = Catalogue::parse("catalogue.yaml", GOOD, &schemas()).unwrap();
    let family = catalogue.family("birth").unwrap();
    let topics: Vec<_> = family.topics().map(|(name, spec)| (name, spec.retention_days)).collect();
    assert_eq!(topics, [("lt.birth.live".to_owned(), 30), ("lt.birth.bulk".to_owned(), 14)]);
    assert_eq!(family.publishers(), ["moj.civil-status"]);
    assert_eq!(catalogue.events_of("birth").count(), 1);
    let event = catalogue.event("birth.registered").unwrap();
    assert_eq!(event.record_number, Some(FieldPath::new("no")));
    assert!(catalogue.event("birth.unregistered").is_none());
}

#[test]
fn names_that_do_not_exist_get_the_nearest_one() {
    let unknown = problem("[no, child.pin]", "[no, child.pn]");
    assert_eq!(unknown, "22:16: unknown field `child.pn`; fix: did you mean `child.pin`?");
    let unknown = problem("subject: [child.pin, no]", "subject: [child.pim, no]");
    assert_eq!(unknown, "18:15: unknown field `child.pim`; fix: did you mean `child.pin`?");
    assert!(problem("family: birth", "family: births").starts_with("15:13: unknown family `births`"));
    assert!(problem("      P1: [", "      PURPOSE: [").contains("unknown purpose `PURPOSE`"));
    assert!(problem("events:\n", "matching: [P2]\nevents:\n").contains("unknown purpose `P2`"));
}

#[test]
fn a_subject_must_never_be_null() {
    let nullable = problem("subject: [child.pin, no]", "subject: [child.pin]");
    assert_eq!(nullable, "18:15: the subject may be null; fix: end the list with a mandatory field");
    let composed = problem("subject: [child.pin, no]", "subject: {compose: [no, child.pin]}");
    assert!(composed.ends_with("fix: compose mandatory fields only"), "{composed}");
    assert!(problem("subject: [child.pin, no]", "subject: []").contains("may be null"));
    assert!(problem("subject: [child.pin, no]", "subject: [child, no]").contains("`child` is a record"));
}

#[test]
fn every_field_is_classified_once() {
    let missing = problems("basic: [no, child]", "basic: [no]");
    assert_eq!(missing.len(), 1);
    assert!(missing[0].message.contains("`child.pin` has no classification"), "{}", missing[0]);
    assert!(problem("sensitive: [child.origin]", "sensitive: [child]").contains("has two classes"));
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    let text = GOOD
        .replace("min_insync_replicas: 2}\n      bulk", "min_insync_replicas: 4}\n      bulk")
        .replace("record_number: no", "record_number: number")
        .replace("[no, child.pin]\n", "[number]\n");
    let problems = Catalogue::parse("catalogue.yaml", &text, &schemas()).unwrap_err();
    let lines: Vec<_> = problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [11, 19, 22, 22], "{problems:?}");
}

#[test]
fn schemas_and_events_must_be_pairs() {
    let without_schema = Catalogue::parse("catalogue.yaml", GOOD, &BTreeMap::new()).unwrap_err();
    assert!(without_schema[0].message.contains("`birth.registered` has no schema"), "{}", without_schema[0]);
    assert_eq!(without_schema[0].fix, "add schemas/avro/birth/registered.avsc");
    let mut more = schemas();
    let schema = more["birth.registered"].clone();
    more.insert("birth.corrected".to_owned(), schema.clone());
    more.insert("lienthong.heartbeat".to_owned(), schema);
    let problems = Catalogue::parse("catalogue.yaml", GOOD, &more).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("`birth.corrected` has no entry"), "{}", problems[0]);
    assert_eq!((problems[0].line, problems[0].column), (1, 1), "{}", problems[0]);
    assert!(problems[0].fix.contains("`birth.corrected`"), "{}", problems[0]);
}

#[test]
fn an_event_whose_name_is_misspelt_is_told_the_file_that_is_there() {
    let mut schemas = schemas();
    let schema = schemas.remove("birth.registered").unwrap();
    schemas.insert("birth.registred".to_owned(), schema);
    let problems = Catalogue::parse("catalogue.yaml", GOOD, &schemas).unwrap_err();
    assert!(
        problems.iter().any(|problem| problem.fix.contains("did you mean `birth.registred`")),
        "{problems:?}"
    );
}

#[test]
fn unknown_keys_and_broken_yaml_have_a_place() {
    let key = problem("    record_number: no\n", "    record_no: no\n");
    assert!(key.starts_with("19:5: ") && key.contains("record_no"), "{key}");
    let purpose = problem("P1: [no, child.pin]", "P1: everything");
    assert!(purpose.starts_with("22:"), "{purpose}");
    let broken = Catalogue::parse("catalogue.yaml", "purposes: [", &schemas()).unwrap_err();
    assert_eq!(broken.len(), 1);
    assert!(broken[0].line > 0 && !broken[0].message.contains('\n'), "{broken:?}");
}

#[test]
fn revocations_are_checked_against_what_they_revoke() {
    let text = bundled_texts().catalogue;
    let parse = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        let schemas = bundled_schemas().unwrap();
        Catalogue::parse("catalogue.yaml", &text.replace(from, to), &schemas).unwrap_err()[0].message.clone()
    };
    let types = "types: [civil_status.birth.registered, ";
    assert!(parse(types, "types: [civil_status.birth.undone, ").contains("undone"));
    assert!(parse("{child.pin: pin,", "{infant.pin: pin,").contains("no revoked event has the field"));
    let revoked = "types: [admin_unit.changed, civil_status.birth.registered, ";
    assert!(parse(types, revoked).contains("has no record_number"));

    let catalogue = bundled().unwrap();
    let revocation = catalogue.event("civil_status.record.revoked").unwrap();
    let death = catalogue.event("civil_status.death.registered").unwrap();
    let matches = revocation.revoke_matches(death);
    assert_eq!(matches, [(FieldPath::new("deceased.pin"), FieldPath::new("pin"))]);
}

#[test]
fn checks_name_fields_that_can_be_checked_so() {
    let with = |checks: &str| {
        problem("    purposes:\n      P1", &format!("    checks: {checks}\n    purposes:\n      P1"))
    };
    let unknown = with("{persons: [{pin: child.pn}]}");
    assert_eq!(unknown, "21:30: unknown field `child.pn`; fix: did you mean `child.pin`?");
    let sex = with("{persons: [{pin: child.pin, sex: child.origin}]}");
    assert!(sex.starts_with("21:46: `child.origin` is not an enum with male and female"), "{sex}");
    let level = with("{units: [{code: no, level: communes}]}");
    assert_eq!(level, "21:40: unknown level `communes`; fix: did you mean `commune`?");
    let length = with("{max_length: {no: 0}}");
    assert_eq!(length, "21:31: no text has 0 characters; fix: use 1 or more");
    let record = with("{dates: [child]}");
    assert!(record.contains("`child` is a record"), "{record}");
    assert!(with("{person: []}").starts_with("21:"), "unknown keys have a place");
}

#[test]
fn a_family_has_an_owner_or_is_per_publisher() {
    let owner = "    owner: moj.civil-status\n";
    let each = "    per: publisher\n    publishers: [hanoi.births, danang.births]\n";
    let catalogue = Catalogue::parse("catalogue.yaml", &GOOD.replace(owner, each), &schemas()).unwrap();
    let family = catalogue.family("birth").unwrap();
    assert!(family.is_per_publisher() && family.may_publish("danang.births"));
    let topics: Vec<_> = family.topics().map(|(name, _)| name).collect();
    assert_eq!(topics[..2], ["lt.birth.hanoi.births.live", "lt.birth.danang.births.live"]);

    let text = GOOD.replace(owner, each).replace("    record_number: no\n", "");
    let problems = Catalogue::parse("catalogue.yaml", &text, &schemas()).unwrap_err();
    assert!(problems[0].message.contains("no record_number to tell their records apart"), "{problems:?}");

    let neither = problem(owner, "");
    assert!(neither.starts_with("7:5: the family needs either `owner`"), "{neither}");
    assert!(problem(owner, &format!("{owner}{each}")).contains("needs either `owner`"));
    let misspelt = problem(owner, "    per: province\n    publishers: [hanoi.births]\n");
    assert_eq!(misspelt, "8:10: a family is `per: publisher` or has an owner; fix: write per: publisher");
    assert!(problem(owner, "    per: publisher\n    publishers: []\n").contains("nobody may publish"));
    let twice = problem(owner, "    per: publisher\n    publishers: [hanoi.births, hanoi.births]\n");
    assert!(twice.starts_with("9:32: `hanoi.births` is listed twice"), "{twice}");
    assert!(problem("moj.civil-status", "MOJ").starts_with("8:12: `MOJ` is not the id of a participant"));
}

#[test]
fn a_family_says_by_a_known_class_how_long_it_is_kept() {
    let unknown = problem("retention: short\n", "retention: shirt\n");
    assert_eq!(unknown, "9:16: unknown retention class `shirt`; fix: did you mean `short`?");
    assert!(problem("live_days: 30", "live_days: 0").starts_with("4:10: `short` keeps records for no day"));
}

#[test]
fn one_event_goes_out_per_list_of_subjects() {
    let parse = |subject: &str| {
        let text = GOOD.replace("subject: [child.pin, no]", subject);
        Catalogue::parse("catalogue.yaml", &text, &schemas())
    };
    let two = parse("subjects: [[child.pin, no], [no]]").unwrap();
    let rules = &two.event("birth.registered").unwrap().subjects;
    assert_eq!(rules.len(), 2);
    assert_eq!(rules[1].fields(), [FieldPath::new("no")]);
    for wrong in ["subjects: []", "subject: [no]\n    subjects: [[no]]", "title: Both"] {
        let problems = parse(wrong).unwrap_err();
        assert_eq!(problems.len(), 1, "{wrong}: {problems:?}");
    }
    let nullable = &parse("subjects: [[no], [child.pin]]").unwrap_err()[0];
    assert!(nullable.to_string().starts_with("catalogue.yaml:18:23: the subject may be null"), "{nullable}");
}

#[test]
fn a_delta_leaf_counts_only_when_it_is_listed() {
    let catalogue = bundled().unwrap();
    let updated = catalogue.event("population.person.updated").unwrap();
    for (leaf, delta) in
        [("birth_date", true), ("updated_on", false), ("pin", false), ("fields_changed", false)]
    {
        let leaf = FieldPath::new(leaf);
        assert_eq!(updated.listed_as(&leaf), delta.then(|| leaf.clone()), "{leaf}");
    }
    let corrected = catalogue.event("civil_status.person.corrected").unwrap();
    let listed = |leaf: &str| corrected.listed_as(&FieldPath::new(leaf)).map(|path| path.to_string());
    assert_eq!(listed("pin"), None);
    assert_eq!(listed("mother_pin").as_deref(), Some("mother_pin"));
    assert_eq!(
        listed("before.mother_pin").as_deref(),
        Some("mother_pin"),
        "what was before counts with what is now"
    );
    let created = catalogue.event("population.person.created").unwrap();
    assert_eq!(created.listed_as(&FieldPath::new("family_name")), None);
}

/// A delta event whose record of what was before has these fields.
fn with_before(fields: &str, entry: &str) -> Vec<String> {
    let text = format!(
        r#"{{"type":"record","name":"B","fields":[{{"name":"no","type":"string"}},
        {{"name":"changed","type":{{"type":"array","items":"string"}},"default":[]}},
        {{"name":"name","type":["null","string"],"default":null}},
        {{"name":"born","type":"string"}},
        {{"name":"was","type":["null",{{"type":"record","name":"W","fields":[{fields}]}}],"default":null}}]}}"#
    );
    let catalogue = GOOD
        .replace("[child.pin, no]", "[no]")
        .replace("    record_number: no\n", entry)
        .replace("{basic: [no, child], sensitive: [child.origin]}", "{basic: [no, changed, name, born, was]}")
        .replace("P1: [no, child.pin]", "P1: all");
    let schemas = BTreeMap::from([("birth.registered".to_owned(), RecordSchema::parse(&text).unwrap())]);
    match Catalogue::parse("catalogue.yaml", &catalogue, &schemas) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn what_was_before_has_the_names_and_types_of_what_is_now() {
    let (delta, optional) =
        ("    delta: changed\n    before: was\n", r#""type":["null","string"],"default":null"#);
    let field = |name: &str, kind: &str| format!(r#"{{"name":"{name}",{kind}}}"#);
    assert_eq!(with_before(&field("name", optional), delta), Vec::<String>::new());
    let wrong = [
        (field("nmae", optional), delta, "`was.nmae` has no optional field `nmae` of its type"),
        (field("name", r#""type":["null","int"],"default":null"#), delta, "`was.name` has no optional field"),
        (field("born", optional), delta, "`was.born` has no optional field `born`"),
        (field("name", optional), "    before: was\n", "does not list what changes"),
        (field("name", optional), "    delta: changed\n    before: name\n", "`name` is not a record"),
    ];
    for (fields, entry, expected) in wrong {
        let told = with_before(&fields, entry);
        assert!(told.len() == 1 && told[0].contains(expected), "{expected}: {told:?}");
    }
}
