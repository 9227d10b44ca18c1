//! `when`: a row is there for the subscribers while it holds.

use anyhow::Result;
use lienthong_capture::CaptureError;
use lienthong_testkit::postgres::TestDatabase;

use crate::world::{LIVE, World, residence};

fn insert(file_no: &str, status: &str) -> String {
    format!("insert into residence values ('{file_no}', null, 'here', '2025-07-01', {status})")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_begins_to_count_is_inserted_and_one_that_ceases_to_is_deleted() -> Result<()> {
    let mut world = World::sqlite(residence(Some("status == 'R'"))).await?;
    world.publish().await?;
    world.run(&[&insert("1", "'D'"), "update residence set status = 'R', street = 'there'"]).await?;
    world.run(&["update residence set street = 'yonder'"]).await?;
    world.run(&["update residence set status = 'V', street = 'nowhere'"]).await?;
    world.run(&["update residence set street = 'no one sees'"]).await?;
    world.publish().await?;
    let events = world.events(LIVE).await?;
    let what: Vec<_> = events.iter().map(|event| event.operation.as_str()).collect();
    assert_eq!(what, ["insert", "update", "delete"]);
    for (event, street) in events.iter().zip(["there", "yonder", "yonder"]) {
        assert!(event.says(street), "{event:?}: the last known row");
    }
    assert!(world.rules().await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_for_which_the_condition_has_no_answer_is_set_aside_and_not_dropped() -> Result<()> {
    let mut world = World::sqlite(residence(Some("status == 1"))).await?;
    world.publish().await?;
    world.run(&[&insert("1", "1"), &insert("2", "'one'"), &insert("3", "2")]).await?;
    let status = world.publish().await?;
    assert_eq!((status.events, status.quarantined), (1, 1));
    assert_eq!(world.events(LIVE).await?[0].what(), ("insert", "file_no:1"));
    assert_eq!(world.rules().await?, [("when".to_owned(), "when-not-evaluated".to_owned())]);
    // A row that is gone, and one that no longer counts: neither may vanish unseen either.
    world.run(&["update residence set status = 2 where file_no = '2'"]).await?;
    world.run(&[&insert("4", "'one'"), "delete from residence where file_no = '4'"]).await?;
    assert_eq!(world.publish().await?.quarantined, 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_no_cell_can_hold_does_not_hide_a_row_from_its_condition() -> Result<()> {
    let mut world = World::sqlite(residence(Some("status != null"))).await?;
    world.publish().await?;
    world.run(&[&insert("1", "cast(x'ff' as text)"), &insert("2", "null")]).await?;
    let status = world.publish().await?;
    assert_eq!((status.events, status.quarantined), (0, 1));
    assert_eq!(world.rules().await?, [("status".to_owned(), "when-not-evaluated".to_owned())]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_does_not_suit_the_columns_types_halts_and_names_the_fix() -> Result<()> {
    for (when, suits) in
        [("status == 1", false), ("since > 5", false), ("status == 'R' && since < '2026'", true)]
    {
        let database = TestDatabase::create().await?;
        let mut world = World::with(residence(Some(when)), Some(database.url()), None).await?;
        let (ended, _) = world.once().await;
        if suits {
            ended?;
            world.run(&[&insert("1", "'R'")]).await?;
            let status = world.publish().await?;
            assert_eq!((status.events, status.quarantined), (1, 0), "{when}");
        } else {
            let error = ended.expect_err("it halts");
            assert!(matches!(error, CaptureError::When { .. }) && !error.is_transient(), "{error}");
            let said = error.to_string();
            assert!(said.starts_with("ministries/mps.yaml:7:9"), "{said}");
            assert!(said.contains("public.residence") && said.contains("fix: "), "{said}");
        }
    }
    Ok(())
}
