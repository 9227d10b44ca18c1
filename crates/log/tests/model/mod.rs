//! The in-memory log of the fencing model: writers, a source and a log to which random things happen.

use std::collections::{BTreeMap, HashSet, VecDeque};

use lienthong_contract::position::Lineage;
use lienthong_log::rules::{
    Checkpoint, Claim, Judgement, MarkKind, PositionRecord, Positions, Progress, ReadBack, Reader,
    RecordMark, Step, checkpoint_key, claim_key,
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
}

#[derive(Clone)]
enum Body {
    Position(String, PositionRecord),
    Record(RecordMark, Option<usize>),
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
    checkpoints: VecDeque<(u64, Set)>,
    checkpointed: Set,
}

/// A set of events, one bit each: a position.
type Set = u32;

fn holds(set: Set, event: usize) -> bool {
    set & (1 << event) != 0
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
    partitions: Vec<Vec<(RecordMark, Option<usize>)>>,
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

fn body(position: Set) -> CheckpointBody {
    CheckpointBody {
        position: position.to_string(),
        lineage: Lineage { parts: Vec::new() },
        lineage_epoch: 1,
        counter: 0,
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

    fn step(&mut self, index: usize) -> Result<(), String> {
        if !self.writers[index].alive {
            return Ok(());
        }
        if self.writers[index].failed && self.without != Without::EndAfterALostRecord {
            self.writers[index].alive = false;
            return Ok(());
        }
        match self.writers[index].phase {
            Phase::Claiming => self.claimed(index),
            Phase::Fencing => self.fenced(index),
            Phase::Running => self.run(index),
        }
    }

    fn claimed(&mut self, index: usize) -> Result<(), String> {
        let writer = &mut self.writers[index];
        let Some(epoch) = writer.acks.get(&0).copied() else { return Ok(()) };
        writer.epoch = epoch;
        if self.without != Without::Fences {
            for partition in 0..PARTITIONS {
                let mark = RecordMark { kind: MarkKind::Fence, epoch, sequence: 0 };
                let number = writer.send(partition, Body::Record(mark, None));
                writer.fences.push(number);
            }
        }
        writer.phase = Phase::Fencing;
        Ok(())
    }

    fn fenced(&mut self, index: usize) -> Result<(), String> {
        let writer = &mut self.writers[index];
        let acked = writer.fences.iter().all(|number| writer.acks.contains_key(number));
        if !acked && self.without != Without::OwnFenceAckedBeforeReadBack {
            return Ok(());
        }
        let epoch = writer.epoch;
        writer.read_q(&self.q, epoch)?;
        let checkpoint = newest(&self.q, &writer.positions, epoch, self.without);
        let start: Set = checkpoint.as_ref().map_or(0, |known| known.body.position.parse().unwrap());
        writer.progress = Progress::new(WHO, epoch, checkpoint.as_ref());
        writer.taken = start;
        writer.checkpointed = start;
        for partition in 0..PARTITIONS {
            match self.read_back(index, partition, checkpoint.as_ref())? {
                None => return Ok(()),
                Some((sequence, fence)) => {
                    self.writers[index].progress.open(place(partition), fence, sequence)
                }
            }
        }
        self.writers[index].phase = Phase::Running;
        Ok(())
    }

    /// Last sequence and own fence; `None` when a newer writer was met.
    fn read_back(
        &mut self,
        index: usize,
        partition: usize,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Option<(u64, i64)>, String> {
        let writer = &mut self.writers[index];
        let mut rule = ReadBack::new(writer.epoch, checkpoint, TOPIC, partition as i32);
        if let Err(gap) = rule.check_retention(TOPIC, partition as i32, self.low[partition]) {
            // A slow writer may find that its successor's checkpoint has let retention pass; it stops either way.
            writer.alive = false;
            let epoch = writer.epoch;
            return if self.superseded(epoch) { Ok(None) } else { Err(gap.to_string()) };
        }
        let records = &self.partitions[partition];
        for (offset, (mark, event)) in records.iter().enumerate().skip(rule.start() as usize) {
            if self.without == Without::ReadingRuleInReadBack {
                writer.collected.extend(event);
            }
            let text = event.map(id);
            match rule
                .observe(offset as i64, Some(*mark), text.as_deref())
                .map_err(|broken| broken.to_string())?
            {
                Step::More => {}
                Step::Done => break,
                Step::Newer(claim) => {
                    writer.alive = false;
                    let known =
                        matches!(self.q.get(claim as usize), Some(Some((_, PositionRecord::Claim(_)))));
                    return if known { Ok(None) } else { Err(format!("a fence {claim} without its claim")) };
                }
            }
        }
        let found = (rule.sequence(), rule.fence().unwrap_or(records.len() as i64 - 1));
        if self.without != Without::ReadBack {
            let ids = rule.into_collected();
            writer.collected.extend(ids.iter().map(|id| id[1..].parse::<usize>().unwrap()));
        }
        Ok(Some(found))
    }

    fn superseded(&self, epoch: i64) -> bool {
        let newer = self.q.iter().skip(epoch as usize + 1);
        newer.flatten().any(|(_, record)| matches!(record, PositionRecord::Claim(_)))
    }

    fn run(&mut self, index: usize) -> Result<(), String> {
        let without = self.without;
        let writer = &mut self.writers[index];
        writer.take_acks();
        if let Some((number, position)) = writer.checkpoints.front().copied()
            && let Some(offset) = writer.acks.get(&number).copied()
        {
            writer.checkpoints.pop_front();
            writer.read_q(&self.q, offset)?;
            let newer = writer.positions.superseded(writer.epoch).is_some();
            if newer && without != Without::RereadBeforeForgetting {
                writer.alive = false;
                return Ok(());
            }
            writer.checkpointed = position;
            self.forgotten |= position;
            return Ok(());
        }
        if self.rng.random_bool(0.4) {
            self.send_checkpoint(index);
        } else {
            self.send_event(index);
        }
        Ok(())
    }

    fn send_event(&mut self, index: usize) {
        let writer = &mut self.writers[index];
        // The source no longer has what was forgotten.
        let there = self.visible & !self.forgotten & !writer.taken;
        let Some(event) = (0..self.events).find(|event| holds(there, *event)) else { return };
        writer.taken |= 1 << event;
        if writer.collected.contains(&event) {
            return;
        }
        let target = place(partition_of(event));
        let sequence = writer.progress.give(&target, 1).unwrap();
        let mark = RecordMark { kind: MarkKind::Data, epoch: writer.epoch, sequence };
        let number = writer.send(partition_of(event), Body::Record(mark, Some(event)));
        writer.waiting.push((number, target, sequence));
    }

    fn send_checkpoint(&mut self, index: usize) {
        let without = self.without;
        let writer = &mut self.writers[index];
        let covers = writer.collected.iter().all(|event| holds(writer.taken, *event));
        if (!writer.progress.settled() && without != Without::AcksInS)
            || (!covers && without != Without::CoverOfCollectedIds)
            || (!writer.checkpoints.is_empty() && without != Without::RereadBeforeNextCheckpoint)
        {
            return;
        }
        let made = writer.progress.checkpoint(&body(writer.taken));
        let key = match without {
            Without::SlotsPerEpoch => checkpoint_key(WHO, 0, 0),
            Without::SecondSlot => checkpoint_key(WHO, made.epoch, 0),
            _ => checkpoint_key(WHO, made.epoch, made.number),
        };
        let number = writer.send(Q, Body::Position(key, PositionRecord::Checkpoint(made)));
        writer.checkpoints.push_back((number, writer.taken));
    }

    /// One random thing happens.
    pub(crate) fn chance(&mut self) -> Result<(), String> {
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
    pub(crate) fn finish(&mut self) -> Result<(), String> {
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
    fn check(&self, whole: bool) -> Result<(), String> {
        for partition in 0..PARTITIONS {
            let mut reader = Reader::START;
            let mut accepted = Vec::new();
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
            let once = accepted.iter().collect::<HashSet<_>>().len() == accepted.len();
            let ordered =
                (0..ROWS).all(|row| accepted.iter().filter(|event| **event % ROWS == row).is_sorted());
            if !once || !ordered || (whole && source.len() != accepted.len()) {
                return Err(format!("partition {partition}: {accepted:?} of {source:?}"));
            }
            if source.iter().any(|event| holds(self.forgotten, *event) && !accepted.contains(event)) {
                return Err(format!(
                    "partition {partition}: forgotten {:b} with {accepted:?}",
                    self.forgotten
                ));
            }
        }
        Ok(())
    }
}

impl Writer {
    fn send(&mut self, to: usize, body: Body) -> u64 {
        let number = self.sent;
        self.sent += 1;
        self.flying[to].push_back(Flying { to, number, body });
        number
    }

    fn take_acks(&mut self) {
        let Self { waiting, acks, progress, .. } = self;
        waiting.retain(|(number, target, sequence)| match acks.get(number) {
            Some(offset) => {
                progress.acked(target, *sequence, *offset);
                false
            }
            None => true,
        });
    }

    fn read_q(&mut self, q: &[Option<(String, PositionRecord)>], to: i64) -> Result<(), String> {
        for offset in self.read_q_to + 1..=to {
            if let Some((_, record)) = &q[offset as usize] {
                self.positions.observe(offset, record.clone()).map_err(|broken| broken.to_string())?;
            }
        }
        self.read_q_to = to;
        Ok(())
    }
}

fn newest(
    q: &[Option<(String, PositionRecord)>],
    positions: &Positions,
    own: i64,
    without: Without,
) -> Option<Checkpoint> {
    if without != Without::ValidityOfCheckpoints {
        return positions.newest_valid().cloned();
    }
    q[..own as usize].iter().flatten().rev().find_map(|(_, record)| match record {
        PositionRecord::Checkpoint(checkpoint) => Some(checkpoint.clone()),
        PositionRecord::Claim(_) => None,
    })
}
