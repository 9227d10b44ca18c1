//! Source checks on the whole road: a table with one row per rule, its quarantine, and its subscriber.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use lienthong_contract::keys::SealKey;
use lienthong_contract::sink::OffsetState;
use lienthong_log::embedded::EmbeddedLog;
use lienthong_log::{Log as _, TopicPartition};
use lienthong_testkit::database::Database;
use serde_json::Value;

use crate::site::{Engine, Site};

const PARTICIPANT: &str = "moj.civil-status";

const MINISTRY: &str = r#"participant: moj.civil-status
organisation: Ministry of Justice
source: {kind: sqlite, url: "URL", capture: {mode: outbox, table: lienthong_outbox}}
publishes:
  - event: civil_status.birth.registered
    from: {table: birth, key: [no]}
    fields:
      registration_no: no
      office_code: office
      registered_on: registered_on
      child.pin: pin
      child.given_name: ten
      child.sex: sex
      child.birth_date: born
"#;

const AGREEMENT: &str = r#"agreement: mps.population/2026-01
subscriber: mps.population
purpose: P1
legal_basis: "Law on Identification 26/2023/QH15"
valid: {from: 2026-01-01, until: 2099-12-31}
target: {kind: sqlite, url: "URL"}
delivers:
  - event: civil_status.birth.registered
    fields: [registration_no, child.pin, child.given_name]
    into: {table: child, key: [no], columns: {no: registration_no, pin: child.pin, ten: child.given_name}}
    on_revoked: hard
"#;

/// What differs from a right row, and what is found: `rule@field`.
const REFUSED: [(&str, &str, &str); 9] = [
    ("pin", "'00132600001'", "pin-form@child.pin"),
    ("pin", "'999999999999'", "pin-form@child.pin"),
    ("pin", "'٠٠١٣٢٦٠٠٠٠٠١'", "pin-form@child.pin"),
    ("born", "'2026-02-30'", "not-a-date@child.birth_date"),
    ("registered_on", "'2026-13-01'", "not-a-date@registered_on"),
    ("ten", "'A' || char(0) || 'n'", "nul-character@child.given_name"),
    ("sex", "'nữ'", "unknown-enum-symbol@child.sex"),
    ("ten", "replace(hex(zeroblob(60)), '0', 'a')", "too-long@child.given_name"),
    ("no", "replace(hex(zeroblob(30)), '0', 'N')", "too-long@registration_no"),
];

const FLAGGED: [(&str, &str, &str); 9] = [
    ("pin", "'001224000001'", "pin-sex-mismatch@child.pin"),
    ("pin", "'001124000001'", "pin-century-mismatch@child.pin"),
    ("pin", "'001323000001'", "pin-year-mismatch@child.pin"),
    ("pin", "'003324000001'", "pin-unknown-province@child.pin"),
    ("office", "'00001'", "retired-unit-code@office_code"),
    ("office", "'99999'", "unknown-unit-code@office_code"),
    ("registered_on", "'2999-01-01'", "date-in-future@registered_on"),
    ("ten", "'Ho' || char(769) || 'a'", "not-nfc@child.given_name"),
    ("ten", "'Ho' || char(833) || 'a'", "deprecated-tone-mark@child.given_name"),
];

fn row(number: usize, change: Option<(&str, &str)>) -> String {
    let number = format!("'R-{number}'");
    let mut columns = [
        ("no", number.as_str()),
        ("office", "'00004'"),
        ("registered_on", "'2026-01-05'"),
        ("pin", "'001324000001'"),
        ("ten", "'An'"),
        ("sex", "'female'"),
        ("born", "'2024-12-30'"),
    ];
    for (name, value) in &mut columns {
        if let Some((changed, other)) = change.filter(|(changed, _)| changed == name) {
            (*name, *value) = (changed, other);
        }
    }
    format!("insert into birth values ({})", columns.map(|(_, value)| value).join(", "))
}

/// The quarantine's records: what is found, and the sealed values with the id that they are sealed under.
async fn quarantine(site: &Site) -> Result<Vec<(String, BTreeMap<String, String>, Vec<u8>)>> {
    let log = EmbeddedLog::open(site.path("var/lienthong.db"))?;
    let source = TopicPartition { topic: format!("lt.quarantine.{PARTICIPANT}").into(), partition: 0 };
    let batch = log.read(&source, OffsetState::START, 1 << 20).await?;
    let mut found = Vec::new();
    for entry in &batch.entries {
        let record = batch.record(entry)?;
        let headers: BTreeMap<String, String> = record
            .headers()
            .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()))
            .collect();
        let finding = format!("{}@{}", headers["lt_rule"], headers["lt_column"]);
        found.push((finding, headers, record.value.to_vec()));
    }
    Ok(found)
}

fn seal_key(site: &Site) -> Result<SealKey> {
    let hex = std::fs::read_to_string(site.path("secrets/seal.key"))?;
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16);
    let bytes: Vec<u8> = (0..64).step_by(2).map(byte).collect::<Result<_, _>>()?;
    Ok(SealKey::new(bytes.try_into().ok().context("32 bytes")?))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rules_row_is_set_aside_or_delivered_with_its_flag() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let (publisher, subscriber) = (url("publisher.db"), url("subscriber.db"));
    let files = [
        ("ministries/publisher.yaml", &*MINISTRY.replace("URL", &publisher)),
        ("agreements/subscriber.yaml", &*AGREEMENT.replace("URL", &subscriber)),
    ];
    let site = Site::of(Engine::Embedded, PARTICIPANT, &files)?;
    let mut owner = Database::open(&publisher).await?;
    let table = "create table birth (no text primary key, office text, registered_on text, pin text, ten text, sex text, born text)";
    owner.run(&[table.to_owned()]).await?;
    let copy = "create table child (no text primary key, pin text, ten text)";
    Database::open(&subscriber).await?.run(&[copy.to_owned()]).await?;
    site.prepare()?;
    // The first load of an empty table, so that each row comes once, through the outbox.
    site.succeed(&["connect", PARTICIPANT, "--once"])?;

    let changes = REFUSED.iter().chain(&FLAGGED).map(|(column, value, _)| Some((*column, *value)));
    let rows: Vec<String> =
        changes.chain([None]).enumerate().map(|(number, change)| row(number, change)).collect();
    owner.run(&rows).await?;
    let output = site.run(&["connect", PARTICIPANT, "--once"])?;
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
    site.succeed(&["route", "--once"])?;

    let set_aside = quarantine(&site).await?;
    let mut found: Vec<&str> = set_aside.iter().map(|(finding, ..)| finding.as_str()).collect();
    let mut expected: Vec<&str> = REFUSED.iter().map(|(.., finding)| *finding).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    let key = seal_key(&site)?;
    for (finding, headers, sealed) in &set_aside {
        assert_eq!(
            (headers["lt_table"].as_str(), headers["ce_type"].as_str()),
            ("birth", "civil_status.birth.registered")
        );
        let values = key.open(headers["ce_id"].as_bytes(), sealed).context("sealed under the site's key")?;
        let values: Value = serde_json::from_slice(&values)?;
        ensure!(values["office"] == "00004", "{finding}: the row's values are kept");
        ensure!(
            !headers.values().any(|value| value.contains("00132600001") || value.contains("R-0")),
            "{finding}"
        );
    }

    let output = site.run(&["tail", "civil_status", "--output", "json"])?;
    let events: Vec<Value> =
        String::from_utf8(output.stdout)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let flags: BTreeSet<&str> = events.iter().filter_map(|event| event["quality_flags"].as_str()).collect();
    let expected: BTreeSet<&str> = FLAGGED.iter().map(|(.., finding)| *finding).collect();
    assert_eq!(flags, expected);
    assert_eq!(events.len(), FLAGGED.len() + 1, "and the right row without a flag");

    let mut copied = Database::open(&subscriber).await?;
    let rows = copied.rows("select no from child").await?;
    assert_eq!(rows.len(), FLAGGED.len() + 1, "what is flagged is delivered");
    let names = copied.rows("select distinct ten from child where ten <> 'An'").await?;
    assert_eq!(names, [[Some("Hóa".to_owned())]], "every form of a name arrives as one");
    Ok(())
}
