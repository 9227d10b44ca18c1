//! Reading again from an earlier position, after a crash at any point, and forgetting.

use anyhow::{Result, ensure};
use lienthong_contract::source::RowOp;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::kind::Kind;
use crate::owner::change;
use crate::publisher::{Change, Publisher, Replay, sorted_ids};

/// Changes that a transaction made, without first-load rows.
fn made(changes: &[Change]) -> Vec<Change> {
    let mut made: Vec<Change> =
        changes.iter().filter(|change| change.op != RowOp::Snapshot).cloned().collect();
    made.sort_by(|one, other| one.id.cmp(&other.id));
    made
}

pub(crate) async fn what_a_position_does_not_cover_comes_again_with_the_same_ids<K: Kind>() -> Result<()> {
    let seed = lienthong_testkit::seed();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut publisher = Publisher::<K>::person(20).await?;
    let mut reader = publisher.reader(None).await?;
    for _ in 0..60 {
        change(&mut publisher.owner, &mut random, 40).await?;
        reader.poll(random.random_range(1..9)).await?;
    }
    reader.catch_up(5).await?;
    publisher.assert_replays(&reader).await?;
    let (changes, positions) = (reader.changes.clone(), reader.positions.clone());
    drop(reader);
    let state = publisher.state().await?;
    for (position, count) in positions.iter().step_by(5) {
        let mut again = publisher.reader(Some(position)).await?;
        again.catch_up(random.random_range(1..30)).await?;
        assert_eq!(made(&again.changes), made(&changes[*count..]), "after {count} changes");
        let mut replay = Replay::default();
        replay.take(&publisher.tables, &changes[..*count])?;
        replay.take(&publisher.tables, &again.changes)?;
        assert!(replay.rows == state, "after {count} changes");
    }
    Ok(())
}

pub(crate) async fn a_first_load_goes_on_from_any_position_with_the_same_ids<K: Kind>() -> Result<()> {
    let publisher = Publisher::<K>::person(25).await?;
    let mut reader = publisher.reader(None).await?;
    let changes = reader.catch_up(3).await?;
    let positions = reader.positions.clone();
    assert!(positions.len() > 5, "it comes in chunks");
    drop(reader);
    for (position, count) in &positions {
        let rest = publisher.reader(Some(position)).await?.catch_up(4).await?;
        assert_eq!(sorted_ids(&rest), sorted_ids(&changes[*count..]), "after {count} rows");
    }
    Ok(())
}

/// A connector that dies before its first checkpoint begins again from nothing; only equal ids keep its rows from doubling.
pub(crate) async fn a_first_load_that_begins_again_gives_the_same_ids<K: Kind>() -> Result<()> {
    let publisher = Publisher::<K>::person(10).await?;
    let first = publisher.reader(None).await?.catch_up(3).await?;
    let second = publisher.reader(None).await?.catch_up(4).await?;
    assert_eq!(sorted_ids(&first), sorted_ids(&second));
    Ok(())
}

pub(crate) async fn ids_do_not_show_the_key<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(0).await?;
    publisher.run(&["insert into person values (918273645, 'An', 0)"]).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    assert!(reader.changes.iter().any(|change| change.op == RowOp::Snapshot));
    assert!(reader.changes.iter().all(|change| !change.id.contains("918273645")));
    Ok(())
}

pub(crate) async fn forgetting_removes_what_is_covered_and_nothing_more<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(2).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    for id in 100..130 {
        publisher.run(&[&format!("insert into person values ({id}, 'x', 0)")]).await?;
    }
    reader.poll(10).await?;
    let (middle, count) = reader.positions.last().expect("polled").clone();
    let rest = reader.catch_up(100).await?;
    ensure!(!rest.is_empty(), "there is more than one poll holds");
    reader.source.forget(&middle).await?;
    let covered = u64::try_from(count - 2)?;
    assert_eq!(
        publisher.outbox_rows().await?,
        30 - covered,
        "the covered rows are gone, the others are there"
    );
    assert_eq!(reader.source.retained().await?, 30 - covered, "what is retained is told");
    drop(reader);
    let mut again = publisher.reader(Some(&middle)).await?;
    assert_eq!(again.catch_up(100).await?, rest);
    let end = again.position();
    again.source.forget(&end).await?;
    assert_eq!(publisher.outbox_rows().await?, 0);
    assert_eq!(again.source.retained().await?, 0);
    again.source.forget(&end).await?;
    again.source.forget(&middle).await?;
    drop(again);
    publisher.run(&["insert into person values (200, 'y', 0)"]).await?;
    assert_eq!(publisher.reader(Some(&end)).await?.catch_up(100).await?.len(), 1);
    Ok(())
}

pub(crate) async fn forgetting_a_position_inside_the_first_load_loses_nothing<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(30).await?;
    let mut reader = publisher.reader(None).await?;
    while reader.changes.len() < 10 {
        reader.poll(4).await?;
    }
    publisher.run(&["update person set rev = 1 where id > 20", "delete from person where id = 1"]).await?;
    reader.poll(4).await?;
    let (position, count) = reader.positions.last().expect("polled").clone();
    let given = reader.changes[..count].to_vec();
    reader.source.forget(&position).await?;
    drop(reader);
    let mut again = publisher.reader(Some(&position)).await?;
    again.catch_up(4).await?;
    let mut replay = Replay::default();
    replay.take(&publisher.tables, &given)?;
    replay.take(&publisher.tables, &again.changes)?;
    assert!(replay.rows == publisher.state().await?);
    Ok(())
}

pub(crate) async fn crashes_at_random_points_with_forgetting_end_exact<K: Kind>() -> Result<()> {
    let seed = lienthong_testkit::seed();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut publisher = Publisher::<K>::person(30).await?;
    let mut taken: Vec<Change> = Vec::new();
    let mut stored = None;
    for _ in 0..25 {
        let mut reader = publisher.reader(stored.as_ref()).await?;
        for _ in 0..random.random_range(1..5) {
            change(&mut publisher.owner, &mut random, 40).await?;
            reader.poll(random.random_range(1..12)).await?;
        }
        // The crash: what came behind the stored position is given out again next time.
        let (position, count) = reader.positions[random.random_range(0..reader.positions.len())].clone();
        if random.random() {
            reader.source.forget(&position).await?;
        }
        taken.extend_from_slice(&reader.changes[..count]);
        stored = Some(position);
    }
    let mut reader = publisher.reader(stored.as_ref()).await?;
    taken.extend(reader.catch_up(50).await?);
    let mut replay = Replay::default();
    replay.take(&publisher.tables, &taken)?;
    assert!(replay.rows == publisher.state().await?, "nothing lost, nothing doubled, in order");
    Ok(())
}

pub(crate) async fn a_new_first_load_after_forgetting_gives_every_row<K: Kind>() -> Result<()> {
    let mut publisher = Publisher::<K>::person(5).await?;
    let mut reader = publisher.reader(None).await?;
    publisher.run(&["update person set rev = 1 where id = 2", "delete from person where id = 3"]).await?;
    reader.catch_up(100).await?;
    let end = reader.position();
    reader.source.forget(&end).await?;
    drop(reader);
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(2).await?;
    assert_eq!(reader.changes.len(), 4);
    publisher.assert_replays(&reader).await
}
