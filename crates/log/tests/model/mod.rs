//! The in-memory log of the fencing model: writers, a source and a log to which random things happen.

mod writer;

use std::collections::{BTreeMap, HashSet, VecDeque};

use lienthong_contract::position::Lineage;
use lienthong_log::rules::{
    Claim, Judgement, MarkKind, PositionRecord, Positions, Progress, ReadBack, Reader, RecordMark, claim_key,
};
use lienthong_log::{CheckpointBody, TopicPartition};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const WHO: &str = "moj.civil-status";
const TOPIC: &str = "lt.model.live";
const PARTITIONS: usize = 2;
/// Source rows; the events of one row become visible in order, and one row's events go to one partition.
const ROWS: usize = 3;
const Q: usize = PARTITIONS;

/// Rules that a run can leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Without {
    #[default]
    Nothing,
    Fences,
    ReadBack,
    OwnFenceAckedBeforeReadBack,
    ReadingRuleInReadBack,
    ValidityOfCheckpoints,
    CoverOfCollectedIds,
    SlotsPerEpoch,
    SecondSlot,
    RereadBeforeForgetting,
    RereadBeforeNextCheckpoint,
    HighestFence,
    EndAfterALostRecord,
    AcksInS,
    EpochInCounter,
    SetInPoll,
    SetInForget,
}

/// What went wrong in a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Readers accepted an event twice.
    Doubled(String),
    /// Readers accepted a row's events in another order than the source's.
    Disordered(String),
    /// An event is nowhere: the source has forgotten it, or the last writer takes it for read.
    Lost(String),
    /// A subscriber's version guard would refuse an event that is newer.
    LooksOlder(String),
    /// A writer halts although nothing is wrong with the log.
    Halted(String),
}

impl From<String> for Fault {
    fn from(problem: String) -> Self {
        Self::Halted(problem)
    }
}

/// An event as it was sent: its `ce_sequence` is what a subscriber's version guard compares.
#[derive(Clone, Copy)]
struct Sent {
    event: usize,
    /// Writer epoch and the counter kept in the checkpoint.
    version: (i64, u64),
}

#[derive(Clone)]
enum Body {
    Position(String, PositionRecord),
    Record(RecordMark, Option<Sent>),
}

/// On its way to the log: to Q or to a partition.
struct Flying {
    to: usize,
    number: u64,
    body: Body,
}

enum Phase {
    Claiming,
    Fencing,
    Running,
}

struct Writer {
    alive: bool,
    phase: Phase,
    epoch: i64,
    /// Per destination, in order.
    flying: Vec<VecDeque<Flying>>,
    sent: u64,
    acks: BTreeMap<u64, i64>,
    failed: bool,
    fences: Vec<u64>,
    waiting: Vec<(u64, TopicPartition, u64)>,
    positions: Positions,
    read_q_to: i64,
    progress: Progress,
    collected: HashSet<usize>,
    /// What has been read of the source.
    taken: Set,
    /// Behind the events' `ce_sequence`.
    counter: u64,
    checkpoints: VecDeque<(u64, Set)>,
    checkpointed: Set,
}

/// A set of events, one bit each: a position.
type Set = u32;

fn holds(set: Set, event: usize) -> bool {
    set & (1 << event) != 0
}

/// What a position that knows only its highest id would take for read.
fn up_to_highest(set: Set) -> Set {
    set.checked_ilog2().map_or(0, |highest| (2 << highest) - 1)
}

pub(crate) struct World {
    pub(crate) rng: StdRng,
    without: Without,
    events: usize,
    /// Committed at the source.
    visible: Set,
    /// Gone from the source.
    forgotten: Set,
    /// `None`: taken by compaction.
    q: Vec<Option<(String, PositionRecord)>>,
    partitions: Vec<Vec<(RecordMark, Option<Sent>)>>,
    /// Oldest offset that retention has left, per partition.
    low: Vec<i64>,
    writers: Vec<Writer>,
}

fn place(partition: usize) -> TopicPartition {
    TopicPartition { topic: TOPIC.into(), partition: partition as i32 }
}

fn id(event: usize) -> String {
    format!("e{event}")
}

fn partition_of(event: usize) -> usize {
    event % ROWS % PARTITIONS
}

fn body(position: Set, counter: u64) -> CheckpointBody {
    CheckpointBody {
        position: position.to_string(),
        lineage: Lineage { parts: Vec::new() },
        lineage_epoch: 1,
        counter,
    }
}

impl World {
    pub(crate) fn new(seed: u64, without: Without) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let events = rng.random_range(2..8);
        Self {
            rng,
            without,
            events,
            visible: 0,
            forgotten: 0,
            q: Vec::new(),
            partitions: vec![Vec::new(); PARTITIONS],
            low: vec![0; PARTITIONS],
            writers: Vec::new(),
        }
    }

    pub(crate) fn start_writer(&mut self) {
        let mut writer = Writer {
            alive: true,
            phase: Phase::Claiming,
            epoch: -1,
            flying: (0..=PARTITIONS).map(|_| VecDeque::new()).collect(),
            sent: 0,
            acks: BTreeMap::new(),
            failed: false,
            fences: Vec::new(),
            waiting: Vec::new(),
            positions: Positions::new(WHO),
            read_q_to: -1,
            progress: Progress::new(WHO, -1, None),
            collected: HashSet::new(),
            taken: 0,
            counter: 0,
            checkpoints: VecDeque::new(),
            checkpointed: 0,
        };
        let key = claim_key(WHO, &self.writers.len().to_string());
        let claim = PositionRecord::Claim(Claim { participant: WHO.into(), time: 0 });
        writer.send(Q, Body::Position(key, claim));
        self.writers.push(writer);
    }

    /// The record at the head of a writer's way to one destination lands, or is lost.
    fn land(&mut self, writer: usize, to: usize, lost: bool) {
        let Some(flying) = self.writers[writer].flying[to].pop_front() else { return };
        if lost {
            self.writers[writer].failed = true;
            if self.without == Without::EndAfterALostRecord {
                // Nobody looks at the delivery's error.
                let end = if flying.to == Q { self.q.len() } else { self.partitions[flying.to].len() };
                self.writers[writer].acks.insert(flying.number, end as i64 - 1);
            }
            return;
        }
        let offset = match flying.body {
            Body::Position(key, record) => {
                self.q.push(Some((key, record)));
                self.q.len() - 1
            }
            Body::Record(mark, event) => {
                self.partitions[flying.to].push((mark, event));
                self.partitions[flying.to].len() - 1
            }
        };
        self.writers[writer].acks.insert(flying.number, offset as i64);
    }

    /// Takes away a random record of which a newer one with the same key is there.
    fn compact(&mut self) {
        if self.q.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..self.q.len());
        let newer = |key: &str| self.q[at + 1..].iter().flatten().any(|(other, _)| other == key);
        if self.q[at].as_ref().is_some_and(|(key, _)| newer(key)) {
            self.q[at] = None;
        }
    }

    /// Retention takes what the newest valid checkpoint covers; it never passes one.
    fn retain(&mut self) {
        let mut positions = Positions::new(WHO);
        for (offset, record) in self.q.iter().enumerate() {
            if let Some((_, record)) = record
                && positions.observe(offset as i64, record.clone()).is_err()
            {
                return;
            }
        }
        let Some(checkpoint) = positions.newest_valid() else { return };
        for partition in 0..PARTITIONS {
            let start = ReadBack::new(i64::MAX, Some(checkpoint), TOPIC, partition as i32).start();
            self.low[partition] = self.low[partition].max(start);
        }
    }

    /// One random thing happens.
    pub(crate) fn chance(&mut self) -> Result<(), Fault> {
        let writers = self.writers.len();
        match self.rng.random_range(0..100) {
            0..4 if writers < 4 => self.start_writer(),
            4..50 if writers > 0 => {
                let index = self.rng.random_range(0..writers);
                // Nobody steps for others: who is not chosen is paused.
                self.step(index)?;
            }
            50..90 if writers > 0 => {
                let (index, to) = (self.rng.random_range(0..writers), self.rng.random_range(0..=PARTITIONS));
                let lost = self.rng.random_bool(0.03);
                self.land(index, to, lost);
            }
            90..92 if writers > 0 => {
                let index = self.rng.random_range(0..writers);
                self.writers[index].alive = false;
            }
            92..95 => self.compact(),
            95..96 => self.retain(),
            96..100 => self.commit(),
            _ => {}
        }
        self.check(false)
    }

    /// A random transaction becomes visible; of one row, the earlier change first.
    fn commit(&mut self) {
        let event = self.rng.random_range(0..self.events);
        if (event % ROWS..event).step_by(ROWS).all(|earlier| holds(self.visible, earlier)) {
            self.visible |= 1 << event;
        }
    }

    /// A last writer runs to the end, among zombies.
    pub(crate) fn finish(&mut self) -> Result<(), Fault> {
        self.start_writer();
        let all: Set = (1 << self.events) - 1;
        self.visible = all;
        for _ in 0..4000 {
            // A zombie's claim may land late, too, and fence the last writer by right: then there is one more.
            if self.writers.last().is_none_or(|writer| !writer.alive) {
                self.start_writer();
            }
            let last = self.writers.len() - 1;
            for to in [Q, 0, 1] {
                self.land(last, to, false);
            }
            self.step(last)?;
            let zombie = self.rng.random_range(0..=last);
            if zombie != last {
                let (to, lost) = (self.rng.random_range(0..=PARTITIONS), self.rng.random_bool(0.3));
                self.land(zombie, to, lost);
                self.step(zombie)?;
            }
            self.compact();
            if self.rng.random_bool(0.2) {
                self.retain();
            }
            if self.forgotten == all && self.writers[last].checkpointed == all {
                break;
            }
        }
        self.check(true)
    }

    /// What readers have accepted so far is a prefix of the source's order, and all of it that the source forgot.
    fn check(&self, whole: bool) -> Result<(), Fault> {
        for partition in 0..PARTITIONS {
            let mut reader = Reader::START;
            let mut accepted: Vec<Sent> = Vec::new();
            for (mark, event) in &self.partitions[partition] {
                if self.without == Without::HighestFence && mark.kind == MarkKind::Fence {
                    reader.epoch = mark.epoch;
                }
                if reader.judge(*mark) == Judgement::Accept {
                    accepted.extend(event);
                }
            }
            let source: Vec<usize> =
                (0..self.events).filter(|event| partition_of(*event) == partition).collect();
            // A subscriber's version guard refuses what is not newer than the row's last event.
            let versions_rise = (0..ROWS).all(|row| {
                let of_row = accepted.iter().filter(|sent| sent.event % ROWS == row);
                of_row.map(|sent| sent.version).is_sorted_by(|older, newer| older < newer)
            });
            let accepted: Vec<usize> = accepted.iter().map(|sent| sent.event).collect();
            let what = || {
                format!("partition {partition}: {accepted:?} of {source:?}, forgotten {:b}", self.forgotten)
            };
            if accepted.iter().collect::<HashSet<_>>().len() != accepted.len() {
                return Err(Fault::Doubled(what()));
            }
            if !(0..ROWS).all(|row| accepted.iter().filter(|event| **event % ROWS == row).is_sorted()) {
                return Err(Fault::Disordered(what()));
            }
            if !versions_rise {
                return Err(Fault::LooksOlder(what()));
            }
            let missing = source.iter().find(|event| !accepted.contains(event));
            if missing.is_some_and(|event| whole || holds(self.forgotten, *event)) {
                return Err(Fault::Lost(what()));
            }
        }
        Ok(())
    }
}
