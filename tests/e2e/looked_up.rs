//! What PostgreSQL's log leaves out is looked up: large values by the key of their own row.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use lienthong_contract::sink::OffsetState;
use lienthong_log::embedded::EmbeddedLog;
use lienthong_log::{Log as _, TopicPartition};
use lienthong_testkit::database::Database;
use lienthong_testkit::postgres::TestDatabase;

use crate::reader::root;
use crate::residents::{self, MINISTRY, PARTICIPANT};
use crate::site::{Engine, Site};

pub(crate) const FILE: &str = "ministries/mps.residence.yaml";
/// A street that is stored out of line, with no more characters than a text may have: each has four bytes.
const LONG: &str = "repeat('𡨸', 900)";

/// The headers of the live topic's events, by `ce_sequence`.
pub(crate) async fn headers(site: &Site) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let log = EmbeddedLog::open(site.path("var/lienthong.db"))?;
    let mut events = BTreeMap::new();
    for partition in 0.. {
        let source = TopicPartition { topic: "lt.residence.live".into(), partition };
        let Ok(marks) = log.watermarks(&source).await else { break };
        let mut state = OffsetState::START;
        while state.next_offset < marks.high {
            let batch = log.read(&source, state, 1 << 20).await?;
            state = lienthong_log::marks::state_after(&state, &batch);
            for entry in &batch.entries {
                let record = batch.record(entry)?;
                let names = ["ce_operation", "ce_sequence", "ce_subject", "lt_lookup"];
                let text =
                    |name: &str| record.header(name).map(|value| String::from_utf8_lossy(value).into_owned());
                let found: BTreeMap<String, String> =
                    names.into_iter().filter_map(|name| Some((name.to_owned(), text(name)?))).collect();
                if let Some(sequence) = found.get("ce_sequence") {
                    events.insert(sequence.clone(), found.clone());
                }
            }
        }
    }
    Ok(events)
}

pub(crate) fn said(site: &Site, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let output = site.run(arguments)?;
    Ok((output.status.code(), String::from_utf8([output.stdout, output.stderr].concat())?))
}

/// Runs statements in one transaction.
pub(crate) async fn run(owner: &mut Database, statements: &[&str]) -> Result<()> {
    owner.run(&statements.iter().map(|&statement| statement.to_owned()).collect::<Vec<_>>()).await
}

/// Publishes and delivers what there is.
pub(crate) fn deliver(site: &Site) -> Result<()> {
    site.succeed(&["connect", PARTICIPANT, "--once"])?;
    site.succeed(&["route", "--once"])
}

/// The ministry's file where it is right; before that it is refused with what mends it.
fn refused_until_it_is_right(site: &Site, publisher: &TestDatabase) -> Result<()> {
    let ministry = MINISTRY
        .replace("KIND", "postgres")
        .replace("\"URL\"", &format!("\"{}\"", publisher.url()))
        .replace("address.street: street", "address.street: street\n      household_id: household");
    let capture = |look_up: &str, key: &str| {
        let capture = format!("{{mode: log, slot: {}{look_up}}}", publisher.name());
        let text = ministry.replace("{mode: outbox, table: lienthong_outbox}", &capture);
        site.write(FILE, &text.replace("key: [file_no]", key))
    };
    let (look_up, key) = (", look_up: [residence]", "key: [file_no, pin]");
    capture("", key)?;
    let (code, text) = said(site, &["connect", PARTICIPANT, "--prepare"])?;
    let fixes =
        "alter table \"public\".\"residence\" replica identity full, or list the table under `look_up`";
    ensure!(code == Some(3) && text.contains(fixes), "{code:?} {text}");
    capture(look_up, "key: [file_no]")?;
    let (code, text) = said(site, &["check"])?;
    let place = format!("{FILE}:5:5: `pin` is part of the subject");
    let mends = text.contains("replica identity full");
    ensure!(code == Some(2) && text.contains(&place) && mends, "{code:?} {text}");
    capture(look_up, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_value_that_the_log_leaves_out_reaches_the_subscriber_and_is_marked() -> Result<()> {
    let (publisher, folder) = (TestDatabase::create().await?, tempfile::tempdir()?);
    let subscriber = format!("sqlite:{}", folder.path().join("subscriber.db").display());
    let site = Site::residence(Engine::Embedded, publisher.url(), &subscriber)?;
    let mut owner = Database::open(publisher.url()).await?;
    let table = "create table residence (file_no text, pin text, street text, household text, primary key (file_no, pin))";
    let rows = format!(
        "insert into residence select 'HK' || n, '0010900000' || n, {LONG} || n from generate_series(10, 15) n"
    );
    let external = "alter table residence alter column street set storage external";
    run(&mut owner, &[table, external, &rows]).await?;
    residents::create_copy(&subscriber).await?;
    refused_until_it_is_right(&site, &publisher)?;
    site.prepare()?;
    deliver(&site)?;
    for change in [
        "update residence set household = 'new' where file_no <> 'HK12'",
        "delete from residence where file_no = 'HK13'",
        "update residence set file_no = 'HK20' where file_no = 'HK14'",
        "update residence set street = 'short' where file_no = 'HK15'",
    ] {
        run(&mut owner, &[change]).await?;
    }
    deliver(&site)?;
    let expected = owner.rows("select file_no, pin, street from residence order by file_no").await?;
    let rows = residents::copy(&subscriber).await?;
    ensure!(rows == expected && rows.len() == 5, "{} rows, or others", rows.len());

    let events = headers(&site).await?;
    let text = |event: &BTreeMap<String, String>, name: &str| event.get(name).cloned().unwrap_or_default();
    let told = events
        .values()
        .map(|event| ["ce_operation", "ce_subject", "lt_lookup"].map(|name| text(event, name)));
    // The changes of the thirteenth and the fourteenth are left out: what they came to was gone.
    let expected = [
        ["update", "001090000010", "address.street"],
        ["update", "001090000011", "address.street"],
        ["update", "001090000015", "address.street"],
        ["delete", "001090000013", ""],
        ["delete", "001090000014", ""],
        ["insert", "001090000014", "address.street"],
        ["update", "001090000015", ""],
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    let document = std::fs::read_to_string(root()?.join("docs/contracts/asyncapi.yaml"))?;
    ensure!(document.contains("\n        lt_lookup:"), "lt_lookup stands in no contract");
    Ok(())
}
