//! One partition that this process holds: what waits, where the offset row stands, when to try again.

use std::collections::VecDeque;
use std::time::Duration;

use lienthong_contract::sink::{LanePartition, OffsetState};
use lienthong_log::{LogBatch, TopicPartition};
use rand::Rng as _;
use tokio::time::Instant;

use crate::backlog::{Backlog, Bounds, Unit, weight};
use crate::error::RouterError;
use crate::worker::Task;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A worker that was fenced looks again after this, when the partition is still its own.
const FENCED_PAUSE: Duration = Duration::from_millis(500);
/// Control records alone move the offset row this often.
const IDLE_WRITE: Duration = Duration::from_secs(1);

/// A consumer that is told to start elsewhere may have handed out something of the old place already.
const STRAYS: u8 = 4;

/// An attempt that fails within this time has done little but wait for its dependency: more than SQLite waits for a lock.
const WAITED: Duration = Duration::from_secs(6);

/// Since when a dependency has been away, by an attempt that began at `begun` and has just failed.
pub(crate) fn away_since(begun: Instant) -> Instant {
    if begun.elapsed() <= WAITED { begun } else { Instant::now() }
}

/// Waits between attempts.
#[derive(Debug)]
pub(crate) struct Backoff {
    pause: Duration,
    until: Option<Instant>,
    since: Option<Instant>,
    cause: Option<String>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { pause: FIRST_PAUSE, until: None, since: None, cause: None }
    }
}

impl Backoff {
    /// After a failure: exponential, with jitter so that many partitions do not come back at one instant.
    pub(crate) fn wait(&mut self, cause: String, begun: Instant) {
        let jitter = rand::rng().random_range(0.5..1.0);
        self.until = Some(Instant::now() + self.pause.mul_f64(jitter));
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        self.since.get_or_insert_with(|| away_since(begun));
        self.cause = Some(cause);
    }

    /// After a success.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn due(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() >= until)
    }

    /// Why it waits.
    pub(crate) fn cause(&self) -> Option<&String> {
        self.cause.as_ref()
    }

    /// Whether it has waited for so long.
    pub(crate) fn exhausted(&self, timeout: Option<Duration>) -> bool {
        self.since.zip(timeout).is_some_and(|(since, timeout)| since.elapsed() >= timeout)
    }
}

/// What a lane is doing.
enum Stage {
    /// The offset row has to be read.
    Unopened,
    /// Records come.
    Open(Box<Open>),
}

struct Open {
    backlog: Backlog,
    /// The offset row.
    row: Option<OffsetState>,
    /// Where the next batch must begin.
    reads_from: i64,
    /// How many batches may still begin later: they were under way when the partition was started again.
    strays: u8,
    /// Units that were cut and not committed, in order. Each is alone in its transaction, so that what it meets is its own.
    cut: VecDeque<Unit>,
    /// The first of them may have been committed nevertheless.
    doubtful: bool,
    /// State after control records that has not been written.
    unwritten: Option<OffsetState>,
    /// `None`: what is unwritten must not wait.
    written_at: Option<Instant>,
}

/// One partition that this process holds.
pub(crate) struct Lane {
    pub(crate) source: TopicPartition,
    pub(crate) name: LanePartition,
    /// Tells this holding of the partition from an earlier one.
    pub(crate) serial: u64,
    pub(crate) backoff: Backoff,
    /// A task is under way.
    pub(crate) busy: bool,
    /// Nothing more is done for it: the subscription is about to end because of it.
    pub(crate) halted: bool,
    /// The consumer was told to hold the partition back.
    pub(crate) paused: bool,
    bytes: usize,
    stage: Stage,
}

/// Whether a lane takes part in the next transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stance {
    /// It is busy, halted, or waits before another attempt.
    Waits,
    /// What it has to do is no other partition's business: to read the offset row, or to try a unit again.
    Alone,
    /// With the others, if it has anything.
    Joins,
}

/// What a lane wants done next.
pub(crate) enum Wish {
    /// Read the offset row.
    Open(LanePartition),
    /// Run a transaction.
    Run(Task),
}

impl Lane {
    pub(crate) fn new(subscription: &str, source: TopicPartition, serial: u64) -> Self {
        Self {
            name: lane_name(subscription, &source),
            source,
            serial,
            backoff: Backoff::default(),
            busy: false,
            halted: false,
            paused: false,
            bytes: 0,
            stage: Stage::Unopened,
        }
    }

    /// The offset row has been read; without one the partition begins at `start`.
    pub(crate) fn open(&mut self, row: Option<OffsetState>, start: OffsetState) -> OffsetState {
        let state = row.unwrap_or(start);
        // A beginning behind offset 0 is kept at once: the next holder must begin there too, whatever the log holds by then.
        let keep = row.is_none() && state != OffsetState::START;
        self.backoff.clear();
        self.bytes = 0;
        self.stage = Stage::Open(Box::new(Open {
            backlog: Backlog::new(state),
            row,
            reads_from: state.next_offset,
            strays: STRAYS,
            cut: VecDeque::new(),
            doubtful: false,
            unwritten: keep.then_some(state),
            written_at: (!keep).then(Instant::now),
        }));
        state
    }

    /// Another worker has moved the offset row: everything that this one knows is void.
    pub(crate) fn fenced(&mut self) {
        self.stage = Stage::Unopened;
        self.bytes = 0;
        self.backoff.clear();
        self.backoff.until = Some(Instant::now() + FENCED_PAUSE);
    }

    /// Records came. They count for nothing when the lane has been fenced in between: they come again.
    pub(crate) fn push(&mut self, batch: LogBatch) {
        let Stage::Open(open) = &mut self.stage else { return };
        if batch.from_offset > open.reads_from && open.strays > 0 {
            open.strays -= 1;
            return;
        }
        open.strays = 0;
        open.reads_from = open.reads_from.max(batch.next_offset);
        self.bytes += weight(&batch);
        open.backlog.push(batch);
    }

    /// Bytes that wait or are under way.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn ready(&self) -> bool {
        !self.busy && !self.halted && self.backoff.due()
    }

    /// Whether a unit that failed is tried again now.
    pub(crate) fn tries_again(&self) -> bool {
        matches!(&self.stage, Stage::Open(open) if !open.cut.is_empty()) && self.ready()
    }

    /// Who may take part. Waits end while one looks, so it is asked once per turn.
    pub(crate) fn stance(&self) -> Stance {
        match &self.stage {
            _ if !self.ready() => Stance::Waits,
            Stage::Open(open) if open.cut.is_empty() => Stance::Joins,
            Stage::Open(_) | Stage::Unopened => Stance::Alone,
        }
    }

    /// Events that wait and are not cut yet.
    pub(crate) fn waiting(&self) -> usize {
        match &self.stage {
            Stage::Open(open) if !self.busy => open.backlog.len(),
            Stage::Open(_) | Stage::Unopened => 0,
        }
    }

    /// As [`Self::take`], of a partition that may be waiting.
    #[cfg(test)]
    pub(crate) fn wish(&mut self, left: &mut Bounds, flush: bool) -> Result<Option<Wish>, RouterError> {
        if self.ready() { self.take(left, flush) } else { Ok(None) }
    }

    /// The next thing to do, if there is one, within what is left of a transaction. `flush`: control records are written now.
    pub(crate) fn take(&mut self, left: &mut Bounds, flush: bool) -> Result<Option<Wish>, RouterError> {
        let open = match &mut self.stage {
            Stage::Unopened => return Ok(Some(Wish::Open(self.name.clone()))),
            Stage::Open(open) => open,
        };
        let (unit, doubtful) = match open.cut.pop_front() {
            Some(unit) => (unit, std::mem::take(&mut open.doubtful)),
            None => {
                let (unit, freed) = open.next(left, flush)?;
                self.bytes = self.bytes.saturating_sub(freed);
                let Some(unit) = unit else { return Ok(None) };
                (unit, false)
            }
        };
        Ok(Some(Wish::Run(Task {
            source: self.source.clone(),
            lane: self.name.clone(),
            serial: self.serial,
            expected: open.row,
            unit,
            doubtful,
        })))
    }

    /// A transaction was committed.
    pub(crate) fn committed(&mut self, unit: &Unit) {
        self.backoff.clear();
        self.bytes = self.bytes.saturating_sub(unit.released);
        if let Stage::Open(open) = &mut self.stage {
            open.row = Some(unit.next);
            open.written_at = Some(Instant::now());
        }
    }

    /// A transaction failed; it is tried again later, after a look at the offset row.
    pub(crate) fn postpone(&mut self, unit: Unit, cause: String, begun: Instant) {
        self.backoff.wait(cause, begun);
        if let Stage::Open(open) = &mut self.stage {
            open.cut.push_front(unit);
            open.doubtful = true;
        }
    }

    /// A transaction of several partitions failed for certain, and whose fault it was is not known: the unit is tried again at once,
    /// alone.
    pub(crate) fn again(&mut self, unit: Unit) {
        if let Stage::Open(open) = &mut self.stage {
            open.cut.push_front(unit);
        }
    }

    /// A unit holds an event that cannot be delivered: its halves are tried in order, so that everything before the event is
    /// delivered. False when the unit is that one event.
    pub(crate) fn divide(&mut self, unit: Unit) -> bool {
        let Stage::Open(open) = &mut self.stage else { return true };
        match unit.halves(open.row) {
            Ok((first, second)) => {
                open.cut.push_front(second);
                open.cut.push_front(first);
                true
            }
            Err(_) => false,
        }
    }

    /// The offset row, once it is known.
    pub(crate) fn row(&self) -> Option<OffsetState> {
        match &self.stage {
            Stage::Unopened => None,
            Stage::Open(open) => open.row,
        }
    }

    /// Nothing waits and nothing is under way.
    pub(crate) fn idle(&self) -> bool {
        match &self.stage {
            Stage::Unopened => false,
            Stage::Open(open) => !self.busy && open.cut.is_empty() && open.backlog.is_empty(),
        }
    }
}

/// As the offset row names it.
pub(crate) fn lane_name(subscription: &str, source: &TopicPartition) -> LanePartition {
    LanePartition {
        subscription: subscription.to_owned(),
        topic: source.topic.to_string(),
        partition: source.partition,
    }
}

impl Open {
    /// The next unit, and the weight of batches that were used up before it without any event.
    fn next(&mut self, left: &mut Bounds, flush: bool) -> Result<(Option<Unit>, usize), RouterError> {
        let mut freed = 0;
        while !self.backlog.is_empty() {
            let unit = self.backlog.take(left)?;
            if !unit.is_empty() {
                self.unwritten = None;
                return Ok((Some(unit), freed));
            }
            freed += unit.released;
            if Some(unit.next) != self.row {
                self.unwritten = Some(unit.next);
            }
        }
        if !flush && self.written_at.is_some_and(|at| at.elapsed() < IDLE_WRITE) {
            return Ok((None, freed));
        }
        let unit = self.unwritten.take().map(|next| Unit { parts: Vec::new(), next, released: 0 });
        Ok((unit, freed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn batch(from_offset: i64) -> LogBatch {
        LogBatch {
            source: TopicPartition { topic: "lt.a.live".into(), partition: 0 },
            body: Bytes::new(),
            entries: Vec::new(),
            from_offset,
            next_offset: from_offset + 5,
            epoch: 1,
            sequence: 0,
            ignored: 0,
            heartbeat: Some(1),
        }
    }

    fn opened(next_offset: i64) -> Lane {
        let mut lane = Lane::new("a/b", batch(0).source, 1);
        lane.open(
            Some(OffsetState { next_offset, epoch: 1, sequence: 0, fresh_through: 0 }),
            OffsetState::START,
        );
        lane
    }

    const BOUNDS: Bounds = Bounds { rows: 10, bytes: 1_000 };

    fn next_offset(wish: Option<Wish>) -> Option<i64> {
        match wish {
            Some(Wish::Run(task)) => Some(task.unit.next.next_offset),
            Some(Wish::Open(_)) | None => None,
        }
    }

    #[test]
    fn what_was_under_way_before_a_restart_is_left_out_and_a_later_gap_halts() {
        let mut lane = opened(10);
        lane.push(batch(40));
        assert!(lane.idle(), "of the place before");
        lane.push(batch(10));
        assert_eq!(next_offset(lane.wish(&mut { BOUNDS }, true).expect("in order")), Some(15));
        lane.push(batch(40));
        let error = lane.wish(&mut { BOUNDS }, true).err().expect("a gap");
        assert!(error.to_string().contains("offsets 15 to 39 of lt.a.live/0 were not read"), "{error}");
    }

    #[test]
    fn a_consumer_that_never_comes_to_the_right_place_halts() {
        let mut lane = opened(10);
        for _ in 0..=STRAYS {
            lane.push(batch(40));
        }
        assert!(lane.wish(&mut { BOUNDS }, true).is_err());
    }

    #[test]
    fn a_beginning_behind_offset_0_is_written_at_once_although_nothing_has_come() {
        let start = OffsetState { next_offset: 10, epoch: 1, sequence: 4, fresh_through: 0 };
        let mut lane = Lane::new("a/b", batch(0).source, 1);
        assert_eq!(lane.open(None, start), start);
        assert_eq!(next_offset(lane.wish(&mut { BOUNDS }, false).expect("due")), Some(10));
        let mut lane = Lane::new("a/b", batch(0).source, 1);
        lane.open(None, OffsetState::START);
        assert_eq!(next_offset(lane.wish(&mut { BOUNDS }, true).expect("nothing")), None);
    }

    #[test]
    fn a_unit_that_failed_beside_others_is_tried_again_alone_until_it_is_committed() {
        let mut lane = opened(10);
        lane.push(batch(10));
        let Ok(Some(Wish::Run(Task { unit, .. }))) = lane.wish(&mut { BOUNDS }, true) else {
            panic!("a unit")
        };
        assert_ne!(lane.stance(), Stance::Alone);
        lane.again(unit);
        lane.push(batch(15));
        assert!(lane.stance() == Stance::Alone && lane.tries_again());
        let Ok(Some(Wish::Run(task))) = lane.wish(&mut { BOUNDS }, true) else { panic!("the same unit") };
        assert_eq!((task.unit.next.next_offset, task.doubtful), (15, false));
        lane.committed(&task.unit);
        assert_ne!(lane.stance(), Stance::Alone);
        assert_eq!(next_offset(lane.wish(&mut { BOUNDS }, true).expect("more")), Some(20));
    }

    #[test]
    fn a_fenced_lane_forgets_everything_and_reads_its_offset_row_again_later() {
        let mut lane = opened(10);
        lane.push(batch(10));
        lane.fenced();
        assert_eq!((lane.row(), lane.bytes()), (None, 0));
        assert!(lane.wish(&mut { BOUNDS }, true).expect("waits").is_none(), "not at once");
        lane.push(batch(15));
        assert!(!lane.idle(), "not until it is open");
        lane.backoff.clear();
        assert!(matches!(lane.wish(&mut { BOUNDS }, true), Ok(Some(Wish::Open(_)))));
    }
}
