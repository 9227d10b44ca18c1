//! Which partitions' events go into one transaction: all that have something to deliver when a connection is free.
//!
//! Together they are bounded as one partition alone is, so that with a backlog everybody's transactions are
//! full, and those who are left go to the next connection.

use std::collections::BTreeMap;

use lienthong_contract::sink::LanePartition;
use lienthong_log::TopicPartition;

use crate::backlog::Bounds;
use crate::error::RouterError;
use crate::lane::{Lane, Stance, Wish};
use crate::worker::Task;

/// How much a connection takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Of one transaction.
    pub(crate) bounds: Bounds,
    /// Connections that are free, this one included. While others are, a transaction that has its even share of the bounds is enough.
    pub(crate) free: usize,
    /// Control records are written now.
    pub(crate) flush: bool,
    /// Only what failed is tried again.
    pub(crate) only_again: bool,
    /// Only what is no other partition's business is done.
    pub(crate) only_alone: bool,
}

/// Work for one connection.
pub(crate) enum Work {
    /// To read an offset row.
    Open {
        /// Whose.
        source: TopicPartition,
        /// Which holding of the partition.
        serial: u64,
        /// As the offset row names it.
        name: LanePartition,
    },
    /// To run one transaction of all these.
    Run(Vec<Task>),
}

/// What there is for one connection.
#[derive(Default)]
pub(crate) struct Taken {
    /// `None`: nothing.
    pub(crate) work: Option<Work>,
    /// The last partition of which none before it was passed over.
    pub(crate) turn: Option<TopicPartition>,
    /// A partition that cannot go on.
    pub(crate) halt: Option<RouterError>,
}

/// Takes work for one connection from partitions in the order of their turns. Whoever has to be alone (to read the offset row, to try
/// a unit again) is passed over when others have come before, and is the first to have the next turn.
pub(crate) fn take(
    lanes: &mut BTreeMap<TopicPartition, Lane>,
    order: &[TopicPartition],
    terms: Terms,
) -> Taken {
    let mut taken = Taken::default();
    let mut tasks: Vec<Task> = Vec::new();
    let mut left = terms.bounds;
    let mut passed_over = false;
    for source in order {
        let Some(lane) = lanes.get_mut(source) else { continue };
        if terms.only_again && !lane.tries_again() {
            continue;
        }
        let alone = match lane.stance() {
            Stance::Waits => continue,
            Stance::Alone if !tasks.is_empty() => {
                passed_over = true;
                continue;
            }
            Stance::Joins if terms.only_alone => continue,
            stance => stance == Stance::Alone,
        };
        let wish = match lane.take(&mut left, terms.flush) {
            Ok(wish) => wish,
            Err(halt) => {
                lane.halted = true;
                taken.halt = Some(halt);
                break;
            }
        };
        let Some(wish) = wish else { continue };
        lane.busy = true;
        if !passed_over {
            taken.turn = Some(source.clone());
        }
        match wish {
            Wish::Open(name) => {
                taken.work = Some(Work::Open { source: source.clone(), serial: lane.serial, name });
                return taken;
            }
            Wish::Run(task) => tasks.push(task),
        }
        if alone || left.used_up() || terms.free > 1 && left.taken(terms.bounds, terms.free) {
            break;
        }
    }
    if !tasks.is_empty() {
        taken.work = Some(Work::Run(tasks));
    }
    taken
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use lienthong_contract::sink::OffsetState;
    use lienthong_log::LogBatch;
    use lienthong_log::record::Entry;

    use super::*;

    fn place(partition: i32) -> TopicPartition {
        TopicPartition { topic: "lt.a.live".into(), partition }
    }

    /// So many events of ten bytes from an offset on.
    fn batch(partition: i32, first: i64, count: i64) -> LogBatch {
        let entry = |index: i64| Entry {
            offset: first + index,
            at: index as usize * 10,
            epoch: 1,
            sequence: (first + index + 1) as u64,
            append_time: 0,
        };
        LogBatch {
            source: place(partition),
            body: Bytes::from(vec![0; count as usize * 10]),
            entries: (0..count).map(entry).collect(),
            from_offset: first,
            next_offset: first + count,
            epoch: 1,
            sequence: (first + count) as u64,
            ignored: 0,
            heartbeat: None,
        }
    }

    /// Open partitions with so many events each.
    fn lanes(counts: &[i64]) -> BTreeMap<TopicPartition, Lane> {
        let lane = |(partition, count): (i32, &i64)| {
            let mut lane = Lane::new("a/b", place(partition), 1);
            lane.open(None, OffsetState::START);
            if *count > 0 {
                lane.push(batch(partition, 0, *count));
            }
            (place(partition), lane)
        };
        (0..).zip(counts).map(lane).collect()
    }

    fn terms(rows: usize, free: usize) -> Terms {
        let bounds = Bounds { rows, bytes: 1 << 20 };
        Terms { bounds, free, flush: false, only_again: false, only_alone: false }
    }

    /// Takes in the order of these partitions: which ones were taken with how many events, and whose turn it was.
    fn took(
        lanes: &mut BTreeMap<TopicPartition, Lane>,
        order: &[i32],
        terms: Terms,
    ) -> (Vec<(i32, usize)>, Option<i32>) {
        let order: Vec<TopicPartition> = order.iter().copied().map(place).collect();
        let Taken { work, turn, .. } = take(lanes, &order, terms);
        let tasks = match work {
            None => Vec::new(),
            Some(Work::Open { source, .. }) => vec![(source.partition, 0)],
            Some(Work::Run(tasks)) => {
                tasks.iter().map(|task| (task.source.partition, task.unit.len())).collect()
            }
        };
        (tasks, turn.map(|turn| turn.partition))
    }

    /// Gives a unit back as one that failed together with others.
    fn give_back(lanes: &mut BTreeMap<TopicPartition, Lane>, partition: i32) {
        let lane = lanes.get_mut(&place(partition)).expect("a lane");
        let Ok(Some(Wish::Run(task))) = lane.wish(&mut Bounds { rows: 1, bytes: 1 }, false) else {
            panic!("a unit")
        };
        lane.again(task.unit);
    }

    #[test]
    fn all_that_wait_are_taken_in_turn_up_to_the_bounds_and_none_twice() {
        let mut lanes = lanes(&[2, 0, 3, 4]);
        assert_eq!(took(&mut lanes, &[2, 3, 0, 1], terms(6, 1)), (vec![(2, 3), (3, 3)], Some(3)));
        assert_eq!(took(&mut lanes, &[0, 1, 2, 3], terms(6, 1)), (vec![(0, 2)], Some(0)));
        assert_eq!(took(&mut lanes, &[0, 1, 2, 3], terms(6, 1)), (vec![], None), "all are under way");
    }

    #[test]
    fn while_other_connections_are_free_each_takes_its_share_of_the_bounds() {
        let mut lanes = lanes(&[5; 8]);
        let order = [0, 1, 2, 3, 4, 5, 6, 7];
        assert_eq!(took(&mut lanes, &order, terms(20, 4)).0, [(0, 5)]);
        assert_eq!(took(&mut lanes, &order, terms(20, 3)).0, [(1, 5), (2, 5)]);
        assert_eq!(took(&mut lanes, &order, terms(20, 2)).0, [(3, 5), (4, 5)]);
        assert_eq!(took(&mut lanes, &order, terms(20, 1)).0, [(5, 5), (6, 5), (7, 5)]);
    }

    #[test]
    fn with_a_backlog_one_partition_fills_the_bounds_alone() {
        let mut lanes = lanes(&[100, 100]);
        for (free, partition) in [(2, 0), (1, 1)] {
            assert_eq!(took(&mut lanes, &[0, 1], terms(20, free)), (vec![(partition, 20)], Some(partition)));
        }
    }

    #[test]
    fn whoever_must_be_alone_is_passed_over_once_and_then_comes_first() {
        let mut lanes = lanes(&[2, 2, 2, 2]);
        lanes.insert(place(4), Lane::new("a/b", place(4), 1));
        give_back(&mut lanes, 1);
        let order = [0, 1, 2, 3, 4];
        assert_eq!(took(&mut lanes, &order, terms(20, 1)), (vec![(0, 2), (2, 2), (3, 2)], Some(0)));
        lanes.get_mut(&place(0)).expect("a lane").busy = false;
        assert_eq!(took(&mut lanes, &[1, 2, 3, 4, 0], terms(20, 1)), (vec![(1, 1)], Some(1)), "alone");
        assert_eq!(
            took(&mut lanes, &[2, 3, 4, 0, 1], terms(20, 1)),
            (vec![(4, 0)], Some(4)),
            "its offset row"
        );
    }

    #[test]
    fn before_a_halt_only_what_failed_is_tried_again() {
        let mut lanes = lanes(&[2, 2, 2]);
        give_back(&mut lanes, 1);
        let only_again = Terms { only_again: true, ..terms(20, 1) };
        assert_eq!(took(&mut lanes, &[0, 1, 2], only_again).0, [(1, 1)]);
        assert_eq!(took(&mut lanes, &[0, 1, 2], only_again).0, []);
    }

    #[test]
    fn a_partition_with_a_hole_halts_and_those_before_it_keep_their_transaction() {
        let mut lanes = lanes(&[2, 0, 2]);
        let mut broken = batch(1, 0, 2);
        broken.entries[0].sequence = 9;
        lanes.get_mut(&place(1)).expect("a lane").push(broken);
        let taken = take(&mut lanes, &[place(0), place(1), place(2)], terms(20, 1));
        let Some(Work::Run(tasks)) = taken.work else { panic!("work") };
        assert_eq!((tasks.len(), tasks[0].source.partition), (1, 0));
        assert!(taken.halt.is_some_and(|halt| halt.to_string().contains("lt.a.live/1 are missing")));
        assert!(lanes[&place(1)].stance() == Stance::Waits && lanes[&place(1)].halted);
    }
}
