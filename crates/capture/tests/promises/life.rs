//! A connector's life: starts, stops, kills, and databases that are held or replaced.

use std::time::Duration;

use anyhow::Result;
use lienthong_capture::{CaptureError, CaptureOptions, State};
use lienthong_contract::source::SourceError;
use lienthong_log::Log as _;
use lienthong_testkit::database::Database;
use lienthong_testkit::eventually;

use crate::world::{BULK, LIVE, PARTITIONS, World, options, residence, sqlite_url};

const INSERT: &str = "insert into residence values ('1', '001', 'here', null, null)";
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_goes_on_under_another_subject_is_told_under_both() -> Result<()> {
    let mut world = World::sqlite(residence(None)).await?;
    world.publish().await?;
    world.run(&[INSERT, "update residence set pin = '002', street = 'there'"]).await?;
    world.publish().await?;
    let events = world.events(LIVE).await?;
    let what: Vec<_> = events.iter().map(|event| event.what()).collect();
    assert_eq!(what, [("insert", "001"), ("rekey", "001"), ("update", "002")]);
    assert!(events[1].says("there") && events[2].says("there"), "both carry the row as it is now");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sequence_of_events_rises_across_restarts() -> Result<()> {
    let mut world = World::sqlite(residence(None)).await?;
    world.publish().await?;
    let mut streets = Vec::new();
    for turn in 0..4 {
        let street = format!("street-{turn}");
        world
            .run(&[&if turn == 0 {
                format!("insert into residence values ('1', '001', '{street}', null, null)")
            } else {
                format!("update residence set street = '{street}'")
            }])
            .await?;
        if turn % 2 == 0 {
            world.publish().await?;
        } else {
            let mut running = world.start(options());
            running.until(|status| status.events == 1).await?;
            running.kill().await;
        }
        streets.push(street);
    }
    world.publish().await?;
    let events = world.events(LIVE).await?;
    assert_eq!(events.len(), streets.len(), "none twice");
    assert!(events.iter().zip(&streets).all(|(event, street)| event.says(street)), "in order");
    assert!(events.is_sorted_by(|left, right| left.sequence < right.sequence));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_reach_every_live_partition() -> Result<()> {
    let world = World::sqlite(residence(None)).await?;
    let running = world.start(options());
    eventually(SOON, async || {
        for partition in 0..PARTITIONS {
            if world.read(LIVE, partition).await?.heartbeat.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await?;
    running.stop().await?;
    for partition in 0..PARTITIONS {
        assert_eq!(world.read(BULK, partition).await?.heartbeat, None, "bulk lanes are not kept fresh");
    }
    Ok(())
}

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
async fn another_database_under_the_same_address_halts_the_connector_and_names_the_part() -> Result<()> {
    let mut world = World::sqlite(residence(None)).await?;
    world.run(&[INSERT]).await?;
    world.publish().await?;
    let file = world.file().expect("an SQLite file");
    for end in ["", "-wal", "-shm"] {
        let part = std::path::PathBuf::from(format!("{}{end}", file.display()));
        if part.exists() {
            std::fs::remove_file(part)?;
        }
    }
    world.owner = Database::open(&sqlite_url(&file)).await?;
    let table =
        "create table residence (file_no text primary key, pin text, street text, since text, status)";
    world.run(&[table]).await?;
    world.prepare().await?;
    let error = world.once().await.0.expect_err("it halts");
    assert!(matches!(&error, CaptureError::Lineage { part, .. } if part == "outbox_created"), "{error}");
    assert!(!error.is_transient());
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
