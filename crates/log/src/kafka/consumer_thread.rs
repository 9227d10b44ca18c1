//! The thread behind a group's member: serves the client library, and the library only while its owner asks.
//!
//! Partitions are not handed to the library when the group assigns them but when their owner says where to start, so that
//! nothing is fetched from a wrong place. A revoked partition is given back when its owner asks for the next thing: it has had
//! its turn then.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, mpsc as std_mpsc};
use std::time::{Duration, Instant};

use lienthong_contract::sink::OffsetState;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};

use super::client::{Shared, not_created};
use super::decode;
use super::held::Holding;
use super::membership::{Change, Group, give_back, started_of};
use super::read::{behind_the_end, passes};
use crate::api::{ConsumeOptions, Delivered, LogError, TopicPartition};

/// Requests that come while the thread waits for records are seen after so long.
const SLICE: Duration = Duration::from_millis(20);
/// The library goes on by itself when brokers are away; after so long the owner is told.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the brokers get to show that they are back.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// Told offsets are sent together.
const TELL_EVERY: Duration = Duration::from_millis(50);

type Done = oneshot::Sender<Result<(), LogError>>;
type Answers = mpsc::UnboundedSender<Result<Option<Delivered>, LogError>>;

/// What the owner asks.
pub(super) enum Request {
    Next(Duration),
    Start(TopicPartition, OffsetState, Done),
    Pause(TopicPartition, Done),
    Resume(TopicPartition, Done),
    Commit(TopicPartition, i64),
    Leave(Done),
}

/// A member of a group.
pub(super) struct Member {
    shared: Arc<Shared>,
    group: String,
    consumer: BaseConsumer<Group>,
    fetch_bytes: usize,
    held: Holding,
    events: VecDeque<Delivered>,
    /// Told as revoked; given back when the owner asks for the next thing.
    releasing: Option<Vec<(String, i32)>>,
    told: BTreeMap<(String, i32), i64>,
    told_at: Instant,
    /// When the library said that no broker answers; nothing has been heard since.
    silent_since: Option<Instant>,
}

impl Member {
    /// Joins.
    pub(super) fn join(shared: Arc<Shared>, options: &ConsumeOptions) -> Result<Self, LogError> {
        let fetch_bytes = options.fetch_bytes.max(1);
        // Half of the bound for the library's queue, half for what stands ready here.
        let config = shared.options.member(&options.group, fetch_bytes / 2, options.session);
        let consumer: BaseConsumer<Group> = config
            .create_with_context(Group::default())
            .map_err(|error| not_created(&shared.options, &error))?;
        let topics: Vec<String> = options.topics.iter().map(|topic| shared.options.physical(topic)).collect();
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(|error| shared.error(&options.group, &error, None))?;
        Ok(Self {
            shared,
            group: options.group.clone(),
            consumer,
            fetch_bytes: (fetch_bytes / 2).max(1),
            held: Holding::default(),
            events: VecDeque::new(),
            releasing: None,
            told: BTreeMap::new(),
            told_at: Instant::now(),
            silent_since: None,
        })
    }

    /// Serves until the owner leaves or is gone.
    pub(super) fn run(mut self, requests: &std_mpsc::Receiver<Request>, answers: &Answers) {
        let mut left = None;
        let mut waiting: Option<Instant> = None;
        loop {
            let request = match waiting {
                None => match requests.recv_timeout(TELL_EVERY) {
                    Err(std_mpsc::RecvTimeoutError::Timeout) => {
                        self.tell(CommitMode::Async);
                        continue;
                    }
                    other => other.map_err(|_| ()),
                },
                Some(until) => match requests.try_recv() {
                    Err(std_mpsc::TryRecvError::Empty) => {
                        let answer = self.step(until);
                        let over = Instant::now() >= until;
                        if !matches!(answer, Ok(None)) || over {
                            waiting = None;
                            // An owner that is gone is seen at the next request.
                            drop(answers.send(answer));
                        }
                        continue;
                    }
                    other => other.map_err(|_| ()),
                },
            };
            match request {
                Err(()) => break,
                Ok(Request::Next(at_most)) => {
                    self.release();
                    waiting = Some(Instant::now() + at_most);
                }
                Ok(Request::Leave(done)) => {
                    left = Some(done);
                    break;
                }
                Ok(other) => self.serve(other),
            }
        }
        self.close();
        if let Some(done) = left {
            drop(done.send(Ok(())));
        }
    }

    fn serve(&mut self, request: Request) {
        // Owners that do not wait for the answer are none of the thread's business.
        match request {
            Request::Start(source, state, done) => drop(done.send(self.start(&source, state))),
            Request::Pause(source, done) => drop(done.send(self.set_paused(&source, true))),
            Request::Resume(source, done) => drop(done.send(self.set_paused(&source, false))),
            Request::Commit(source, next_offset) => {
                let place = (self.shared.options.physical(&source.topic), source.partition);
                if self.held.find(&source).is_some() {
                    self.told.insert(place, next_offset);
                }
            }
            Request::Next(_) | Request::Leave(_) => {}
        }
    }

    /// Everything that comes within a slice.
    fn step(&mut self, until: Instant) -> Result<Option<Delivered>, LogError> {
        if let Some(event) = self.events.pop_front() {
            return Ok(Some(event));
        }
        if let Some(batch) = self.held.hand_out() {
            return Ok(Some(Delivered::Records(batch)));
        }
        self.tell(CommitMode::Async);
        self.listen_for_brokers()?;
        let mut wait = SLICE.min(until.saturating_duration_since(Instant::now()));
        // Records that do not count take no room, but the owner must be heard among them too.
        let mut seen = 0;
        loop {
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    self.silent_since = None;
                    seen += decode::size(&message);
                    self.held.take(&message)?;
                }
                Some(Err(error)) => self.failed(&error)?,
            }
            if self.held.ready_bytes() >= self.fetch_bytes || seen >= self.fetch_bytes {
                break;
            }
            // Only what is there already joins the batch.
            wait = Duration::ZERO;
        }
        self.changes();
        Ok(self.events.pop_front().or_else(|| self.held.hand_out().map(Delivered::Records)))
    }

    /// What the group has decided meanwhile.
    fn changes(&mut self) {
        for change in self.consumer.context().take_changes() {
            match change {
                Change::Assigned(places) => {
                    for (physical, partition) in places {
                        let logical = physical.strip_prefix(&self.shared.options.prefix).unwrap_or(&physical);
                        let source = TopicPartition { topic: logical.into(), partition };
                        self.events.push_back(Delivered::Assigned(source.clone()));
                        self.held.add(source, physical);
                    }
                }
                Change::Revoked(places) => {
                    for (physical, partition) in &places {
                        if let Some(source) = self.held.remove(physical, *partition) {
                            self.events.push_back(Delivered::Revoked(source));
                        }
                    }
                    self.releasing.get_or_insert_default().extend(places);
                }
            }
        }
    }

    /// Gives back what was told as revoked: its owner asks for the next thing, so it has finished.
    fn release(&mut self) {
        let told = |event: &Delivered| !matches!(event, Delivered::Revoked(_));
        if self.releasing.is_none() || !self.events.iter().all(told) {
            return;
        }
        if let Some(places) = self.releasing.take() {
            self.tell(CommitMode::Sync);
            give_back(&self.consumer, &started_of(&self.consumer, &places));
        }
    }

    fn start(&mut self, source: &TopicPartition, state: OffsetState) -> Result<(), LogError> {
        // A partition that went away in the meantime is told by `next`.
        let Some(index) = self.held.find(source) else { return Ok(()) };
        let marks = self.shared.watermarks(source)?;
        if state.next_offset > marks.high {
            return Err(behind_the_end(source, state.next_offset, marks.high));
        }
        self.held.restart(index, None);
        let Some(held) = self.held.get(index) else { return Ok(()) };
        let (physical, paused) = (held.physical.clone(), held.paused);
        let before = started_of(&self.consumer, &[(physical.clone(), source.partition)]);
        if before.count() > 0 {
            give_back(&self.consumer, &before);
        }
        if state.next_offset < marks.low {
            self.events.push_back(expired(source, state.next_offset, marks.low));
            return Ok(());
        }
        self.held.restart(index, Some(state));
        let mut list = TopicPartitionList::new();
        let added = list.add_partition_offset(&physical, source.partition, Offset::Offset(state.next_offset));
        // The library keeps a pause beyond the end of an assignment.
        let assigned = added
            .and_then(|()| self.consumer.resume(&list))
            .and_then(|()| self.consumer.incremental_assign(&list));
        let paused = if paused { self.consumer.pause(&list) } else { Ok(()) };
        assigned
            .and(paused)
            .map_err(|error| self.shared.error(&source.topic, &error, Some(&self.consumer.context().watch)))
    }

    fn set_paused(&mut self, source: &TopicPartition, paused: bool) -> Result<(), LogError> {
        let Some(index) = self.held.find(source) else { return Ok(()) };
        self.held.set_paused(index, paused);
        let Some(held) = self.held.get(index).filter(|held| held.state().is_some()) else { return Ok(()) };
        let mut list = TopicPartitionList::new();
        list.add_partition(&held.physical, source.partition);
        let done = if paused { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
        done.map_err(|error| self.shared.error(&source.topic, &error, None))
    }

    fn failed(&mut self, error: &KafkaError) -> Result<(), LogError> {
        let gone = matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
        );
        if gone {
            return self.find_expired();
        }
        if passes(error) {
            tracing::debug!(%error, "consumer");
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
                self.silent_since.get_or_insert_with(Instant::now);
            }
            return Ok(());
        }
        Err(self.shared.error(&self.group, error, Some(&self.consumer.context().watch)))
    }

    /// A quiet topic and brokers that are away look alike from here: after a while, ask.
    fn listen_for_brokers(&mut self) -> Result<(), LogError> {
        if self.silent_since.is_none_or(|since| since.elapsed() < PATIENCE) {
            return Ok(());
        }
        let topic = self.held.iter().next().map(|held| held.physical.as_str());
        match self.consumer.fetch_metadata(topic, SIGN_OF_LIFE) {
            Ok(_) => {
                self.silent_since = None;
                Ok(())
            }
            Err(error) => Err(self.shared.error(&self.group, &error, Some(&self.consumer.context().watch))),
        }
    }

    /// The library does not say which partition has lost its place: look at all.
    fn find_expired(&mut self) -> Result<(), LogError> {
        let mut gone = Vec::new();
        for (index, held) in self.held.iter().enumerate() {
            let Some(next) = held.next_offset() else { continue };
            let marks = self.shared.watermarks(&held.source)?;
            if next < marks.low {
                gone.push((index, expired(&held.source, next, marks.low)));
            } else if next > marks.high {
                return Err(behind_the_end(&held.source, next, marks.high));
            }
        }
        for (index, event) in gone {
            self.held.restart(index, None);
            self.events.push_back(event);
        }
        Ok(())
    }

    /// Tells how far the group is, now and then.
    fn tell(&mut self, mode: CommitMode) {
        let due = matches!(mode, CommitMode::Sync) || self.told_at.elapsed() >= TELL_EVERY;
        if self.told.is_empty() || !due {
            return;
        }
        self.told_at = Instant::now();
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset) in std::mem::take(&mut self.told) {
            // Offsets are never negative here, so that this cannot fail.
            if list.add_partition_offset(&topic, partition, Offset::Offset(offset)).is_err() {
                tracing::debug!(topic, partition, "an offset could not be told");
            }
        }
        if let Err(error) = self.consumer.commit(&list, mode) {
            tracing::debug!(%error, "the group's offsets were not taken");
        }
    }

    /// Leaves the group; others take over at once.
    fn close(mut self) {
        self.tell(CommitMode::Sync);
        self.consumer.context().close();
        self.changes();
        if let Some(places) = self.releasing.take() {
            give_back(&self.consumer, &started_of(&self.consumer, &places));
        }
        drop(self.consumer);
    }
}

fn expired(source: &TopicPartition, wanted: i64, low: i64) -> Delivered {
    Delivered::Expired { source: source.clone(), wanted, low }
}
