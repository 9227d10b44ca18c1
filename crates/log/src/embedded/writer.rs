//! One participant's writer.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use lienthong_contract::participant::ParticipantId;
use rusqlite::Connection;

use super::append::{Kind, Run, append};
use super::clock::now_micros;
use super::fault::{Fault, damaged};
use super::file::{Durability, immediate};
use super::topics::{Lane, lanes};
use super::{Inner, blocking, positions, read, retention};
use crate::api::{CheckpointBody, ForgetLeave, LogError, Recovered, TopicPartition, Writer, WriterError};
use crate::marks::{is_family_topic, is_live_topic};
use crate::record::{Batch, RecordRef};
use crate::rules::{Broken, Checkpoint, Mark, Progress, ReadBack, RecordMark, Step};

/// A writer looks after retention this often.
const MAINTAIN_EVERY: Duration = Duration::from_secs(10);

/// See [`Writer`].
pub(super) struct EmbeddedWriter {
    inner: Arc<Inner>,
    sql: Connection,
    participant: String,
    epoch: i64,
    lanes: BTreeMap<TopicPartition, Lane>,
    progress: Progress,
    /// Any error ends a writer for good.
    ended: bool,
    maintained: Instant,
}

impl EmbeddedWriter {
    /// Claims, fences every lane in the same transaction, reads back.
    pub(super) fn open(
        inner: Arc<Inner>,
        participant: &ParticipantId,
        topics: &[String],
    ) -> Result<(Self, Recovered), WriterError> {
        if let Some(side) = topics.iter().find(|topic| !is_family_topic(topic)) {
            return Err(LogError::Topic {
                problem: format!("{side} is no family topic"),
                fix: "a writer holds topics that end in .live or .bulk; use publish for side topics".into(),
            }
            .into());
        }
        blocking(|| {
            let mut sql = inner.connect(Durability::Full)?;
            let opened = Self::claim(&mut sql, &inner, participant.as_str(), topics);
            let (lanes, progress, recovered) = opened.map_err(|fault| fault.into_writer(&inner.path))?;
            let writer = Self {
                inner,
                sql,
                participant: participant.to_string(),
                epoch: recovered.epoch,
                lanes,
                progress,
                ended: false,
                maintained: Instant::now(),
            };
            Ok((writer, recovered))
        })
    }

    #[allow(clippy::type_complexity, reason = "three parts of one writer, named where they are taken apart")]
    fn claim(
        sql: &mut Connection,
        inner: &Inner,
        participant: &str,
        topics: &[String],
    ) -> Result<(BTreeMap<TopicPartition, Lane>, Progress, Recovered), Fault> {
        let transaction = immediate(sql)?;
        let epoch = positions::claim(&transaction, participant, now_micros())?;
        let mut held = lanes(&transaction, topics.iter().map(String::as_str))?;
        let history = positions::history(&transaction, participant)?;
        let checkpoint = history.newest_valid().cloned();
        for lane in &mut held {
            let TopicPartition { topic, partition } = &lane.source;
            if lane.epoch >= epoch {
                return Err(Broken::fence_without_claim(topic, *partition, lane.epoch, epoch).into());
            }
            if let Some(checkpoint) = &checkpoint {
                let count = held_partitions(&transaction, topic)?;
                checkpoint.check_partitions(topic, count)?;
            }
            transaction
                .prepare_cached("update lane set epoch = ?2 where id = ?1")?
                .execute([lane.id, epoch])?;
            lane.epoch = epoch;
        }
        // From here on nothing of former writers can land: the rest needs no lock.
        transaction.commit()?;
        let mut progress = Progress::new(participant, epoch, checkpoint.as_ref());
        let mut collected = HashSet::new();
        for lane in &held {
            collected.extend(read_back(sql, inner, lane, checkpoint.as_ref())?);
            progress.open(lane.source.clone(), lane.next_offset - 1, lane.sequence);
        }
        let mut partitions = BTreeMap::new();
        for lane in &held {
            *partitions.entry(Arc::clone(&lane.source.topic)).or_default() += 1;
        }
        let lanes = held.into_iter().map(|lane| (lane.source.clone(), lane)).collect();
        let mark = Mark::of(checkpoint.as_ref());
        let recovered =
            Recovered { epoch, checkpoint: checkpoint.map(|known| known.body), collected, mark, partitions };
        Ok((lanes, progress, recovered))
    }

    /// Runs one write transaction under this writer's epoch; ends the writer when it fails.
    fn write<T>(&mut self, work: impl FnOnce(&mut Work<'_>) -> Result<T, Fault>) -> Result<T, WriterError> {
        if self.ended {
            return Err(WriterError::Lost("this writer has ended; open another one".into()));
        }
        let done = blocking(|| -> Result<T, Fault> {
            let transaction = immediate(&mut self.sql)?;
            positions::refuse_fenced(&transaction, &self.participant, self.epoch)?;
            let mut work_place = Work {
                sql: &transaction,
                inner: &self.inner,
                lanes: &mut self.lanes,
                progress: &mut self.progress,
            };
            let done = work(&mut work_place)?;
            transaction.commit()?;
            Ok(done)
        });
        self.ended = done.is_err();
        done.map_err(|fault| fault.into_writer(&self.inner.path))
    }

    fn maintain_sometimes(&mut self) {
        if self.maintained.elapsed() < MAINTAIN_EVERY {
            return;
        }
        self.maintained = Instant::now();
        let bound = self.inner.options.retention_bytes;
        let done = blocking(|| retention::maintain(&mut self.sql, bound, now_micros()));
        if let Err(fault) = done {
            // What was appended is durable; the next round or the next append will meet the same trouble and say so.
            let error = fault.into_log(&self.inner.path);
            tracing::warn!(participant = %self.participant, %error, "retention could not be applied to the log");
        }
    }
}

/// What a transaction works on.
struct Work<'a> {
    sql: &'a Connection,
    inner: &'a Inner,
    lanes: &'a mut BTreeMap<TopicPartition, Lane>,
    progress: &'a mut Progress,
}

impl Work<'_> {
    fn append(&mut self, target: &TopicPartition, run: &Run<'_>) -> Result<(), Fault> {
        let lane = self.lanes.get_mut(target).ok_or_else(|| {
            let TopicPartition { topic, partition } = target;
            WriterError::Lost(format!("{topic}/{partition} is no partition of this writer"))
        })?;
        append(self.sql, &self.inner.path, lane, run)?;
        self.progress.give(target, u64::from(run.count));
        self.progress.acked_run(target, u64::from(run.count), lane.sequence, lane.next_offset - 1);
        Ok(())
    }
}

fn held_partitions(sql: &Connection, topic: &str) -> Result<i32, Fault> {
    let mut statement = sql.prepare_cached("select partitions from topic where name = ?1")?;
    Ok(statement.query_row([topic], |row| row.get(0))?)
}

/// Ids accepted in one lane since the checkpoint, by the same rule as with Kafka; the own fence stands, as it were, at the end.
fn read_back(
    sql: &Connection,
    inner: &Inner,
    lane: &Lane,
    checkpoint: Option<&Checkpoint>,
) -> Result<HashSet<Box<str>>, Fault> {
    let TopicPartition { topic, partition } = &lane.source;
    let mut rule = ReadBack::new(lane.epoch, checkpoint, topic, *partition);
    rule.check_retention(topic, *partition, lane.low)?;
    let start = rule.start();
    if start > lane.next_offset {
        return Err(Broken::new(
            format!("{topic}/{partition} ends at {}, before the last checkpoint's {start}", lane.next_offset),
            "the file was replaced by an older copy: put the right one in its place",
        )
        .into());
    }
    let mut newer = None;
    let scanned = read::scan(sql, &inner.path, lane, start, |stored| {
        let mut at = 0;
        for index in 0..stored.count {
            let offset = stored.base_offset + index;
            let mut id = None;
            if stored.kind == Kind::Events {
                let (record, next) = RecordRef::read(stored.body, at)
                    .map_err(|_| damaged(&inner.path, "a batch is not in the log's layout"))?;
                at = next;
                id = record.header(lienthong_contract::event::header::ID);
            }
            // The own records may stand behind the end that was seen at the claim, when another thread reads later.
            if offset < start || offset >= lane.next_offset {
                continue;
            }
            let id = id.and_then(|id| std::str::from_utf8(id).ok());
            if let Step::Newer(epoch) = rule.observe(offset, stored.mark(index), id)? {
                newer = Some(epoch);
            }
        }
        Ok(newer.is_none())
    });
    if let Err(fault) = scanned {
        // Retention by another process may have passed since the claim: then the gap is what is wrong, not the file.
        rule.check_retention(topic, *partition, super::topics::lane(sql, &lane.source)?.low)?;
        return Err(fault);
    }
    if let Some(claim) = newer {
        return Err(Broken::fence_without_claim(topic, *partition, claim, lane.epoch).into());
    }
    let own = RecordMark { kind: crate::rules::MarkKind::Fence, epoch: lane.epoch, sequence: 0 };
    rule.observe(lane.next_offset, Some(own), None)?;
    if rule.sequence() != lane.sequence {
        return Err(
            damaged(&inner.path, &format!("{topic}/{partition} has lost records before its end")).into()
        );
    }
    Ok(rule.into_collected())
}

#[async_trait]
impl Writer for EmbeddedWriter {
    async fn append(&mut self, batch: &Batch) -> Result<(), WriterError> {
        if batch.is_empty() {
            return Ok(());
        }
        let append_time = now_micros();
        self.write(|work| {
            for part in batch.parts.iter().filter(|part| part.count > 0) {
                let run = Run {
                    kind: Kind::Events,
                    count: part.count,
                    times: part.times,
                    append_time,
                    body: &part.body,
                };
                work.append(&part.target, &run)?;
            }
            Ok(())
        })?;
        self.inner.appended.notify_waiters();
        self.maintain_sometimes();
        Ok(())
    }

    async fn heartbeat(&mut self, time: i64) -> Result<(), WriterError> {
        let live: Vec<TopicPartition> =
            self.lanes.keys().filter(|source| is_live_topic(&source.topic)).cloned().collect();
        let append_time = now_micros();
        self.write(|work| {
            for target in &live {
                let run =
                    Run { kind: Kind::Heartbeat, count: 1, times: (time, time), append_time, body: &[] };
                work.append(target, &run)?;
            }
            Ok(())
        })?;
        self.inner.appended.notify_waiters();
        self.maintain_sometimes();
        Ok(())
    }

    fn mark(&self) -> Mark {
        self.progress.mark()
    }

    async fn checkpoint_at(
        &mut self,
        body: &CheckpointBody,
        mark: &Mark,
    ) -> Result<ForgetLeave, WriterError> {
        // No claim can come between the look at the epoch and the commit, so that the re-read of `lt.positions` is implied.
        self.write(|work| positions::checkpoint(work.sql, work.progress.checkpoint(body, mark)))?;
        Ok(ForgetLeave(()))
    }

    async fn fenced(&mut self) -> Result<bool, WriterError> {
        let highest = blocking(|| positions::highest_claim(&self.sql, &self.participant));
        let highest = highest.map_err(|fault| fault.into_writer(&self.inner.path))?;
        Ok(highest > self.epoch)
    }

    fn epoch(&self) -> i64 {
        self.epoch
    }
}
