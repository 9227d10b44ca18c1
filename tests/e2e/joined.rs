//! Several tables become one event: a field is looked up in another table, whatever captures the row.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use lienthong_testkit::database::Database;
use lienthong_testkit::postgres::TestDatabase;

use crate::looked_up::{FILE, deliver, headers, run, said};
use crate::residents;
use crate::site::{Engine, Site};

const LOOKUP: &str = "{lookup: {table: street, by: {id: street_id}, take: name}}";

fn row(file: &str, pin: &str, street: Option<&str>) -> Vec<Option<String>> {
    vec![Some(file.to_owned()), Some(pin.to_owned()), street.map(str::to_owned)]
}

/// The ministry's file where it is right; before that the database does not have what it names.
fn refused_until_it_is_right(site: &Site, capture: &str) -> Result<()> {
    let text = std::fs::read_to_string(site.path(FILE))?
        .replace("{mode: outbox, table: lienthong_outbox}", capture)
        .replace("address.street: street", &format!("address.street: {LOOKUP}"));
    site.write(FILE, &text.replace("take: name", "take: nome"))?;
    let (code, told) = said(site, &["check", "--online"])?;
    let found = told.contains(&format!("{FILE}:10:32: ")) && told.contains("has no column nome");
    ensure!(code == Some(3) && found, "{code:?} {told}");
    site.write(FILE, &text)
}

/// Rows of one publisher, whose streets stand in a table of their own, as the subscriber gets them.
async fn streets_are_looked_up(url: &str, capture: &str, commit: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let subscriber = format!("sqlite:{}", folder.path().join("subscriber.db").display());
    let site = Site::residence(Engine::Embedded, url, &subscriber)?;
    let mut owner = Database::open(url).await?;
    let setup = [
        "create table street (id integer primary key, name text, note text)",
        "create table residence (file_no text primary key, pin text not null, street_id integer)",
        "insert into street values (1, 'phố 1', null), (2, 'phố 2', null)",
        "insert into residence values ('HK01', '001090000001', 1), ('HK02', '001090000002', 3)",
        commit,
    ];
    run(&mut owner, &setup).await?;
    residents::create_copy(&subscriber).await?;
    refused_until_it_is_right(&site, capture)?;
    site.prepare()?;
    deliver(&site)?;
    let rows = residents::copy(&subscriber).await?;
    assert_eq!(rows, [row("HK01", "001090000001", Some("phố 1")), row("HK02", "001090000002", None)]);

    // A change of the other table alone publishes nothing.
    run(&mut owner, &["update street set name = 'phố mới' where id = 1"]).await?;
    deliver(&site)?;
    assert_eq!(residents::copy(&subscriber).await?, rows);
    let changes = [
        "insert into street values (3, 'phố 3', null)",
        "update residence set street_id = 3 where file_no = 'HK02'",
        "insert into residence values ('HK03', '001090000003', 1)",
    ];
    run(&mut owner, &changes).await?;
    deliver(&site)?;
    let expected = [
        row("HK01", "001090000001", Some("phố 1")),
        row("HK02", "001090000002", Some("phố 3")),
        row("HK03", "001090000003", Some("phố mới")),
    ];
    assert_eq!(residents::copy(&subscriber).await?, expected);
    let marked = headers(&site).await?;
    ensure!(marked.len() == 2, "{marked:?}");
    let street =
        |event: &BTreeMap<String, String>| event.get("lt_lookup").is_some_and(|of| of == "address.street");
    ensure!(marked.values().all(street), "{marked:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_comes_from_another_table_by_its_key() -> Result<()> {
    let outbox = "{mode: outbox, table: lienthong_outbox}";
    let publisher = TestDatabase::create().await?;
    let log = format!("{{mode: log, slot: {}}}", publisher.name());
    streets_are_looked_up(publisher.url(), &log, "alter table residence replica identity full").await?;
    let publisher = TestDatabase::create().await?;
    streets_are_looked_up(publisher.url(), outbox, "select 1").await?;
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite:{}", folder.path().join("publisher.db").display());
    streets_are_looked_up(&url, outbox, "select 1").await
}
