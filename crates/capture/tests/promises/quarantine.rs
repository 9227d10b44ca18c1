//! A row that the bus cannot carry is set aside, whatever is wrong with it, and the stream goes on.

use anyhow::Result;
use lienthong_capture::{CaptureError, CaptureOptions};

use crate::flaky::Flaky;
use crate::world::{LIVE, World, options, residence};

fn insert(file_no: usize, pin: &str, street: &str) -> String {
    format!("insert into residence values ('{file_no}', {pin}, {street}, null, null)")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_that_is_too_long_for_a_key_is_set_aside_and_the_stream_goes_on() -> Result<()> {
    let mut world = World::sqlite(residence(None)).await?;
    world.publish().await?;
    let long = |length: usize| format!("'{}'", "7".repeat(length));
    world.run(&[&insert(1, &long(70_000), "'a'"), &insert(2, &long(1025), "'b'")]).await?;
    world.run(&[&insert(3, &long(1024), "'c'")]).await?;
    for _ in 0..2 {
        world.publish().await?;
    }
    let (events, rules) = (world.events(LIVE).await?, world.rules().await?);
    assert!(events.len() == 1 && events[0].says("c"));
    assert_eq!(rules, vec![("subject".to_owned(), "subject-too-long".to_owned()); 2]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_too_large_for_a_record_is_set_aside_without_its_largest_values() -> Result<()> {
    let mut world = World::sqlite(residence(None)).await?;
    world.publish().await?;
    let large = "replace(hex(zeroblob(800000)), '0', 'x')";
    world.run(&[&insert(1, "'001'", large), &insert(2, "'002'", "'small'")]).await?;
    let status = world.publish().await?;
    assert_eq!((status.events, status.quarantined), (1, 1));
    let all = world.quarantined().await?;
    let [(_, column, rule, values)] = all.as_slice() else { panic!("one row") };
    assert_eq!((column.as_str(), rule.as_str()), ("record", "too-long"));
    assert!(values.len() < 1000 && values.contains("\"001\""), "what fits is kept");
    assert!(values.contains(r#""street":{"left_out":"text","length":1600002}"#), "{values}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_rows_set_aside_halt_the_connector() -> Result<()> {
    let mut world = World::sqlite(residence(None)).await?;
    world.publish().await?;
    for row in 0..5 {
        world.run(&[&insert(row, "cast(x'ff' as text)", "'a'"), &insert(100 + row, "'001'", "'b'")]).await?;
    }
    let mut running = world.start(CaptureOptions { quarantine_limit: 3, ..options() });
    running.until(|status| status.quarantined == 3).await?;
    let error = running.ended().await.expect_err("it halts");
    assert!(matches!(error, CaptureError::QuarantineFull { limit: 3, rule: "not-utf8" }), "{error}");
    assert!(!error.is_transient());
    // Nothing is lost by it: the next one goes on where the last checkpoint stands.
    world.publish().await?;
    assert_eq!(world.events(LIVE).await?.len(), 5);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_read_again_after_a_lost_connection_is_set_aside_once() -> Result<()> {
    let mut world = World::sqlite(residence(None)).await?;
    world.publish().await?;
    world.run(&[&insert(1, "cast(x'ff' as text)", "'a'"), &insert(2, "cast(x'ff' as text)", "'b'")]).await?;
    let mut connector = world.connector();
    connector.source = Box::new(Flaky { inner: connector.source, losses: 3 });
    let mut running = World::start_with(connector, CaptureOptions { quarantine_limit: 3, ..options() });
    // Kept until a checkpoint covers it.
    running.until(|status| status.retained == Some(0)).await?;
    assert_eq!(running.status.borrow().quarantined, 2, "two rows, four times read");
    assert_eq!(world.rules().await?.len(), 2);
    world.run(&[&insert(3, "cast(x'ff' as text)", "'c'")]).await?;
    let error = running.ended().await.expect_err("the third row is one too many");
    assert!(matches!(error, CaptureError::QuarantineFull { limit: 3, .. }), "{error}");
    Ok(())
}
