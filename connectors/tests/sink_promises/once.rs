//! All or nothing, once, and only from the expected offset.

use anyhow::{Result, ensure};
use lienthong_contract::sink::{OffsetState, SinkError};

use crate::kind::Kind;
use crate::subscriber::{Deed, Subscriber, after, insured, lane, part, person, row};
use crate::target_types::TargetTypes;

pub(crate) async fn rows_ledger_receipt_and_offset_are_there_together<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    assert_eq!(worker.offset().await?, None);
    let next = OffsetState {
        next_offset: 42,
        epoch: 7,
        sequence: u64::from(u32::MAX) + 9,
        fresh_through: 1_700_000_000_123_456,
    };
    let applied =
        worker.apply(None, next, &[vec![person("1", 1, "An"), person("2", 1, "Bình")]], true).await?;
    assert_eq!((applied.changed, applied.older, applied.unchanged), (2, 0, 0));
    assert_eq!(worker.offset().await?, Some(next));
    assert_eq!(subscriber.worker().offset().await?, Some(next), "another sink sees it too");
    assert_eq!(subscriber.insured().await?, [row(&["1", "An", "1", "An"]), row(&["2", "Bình", "1", "Bình"])]);
    assert_eq!(
        (subscriber.count("lienthong_version").await?, subscriber.count("lienthong_receipt").await?),
        (2, 1)
    );
    assert_eq!(worker.sink.offset(&lane(1)).await?, None, "the other partition knows nothing of it");
    Ok(())
}

pub(crate) async fn one_poisoned_row_leaves_nothing_behind<K: Kind + TargetTypes>() -> Result<()> {
    for count in [1, 499, 500, 3000] {
        let mut subscriber = Subscriber::<K>::new().await?;
        let mut worker = subscriber.worker();
        worker.deliver(&[person("first", 1, "An")]).await?;
        let before = subscriber.everything().await?;
        let offset = worker.offset().await?;
        let mut writes: Vec<_> = (1..count).map(|pin| person(&pin.to_string(), 2, "x")).collect();
        writes.push(person("last", 2, "poison"));
        let refused = worker.deliver(&writes).await;
        ensure!(
            matches!(&refused, Err(SinkError::Refused { table, reason }) if table.contains("insured") && !reason.is_empty()),
            "{refused:?}"
        );
        assert_eq!(subscriber.everything().await?, before, "{count} rows");
        assert_eq!(worker.offset().await?, offset);
        writes.pop();
        writes.push(person("last", 2, "good"));
        worker.deliver(&writes).await?;
        assert_eq!(subscriber.count("insured").await?, count + 1, "the sink goes on after an error");
    }
    Ok(())
}

pub(crate) async fn a_poisoned_later_round_takes_the_earlier_ones_with_it<K: Kind + TargetTypes>()
-> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    let before = subscriber.everything().await?;
    let rounds = [vec![person("1", 1, "An")], vec![person("1", 2, "Bình")], vec![person("1", 3, "poison")]];
    ensure!(matches!(worker.deliver_rounds(&rounds).await, Err(SinkError::Refused { .. })));
    assert_eq!(subscriber.everything().await?, before);
    Ok(())
}

pub(crate) async fn an_unexpected_offset_is_fenced_and_writes_nothing<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    worker.deliver(&[person("1", 1, "An")]).await?;
    let there = worker.offset().await?.expect("delivered");
    let before = subscriber.everything().await?;
    let wrong = [
        None,
        Some(OffsetState::START),
        Some(OffsetState { next_offset: there.next_offset + 1, ..there }),
        Some(OffsetState { epoch: there.epoch + 1, ..there }),
        Some(OffsetState { sequence: there.sequence + 1, ..there }),
        Some(OffsetState { fresh_through: there.fresh_through + 1, ..there }),
    ];
    for expected in wrong {
        for receipt in [true, false] {
            let rounds = if receipt {
                vec![vec![person("1", 9, "zombie"), person("2", 9, "zombie")]]
            } else {
                Vec::new()
            };
            let fenced = worker.apply(expected, after(Some(there), 5), &rounds, receipt).await;
            ensure!(matches!(fenced, Err(SinkError::Fenced)), "{expected:?}: {fenced:?}");
            assert_eq!(subscriber.everything().await?, before);
        }
    }
    let rounds = [vec![person("3", 9, "zombie")]];
    let none = subscriber.worker_of(7).apply(Some(there), after(Some(there), 1), &rounds, true).await;
    ensure!(matches!(none, Err(SinkError::Fenced)), "an offset that is expected and not there: {none:?}");
    Ok(())
}

pub(crate) async fn of_two_workers_exactly_one_delivers<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let (mut one, mut two) = (subscriber.worker(), subscriber.worker());
    for number in 1..=25 {
        let expected = one.offset().await?;
        let next = after(expected, 1);
        let writes = |name: &str| {
            [vec![person("shared", number, name), person(&format!("{name}-{number}"), number, name)]]
        };
        let (first, second) = (writes("one"), writes("two"));
        let outcome =
            tokio::join!(one.apply(expected, next, &first, true), two.apply(expected, next, &second, true));
        let winner = match &outcome {
            (Ok(_), Err(SinkError::Fenced)) => "one",
            (Err(SinkError::Fenced), Ok(_)) => "two",
            other => anyhow::bail!("one must win and one be fenced: {other:?}"),
        };
        let names = subscriber.query("select name from insured where pin = 'shared'").await?;
        assert_eq!(names, [row(&[winner])]);
    }
    assert_eq!(subscriber.count("insured").await?, 26);
    assert_eq!(subscriber.count("lienthong_receipt").await?, 25);
    Ok(())
}

pub(crate) async fn heartbeats_move_the_offset_and_nothing_else<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    let first = after(None, 3);
    let applied = worker.apply(None, first, &[], false).await?;
    assert_eq!((applied.changed, applied.older, applied.unchanged), (0, 0, 0));
    assert_eq!(worker.offset().await?, Some(first));
    worker.deliver(&[person("1", 1, "An")]).await?;
    let mut before = subscriber.everything().await?;
    let there = worker.offset().await?;
    let next = OffsetState { fresh_through: 99, ..after(there, 2) };
    worker.apply(there, next, &[], false).await?;
    assert_eq!(worker.offset().await?, Some(next));
    let mut now = subscriber.everything().await?;
    assert_eq!((before.pop().is_some(), now.pop().is_some()), (true, true));
    assert_eq!(now, before, "no row, no ledger, no receipt");
    Ok(())
}

pub(crate) async fn a_batch_that_filters_to_nothing_leaves_a_receipt<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    worker.apply(None, after(None, 3), &[], true).await?;
    assert_eq!(subscriber.count("lienthong_receipt").await?, 1);
    Ok(())
}

pub(crate) async fn rounds_run_in_their_order<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    let name = |number, name: &str| insured("1", Deed::Upsert(vec![part(0, number, &[name, "2"])]));
    let rounds = [
        vec![name(1, "An"), person("2", 1, "Bình")],
        vec![insured("1", Deed::Delete { version: crate::subscriber::version(2), revokes: None })],
        vec![name(3, "again"), insured("2", Deed::Update(vec![part(1, 3, &["Huế"])]))],
    ];
    worker.deliver_rounds(&rounds).await?;
    let again = vec![Some("1".to_owned()), Some("again".to_owned()), Some("2".to_owned()), None];
    assert_eq!(subscriber.insured().await?, [again, row(&["2", "Bình", "1", "Huế"])]);
    Ok(())
}

pub(crate) async fn partitions_do_not_stand_in_each_others_way<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut workers = Vec::new();
    for partition in 0..4 {
        let mut worker = subscriber.worker_of(partition);
        workers.push(async move {
            for number in 1..=15 {
                let writes: Vec<_> =
                    (0..20).map(|at| person(&format!("{partition}-{at}"), number, "x")).collect();
                worker.deliver(&writes).await?;
            }
            anyhow::Ok(())
        });
    }
    let [a, b, c, d] = workers.try_into().map_err(|_| anyhow::anyhow!("four workers"))?;
    tokio::try_join!(a, b, c, d)?;
    assert_eq!(subscriber.count("insured").await?, 80);
    assert_eq!(subscriber.count("lienthong_receipt").await?, 60);
    Ok(())
}
