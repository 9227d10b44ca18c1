//! One participant's writer: claim, fence, read back, append, checkpoint.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::Utc;
use lienthong_contract::event::header;
use lienthong_contract::participant::ParticipantId;

use super::client::{Shared, lost, on_thread, try_on_thread};
use super::positions::{self, Tail, recreated};
use super::read_back::read_back;
use super::sender::{Outgoing, Sender, headers};
use crate::api::{CheckpointBody, ForgetLeave, LogError, Recovered, TopicPartition, Writer, WriterError};
use crate::control::{
    ControlFacts, ControlRecord, FENCE_NAME, FENCE_SCHEMA, HEARTBEAT_NAME, HEARTBEAT_SCHEMA,
};
use crate::marks::{is_family_topic, is_live_topic};
use crate::record::{Batch, RecordRef};
use crate::rules::{
    Checkpoint, Claim, Mark, PositionRecord, Progress, checkpoint_key, claim_key, milestone_key,
};

/// Slot of `lt.positions` in the sender; the writer's partitions come after it.
const POSITIONS: usize = 0;

/// Where a partition's records go.
struct Target {
    /// Topic in the cluster.
    physical: String,
    slot: usize,
}

/// See [`Writer`].
pub(super) struct KafkaWriter {
    shared: Arc<Shared>,
    sender: Sender,
    participant: ParticipantId,
    epoch: i64,
    home: TopicPartition,
    targets: BTreeMap<TopicPartition, Target>,
    /// Ids of the heartbeats' schema, per live topic.
    heartbeats: BTreeMap<Arc<str>, u32>,
    progress: Progress,
    tail: Arc<Mutex<Option<Tail>>>,
    /// Key of the newest milestone.
    milestone: Option<String>,
    /// Any error ends a writer for good, and so does an append that its caller did not wait for.
    ended: bool,
}

/// What must be known before the claim, so that a writer which cannot run fences nobody.
struct Plan {
    home: TopicPartition,
    partitions: BTreeMap<Arc<str>, i32>,
    fences: BTreeMap<Arc<str>, u32>,
    heartbeats: BTreeMap<Arc<str>, u32>,
}

impl KafkaWriter {
    /// Claims, fences every partition, reads back.
    pub(super) async fn open(
        shared: Arc<Shared>,
        participant: &ParticipantId,
        topics: &[String],
    ) -> Result<(Self, Recovered), WriterError> {
        let plan = plan(&shared, participant, topics).await?;
        let sender = Sender::new(&shared)?;
        let mut targets = BTreeMap::new();
        for (topic, count) in &plan.partitions {
            for partition in 0..*count {
                let target = Target { physical: shared.options.physical(topic), slot: targets.len() + 1 };
                targets.insert(TopicPartition { topic: Arc::clone(topic), partition }, target);
            }
        }
        let mut writer = Self {
            shared,
            sender,
            participant: participant.clone(),
            epoch: -1,
            home: plan.home,
            targets,
            heartbeats: plan.heartbeats,
            progress: Progress::new(participant.as_str(), -1, None),
            tail: Arc::default(),
            milestone: None,
            ended: true,
        };
        writer.claim().await?;
        writer.fence(&plan.fences).await?;
        let (checkpoint, collected) = writer.recover(&plan.partitions).await?;
        writer.ended = false;
        let recovered = Recovered {
            epoch: writer.epoch,
            mark: Mark::of(checkpoint.as_ref()),
            checkpoint: checkpoint.map(|known| known.body),
            collected,
            partitions: plan.partitions,
        };
        Ok((writer, recovered))
    }

    async fn claim(&mut self) -> Result<(), WriterError> {
        let nonce: String = std::iter::repeat_with(random_hex).take(2).collect();
        let time = Utc::now().timestamp_micros();
        let claim = Claim { participant: self.participant.to_string(), time };
        let key = claim_key(self.participant.as_str(), &nonce);
        self.epoch = self.put_position(&key, &PositionRecord::Claim(claim)).await?;
        tracing::info!(participant = %self.participant, epoch = self.epoch, "claimed");
        Ok(())
    }

    /// Appends to `lt.positions`, acked; its offset.
    async fn put_position(&mut self, key: &str, record: &PositionRecord) -> Result<i64, WriterError> {
        let value = record.encode()?;
        self.sender.forget(POSITIONS);
        let topic = self.shared.options.physical(positions::TOPIC);
        self.sender
            .send(Outgoing {
                topic: &topic,
                partition: self.home.partition,
                slot: POSITIONS,
                key: key.as_bytes(),
                headers: headers(0, std::iter::empty()),
                value: &value,
                time: Utc::now().timestamp_micros(),
            })
            .await?;
        self.sender.settle().await?;
        let offset = self.sender.offset(POSITIONS);
        offset.ok_or_else(|| lost("lt.positions took a record without telling its offset"))
    }

    async fn fence(&mut self, schemas: &BTreeMap<Arc<str>, u32>) -> Result<(), WriterError> {
        let time = Utc::now().timestamp_micros();
        for (place, target) in &self.targets {
            let schema_id = schemas.get(&place.topic).copied().unwrap_or_default();
            let (participant, epoch, partition) = (&self.participant, self.epoch, place.partition);
            let record =
                ControlRecord::fence(&ControlFacts { participant, epoch, partition, time, schema_id });
            self.sender.send(control(target, place.partition, &record)).await?;
        }
        self.sender.settle().await
    }

    /// Reads `lt.positions` up to the own claim, then every partition up to the own fence.
    async fn recover(
        &mut self,
        partitions: &BTreeMap<Arc<str>, i32>,
    ) -> Result<(Option<Checkpoint>, HashSet<Box<str>>), WriterError> {
        let (shared, home) = (Arc::clone(&self.shared), self.home.clone());
        let (participant, epoch) = (self.participant.clone(), self.epoch);
        let fence = |(place, target): (&TopicPartition, &Target)| {
            let offset = self.sender.offset(target.slot);
            let offset =
                offset.ok_or_else(|| lost("a partition took the fence without telling its offset"))?;
            Ok::<_, WriterError>((place.clone(), offset))
        };
        let targets: BTreeMap<TopicPartition, i64> =
            self.targets.iter().map(fence).collect::<Result<_, _>>()?;
        let counts = partitions.clone();
        let (tail, checkpoint, found, collected) = try_on_thread(move |wanted| {
            let mut tail = Tail::new(&shared, &home, &participant)?;
            tail.read_to(&shared, epoch, wanted)?;
            let checkpoint = tail.rule().newest_valid().cloned();
            if let Some(checkpoint) = &checkpoint {
                for (topic, count) in &counts {
                    checkpoint.check_partitions(topic, *count)?;
                }
            }
            let (found, collected) =
                read_back(&shared, &targets, epoch, checkpoint.as_ref(), &mut tail, wanted)?;
            Ok::<_, WriterError>((tail, checkpoint, found, collected))
        })
        .await?;
        self.progress = Progress::new(self.participant.as_str(), self.epoch, checkpoint.as_ref());
        for part in found {
            self.progress.open(part.target, part.fence, part.sequence);
        }
        *lock(&self.tail) = Some(tail);
        Ok((checkpoint, collected))
    }

    /// Every change begins here: until it has succeeded this writer counts as ended.
    fn begin(&mut self) -> Result<(), WriterError> {
        if self.ended {
            return Err(lost("this writer has ended; open another one"));
        }
        self.ended = true;
        Ok(())
    }

    async fn send_batch(&mut self, batch: &Batch) -> Result<(), WriterError> {
        let epoch = self.epoch.to_string();
        let mut last = Vec::with_capacity(batch.parts.len());
        for part in batch.parts.iter().filter(|part| part.count > 0) {
            let TopicPartition { topic, partition } = &part.target;
            let known =
                self.targets.get(&part.target).zip(self.progress.give(&part.target, part.count.into()));
            let Some((target, first)) = known else {
                return Err(lost(format!("{topic}/{partition} is no partition of this writer")));
            };
            let mut at = 0;
            for sequence in first..first + u64::from(part.count) {
                let (record, next) = RecordRef::read(&part.body, at).map_err(|_| not_a_batch())?;
                at = next;
                let sequence = sequence.to_string();
                let own = [
                    (header::WRITER_EPOCH, epoch.as_bytes()),
                    (header::PARTITION_SEQUENCE, sequence.as_bytes()),
                ];
                self.sender
                    .send(Outgoing {
                        topic: &target.physical,
                        partition: *partition,
                        slot: target.slot,
                        key: record.key,
                        headers: headers(16, record.headers().chain(own)),
                        value: record.value,
                        time: record.time,
                    })
                    .await?;
            }
            if at != part.body.len() {
                return Err(not_a_batch());
            }
            last.push((&part.target, u64::from(part.count), first + u64::from(part.count) - 1));
        }
        self.settle(&last).await
    }

    /// Waits for everything sent and enters it into the account: target, count, last sequence.
    async fn settle(&mut self, sent: &[(&TopicPartition, u64, u64)]) -> Result<(), WriterError> {
        self.sender.settle().await?;
        for (target, count, last_sequence) in sent {
            let slot = self.targets.get(*target).map_or(POSITIONS, |target| target.slot);
            // The highest offset that is known, at least the fence's. Where the brokers did not tell one, a later read-back
            // begins earlier and finds repetitions.
            let offset = self.sender.offset(slot).ok_or_else(|| lost("no offset is known of a partition"))?;
            self.progress.acked_run(target, *count, *last_sequence, offset);
        }
        Ok(())
    }

    async fn send_heartbeats(&mut self, time: i64) -> Result<(), WriterError> {
        let mut sent = Vec::new();
        for (place, target) in &self.targets {
            let Some(schema_id) = self.heartbeats.get(&place.topic).copied() else { continue };
            let Some(sequence) = self.progress.give(place, 1) else { continue };
            let (participant, epoch, partition) = (&self.participant, self.epoch, place.partition);
            let facts = ControlFacts { participant, epoch, partition, time, schema_id };
            let record = ControlRecord::heartbeat(&facts, sequence);
            self.sender.send(control(target, place.partition, &record)).await?;
            sent.push((place.clone(), sequence));
        }
        let sent: Vec<_> = sent.iter().map(|(place, sequence)| (place, 1, *sequence)).collect();
        self.settle(&sent).await
    }

    async fn send_checkpoint(
        &mut self,
        body: &CheckpointBody,
        mark: &Mark,
    ) -> Result<ForgetLeave, WriterError> {
        if !self.progress.settled() {
            return Err(lost("a checkpoint was asked for before everything was acked"));
        }
        let checkpoint = self.progress.checkpoint(body, mark);
        let key = checkpoint_key(self.participant.as_str(), self.epoch, checkpoint.number);
        let record = PositionRecord::Checkpoint(checkpoint);
        let offset = self.put_position(&key, &record).await?;
        let (shared, tail, home) = (Arc::clone(&self.shared), Arc::clone(&self.tail), self.home.clone());
        let own = self.epoch;
        let superseded = try_on_thread(move |wanted| {
            let mut held = lock(&tail);
            let tail = held.as_mut().ok_or_else(|| lost("this writer has ended"))?;
            if offset < tail.next() {
                return Err(recreated(&home, tail.next(), offset + 1));
            }
            tail.read_to(&shared, offset, wanted)?;
            Ok::<_, WriterError>(tail.rule().superseded(own))
        })
        .await?;
        if let Some(claim) = superseded {
            return Err(WriterError::Fenced {
                participant: self.participant.to_string(),
                claim: Some(claim),
            });
        }
        let day = milestone_key(self.participant.as_str(), Utc::now().timestamp_micros());
        if self.milestone.as_ref() != Some(&day) {
            self.put_position(&day, &record).await?;
            self.milestone = Some(day);
        }
        Ok(ForgetLeave(()))
    }
}

/// Asks for everything that can be wrong before anybody is fenced.
async fn plan(
    shared: &Arc<Shared>,
    participant: &ParticipantId,
    topics: &[String],
) -> Result<Plan, WriterError> {
    if let Some(side) = topics.iter().find(|topic| !is_family_topic(topic)) {
        return Err(LogError::Topic {
            problem: format!("{side} is no family topic"),
            fix: "a writer holds topics that end in .live or .bulk; use publish for side topics".into(),
        }
        .into());
    }
    let (log, who, names) = (Arc::clone(shared), participant.clone(), topics.to_vec());
    let (home, partitions) = try_on_thread(move |_| {
        let home = positions::place(&log, &who)?;
        let mut partitions = BTreeMap::new();
        for topic in names {
            let count = log.partitions(&topic)?;
            partitions.insert(Arc::<str>::from(topic), count);
        }
        Ok::<_, WriterError>((home, partitions))
    })
    .await?;
    let (mut fences, mut heartbeats) = (BTreeMap::new(), BTreeMap::new());
    for topic in partitions.keys() {
        let id = shared.registry.id(topic, FENCE_NAME, FENCE_SCHEMA).await?;
        fences.insert(Arc::clone(topic), id);
        if is_live_topic(topic) {
            let id = shared.registry.id(topic, HEARTBEAT_NAME, HEARTBEAT_SCHEMA).await?;
            heartbeats.insert(Arc::clone(topic), id);
        }
    }
    Ok(Plan { home, partitions, fences, heartbeats })
}

fn control<'a>(target: &'a Target, partition: i32, record: &'a ControlRecord) -> Outgoing<'a> {
    Outgoing {
        topic: &target.physical,
        partition,
        slot: target.slot,
        key: header::CONTROL_KEY.as_bytes(),
        headers: headers(record.headers.len(), record.header_refs().into_iter()),
        value: &record.value,
        time: record.time,
    }
}

fn not_a_batch() -> WriterError {
    LogError::Inconsistent("a batch does not hold the records that it should".into()).into()
}

/// Sixteen digits that no other claim has: the standard library seeds its hashers from the operating system.
fn random_hex() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

fn lock(tail: &Mutex<Option<Tail>>) -> std::sync::MutexGuard<'_, Option<Tail>> {
    tail.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for KafkaWriter {
    fn drop(&mut self) {
        if let Some(tail) = lock(&self.tail).take() {
            tail.close(&self.shared);
        }
    }
}

#[async_trait]
impl Writer for KafkaWriter {
    async fn append(&mut self, batch: &Batch) -> Result<(), WriterError> {
        self.begin()?;
        self.send_batch(batch).await?;
        self.ended = false;
        Ok(())
    }

    async fn heartbeat(&mut self, time: i64) -> Result<(), WriterError> {
        self.begin()?;
        self.send_heartbeats(time).await?;
        self.ended = false;
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
        self.begin()?;
        let leave = self.send_checkpoint(body, mark).await?;
        self.ended = false;
        Ok(leave)
    }

    async fn fenced(&mut self) -> Result<bool, WriterError> {
        let (shared, tail, own) = (Arc::clone(&self.shared), Arc::clone(&self.tail), self.epoch);
        let asked = on_thread(move |wanted| {
            let mut held = lock(&tail);
            let tail = held.as_mut().ok_or_else(|| lost("this writer has ended"))?;
            tail.read_on(&shared, wanted)?;
            Ok(tail.rule().superseded(own).is_some())
        });
        asked.await?
    }

    fn epoch(&self) -> i64 {
        self.epoch
    }
}
