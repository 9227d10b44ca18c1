//! Promises about where a reader without a state may begin.

use super::*;

/// Appends these events one by one, so that retention can part them.
async fn append(writer: &mut dyn Writer, target: &TopicPartition, ids: std::ops::Range<usize>) {
    for id in names("e", ids) {
        writer.append(&events(target, [id])).await.expect("append");
    }
}

async fn checkpoint(writer: &mut dyn Writer) {
    let _leave = writer.checkpoint(&body("s")).await.expect("checkpoint");
}

async fn offset_of(fixture: &Fixture, id: &str) -> i64 {
    let all = fixture.read_all(&fixture.place(0), OffsetState::START, 1 << 20).await.0;
    all.iter().find(|seen| seen.id == id).map(|seen| seen.offset).expect("an event")
}

/// What a reader sees from a state on: the events from `e<first>` to the end, whatever comes before them.
async fn assert_reads_on(fixture: &Fixture, state: OffsetState, first: usize, end: usize) {
    let seen = fixture.read_all(&fixture.place(0), state, 1 << 20).await.0;
    let ids: Vec<&str> = seen.iter().map(|seen| seen.id.as_str()).collect();
    let expected = names("e", first..end);
    assert!(
        ids.ends_with(&expected.iter().map(String::as_str).collect::<Vec<_>>()),
        "{ids:?} from {state:?}"
    );
    let from = end - ids.len();
    assert_eq!(ids, names("e", from..end), "no hole, nothing twice");
    assert!(seen.windows(2).all(|pair| pair[1].sequence == pair[0].sequence + 1));
}

pub async fn while_offset_0_is_there_a_late_reader_begins_there(fixture: Fixture) {
    let (mut writer, _) = fixture.writer().await;
    append(writer.as_mut(), &fixture.place(0), 0..5).await;
    checkpoint(writer.as_mut()).await;
    for partition in [0, 1] {
        let state = fixture.log.start_at(&fixture.place(partition), 0).await.expect("start");
        assert_eq!(state, OffsetState::START);
    }
}

pub async fn after_retention_a_late_reader_begins_where_every_record_counts(fixture: Fixture) {
    let source = fixture.place(0);
    let (mut first, _) = fixture.writer().await;
    append(first.as_mut(), &source, 0..10).await;
    checkpoint(first.as_mut()).await;
    append(first.as_mut(), &source, 10..15).await;
    // Another writer, whose fence and sequence go on; the records before its first checkpoint are in none of its checkpoints.
    let (mut second, _) = fixture.writer().await;
    append(second.as_mut(), &source, 15..20).await;
    checkpoint(second.as_mut()).await;
    append(second.as_mut(), &source, 20..25).await;

    let low = offset_of(&fixture, "e4").await;
    (fixture.trim)(source.clone(), low).await;
    let state = fixture.log.start_at(&source, 0).await.expect("start");
    assert!(state.next_offset >= low && state.epoch >= 0, "{state:?}");
    assert_reads_on(&fixture, state, 10, 25).await;

    // The first checkpoint's place is gone too.
    let low = offset_of_from(&fixture, state, "e12").await;
    (fixture.trim)(source.clone(), low).await;
    let state = fixture.log.start_at(&source, 0).await.expect("start");
    assert!(state.next_offset >= low, "{state:?}");
    assert_reads_on(&fixture, state, 20, 25).await;
    // A reader with a state of its own is told its loss as ever.
    assert!(fixture.log.read(&source, OffsetState::START, 1000).await.is_err());
    append(second.as_mut(), &source, 25..30).await;
    assert_reads_on(&fixture, state, 20, 30).await;
}

async fn offset_of_from(fixture: &Fixture, state: OffsetState, id: &str) -> i64 {
    let all = fixture.read_all(&fixture.place(0), state, 1 << 20).await.0;
    all.iter().find(|seen| seen.id == id).map(|seen| seen.offset).expect("an event")
}

pub async fn a_late_reader_begins_before_the_place_that_it_asks_for(fixture: Fixture) {
    let source = fixture.place(0);
    let (mut writer, _) = fixture.writer().await;
    for part in 0..4 {
        append(writer.as_mut(), &source, 10 * part..10 * (part + 1)).await;
        checkpoint(writer.as_mut()).await;
    }
    for number in [0, 5, 25, 39] {
        let wanted = offset_of(&fixture, &format!("e{number}")).await;
        let state = fixture.log.start_at(&source, wanted).await.expect("start");
        assert!(state.next_offset <= wanted, "{state:?} for {wanted}");
        assert_reads_on(&fixture, state, number, 40).await;
    }
    // Beyond the end: whatever comes next counts.
    let high = fixture.log.watermarks(&source).await.expect("marks").high;
    let state = fixture.log.start_at(&source, i64::MAX).await.expect("start");
    assert!(state.next_offset <= high && state.next_offset > high - 10, "{state:?}");
    append(writer.as_mut(), &source, 40..43).await;
    assert_reads_on(&fixture, state, 40, 43).await;
}

pub async fn a_partition_whose_records_are_all_gone_has_a_beginning(fixture: Fixture) {
    let source = fixture.place(0);
    let (mut writer, _) = fixture.writer().await;
    append(writer.as_mut(), &source, 0..5).await;
    checkpoint(writer.as_mut()).await;
    let high = fixture.log.watermarks(&source).await.expect("marks").high;
    (fixture.trim)(source.clone(), high).await;
    let state = fixture.log.start_at(&source, 0).await.expect("start");
    assert_eq!((state.next_offset, state.sequence), (high, 5));
    append(writer.as_mut(), &source, 5..8).await;
    assert_reads_on(&fixture, state, 5, 8).await;
}

pub async fn a_side_topic_begins_anywhere(fixture: Fixture) {
    let topic = fixture.side();
    for number in 0..5_u8 {
        fixture.log.publish(&topic, b"key", &[], &[number]).await.expect("publish");
    }
    let source = TopicPartition { topic: topic.as_str().into(), partition: 0 };
    for wanted in [0, 3, 99] {
        let state = fixture.log.start_at(&source, wanted).await.expect("start");
        assert_eq!(state, OffsetState { next_offset: wanted.min(5), ..OffsetState::START });
    }
}
