//! Source checks on the whole road: a table with one row per rule, its quarantine, and its subscriber.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use lienthong_contract::keys::{HashKey, SealKey};
use lienthong_contract::sink::OffsetState;
use lienthong_log::embedded::EmbeddedLog;
use lienthong_log::kafka::{KafkaLog, KafkaOptions};
use lienthong_log::{Log, TopicPartition};
use lienthong_testkit::database::Database;
use lienthong_testkit::{env, kafka};
use serde_json::Value;

use crate::site::Site;

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

/// One record of the quarantine.
struct SetAside {
    /// `rule@field`.
    finding: String,
    key: String,
    headers: BTreeMap<String, String>,
    sealed: Vec<u8>,
}

/// Everything in the quarantine.
async fn quarantine(log: &dyn Log) -> Result<Vec<SetAside>> {
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
        let key = std::str::from_utf8(record.key)?.to_owned();
        found.push(SetAside { finding, key, headers, sealed: record.value.to_vec() });
    }
    Ok(found)
}

fn secret(site: &Site, name: &str) -> Result<[u8; 32]> {
    let hex = std::fs::read_to_string(site.path(&format!("secrets/{name}.key")))?;
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16);
    let bytes: Vec<u8> = (0..64).step_by(2).map(byte).collect::<Result<_, _>>()?;
    bytes.try_into().ok().context("32 bytes")
}

const TABLE: &str = "create table birth (no text primary key, office text, registered_on text, pin text, ten text, sex text, born text)";
const COPY: &str = "create table child (no text primary key, pin text, ten text)";

/// A site on this log whose two tables are empty; the owner's database, and the subscriber's URL.
async fn prepared(folder: &Path, log: &str) -> Result<(Site, Database, String)> {
    let url = |name: &str| format!("sqlite:{}", folder.join(name).display());
    let (publisher, subscriber) = (url("publisher.db"), url("subscriber.db"));
    let files = [
        ("ministries/publisher.yaml", &*MINISTRY.replace("URL", &publisher)),
        ("agreements/subscriber.yaml", &*AGREEMENT.replace("URL", &subscriber)),
    ];
    let site = Site::of_on(log, PARTICIPANT, &files)?;
    let mut owner = Database::open(&publisher).await?;
    owner.run(&[TABLE.to_owned()]).await?;
    Database::open(&subscriber).await?.run(&[COPY.to_owned()]).await?;
    site.prepare()?;
    // The first load of an empty table, so that each row comes once, through the outbox.
    site.succeed(&["connect", PARTICIPANT, "--once"])?;
    Ok((site, owner, subscriber))
}

/// Publishes what the owner has written; some of it is set aside.
fn sets_aside(site: &Site) -> Result<()> {
    let output = site.run(&["connect", PARTICIPANT, "--once"])?;
    assert_eq!(output.status.code(), Some(5), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

const EMBEDDED: &str = "sqlite:var/lienthong.db";

fn embedded(site: &Site) -> Result<EmbeddedLog> {
    Ok(EmbeddedLog::open(site.path("var/lienthong.db"))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rules_row_is_set_aside_or_delivered_with_its_flag() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (site, mut owner, subscriber) = prepared(folder.path(), EMBEDDED).await?;

    let changes = REFUSED.iter().chain(&FLAGGED).map(|(column, value, _)| Some((*column, *value)));
    let rows: Vec<String> =
        changes.chain([None]).enumerate().map(|(number, change)| row(number, change)).collect();
    owner.run(&rows).await?;
    sets_aside(&site)?;
    site.succeed(&["route", "--once"])?;

    let set_aside = quarantine(&embedded(&site)?).await?;
    let mut found: Vec<&str> = set_aside.iter().map(|row| row.finding.as_str()).collect();
    let mut expected: Vec<&str> = REFUSED.iter().map(|(.., finding)| *finding).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    let key = SealKey::new(secret(&site, "seal")?);
    for SetAside { finding, headers, sealed, .. } in &set_aside {
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

/// Two rows break their contract, one of them twice: whoever has the site's key and a row's key finds its records, nobody else does.
async fn found_by_the_hash_of_their_key(site: &Site, owner: &mut Database, log: &dyn Log) -> Result<()> {
    let (short, foreign) = (Some(("pin", "'00132600001'")), Some(("pin", "'999999999999'")));
    owner.run(&[row(0, short), row(1, foreign), row(2, None)]).await?;
    sets_aside(site)?;
    // Of a row that changes twice in between only its last state is judged.
    owner.run(&["update birth set pin = '00132600002' where no = 'R-0'".to_owned()]).await?;
    sets_aside(site)?;
    let (hash, seal) = (HashKey::new(secret(site, "subject")?), SealKey::new(secret(site, "seal")?));
    let mut found = BTreeMap::<String, Vec<String>>::new();
    for SetAside { finding, key, headers, sealed } in quarantine(log).await? {
        assert_eq!(finding, "pin-form@child.pin");
        let values = seal.open(headers["ce_id"].as_bytes(), &sealed).context("sealed")?;
        let values: Value = serde_json::from_slice(&values)?;
        found.entry(key).or_default().push(values["no"].as_str().context("a number")?.to_owned());
    }
    let of = |number: &str| hash.hash(&[b"birth", format!("[\"{number}\"]").as_bytes()]).hex();
    let expected = [(of("R-0"), vec!["R-0".to_owned(); 2]), (of("R-1"), vec!["R-1".to_owned()])];
    assert_eq!(found, expected.into());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_set_aside_are_found_by_the_keyed_hash_of_their_key() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (site, mut owner, _) = prepared(folder.path(), EMBEDDED).await?;
    let log = embedded(&site)?;
    found_by_the_hash_of_their_key(&site, &mut owner, &log).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_set_aside_over_kafka_are_found_by_the_keyed_hash_of_their_key() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (brokers, registry, prefix) = (kafka::brokers(), env::registry(), kafka::namespace());
    let address = format!("\"kafka://{brokers}?registry={registry}&prefix={prefix}&replication=1\"");
    let (site, mut owner, _) = prepared(folder.path(), &address).await?;
    let options = KafkaOptions { prefix, replication: Some(1), ..KafkaOptions::new(&brokers, &registry) };
    let log = KafkaLog::connect(options)?;
    found_by_the_hash_of_their_key(&site, &mut owner, &log).await
}
