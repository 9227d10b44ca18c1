//! A connector's life: starts, stops, kills, and databases that are held or replaced.

use std::time::Duration;

use anyhow::Result;
use lienthong_capture::{CaptureError, CaptureOptions, State};
use lienthong_contract::source::SourceError;
use lienthong_log::Log as _;
use lienthong_testkit::eventually;

use crate::world::{LIVE, PARTITIONS, World, options, residence};

const INSERT: &str = "insert into residence values ('1', '001', 'here', null, null)";
const SOON: Duration = Duration::from_secs(30);

/// Lets retention take everything that is older than it.
async fn trimmed(world: &World, beyond: i64) -> Result<()> {
    eventually(SOON, async || {
        world.log.maintain()?;
        let mut low = i64::MAX;
        for partition in 0..PARTITIONS {
            low = low.min(world.log.watermarks(&World::place(LIVE, partition)).await?.low);
        }
        Ok(low > beyond)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_never_passes_the_checkpoints_of_a_quiet_source() -> Result<()> {
    let retention = Some(Duration::from_secs(3));
    let mut world = World::with(residence(None), None, retention).await?;
    world.publish().await?;
    world.run(&[INSERT]).await?;
    let mut running = world.start(options());
    running.until(|status| status.events == 1).await?;
    // Nothing but heartbeats for longer than anything is kept.
    trimmed(&world, 20).await?;
    running.kill().await;
    assert_eq!(world.publish().await?.events, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stands_behind_the_checkpoint_of_a_clean_stop() -> Result<()> {
    let retention = Some(Duration::from_millis(200));
    let mut world = World::with(residence(None), None, retention).await?;
    world.run(&[INSERT]).await?;
    for _ in 0..3 {
        let running = world.start(CaptureOptions {
            heartbeat: Duration::ZERO,
            idle_checkpoint: Duration::from_secs(600),
            ..options()
        });
        eventually(SOON, async || Ok(world.log.watermarks(&World::place(LIVE, 0)).await?.high > 3)).await?;
        running.stop().await?;
        let high = world.log.watermarks(&World::place(LIVE, 0)).await?.high;
        trimmed(&world, high - 1).await?;
    }
    world.publish().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_another_connector_holds_is_waited_for() -> Result<()> {
    let mut world = World::sqlite(residence(None)).await?;
    let mut first = world.start(options());
    first.until(|status| status.state == State::Live).await?;
    let mut second = world.start(options());
    second
        .until(|status| {
            matches!(&status.state, State::Waiting(cause) if cause.contains("another connector holds this source"))
        })
        .await?;
    let bounded = world.start(CaptureOptions { timeout: Some(Duration::from_millis(300)), ..options() });
    let error = bounded.ended().await.expect_err("not for ever");
    assert!(matches!(error, CaptureError::Source(SourceError::Held { .. })), "{error}");
    world.run(&[INSERT]).await?;
    first.until(|status| status.events == 1).await?;
    assert!(first.stop().await.is_ok(), "who waits fences nobody");
    second.until(|status| status.state == State::Live).await?;
    world.run(&["update residence set street = 'there'"]).await?;
    second.until(|status| status.events == 1).await?;
    second.stop().await?;
    Ok(())
}
