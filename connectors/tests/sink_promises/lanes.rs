//! Several lanes in one delivery: together or not at all, each from its own offset and with its own chain.

use anyhow::{Result, ensure};
use lienthong_contract::sink::{OffsetState, SinkError};

use crate::kind::Kind;
use crate::subscriber::{Deed, Subscriber, insured, lane, part, person, row, version};
use crate::target_types::TargetTypes;
use crate::values::assert_chains;

pub(crate) async fn all_lanes_of_a_delivery_move_or_none_does<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    let people = |number| (0..4).map(|at| person(&at.to_string(), number, "An")).collect::<Vec<_>>();
    for number in 1..=3 {
        let mut steps = worker.steps(&[2, 0, 3, 1], 5).await?;
        // One lane has nothing but heartbeats.
        steps[2].receipt = false;
        let before = subscriber.everything().await?;
        let mut poisoned = people(number);
        poisoned.push(person("last", number, "poison"));
        let refused = worker.together(&steps, &[poisoned]).await;
        ensure!(matches!(refused, Err(SinkError::Refused { .. })), "{refused:?}");
        assert_eq!(subscriber.everything().await?, before, "nothing of any lane");
        let applied = worker.together(&steps, &[people(number)]).await?;
        let changed = if number == 1 { (4, 0) } else { (0, 4) };
        assert_eq!((applied.changed, applied.unchanged), changed, "each row is counted once");
        for step in &steps {
            assert_eq!(worker.sink.offset(&step.lane).await?, Some(step.next), "{:?}", step.lane);
        }
        assert_eq!(subscriber.count("lienthong_receipt").await?, 3 * number as usize);
    }
    assert_eq!(worker.sink.offset(&lane(4)).await?, None, "a lane that took no part");
    Ok(())
}

pub(crate) async fn one_fenced_lane_keeps_every_lane_from_being_written<K: Kind + TargetTypes>() -> Result<()>
{
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    let steps = worker.steps(&[0, 1, 2], 4).await?;
    worker.together(&steps, &[vec![person("1", 1, "An")]]).await?;
    let before = subscriber.everything().await?;
    for fenced in 0..3 {
        let there = worker.steps(&[0, 1, 2], 1).await?;
        let wrong = [
            None,
            Some(OffsetState::START),
            there[fenced].expected.map(|state| OffsetState { epoch: state.epoch + 1, ..state }),
        ];
        for expected in wrong {
            let mut steps = there.clone();
            steps[fenced].expected = expected;
            let told = worker.together(&steps, &[vec![person("1", 9, "zombie")]]).await;
            ensure!(matches!(told, Err(SinkError::Fenced)), "{expected:?}: {told:?}");
            assert_eq!(subscriber.everything().await?, before);
        }
    }
    // Nor does a lane that was to begin: another one has no row although one is expected.
    let mut steps = worker.steps(&[5, 6], 1).await?;
    steps[1].expected = Some(OffsetState::START);
    let told = worker.together(&steps, &[vec![person("1", 9, "zombie")]]).await;
    ensure!(matches!(told, Err(SinkError::Fenced)), "{told:?}");
    assert_eq!(subscriber.everything().await?, before);
    // Each of the others alone goes on.
    let steps = worker.steps(&[0], 1).await?;
    worker.together(&steps, &[vec![person("1", 9, "alone")]]).await?;
    assert_eq!(subscriber.insured().await?, [row(&["1", "alone", "1", "alone"])]);
    Ok(())
}

pub(crate) async fn lanes_that_begin_move_beside_lanes_that_go_on<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    for count in 1..=4 {
        let partitions: Vec<i32> = (0..count).rev().collect();
        let steps = worker.steps(&partitions, 2).await?;
        assert_eq!(steps.iter().filter(|step| step.expected.is_none()).count(), 1);
        worker.together(&steps, &[]).await?;
    }
    assert_eq!(worker.sink.offset(&lane(0)).await?.map(|state| state.next_offset), Some(8));
    assert_eq!(worker.sink.offset(&lane(3)).await?.map(|state| state.next_offset), Some(2));
    assert_chains(&mut subscriber, [4, 3, 2, 1], 0).await
}

pub(crate) async fn receipts_chain_in_each_lane_of_a_delivery_by_itself<K: Kind + TargetTypes>() -> Result<()>
{
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    let deliveries: [&[i32]; 5] = [&[0, 1, 2], &[1], &[2, 0], &[1, 0], &[2, 1, 0]];
    for (number, partitions) in (1..).zip(deliveries) {
        let steps = worker.steps(partitions, 3).await?;
        worker.together(&steps, &[vec![person("1", number, "An")]]).await?;
    }
    assert_chains(&mut subscriber, [4, 4, 3], 1).await
}

pub(crate) async fn a_key_of_two_lanes_ends_at_the_newer_version_in_either_order<K: Kind + TargetTypes>()
-> Result<()> {
    let delete = |number| insured("2", Deed::Delete { version: version(number), revokes: None });
    let name = |number, name: &str| insured("1", Deed::Upsert(vec![part(0, number, &[name, "1"])]));
    for newer_first in [false, true] {
        let mut subscriber = Subscriber::<K>::new().await?;
        let mut worker = subscriber.worker();
        let mut rounds = [vec![name(1, "older"), person("2", 1, "gone")], vec![name(2, "newer"), delete(2)]];
        if newer_first {
            rounds.reverse();
        }
        let steps = worker.steps(&[0, 1], 2).await?;
        worker.together(&steps, &rounds).await?;
        let expected = vec![Some("1".to_owned()), Some("newer".to_owned()), Some("1".to_owned()), None];
        assert_eq!(subscriber.insured().await?, [expected], "newer first: {newer_first}");
    }
    Ok(())
}

pub(crate) async fn deliveries_that_share_lanes_in_any_order_end_with_one_of_them_written<
    K: Kind + TargetTypes,
>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let (mut one, mut two) = (subscriber.worker(), subscriber.worker());
    // At first the lanes begin, then they go on.
    for number in 1..=25 {
        let first = one.steps(&[0, 1, 2, 3], 1).await?;
        let second = one.steps(&[3, 2, 1, 4 + number], 1).await?;
        let write = |name: &str| [vec![person(&format!("{name} {number}"), 1, name)]];
        let (one_writes, two_writes) = (write("one"), write("two"));
        let outcome = tokio::join!(one.together(&first, &one_writes), two.together(&second, &two_writes));
        // A deadlock would be busy.
        ensure!(
            matches!(outcome, (Ok(_), Err(SinkError::Fenced)) | (Err(SinkError::Fenced), Ok(_))),
            "one must be written and one be fenced: {outcome:?}"
        );
    }
    assert_eq!(subscriber.count("insured").await?, 25);
    assert_eq!(subscriber.count("lienthong_receipt").await?, 100);
    Ok(())
}
