//! One test per rule, named after what happens without it.

use super::*;
use crate::api::{CheckpointBody, TopicPartition};
use lienthong_contract::position::Lineage;

const WHO: &str = "moj.civil-status";

fn data(epoch: i64, sequence: u64) -> RecordMark {
    RecordMark { kind: MarkKind::Data, epoch, sequence }
}

fn fence(epoch: i64) -> RecordMark {
    RecordMark { kind: MarkKind::Fence, epoch, sequence: 0 }
}

fn judge_all(marks: &[RecordMark]) -> Vec<Judgement> {
    let mut reader = Reader::START;
    marks.iter().map(|mark| reader.judge(*mark)).collect()
}

fn body(position: &str) -> CheckpointBody {
    CheckpointBody {
        position: position.into(),
        lineage: Lineage { parts: Vec::new() },
        lineage_epoch: 1,
        counter: 0,
    }
}

fn checkpoint(epoch: i64, number: u64) -> Checkpoint {
    Checkpoint {
        participant: WHO.into(),
        epoch,
        number,
        body: body(&format!("{epoch}.{number}")),
        partitions: vec![PartitionPoint {
            topic: "t".into(),
            partition: 0,
            epoch,
            next_offset: 10,
            sequence: 3,
        }],
    }
}

fn made_now(progress: &mut Progress) -> Checkpoint {
    let mark = progress.mark();
    progress.checkpoint(&body("s"), &mark)
}

fn claim() -> PositionRecord {
    PositionRecord::Claim(Claim { participant: WHO.into(), time: 0 })
}

fn positions(records: Vec<(i64, PositionRecord)>) -> Result<Positions, Broken> {
    let mut positions = Positions::new(WHO);
    for (offset, record) in records {
        positions.observe(offset, record)?;
    }
    Ok(positions)
}

#[test]
fn without_a_fence_a_zombies_late_record_would_be_doubled() {
    use Judgement::{Accept, Fence, Zombie};
    // Writer 5 read back before the zombie's record 2 landed, and sends its event again.
    let marks = [fence(1), data(1, 1), fence(5), data(1, 2), data(5, 2)];
    assert_eq!(judge_all(&marks), [Fence, Accept, Fence, Zombie, Accept]);
}

#[test]
fn the_highest_fence_counts_not_the_last() {
    use Judgement::{Accept, Fence, Zombie};
    let marks = [fence(5), data(5, 1), fence(1), data(1, 2), data(5, 2)];
    assert_eq!(judge_all(&marks), [Fence, Accept, Zombie, Zombie, Accept]);
}

#[test]
fn after_a_hole_the_rest_of_the_epoch_is_ignored_and_the_next_writer_fills_it() {
    use Judgement::{Accept, Fence, Hole};
    let marks = [fence(1), data(1, 1), data(1, 3), data(1, 4), fence(2), data(2, 2), data(2, 3)];
    assert_eq!(judge_all(&marks), [Fence, Accept, Hole, Hole, Fence, Accept, Accept]);
}

#[test]
fn a_record_above_the_highest_fence_fences_like_one() {
    use Judgement::{Accept, Fence, Zombie};
    let marks = [fence(1), data(1, 1), data(4, 2), data(1, 2)];
    assert_eq!(judge_all(&marks), [Fence, Accept, Accept, Zombie]);
}

#[test]
fn a_repeated_sequence_does_not_count_twice() {
    use Judgement::{Accept, Fence, Repeated};
    assert_eq!(judge_all(&[fence(1), data(1, 1), data(1, 1)]), [Fence, Accept, Repeated]);
}

#[test]
fn heartbeats_are_in_sequence_like_events() {
    use Judgement::{Accept, Fence};
    let heartbeat = RecordMark { kind: MarkKind::Heartbeat, epoch: 1, sequence: 2 };
    assert_eq!(judge_all(&[fence(1), data(1, 1), heartbeat, data(1, 3)]), [Fence, Accept, Accept, Accept]);
}

#[test]
fn without_read_back_an_event_would_be_doubled() {
    let former = checkpoint(1, 0);
    let mut read_back = ReadBack::new(7, Some(&former), "t", 0);
    assert_eq!(read_back.start(), 10);
    assert_eq!(read_back.observe(10, Some(data(1, 4)), Some("d")), Ok(Step::More));
    assert_eq!(read_back.observe(11, Some(fence(7)), None), Ok(Step::Done));
    assert_eq!((read_back.sequence(), read_back.fence()), (4, Some(11)));
    assert!(read_back.into_collected().contains("d"));
}

#[test]
fn read_back_that_collects_ignored_records_would_lose_them() {
    let mut read_back = ReadBack::new(7, None, "t", 0);
    for (offset, mark, id) in [
        (0, fence(3), None),
        (1, data(3, 1), Some("kept")),
        (2, data(1, 2), Some("zombie")),
        (3, data(3, 3), Some("behind a hole")),
    ] {
        assert_eq!(read_back.observe(offset, Some(mark), id), Ok(Step::More));
    }
    assert_eq!(read_back.observe(4, None, Some("not of the bus")), Ok(Step::More));
    assert_eq!(read_back.observe(5, Some(fence(7)), None), Ok(Step::Done));
    assert_eq!(read_back.into_collected().into_iter().collect::<Vec<_>>(), ["kept".into()]);
}

#[test]
fn read_back_is_not_done_before_the_own_fence() {
    let mut read_back = ReadBack::new(7, None, "t", 0);
    assert_eq!(read_back.observe(0, Some(fence(3)), None), Ok(Step::More));
    assert_eq!(read_back.fence(), None);
}

#[test]
fn a_fence_above_the_own_claim_stops_the_writer() {
    let mut read_back = ReadBack::new(7, None, "t", 0);
    assert_eq!(read_back.observe(0, Some(fence(9)), None), Ok(Step::Newer(9)));
}

#[test]
fn retention_past_the_checkpoint_halts_with_the_gap() {
    let former = checkpoint(1, 0);
    let read_back = ReadBack::new(7, Some(&former), "t", 0);
    assert_eq!(read_back.check_retention("t", 0, 10), Ok(()));
    let broken = read_back.check_retention("t", 0, 15).expect_err("a gap");
    assert!(broken.to_string().contains("offsets 10 to 14 are gone"), "{broken}");
}

#[test]
fn a_zombies_checkpoint_is_not_valid() {
    let history = positions(vec![
        (1, claim()),
        (2, PositionRecord::Checkpoint(checkpoint(1, 0))),
        (5, claim()),
        (6, PositionRecord::Checkpoint(checkpoint(1, 1))),
    ])
    .expect("history");
    assert_eq!(history.newest_valid(), Some(&checkpoint(1, 0)));
    assert_eq!(history.superseded(1), Some(5));
    assert_eq!(history.superseded(5), None);
}

#[test]
fn the_last_valid_checkpoint_counts() {
    let history = positions(vec![
        (1, claim()),
        (2, PositionRecord::Checkpoint(checkpoint(1, 0))),
        (3, claim()),
        (4, PositionRecord::Checkpoint(checkpoint(3, 0))),
        (5, PositionRecord::Checkpoint(checkpoint(3, 1))),
        (6, claim()),
    ])
    .expect("history");
    assert_eq!(history.newest_valid(), Some(&checkpoint(3, 1)));
}

#[test]
fn with_one_slot_compaction_would_leave_only_an_invalid_checkpoint() {
    let keys: Vec<String> = (0..3).map(|number| checkpoint_key(WHO, 1, number)).collect();
    assert_ne!(keys[0], keys[1]);
    assert_eq!(keys[0], keys[2]);
    assert_eq!(keys[1], "moj.civil-status/1/1");
    assert_ne!(checkpoint_key(WHO, 2, 0), keys[0]);
    assert_eq!(claim_key(WHO, "ab"), "moj.civil-status/claim/ab");
}

#[test]
fn forgetting_behind_a_newer_claim_would_lose() {
    let mut history = positions(vec![(1, claim())]).expect("history");
    history.observe(3, claim()).expect("claim");
    history.observe(4, PositionRecord::Checkpoint(checkpoint(1, 0))).expect("checkpoint");
    assert_eq!(history.superseded(1), Some(3));
    assert_eq!(history.newest_valid(), None);
}

#[test]
fn another_participants_records_change_nothing() {
    let foreign = PositionRecord::Claim(Claim { participant: "mps.population".into(), time: 0 });
    let history = positions(vec![(1, claim()), (9, foreign)]).expect("history");
    assert_eq!(history.highest_claim(), Some(1));
}

#[test]
fn a_checkpoint_without_its_claim_is_refused() {
    let none = positions(vec![(4, PositionRecord::Checkpoint(checkpoint(900, 0)))]);
    assert!(none.expect_err("recreated").to_string().contains("recreated"));
    positions(vec![(1, claim()), (4, PositionRecord::Checkpoint(checkpoint(900, 0)))])
        .expect_err("recreated");
}

#[test]
fn a_changed_partition_count_is_refused() {
    assert_eq!(checkpoint(1, 0).check_partitions("t", 1), Ok(()));
    assert_eq!(checkpoint(1, 0).check_partitions("new", 12), Ok(()));
    checkpoint(1, 0).check_partitions("t", 2).expect_err("changed");
}

#[test]
fn position_records_come_back_from_json() {
    for record in [claim(), PositionRecord::Checkpoint(checkpoint(3, 8))] {
        let value = record.encode().expect("JSON");
        assert_eq!(PositionRecord::decode(&value), Ok(record));
    }
    PositionRecord::decode(b"{}").expect_err("neither");
}

#[test]
fn what_was_sent_but_not_acked_is_in_no_checkpoint() {
    let target = TopicPartition { topic: "t".into(), partition: 0 };
    let quiet = TopicPartition { topic: "t".into(), partition: 1 };
    let mut progress = Progress::new(WHO, 7, None);
    progress.open(target.clone(), 20, 4);
    progress.open(quiet, 8, 0);
    assert_eq!(progress.give(&target, 2), Some(5));
    progress.acked(&target, 5, 21);
    assert!(!progress.settled());
    let made = made_now(&mut progress);
    assert_eq!(made.point("t", 0).map(|point| (point.next_offset, point.sequence)), Some((22, 5)));
    assert_eq!(made.point("t", 1).map(|point| (point.next_offset, point.sequence)), Some((9, 0)));
    progress.acked(&target, 6, 22);
    assert!(progress.settled());
    assert_eq!(made_now(&mut progress).number, made.number + 1);
}

#[test]
fn a_topic_that_is_not_held_is_carried_along() {
    let former = checkpoint(1, 0);
    let mut progress = Progress::new(WHO, 7, Some(&former));
    let made = made_now(&mut progress);
    assert_eq!(made.partitions, former.partitions);
    progress.open(TopicPartition { topic: "t".into(), partition: 0 }, 30, 3);
    let made = made_now(&mut progress);
    assert_eq!(made.partitions.len(), 1);
    assert_eq!(made.partitions[0].epoch, 7);
}

fn point_at(epoch: i64, next_offset: i64, sequence: u64) -> PositionRecord {
    let mut made = checkpoint(epoch, 0);
    made.partitions[0].next_offset = next_offset;
    made.partitions[0].sequence = sequence;
    PositionRecord::Checkpoint(made)
}

#[test]
fn a_late_reader_begins_at_zero_or_at_a_valid_checkpoint_and_never_in_between() {
    let mut starts = Starts::new("t", 0);
    for (offset, record) in [
        (1, claim()),
        (2, point_at(1, 10, 3)),
        (3, point_at(1, 20, 8)),
        (5, claim()),
        // A zombie's: it stands behind the newer claim.
        (6, point_at(1, 25, 9)),
        (7, point_at(5, 30, 12)),
    ] {
        starts.observe(offset, record);
    }
    let place = |wanted, low, high| {
        starts.choose(wanted, (low, high)).map(|state| (state.next_offset, state.epoch, state.sequence))
    };
    assert_eq!(place(0, 0, 40), Some((0, -1, 0)));
    assert_eq!(place(19, 0, 40), Some((10, 1, 3)));
    assert_eq!(place(26, 0, 40), Some((20, 1, 8)));
    assert_eq!(place(0, 5, 40), Some((10, 1, 3)), "the oldest that the log holds records for");
    assert_eq!(place(0, 11, 40), Some((20, 1, 8)));
    assert_eq!(place(99, 11, 40), Some((30, 5, 12)));
    assert_eq!(place(0, 31, 40), None, "nothing vouches for the rest");
    assert_eq!(place(99, 0, 15), Some((10, 1, 3)), "the topic was cut");
    let other = Starts::new("t", 1);
    assert_eq!(other.choose(0, (0, 9)), Some(lienthong_contract::sink::OffsetState::START));
}

#[test]
fn milestones_of_one_participant_are_bounded() {
    let day = 24 * 3600 * 1_000_000;
    let keys: std::collections::BTreeSet<String> =
        (0..2000).map(|n| milestone_key(WHO, n * day + 5)).collect();
    assert_eq!(keys.len(), 400);
    assert_eq!(milestone_key(WHO, 0), milestone_key(WHO, day - 1));
    assert_ne!(milestone_key(WHO, 0), milestone_key(WHO, day));
}
