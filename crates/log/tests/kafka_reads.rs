//! What a reader's client has fetched ahead: nothing of it is skipped.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "a test")]

mod kafka;

use std::time::Duration;

use kafka::Namespace;
use kafka::source::{self, TOPIC, participant, place, spec};
use lienthong_contract::sink::OffsetState;
use lienthong_log::marks::state_after;
use lienthong_log::{Log, TopicPartition};

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
