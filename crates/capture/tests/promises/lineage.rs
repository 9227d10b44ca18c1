//! A new lineage is accepted by its checkpoint alone, whatever ends the command in between.

use anyhow::{Result, bail, ensure};
use lienthong_capture::lineage::propose;
use lienthong_capture::{CaptureError, CaptureOptions};
use lienthong_log::{Log as _, WriterError};
use lienthong_testkit::database::Database;

use crate::world::{LIVE, PARTICIPANT, World, options, residence};

const INSERT: &str = "insert into residence values ('1', '001', 'here', null, null)";

/// Something is published, and then the outbox is another one.
async fn another() -> Result<World> {
    let mut world = World::sqlite(residence(None)).await?;
    world.publish().await?;
    world.run(&[INSERT]).await?;
    world.publish().await?;
    let mut owner = lienthong_connectors::source_admin(&world.source, vec![world.table.clone()]);
    owner.remove(false).await?;
    world.run(&["update residence set street = 'there'"]).await?;
    world.prepare().await?;
    Ok(world)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_confirmed_has_not_happened_and_what_was_happens_once() -> Result<()> {
    let world = another().await?;
    for _ in 0..2 {
        // Killed behind the claim, whether it is on record by then or not.
        let mut connector = world.connector();
        let proposal = propose(&mut connector).await?;
        ensure!(
            (proposal.epoch_before, proposal.epoch()) == (1, 2) && proposal.before != *proposal.present()
        );
        ensure!(proposal.problem.contains("outbox_created") && proposal.problem.contains(PARTICIPANT));
        drop((proposal, connector));
        let error = world.once().await.0.expect_err("nothing was accepted");
        ensure!(matches!(error, CaptureError::Lineage { .. }), "{error}");
    }
    let mut connector = world.connector();
    propose(&mut connector).await?.confirm().await?;
    // Killed before anybody was told.
    drop(connector);
    for _ in 0..2 {
        let told = propose(&mut world.connector()).await.map(|proposal| proposal.epoch());
        ensure!(matches!(told, Err(CaptureError::SameLineage { .. })), "{told:?}");
    }
    let mut running = world.start(CaptureOptions { batch_rows: 1, ..options() });
    running.until(|status| status.events == 1).await?;
    running.kill().await;
    ensure!(world.publish().await?.events == 0, "the row of the first load is met again");
    let sequences: Vec<String> = world.events(LIVE).await?.into_iter().map(|event| event.sequence).collect();
    ensure!(sequences.iter().all(|sequence| sequence.starts_with("000001-")), "{sequences:?}");
    let loaded = world.events(crate::world::BULK).await?;
    ensure!(loaded.len() == 1 && loaded[0].says("there"), "{loaded:?}");
    ensure!(loaded[0].sequence.starts_with("000002-"), "newer than all before: {loaded:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_claimed_since_undoes_an_acceptance_that_was_not_confirmed() -> Result<()> {
    let world = another().await?;
    let mut connector = world.connector();
    let proposal = propose(&mut connector).await?;
    let participant = connector.participant.clone();
    drop(world.log.open_writer(&participant, &lienthong_capture::topics(&world.publications)).await?);
    match proposal.confirm().await {
        Err(CaptureError::Writer(WriterError::Fenced { .. })) => {}
        other => bail!("{other:?}"),
    }
    drop(connector);
    let error = world.once().await.0.expect_err("nothing was accepted");
    ensure!(matches!(error, CaptureError::Lineage { .. }), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_a_trigger_had_to_give_up_are_accepted_as_missing() -> Result<()> {
    let database = lienthong_testkit::postgres::TestDatabase::create().await?;
    let mut world = World::with(residence(None), Some(database.url()), None).await?;
    world.publish().await?;
    world.run(&[INSERT]).await?;
    world.publish().await?;
    // The owner's writes go on while there is no outbox to write to.
    let mut owner = Database::open(database.url()).await?;
    owner.run(&["alter table lienthong_outbox rename to away".to_owned()]).await?;
    owner.run(&["update residence set street = 'there'".to_owned()]).await?;
    owner.run(&["alter table away rename to lienthong_outbox".to_owned()]).await?;
    let error = world.once().await.0.expect_err("a change is missing").to_string();
    let command = format!("`lienthong connect {PARTICIPANT} --accept-lineage REASON`");
    ensure!(error.contains("changes are missing") && error.contains(&command), "{error}");
    let mut connector = world.connector();
    let proposal = propose(&mut connector).await?;
    ensure!(proposal.before == *proposal.present() && proposal.epoch() == 2, "only the epoch differs");
    proposal.confirm().await?;
    drop(connector);
    world.publish().await?;
    let loaded = world.events(crate::world::BULK).await?;
    ensure!(loaded.iter().any(|event| event.says("there")), "{loaded:?}");
    Ok(())
}
