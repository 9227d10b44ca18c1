//! Promises about writers, their checkpoints and what readers see of them.

use std::collections::HashSet;

use super::*;
use lienthong_log::WriterError;

pub async fn records_of_one_partition_keep_their_order(fixture: Fixture) {
    let (mut writer, _) = fixture.writer().await;
    let mut expected = vec![Vec::new(); LIVE as usize];
    for round in 0..20 {
        let mut batch = Batch::default();
        for number in 0..30 {
            let partition = (round * 7 + number) % LIVE;
            let id = format!("e{round}-{number}");
            push(&mut batch, &fixture.place(partition), &id, 1, b"v");
            expected[partition as usize].push(id);
        }
        writer.append(&batch).await.expect("append");
    }
    for partition in 0..LIVE {
        assert_eq!(fixture.ids(&fixture.place(partition)).await, expected[partition as usize]);
    }
}

pub async fn sequences_are_dense_also_across_writers(fixture: Fixture) {
    let place = fixture.place(0);
    let mut epochs = Vec::new();
    for round in 0..3 {
        let (mut writer, _) = fixture.writer().await;
        writer.append(&events(&place, names(&format!("w{round}-"), 0..4))).await.expect("append");
        epochs.push(writer.epoch());
    }
    let (seen, state) = fixture.read_all(&place, OffsetState::START, 1 << 20).await;
    assert_eq!(seen.len(), 12);
    assert_dense(&seen);
    assert!(epochs.is_sorted_by(|left, right| left < right), "{epochs:?}");
    for (index, seen) in seen.iter().enumerate() {
        assert_eq!(seen.epoch, epochs[index / 4]);
    }
    assert_eq!((state.epoch, state.sequence), (epochs[2], 12));
    assert!(seen.is_sorted_by(|left, right| left.offset < right.offset));
}

pub async fn the_longest_record_is_taken(fixture: Fixture) {
    use lienthong_log::record::MAX_RECORD_BYTES;
    let (mut writer, _) = fixture.writer().await;
    // Nothing that a codec could make smaller.
    let mut state = 1_u64;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    let value: Vec<u8> = noise.take(MAX_RECORD_BYTES - 200).collect();
    let mut batch = Batch::default();
    push(&mut batch, &fixture.place(0), "large", 1, &value);
    push(&mut batch, &fixture.place(0), "small", 1, b"v");
    writer.append(&batch).await.expect("append");
    let (seen, _) = fixture.read_all(&fixture.place(0), OffsetState::START, 1 << 20).await;
    assert_eq!(seen.iter().map(|seen| seen.value.len()).collect::<Vec<_>>(), [value.len(), 1]);
    assert!(seen[0].value == value);
    let side = fixture.side();
    fixture.log.publish(&side, b"key", &[], &value).await.expect("side topics take as much");
}

pub async fn a_second_writer_fences_the_first(fixture: Fixture) {
    let place = fixture.place(1);
    let (mut first, _) = fixture.writer().await;
    first.append(&events(&place, ["a"])).await.expect("append");
    let (mut second, recovered) = fixture.writer().await;
    assert!(recovered.collected.contains("a"));
    // With Kafka the late record may land; then it does not count.
    let _late = first.append(&events(&place, ["late"])).await;
    second.append(&events(&place, ["b"])).await.expect("append");
    assert_eq!(fixture.ids(&place).await, ["a", "b"]);
}

pub async fn an_idle_writer_learns_that_it_is_fenced(fixture: Fixture) {
    let (mut first, _) = fixture.writer().await;
    assert!(!first.fenced().await.expect("asked"));
    let (mut second, _) = fixture.writer().await;
    assert!(first.fenced().await.expect("asked"));
    assert!(!second.fenced().await.expect("asked"));
}

pub async fn any_error_ends_a_writer_for_good(fixture: Fixture) {
    let (mut writer, _) = fixture.writer().await;
    let nowhere = TopicPartition { topic: fixture.live().into(), partition: 99 };
    writer.append(&events(&nowhere, ["x"])).await.expect_err("no such partition");
    writer.append(&events(&fixture.place(0), ["y"])).await.expect_err("it has ended");
    writer.checkpoint(&body("s")).await.expect_err("it has ended");
    let (mut next, _) = fixture.writer().await;
    next.append(&events(&fixture.place(0), ["z"])).await.expect("append");
    assert_eq!(fixture.ids(&fixture.place(0)).await, ["z"]);
}

pub async fn a_new_writer_recovers_the_ids_behind_the_checkpoint(fixture: Fixture) {
    let (mut writer, recovered) = fixture.writer().await;
    assert!(recovered.checkpoint.is_none() && recovered.collected.is_empty());
    writer.append(&events(&fixture.place(0), ["a", "b"])).await.expect("append");
    let _leave = writer.checkpoint(&body("after b")).await.expect("checkpoint");
    writer.append(&events(&fixture.place(0), ["c"])).await.expect("append");
    writer.append(&events(&fixture.place(2), ["d"])).await.expect("append");
    writer.heartbeat(5).await.expect("heartbeat");
    drop(writer);
    let (mut writer, recovered) = fixture.writer().await;
    assert_eq!(recovered.checkpoint, Some(body("after b")));
    assert_eq!(ids_of(&recovered), ["c", "d"]);
    writer.append(&events(&fixture.place(0), ["e"])).await.expect("append");
    // Without a checkpoint of its own its successor finds all of it again.
    let (_, recovered) = fixture.writer().await;
    assert_eq!(ids_of(&recovered), ["c", "d", "e"]);
    assert_eq!(fixture.ids(&fixture.place(0)).await, ["a", "b", "c", "e"]);
}

pub async fn what_a_checkpoint_covers_is_not_recovered_again(fixture: Fixture) {
    for round in 0..4 {
        let (mut writer, recovered) = fixture.writer().await;
        let expected = if round == 0 { vec![] } else { vec![format!("tail{}", round - 1)] };
        assert_eq!(ids_of(&recovered), expected);
        writer.append(&events(&fixture.place(0), names(&format!("r{round}-"), 0..3))).await.expect("append");
        let _leave = writer.checkpoint(&body("s")).await.expect("checkpoint");
        writer.append(&events(&fixture.place(1), [format!("tail{round}")])).await.expect("append");
    }
}

pub async fn a_checkpoint_comes_back_as_it_was_given(fixture: Fixture) {
    let given = CheckpointBody {
        position: "0000-\u{1b0} \"quoted\" 7:8:9,10".into(),
        lineage_epoch: 7,
        counter: u64::MAX / 3,
        ..body("")
    };
    let (mut writer, _) = fixture.writer().await;
    let _leave = writer.checkpoint(&given).await.expect("checkpoint");
    let (_, recovered) = fixture.writer().await;
    assert_eq!(recovered.checkpoint, Some(given));
}

pub async fn a_fenced_writer_gets_no_leave_to_forget(fixture: Fixture) {
    let (mut first, _) = fixture.writer().await;
    first.append(&events(&fixture.place(0), ["a"])).await.expect("append");
    let _leave = first.checkpoint(&body("valid")).await.expect("checkpoint");
    let (second, _) = fixture.writer().await;
    match first.checkpoint(&body("zombie")).await {
        Err(WriterError::Fenced { claim, .. }) => assert_eq!(claim, Some(second.epoch())),
        other => panic!("{other:?}"),
    }
    // And the zombie's checkpoint is not taken as valid.
    let (_, recovered) = fixture.writer().await;
    assert_eq!(recovered.checkpoint, Some(body("valid")));
}

pub async fn many_checkpoints_and_the_last_one_counts(fixture: Fixture) {
    let (mut writer, _) = fixture.writer().await;
    for number in 0..7 {
        writer.append(&events(&fixture.place(0), [format!("e{number}")])).await.expect("append");
        let _leave = writer.checkpoint(&body(&format!("s{number}"))).await.expect("checkpoint");
    }
    let (_, recovered) = fixture.writer().await;
    assert_eq!(recovered.checkpoint, Some(body("s6")));
    assert!(recovered.collected.is_empty());
}

pub async fn what_stands_behind_a_checkpoints_mark_is_collected(fixture: Fixture) {
    let place = fixture.place(0);
    let (mut writer, _) = fixture.writer().await;
    writer.append(&events(&place, ["covered"])).await.expect("append");
    let mark = writer.mark();
    writer.append(&events(&place, ["behind"])).await.expect("append");
    let _leave = writer.checkpoint_at(&body("s"), &mark).await.expect("checkpoint");
    writer.append(&events(&place, ["later"])).await.expect("append");
    let (mut writer, recovered) = fixture.writer().await;
    assert_eq!(recovered.checkpoint, Some(body("s")));
    let sorted = |ids: HashSet<Box<str>>| {
        let mut ids: Vec<String> = ids.iter().map(|id| id.to_string()).collect();
        ids.sort();
        ids
    };
    assert_eq!(sorted(recovered.collected), ["behind", "later"]);
    writer.append(&events(&place, ["next"])).await.expect("append");
    // One that covers no more is made with the mark of the one before, and its successor collects all of it again.
    let _leave = writer.checkpoint_at(&body("same"), &recovered.mark).await.expect("checkpoint");
    let (mut writer, recovered) = fixture.writer().await;
    assert_eq!(recovered.checkpoint, Some(body("same")));
    assert_eq!(sorted(recovered.collected), ["behind", "later", "next"]);
    writer.append(&events(&place, ["last"])).await.expect("append");
    let (seen, _) = fixture.read_all(&place, OffsetState::START, 1 << 20).await;
    assert_dense(&seen);
}

pub async fn a_writer_knows_its_partitions_and_refuses_others(fixture: Fixture) {
    let (mut writer, recovered) = fixture.writer().await;
    let partitions: Vec<(String, i32)> =
        recovered.partitions.iter().map(|(topic, count)| (topic.to_string(), *count)).collect();
    assert_eq!(partitions, [(fixture.bulk(), BULK), (fixture.live(), LIVE)]);
    let foreign = TopicPartition { topic: "lt.nobodys.live".into(), partition: 0 };
    writer.append(&events(&foreign, ["x"])).await.expect_err("not its topic");
}

pub async fn a_topic_can_join_a_writer_later(fixture: Fixture) {
    let who = fixture.participant();
    let (mut writer, _) = fixture.log.open_writer(&who, &[fixture.live()]).await.expect("writer");
    writer.append(&events(&fixture.place(0), ["a"])).await.expect("append");
    let _leave = writer.checkpoint(&body("s")).await.expect("checkpoint");
    let (mut writer, recovered) = fixture.writer().await;
    assert!(recovered.collected.is_empty());
    let bulk = TopicPartition { topic: fixture.bulk().into(), partition: 1 };
    writer.append(&events(&bulk, ["b"])).await.expect("append");
    let _leave = writer.checkpoint(&body("t")).await.expect("checkpoint");
    // Leaves again, and comes back: its account was carried along.
    let (mut writer, _) = fixture.log.open_writer(&who, &[fixture.live()]).await.expect("writer");
    let _leave = writer.checkpoint(&body("u")).await.expect("checkpoint");
    let (mut writer, recovered) = fixture.writer().await;
    assert!(recovered.collected.is_empty());
    writer.append(&events(&bulk, ["c"])).await.expect("append");
    let (seen, _) = fixture.read_all(&bulk, OffsetState::START, 1 << 20).await;
    assert_eq!(seen.len(), 2);
    assert_dense(&seen);
}

pub async fn participants_do_not_disturb_each_other(fixture: Fixture) {
    let other = ParticipantId::new(&format!("mps.{}", fixture.word)).expect("participant");
    let topics = [fixture.bulk()];
    let (mut first, _) =
        fixture.log.open_writer(&fixture.participant(), &[fixture.live()]).await.expect("writer");
    let (mut second, _) = fixture.log.open_writer(&other, &topics).await.expect("writer");
    let bulk = TopicPartition { topic: fixture.bulk().into(), partition: 0 };
    for round in 0..3 {
        first.append(&events(&fixture.place(0), [format!("f{round}")])).await.expect("append");
        second.append(&events(&bulk, [format!("s{round}")])).await.expect("append");
        let _leave = first.checkpoint(&body("f")).await.expect("checkpoint");
        let _leave = second.checkpoint(&body("s")).await.expect("checkpoint");
    }
    assert!(!first.fenced().await.expect("asked"));
    assert!(!second.fenced().await.expect("asked"));
    let (_, recovered) = fixture.log.open_writer(&other, &topics).await.expect("writer");
    assert_eq!(recovered.checkpoint, Some(body("s")));
}

pub async fn a_missing_topic_is_named(fixture: Fixture) {
    let missing = format!("lt.missing-{}.live", fixture.word);
    let opened = fixture.log.open_writer(&fixture.participant(), std::slice::from_ref(&missing)).await;
    let error = opened.err().expect("no such topic").to_string();
    assert!(error.contains(&missing), "{error}");
    let source = TopicPartition { topic: missing.as_str().into(), partition: 0 };
    let error = fixture.log.watermarks(&source).await.expect_err("no such topic").to_string();
    assert!(error.contains(&missing), "{error}");
}

pub async fn heartbeats_are_in_sequence_and_tell_freshness(fixture: Fixture) {
    let (mut writer, _) = fixture.writer().await;
    let place = fixture.place(0);
    writer.append(&events(&place, ["a"])).await.expect("append");
    writer.heartbeat(7_000_000).await.expect("heartbeat");
    writer.append(&events(&place, ["b"])).await.expect("append");
    writer.heartbeat(9_000_000).await.expect("heartbeat");
    let (seen, state) = fixture.read_all(&place, OffsetState::START, 1 << 20).await;
    let sequences: Vec<_> = seen.iter().map(|seen| (seen.id.as_str(), seen.sequence)).collect();
    assert_eq!(sequences, [("a", 1), ("b", 3)]);
    assert_eq!((state.sequence, state.fresh_through), (4, 9_000_000));
    // Every partition of the live topics, and no other.
    let (seen, state) = fixture.read_all(&fixture.place(2), OffsetState::START, 1 << 20).await;
    assert_eq!((seen.len(), state.sequence, state.fresh_through), (0, 2, 9_000_000));
    let bulk = TopicPartition { topic: fixture.bulk().into(), partition: 0 };
    let (_, state) = fixture.read_all(&bulk, OffsetState::START, 1 << 20).await;
    assert_eq!((state.sequence, state.fresh_through), (0, 0));
    // A successor goes on in sequence.
    let (mut writer, recovered) = fixture.writer().await;
    assert_eq!(ids_of(&recovered), ["a", "b"]);
    writer.append(&events(&place, ["c"])).await.expect("append");
    let (seen, _) = fixture.read_all(&place, OffsetState::START, 1 << 20).await;
    assert_eq!(seen.last().map(|seen| seen.sequence), Some(5));
}

pub async fn a_reader_resumes_anywhere_and_sees_the_same(fixture: Fixture) {
    let place = fixture.place(0);
    for round in 0..3 {
        let (mut writer, _) = fixture.writer().await;
        writer.append(&events(&place, names(&format!("r{round}-"), 0..5))).await.expect("append");
        writer.heartbeat(round).await.expect("heartbeat");
        writer.append(&events(&place, names(&format!("s{round}-"), 0..5))).await.expect("append");
    }
    let (whole, end) = fixture.read_all(&place, OffsetState::START, 1 << 20).await;
    assert_eq!(whole.len(), 30);
    for bytes in [1, 150, 400, 1000] {
        let (bites, state) = fixture.read_all(&place, OffsetState::START, bytes).await;
        assert_eq!(bites, whole);
        assert_eq!(state, end);
    }
}

pub async fn a_read_is_bounded_and_still_moves(fixture: Fixture) {
    let place = fixture.place(0);
    let (mut writer, _) = fixture.writer().await;
    let mut batch = Batch::default();
    for number in 0..40 {
        push(&mut batch, &place, &format!("e{number}"), 1, &[7; 10_000]);
    }
    writer.append(&batch).await.expect("append");
    let mut state = OffsetState::START;
    let mut count = 0;
    while count < 40 {
        let batch = fixture.log.read(&place, state, 35_000).await.expect("read");
        assert!(batch.body.len() <= 35_000, "{}", batch.body.len());
        assert!(batch.next_offset > state.next_offset);
        count += batch.entries.len();
        state = state_after(&state, &batch);
    }
    let one = fixture.log.read(&place, OffsetState::START, 10).await.expect("read");
    assert!(one.next_offset > 0, "a record larger than the bound comes alone");
}

pub async fn an_offset_behind_the_end_is_an_error(fixture: Fixture) {
    let state = OffsetState { next_offset: 1_000_000, epoch: 1, sequence: 5, fresh_through: 0 };
    fixture.log.read(&fixture.place(0), state, 1000).await.expect_err("the log was cut");
}

pub async fn watermarks_are_first_and_next_offset(fixture: Fixture) {
    let place = fixture.place(0);
    let (mut writer, _) = fixture.writer().await;
    let before = fixture.log.watermarks(&place).await.expect("watermarks");
    assert_eq!(before.low, 0);
    writer.append(&events(&place, names("e", 0..12))).await.expect("append");
    let after = fixture.log.watermarks(&place).await.expect("watermarks");
    assert_eq!((after.low, after.high - before.high), (0, 12));
    let (_, state) = fixture.read_all(&place, OffsetState::START, 1 << 20).await;
    assert_eq!(state.next_offset, after.high);
}

pub async fn offset_at_is_the_first_record_of_that_time_or_later(fixture: Fixture) {
    let place = fixture.place(0);
    let (mut writer, _) = fixture.writer().await;
    // Kafka keeps milliseconds, and a fence's time is the present.
    let start = 4_000_000_000_000_000;
    for round in 0..3 {
        let mut batch = Batch::default();
        for number in 0..4 {
            let time = start + (round * 4 + number) * 1000;
            push(&mut batch, &place, &format!("{round}-{number}"), time, b"v");
        }
        writer.append(&batch).await.expect("append");
    }
    let (seen, _) = fixture.read_all(&place, OffsetState::START, 1 << 20).await;
    for (index, seen) in seen.iter().enumerate() {
        let time = start + index as i64 * 1000;
        assert_eq!(fixture.log.offset_at(&place, time).await.expect("asked"), Some(seen.offset));
    }
    let past = start + 12_000;
    assert_eq!(fixture.log.offset_at(&place, past).await.expect("asked"), None);
}

fn ids_of(recovered: &Recovered) -> Vec<String> {
    let mut ids: Vec<String> = recovered.collected.iter().map(|id| id.to_string()).collect();
    ids.sort();
    ids
}
