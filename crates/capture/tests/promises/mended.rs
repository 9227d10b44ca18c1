//! A row that was set aside and then mended is published: what was wrong with it before the change does not count against it.

use anyhow::Result;
use lienthong_testkit::postgres::TestDatabase;

use crate::world::{LIVE, World, publication, residence};

async fn mended(mut world: World, insert: &str) -> Result<()> {
    world.publish().await?;
    world.run(&[insert]).await?;
    assert_eq!(world.publish().await?.quarantined, 1);
    assert!(world.events(LIVE).await?.is_empty());
    world.run(&["update residence set since = '2025-07-01', pin = '001'"]).await?;
    assert_eq!(world.publish().await?.quarantined, 0, "since the start of this connector");
    let events = world.events(LIVE).await?;
    let what: Vec<_> = events.iter().map(|event| event.what()).collect();
    assert_eq!(what, [("update", "001")], "and no subject that was never published goes on as another");
    assert_eq!(world.rules().await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mended_row_is_published_from_sqlite() -> Result<()> {
    let insert = "insert into residence values ('1', null, 'here', cast(x'ff' as text), 'R')";
    mended(World::sqlite(residence(None)).await?, insert).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mended_row_is_published_from_postgres() -> Result<()> {
    let database = TestDatabase::create().await?;
    let insert = "insert into residence values ('1', null, 'here', 'infinity', 'R')";
    mended(World::with(residence(None), Some(database.url()), None).await?, insert).await
}

/// So that a subscriber keeps the last right state of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_spoilt_after_it_went_out_says_nothing_more_until_it_is_mended() -> Result<()> {
    let mut world = World::sqlite(residence(None)).await?;
    world.publish().await?;
    world.run(&["insert into residence values ('1', '001', 'here', '2025-07-01', 'R')"]).await?;
    assert_eq!(world.publish().await?.quarantined, 0);
    world.run(&["update residence set since = '2026-02-30', street = 'there'"]).await?;
    assert_eq!(world.publish().await?.quarantined, 1);
    let what = |events: &[crate::world::Seen]| {
        events.iter().map(|event| event.operation.clone()).collect::<Vec<_>>()
    };
    assert_eq!(what(&world.events(LIVE).await?), ["insert"]);
    world.run(&["update residence set since = '2026-02-03'"]).await?;
    world.publish().await?;
    assert_eq!(what(&world.events(LIVE).await?), ["insert", "update"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_whose_condition_could_not_be_answered_before_is_published_once_it_can() -> Result<()> {
    let mut world = World::sqlite(residence(Some("status == 'R'"))).await?;
    world.publish().await?;
    world.run(&["insert into residence values ('1', null, 'here', null, 5)"]).await?;
    world.run(&["update residence set status = 'R'"]).await?;
    assert_eq!(world.publish().await?.quarantined, 1);
    assert_eq!(world.events(LIVE).await?[0].what(), ("update", "file_no:1"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_cannot_be_read_condemns_only_what_takes_it() -> Result<()> {
    let both =
        vec![publication(0, &["file_no", "since"], None), publication(1, &["file_no", "street"], None)];
    let mut world = World::sqlite(both.into()).await?;
    world.publish().await?;
    let rows = [
        "insert into residence values ('1', cast(x'ff' as text), 'here', cast(x'ff' as text), 'R')",
        "delete from residence",
    ];
    world.run(&rows).await?;
    assert_eq!(world.publish().await?.quarantined, 2);
    let events = world.events(LIVE).await?;
    let what: Vec<_> = events.iter().map(|event| (event.event.as_str(), event.operation.as_str())).collect();
    assert_eq!(what, [("residence.event1", "insert"), ("residence.event1", "delete")]);
    assert!(
        world
            .rules()
            .await?
            .iter()
            .all(|(column, rule)| (column.as_str(), rule.as_str()) == ("since", "not-utf8"))
    );
    Ok(())
}
