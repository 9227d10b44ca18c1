//! What a reader's client has fetched ahead: nothing of it is skipped, and it comes in batches of a decent size.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "a test")]

mod kafka;

use std::time::{Duration, Instant};

use kafka::Namespace;
use kafka::source::{self, PARTITIONS, TOPIC, participant, place, spec};
use lienthong_contract::sink::OffsetState;
use lienthong_log::marks::state_after;
use lienthong_log::record::NewRecord;
use lienthong_log::{Batch, ConsumeOptions, Delivered, Log, TopicPartition};

const SIDE: &str = "lt.quarantine.moj.faults";

/// Fills the topic, reads a part so that the client fetches the rest and its end ahead, appends, and reads on. Gives the offsets.
async fn offsets_across_an_end_that_was_fetched_ahead(
    log: &dyn Log,
    source: &TopicPartition,
    mut append: impl AsyncFnMut(u64),
) -> Vec<i64> {
    let (mut state, mut offsets) = (OffsetState::START, Vec::new());
    for round in 0..4 {
        append(2 * round).await;
        let first = log.read(source, state, 400).await.expect("read");
        offsets.extend(first.entries.iter().map(|entry| entry.offset));
        state = state_after(&state, &first);
        assert!(first.next_offset < log.watermarks(source).await.expect("marks").high, "a part only");
        // Time for the client to come to the end; without it the test finds nothing.
        tokio::time::sleep(Duration::from_millis(300)).await;
        append(2 * round + 1).await;
        let high = log.watermarks(source).await.expect("marks").high;
        while state.next_offset < high {
            let batch = log.read(source, state, 1 << 20).await.expect("read");
            assert!(batch.next_offset > state.next_offset, "an empty batch before the end");
            offsets.extend(batch.entries.iter().map(|entry| entry.offset));
            state = state_after(&state, &batch);
        }
    }
    offsets
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_was_fetched_ahead_hides_no_record_of_a_side_topic() {
    let namespace = Namespace::shared();
    let log = namespace.log();
    log.create_topics(&[spec(SIDE, 1, false)]).await.expect("topic");
    let source = TopicPartition { topic: SIDE.into(), partition: 0 };
    let offsets = offsets_across_an_end_that_was_fetched_ahead(&log, &source, async |_| {
        for _ in 0..10 {
            log.publish(SIDE, b"key", &[], &[7; 200]).await.expect("publish");
        }
    })
    .await;
    assert_eq!(offsets, (0..80).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_was_fetched_ahead_hides_no_event() {
    let namespace = Namespace::shared();
    let log = namespace.log();
    source::prepare(&log).await;
    let (mut writer, _) = log.open_writer(&participant(), &[TOPIC.to_owned()]).await.expect("writer");
    let offsets = offsets_across_an_end_that_was_fetched_ahead(&log, &place(0), async |turn| {
        let events = source::batch(turn * 30..(turn + 1) * 30, |_| false);
        writer.append(&events).await.expect("append");
    })
    .await;
    // The fence stands at 0.
    assert_eq!(offsets, (1..81).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_gets_decent_batches_however_many_small_records_it_has_had() {
    const EVENTS: usize = 24_000;
    let namespace = Namespace::shared();
    let log = namespace.log();
    source::prepare(&log).await;
    let (mut writer, _) = log.open_writer(&participant(), &[TOPIC.to_owned()]).await.expect("writer");
    for part in 0..12 {
        let mut batch = Batch::default();
        for number in 0..EVENTS / 12 {
            let id = format!("{part}-{number}");
            let headers: [(&'static str, &[u8]); 2] =
                [("ce_id", id.as_bytes()), ("ce_type", b"test.happened")];
            batch
                .push(&place(0), &NewRecord { key: b"k", headers: &headers, value: b"v", time: 1 })
                .expect("it fits");
        }
        writer.append(&batch).await.expect("append");
        writer.heartbeat(1).await.expect("heartbeat");
    }
    // As a router with its defaults.
    let options = ConsumeOptions {
        group: "g".into(),
        topics: vec![TOPIC.into()],
        fetch_bytes: 256 << 10,
        session: Duration::from_secs(8),
    };
    let mut member = log.consume(&options).await.expect("member");
    let (mut sizes, mut taken, until) = (Vec::new(), 0, Instant::now() + Duration::from_secs(60));
    while taken < EVENTS {
        assert!(Instant::now() < until, "only {taken} came");
        match member.next(Duration::from_millis(200)).await.expect("next") {
            Some(Delivered::Assigned(source)) => {
                member.start(&source, OffsetState::START).await.expect("start");
            }
            Some(Delivered::Records(batch)) if !batch.entries.is_empty() => {
                taken += batch.entries.len();
                sizes.push(batch.entries.len());
            }
            _ => {}
        }
    }
    member.leave().await.expect("leave");
    assert_eq!((taken, PARTITIONS), (EVENTS, 3));
    let last = &sizes[sizes.len() / 2..];
    let mean = last.iter().sum::<usize>() / last.len();
    assert!(mean >= 50, "{} batches; the later half has {mean} events each", sizes.len());
}
