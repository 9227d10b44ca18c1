//! The pure rules drive an in-memory log through random runs: several writers, kills, pauses, zombies whose records land late
//! or never, compaction. The source is an outbox: transactions become visible late and in another order than their rows took ids, so
//! two writers may read the same events in different orders, and a position is a set. With all rules, every source event is accepted exactly once and in order, and nothing is forgotten
//! that was not accepted. With one rule left out, some run must break: so the model can see what each rule is for.

#![allow(clippy::unwrap_used, reason = "a test")]

mod model;

use model::{Fault, Without, World};
use rand::Rng;

fn run(seed: u64, without: Without) -> Result<(), Fault> {
    let mut world = World::new(seed, without);
    world.start_writer();
    for _ in 0..world.rng.random_range(50..400) {
        world.chance()?;
    }
    world.finish()
}

#[test]
fn every_event_is_accepted_exactly_once_and_in_order() {
    let first: u64 =
        std::env::var("LIENTHONG_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("LIENTHONG_TEST_SEED={first}");
    for seed in (0..4000).map(|run| first.wrapping_add(run)) {
        if let Err(what) = run(seed, Without::Nothing) {
            panic!("LIENTHONG_TEST_SEED={seed}: {what:?}");
        }
    }
}

/// Some run must break when the rule is missing, and in the way that the rule is there to prevent.
fn breaks(without: Without, expected: fn(&Fault) -> bool) {
    let broken =
        (0..30_000).find_map(|seed| run(seed, without).err().filter(expected).map(|what| (seed, what)));
    let (seed, what) =
        broken.unwrap_or_else(|| panic!("without {without:?} no such fault: the model is blind"));
    println!("without {without:?}, seed {seed}: {what:?}");
}

fn doubled(fault: &Fault) -> bool {
    matches!(fault, Fault::Doubled(_))
}

fn lost(fault: &Fault) -> bool {
    matches!(fault, Fault::Lost(_))
}

/// Behind a hole nothing of the epoch counts any more, so that what was sent there is missing; or the next writer finds that retention
/// has passed the only checkpoint left, and halts with the gap.
fn hole(fault: &Fault) -> bool {
    matches!(fault, Fault::Lost(_) | Fault::Halted(_))
}

fn older(fault: &Fault) -> bool {
    matches!(fault, Fault::LooksOlder(_))
}

#[test]
fn without_fences_events_are_doubled() {
    breaks(Without::Fences, doubled);
}

#[test]
fn without_read_back_events_are_doubled() {
    breaks(Without::ReadBack, doubled);
}

#[test]
fn read_back_before_the_own_fence_doubles() {
    breaks(Without::OwnFenceAckedBeforeReadBack, doubled);
}

#[test]
fn read_back_of_ignored_records_loses() {
    breaks(Without::ReadingRuleInReadBack, lost);
}

#[test]
fn a_zombies_checkpoint_taken_as_valid_makes_holes_or_doubles() {
    breaks(Without::ValidityOfCheckpoints, doubled);
}

#[test]
fn a_checkpoint_that_does_not_cover_a_collected_id_doubles_later() {
    breaks(Without::CoverOfCollectedIds, doubled);
}

#[test]
fn one_slot_per_participant_under_compaction_makes_a_hole() {
    breaks(Without::SlotsPerEpoch, hole);
}

#[test]
fn one_slot_under_compaction_makes_a_hole() {
    breaks(Without::SecondSlot, hole);
}

#[test]
fn forgetting_without_the_reread_loses() {
    breaks(Without::RereadBeforeForgetting, lost);
}

#[test]
fn the_next_checkpoint_before_the_reread_makes_a_hole() {
    breaks(Without::RereadBeforeNextCheckpoint, hole);
}

#[test]
fn the_last_fence_instead_of_the_highest_doubles() {
    breaks(Without::HighestFence, doubled);
}

#[test]
fn going_on_after_a_lost_record_makes_a_hole() {
    breaks(Without::EndAfterALostRecord, hole);
}

#[test]
fn counting_what_was_sent_instead_of_acked_loses() {
    breaks(Without::AcksInS, lost);
}

#[test]
fn a_counter_without_the_writer_epoch_makes_a_newer_event_look_older() {
    breaks(Without::EpochInCounter, older);
}

#[test]
fn polling_by_the_highest_outbox_id_loses() {
    breaks(Without::SetInPoll, lost);
}

#[test]
fn forgetting_by_the_highest_outbox_id_loses() {
    breaks(Without::SetInForget, lost);
}
