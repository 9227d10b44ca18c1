//! What a writer of the model does at its turn: claim, fence, read back, send, checkpoint, by the rules that are not left out.

use lienthong_log::rules::{
    Checkpoint, MarkKind, PositionRecord, Positions, Progress, ReadBack, RecordMark, Step, checkpoint_key,
};

use rand::Rng as _;

use super::{
    Body, Fault, Flying, PARTITIONS, Phase, Q, Sent, Set, TOPIC, WHO, Without, World, Writer, body, holds,
    id, partition_of, place, up_to_highest,
};

impl World {
    pub(super) fn step(&mut self, index: usize) -> Result<(), Fault> {
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

    fn claimed(&mut self, index: usize) -> Result<(), Fault> {
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

    fn fenced(&mut self, index: usize) -> Result<(), Fault> {
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
        writer.counter = checkpoint.as_ref().map_or(0, |known| known.body.counter);
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
    ) -> Result<Option<(u64, i64)>, Fault> {
        let writer = &mut self.writers[index];
        let mut rule = ReadBack::new(writer.epoch, checkpoint, TOPIC, partition as i32);
        if let Err(gap) = rule.check_retention(TOPIC, partition as i32, self.low[partition]) {
            // A slow writer may find that its successor's checkpoint has let retention pass; it stops either way.
            writer.alive = false;
            let epoch = writer.epoch;
            return if self.superseded(epoch) { Ok(None) } else { Err(gap.to_string().into()) };
        }
        let records = &self.partitions[partition];
        for (offset, (mark, event)) in records.iter().enumerate().skip(rule.start() as usize) {
            if self.without == Without::ReadingRuleInReadBack {
                writer.collected.extend(event.map(|sent| sent.event));
            }
            let text = event.map(|sent| id(sent.event));
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
                    return if known {
                        Ok(None)
                    } else {
                        Err(format!("a fence {claim} without its claim").into())
                    };
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

    fn run(&mut self, index: usize) -> Result<(), Fault> {
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
            self.forgotten |=
                if without == Without::SetInForget { up_to_highest(position) } else { position };
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
        let polled =
            if self.without == Without::SetInPoll { up_to_highest(writer.taken) } else { writer.taken };
        let there = self.visible & !self.forgotten & !polled;
        let Some(event) = (0..self.events).find(|event| holds(there, *event)) else { return };
        writer.taken |= 1 << event;
        if writer.collected.contains(&event) {
            return;
        }
        let target = place(partition_of(event));
        let sequence = writer.progress.give(&target, 1).unwrap();
        let mark = RecordMark { kind: MarkKind::Data, epoch: writer.epoch, sequence };
        writer.counter += 1;
        let epoch = if self.without == Without::EpochInCounter { 0 } else { writer.epoch };
        let sent = Sent { event, version: (epoch, writer.counter) };
        let number = writer.send(partition_of(event), Body::Record(mark, Some(sent)));
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
        let mark = writer.progress.mark();
        let made = writer.progress.checkpoint(&body(writer.taken, writer.counter), &mark);
        let key = match without {
            Without::SlotsPerEpoch => checkpoint_key(WHO, 0, 0),
            Without::SecondSlot => checkpoint_key(WHO, made.epoch, 0),
            _ => checkpoint_key(WHO, made.epoch, made.number),
        };
        let number = writer.send(Q, Body::Position(key, PositionRecord::Checkpoint(made)));
        writer.checkpoints.push_back((number, writer.taken));
    }
}

impl Writer {
    pub(super) fn send(&mut self, to: usize, body: Body) -> u64 {
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

    fn read_q(&mut self, q: &[Option<(String, PositionRecord)>], to: i64) -> Result<(), Fault> {
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
