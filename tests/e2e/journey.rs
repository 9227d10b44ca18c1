//! A committed row becomes a subscriber's row: the real administrative units, before and after the merger of 1 July 2025.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use lienthong_testkit::admin_units::{AdminUnits, CREATE_TABLE};
use lienthong_testkit::database::Database;
use lienthong_testkit::postgres::TestDatabase;

use crate::nation::{check_receipts, copy, create_copy};
use crate::site::{Engine, PARTICIPANT, Site};

fn units() -> Result<AdminUnits> {
    AdminUnits::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples/admin-units/data"))
}

/// Former units that the data names successors of: provinces, communes, and five districts on islands, each of which is one unit now.
const SUCCEEDED: usize = 63 + 10_035 + 5;

/// How many codes of a level were closed under one name and live on under another.
fn reused(rows: &[Vec<Option<String>>], level: &str) -> usize {
    let of_level = || rows.iter().filter(|row| row[0].as_deref() == Some(level));
    let names: BTreeSet<_> =
        of_level().filter(|row| row[3].is_none()).map(|row| (&row[1], &row[5])).collect();
    let codes: BTreeSet<_> = names.iter().map(|(code, _)| *code).collect();
    let closed = of_level().filter(|row| row[3].is_some());
    closed.filter(|row| codes.contains(&row[1]) && !names.contains(&(&row[1], &row[5]))).count()
}

/// Loads the former state, captures and delivers it, merges, captures and delivers that.
async fn merger(site: &Site, publisher: &str, subscribers: &[&str]) -> Result<()> {
    let units = units()?;
    let mut owner = Database::open(publisher).await?;
    owner.run(&[CREATE_TABLE.to_owned()]).await?;
    owner.run(&units.former_state()).await?;
    for subscriber in subscribers {
        create_copy(subscriber).await?;
    }
    site.prepare()?;
    site.succeed(&["connect", PARTICIPANT, "--once"])?;
    site.succeed(&["route", "--once"])?;
    for subscriber in subscribers {
        assert_eq!(copy(subscriber).await?.len(), 63 + 696 + 10_035, "the former state is there");
    }
    owner.run(&units.merger()).await?;
    site.succeed(&["connect", PARTICIPANT, "--once"])?;
    site.succeed(&["route", "--once"])?;
    let mut expected =
        owner.rows(&format!("select {} from admin_unit", lienthong_testkit::admin_units::STATE)).await?;
    expected.sort();
    for subscriber in subscribers {
        let rows = copy(subscriber).await?;
        assert!(rows == expected, "{} rows where {} are expected, or others", rows.len(), expected.len());
        let current = |level: &str| {
            rows.iter().filter(|row| row[0].as_deref() == Some(level) && row[3].is_none()).count()
        };
        let closed = |level: &str| {
            rows.iter().filter(|row| row[0].as_deref() == Some(level) && row[3].is_some()).count()
        };
        assert_eq!((current("province"), current("commune")), (34, 3_321));
        assert_eq!((closed("province"), closed("district"), closed("commune")), (63, 696, 10_035));
        assert_eq!(
            (reused(&rows, "province"), reused(&rows, "commune")),
            (7, 1_815),
            "codes with another meaning"
        );
        let succeeded = rows.iter().filter(|row| row[7].as_deref() != Some("")).count();
        assert_eq!(succeeded, SUCCEEDED, "former units that name their successors");
        let events = check_receipts(subscriber).await?;
        assert_eq!(events, 2 * (63 + 696 + 10_035) + 34 + 3_321, "every event once in the receipts");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_merger_arrives_on_the_embedded_log_from_sqlite_to_sqlite() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let (publisher, subscriber) = (url("publisher.db"), url("subscriber.db"));
    let site = Site::new(Engine::Embedded, &publisher, &[("nso.statistics", &subscriber)])?;
    merger(&site, &publisher, &[&subscriber]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_merger_arrives_over_kafka_from_postgres_to_postgres_and_sqlite() -> Result<()> {
    let (publisher, first) = (TestDatabase::create().await?, TestDatabase::create().await?);
    let folder = tempfile::tempdir()?;
    let second = format!("sqlite:{}", folder.path().join("subscriber.db").display());
    let subscribers = [("nso.statistics", first.url()), ("psp.cases", second.as_str())];
    let site = Site::new(Engine::Kafka, publisher.url(), &subscribers)?;
    merger(&site, publisher.url(), &[first.url(), &second]).await
}
