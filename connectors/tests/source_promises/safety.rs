//! Who may read, from where, and what is refused.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use lienthong_connectors::open_source;
use lienthong_contract::position::Position;
use lienthong_contract::source::{Source, SourceError};
use lienthong_testkit::database::Database;
use lienthong_testkit::eventually;

use crate::kind::Kind;
use crate::publisher::{PERSON, Publisher, Reader, capture, row, secret};
use crate::recreate::Recreate;

pub(crate) async fn a_source_is_held_by_one_at_a_time<K: Kind>() -> Result<()> {
    let publisher = Publisher::<K>::person(1).await?;
    let mut reader = publisher.reader(None).await?;
    let mut second = publisher.source();
    for _ in 0..3 {
        ensure!(
            matches!(second.open().await, Err(SourceError::Held { .. })),
            "the second one must be told who holds it"
        );
    }
    reader.catch_up(10).await?;
    reader.source.open().await?;
    drop(reader);
    eventually(Duration::from_secs(10), async || Ok(second.open().await.is_ok())).await
}

pub(crate) async fn another_outbox_of_the_same_database_is_another_source<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(2).await?;
    let mut one = publisher.reader(None).await?;
    let config = lienthong_connectors::SourceConfig {
        capture: lienthong_connectors::CaptureConfig::Outbox { table: "second_outbox".to_owned() },
        ..publisher.config.clone()
    };
    lienthong_connectors::source_admin(&config, publisher.tables.clone()).prepare().await?;
    let mut two = Reader::open(open_source(&config, publisher.tables.clone(), &secret()), None).await?;
    one.catch_up(10).await?;
    two.catch_up(10).await?;
    publisher.run(&["update person set rev = 5 where id = 1"]).await?;
    assert_eq!((one.catch_up(10).await?.len(), two.catch_up(10).await?.len()), (1, 1));
    Ok(())
}

pub(crate) async fn what_is_not_prepared_is_named_with_its_fix<K: Kind>() -> Result<()> {
    let tables = || vec![capture("person", &["id", "name", "rev"])];
    let publisher = Publisher::<K>::new(&[PERSON], tables()).await?;
    not_prepared(publisher.source(), "lienthong_outbox").await?;
    publisher.prepare().await?;
    let with = |table: &str, columns: &[&str]| {
        open_source(&publisher.config, vec![capture(table, columns)], &secret())
    };
    not_prepared(with("nowhere", &["id"]), "nowhere").await?;
    not_prepared(with("person", &["id", "age"]), "age").await?;
    not_prepared(with("person", &["name", "id"]), "person").await
}

/// The source must refuse to open and name `names`; the lock of the source before may take a moment to go.
async fn not_prepared(mut source: Box<dyn Source>, names: &str) -> Result<()> {
    let mut refusal = None;
    eventually(Duration::from_secs(10), async || {
        refusal = source.open().await.err();
        Ok(!matches!(refusal, Some(SourceError::Held { .. })))
    })
    .await?;
    match refusal {
        Some(SourceError::NotPrepared { problem, fix }) => {
            ensure!(!fix.is_empty() && problem.contains(names), "{problem} does not name {names}");
            Ok(())
        }
        other => bail!("{other:?}"),
    }
}

pub(crate) async fn preparing_again_is_harmless<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(2).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    publisher.run(&["update person set rev = 1 where id = 1"]).await?;
    publisher.prepare().await?;
    publisher.run(&["update person set rev = 2 where id = 1"]).await?;
    assert_eq!(reader.catch_up(10).await?.len(), 2, "once each");
    let (lineage, end) = (reader.lineage.clone(), reader.position());
    drop(reader);
    publisher.prepare().await?;
    let reader = publisher.reader(Some(&end)).await?;
    assert_eq!(lineage.difference(&reader.lineage), None);
    Ok(())
}

pub(crate) async fn the_printed_statements_prepare_as_well<K: Kind>() -> Result<()> {
    let tables = vec![capture("person", &["id", "name", "rev"])];
    let mut publisher =
        Publisher::<K>::new(&[PERSON, "insert into person values (1, 'An', 0)"], tables).await?;
    let ddl = publisher.admin().ddl().await?;
    publisher.kind.script(&ddl).await?;
    publisher.kind.script(&ddl).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    publisher.run(&["update person set rev = 1"]).await?;
    assert_eq!(reader.catch_up(10).await?.len(), 1);
    publisher.assert_replays(&reader).await
}

pub(crate) async fn the_catalogue_names_columns_with_types<K: Kind>() -> Result<()> {
    let publisher = Publisher::<K>::person(0).await?;
    let columns = publisher.admin().columns("person").await?;
    let names: Vec<(&str, bool)> =
        columns.iter().map(|column| (column.name.as_str(), column.nullable)).collect();
    assert_eq!(names, [("id", false), ("name", true), ("rev", false)]);
    assert!(columns[1].type_name.eq_ignore_ascii_case("text"));
    Ok(())
}

pub(crate) async fn a_position_of_another_source_is_refused<K: Kind>() -> Result<()> {
    let (one, mut two) = (Publisher::<K>::person(3).await?, Publisher::<K>::person(3).await?);
    let mut reader = one.reader(None).await?;
    reader.poll(1).await?;
    let inside = reader.position();
    reader.catch_up(10).await?;
    let end = reader.position();
    two.run(&["update person set rev = 1"]).await?;
    drop(reader);
    for position in [inside, end, Position::new("nonsense"), Position::new("")] {
        let sought = two.reader(Some(&position)).await;
        let refused = sought.err().and_then(|error| error.downcast::<SourceError>().ok());
        ensure!(
            matches!(refused, Some(SourceError::ForeignPosition(_) | SourceError::Gap { .. })),
            "a foreign position was taken: {refused:?}"
        );
    }
    Ok(())
}

pub(crate) async fn a_recreated_database_has_another_lineage<K: Kind + Recreate>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(3).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    let (lineage, end) = (reader.lineage.clone(), reader.position());
    drop(reader);
    publisher.kind.recreate().await?;
    publisher.owner = Database::open(&publisher.kind.url()).await?;
    publisher.run(&[PERSON]).await?;
    publisher.prepare().await?;
    let mut source = publisher.source();
    assert!(lineage.difference(&source.open().await?).is_some());
    let sought = source.seek(Some(&end)).await;
    assert!(matches!(sought, Err(SourceError::ForeignPosition(_) | SourceError::Gap { .. })), "{sought:?}");
    Ok(())
}

pub(crate) async fn a_column_that_is_added_and_not_captured_is_harmless<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(2).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    publisher.run(&["update person set rev = 1 where id = 0"]).await?;
    publisher.run(&["alter table person add column nickname text"]).await?;
    publisher.run(&["update person set nickname = 'Tí', rev = 2 where id = 1"]).await?;
    let changes = reader.catch_up(10).await?;
    assert_eq!(changes.len(), 2);
    assert_eq!(changes[1].after, row(&["1", "name 1", "2"]));
    let end = reader.position();
    drop(reader);
    let mut reader = publisher.reader(Some(&end)).await?;
    publisher.run(&["insert into person values (9, 'x', 0, 'y')"]).await?;
    assert_eq!(reader.catch_up(10).await?[0].after, row(&["9", "x", "0"]));
    Ok(())
}

pub(crate) async fn waiting_ends_soon_after_a_commit<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(1).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    for round in 0..5 {
        let url = publisher.kind.url();
        let commit = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            Database::open(&url).await?.run(&["update person set rev = rev + 1".to_owned()]).await?;
            anyhow::Ok(Instant::now())
        });
        while reader.catch_up(10).await?.is_empty() {
            reader.source.wait(Duration::from_secs(60)).await?;
        }
        let late = commit.await??.elapsed();
        assert!(late < Duration::from_secs(2), "round {round}: {late:?} after the commit");
    }
    // A commit between a poll and the wait is not slept through.
    publisher.run(&["update person set rev = rev + 1"]).await?;
    let began = Instant::now();
    while reader.catch_up(10).await?.is_empty() {
        reader.source.wait(Duration::from_secs(60)).await?;
    }
    assert!(began.elapsed() < Duration::from_secs(2));
    Ok(())
}

pub(crate) async fn waiting_ends_at_the_latest_when_asked<K: Kind>() -> Result<()> {
    let publisher = Publisher::<K>::person(1).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(400) {
        let (wait, rest) = (Instant::now(), Duration::from_millis(400).saturating_sub(began.elapsed()));
        reader.source.wait(rest).await?;
        assert!(wait.elapsed() < rest + Duration::from_secs(1));
    }
    assert!(reader.catch_up(10).await?.is_empty());
    Ok(())
}

pub(crate) async fn a_wait_that_is_given_up_does_no_harm<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(1).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    for _ in 0..5 {
        let wait = reader.source.wait(Duration::from_secs(60));
        // It may end early or not; either way no change is missed.
        let _given_up = tokio::time::timeout(Duration::from_millis(30), wait).await;
        publisher.run(&["update person set rev = rev + 1"]).await?;
        assert_eq!(reader.catch_up(10).await?.len(), 1);
    }
    publisher.assert_replays(&reader).await
}
