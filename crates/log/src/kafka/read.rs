//! Reading partitions without a group: `read`, `table`, and the poll loop that read-back shares.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lienthong_contract::sink::OffsetState;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _, OwnedMessage};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::client::{Shared, Wanted, Watch, drop_on_thread, not_created};
use super::config::ANSWER;
use super::decode;
use crate::api::{LogError, TopicPartition};
use crate::marks::{Intake, is_family_topic};
use crate::record::LogBatch;

/// Readers kept for later: making one costs a connection.
const IDLE: usize = 4;
/// Bytes that a reader holds ready.
const READY: usize = 4 << 20;
/// Brokers that say nothing for so long are unreachable.
pub(super) const SILENCE: Duration = Duration::from_secs(60);

/// A client that reads partitions which it is told.
pub(super) struct PartitionReader {
    consumer: BaseConsumer<Watch>,
    /// What it reads now, and the offset that comes next.
    at: Option<(TopicPartition, i64)>,
    /// Read, but did not fit.
    pending: Option<OwnedMessage>,
}

/// What a poll gives.
pub(super) enum Polled<'a> {
    Message(BorrowedMessage<'a>),
    /// The end of a partition, as the broker saw it.
    End(i32),
}

impl PartitionReader {
    fn new(shared: &Shared) -> Result<Self, LogError> {
        let consumer = shared
            .options
            .reader(READY)
            .create_with_context(Watch::default())
            .map_err(|error| not_created(&shared.options, &error))?;
        Ok(Self { consumer, at: None, pending: None })
    }

    /// An idle reader, best one that stands there already.
    pub(super) fn get(shared: &Shared, wanted: Option<(&TopicPartition, i64)>) -> Result<Self, LogError> {
        let mut idle = shared.readers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let there = idle.iter().position(|reader| {
            reader.at.as_ref().is_some_and(|(source, next)| wanted == Some((source, *next)))
        });
        let found = match there {
            Some(index) => Some(idle.swap_remove(index)),
            None if idle.is_empty() => None,
            None => Some(idle.remove(0)),
        };
        drop(idle);
        found.map_or_else(|| Self::new(shared), Ok)
    }

    /// Gives a reader back. Never after an error: it may have lost its place.
    pub(super) fn put_back(self, shared: &Shared) {
        let mut idle = shared.readers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        idle.push(self);
        let surplus = if idle.len() > IDLE { Some(idle.remove(0)) } else { None };
        drop(idle);
        if let Some(surplus) = surplus {
            drop_on_thread(surplus);
        }
    }

    /// Begins to read partitions (physical topic names) at offsets.
    pub(super) fn assign(&mut self, places: &[(String, i32, i64)]) -> Result<(), KafkaError> {
        self.at = None;
        self.pending = None;
        let mut list = TopicPartitionList::with_capacity(places.len());
        for (topic, partition, offset) in places {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))?;
        }
        self.consumer.assign(&list)
    }

    /// As [`Self::assign`], for one partition.
    fn begin(&mut self, shared: &Shared, source: &TopicPartition, offset: i64) -> Result<(), LogError> {
        let place = (shared.options.physical(&source.topic), source.partition, offset);
        self.assign(&[place]).map_err(|error| shared.error(&source.topic, &error, None))
    }

    /// Stops reading, so that an idle reader costs nothing.
    pub(super) fn rest(&mut self) {
        self.at = None;
        self.pending = None;
        if let Err(error) = self.consumer.unassign() {
            tracing::debug!(%error, "a reader could not stop");
        }
    }

    /// The next thing, whatever partition it is of. Outages are waited for; silence of [`SILENCE`] is an error.
    pub(super) fn poll(
        &self,
        shared: &Shared,
        topic: &str,
        wanted: Wanted<'_>,
    ) -> Result<Polled<'_>, LogError> {
        let silent = || shared.silent(&format!("reading {topic}"), self.consumer.context());
        self.poll_for(shared, topic, wanted, SILENCE)?.ok_or_else(silent)
    }

    /// As [`Self::poll`]; `None` after `patience`, or when nobody waits any more.
    pub(super) fn poll_for(
        &self,
        shared: &Shared,
        topic: &str,
        wanted: Wanted<'_>,
        patience: Duration,
    ) -> Result<Option<Polled<'_>>, LogError> {
        let began = Instant::now();
        loop {
            match self.consumer.poll(patience.min(Duration::from_millis(100))) {
                Some(Ok(message)) => return Ok(Some(Polled::Message(message))),
                Some(Err(KafkaError::PartitionEOF(partition))) => return Ok(Some(Polled::End(partition))),
                Some(Err(error)) if passes(&error) => {}
                Some(Err(error)) => return Err(shared.error(topic, &error, None)),
                None => {}
            }
            if began.elapsed() > patience || !wanted() {
                return Ok(None);
            }
        }
    }

    fn next(
        &mut self,
        shared: &Shared,
        topic: &str,
        wanted: Wanted<'_>,
    ) -> Result<Option<Got<'_>>, LogError> {
        if let Some(message) = self.pending.take() {
            return Ok(Some(Got::Kept(message)));
        }
        Ok(match self.poll(shared, topic, wanted)? {
            Polled::Message(message) => Some(Got::Fresh(message)),
            Polled::End(_) => None,
        })
    }
}

enum Got<'a> {
    Fresh(BorrowedMessage<'a>),
    Kept(OwnedMessage),
}

/// Whether the client library goes on by itself after this error.
pub(super) fn passes(error: &KafkaError) -> bool {
    match error {
        KafkaError::MessageConsumptionFatal(_) => false,
        _ => !matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::AutoOffsetReset
                    | RDKafkaErrorCode::OffsetOutOfRange
                    | RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownPartition
                    | RDKafkaErrorCode::TopicAuthorizationFailed
                    | RDKafkaErrorCode::GroupAuthorizationFailed
                    | RDKafkaErrorCode::InvalidSessionTimeout
                    | RDKafkaErrorCode::Fatal
            )
        ),
    }
}

/// Reads at least one record, then up to `max_bytes`; an empty batch at the end.
pub(super) fn read(
    shared: &Shared,
    source: &TopicPartition,
    state: &OffsetState,
    max_bytes: usize,
    wanted: Wanted<'_>,
) -> Result<LogBatch, LogError> {
    let marks = shared.watermarks(source)?;
    if state.next_offset < marks.low {
        return Err(expired(source, state.next_offset, marks.low));
    }
    if state.next_offset > marks.high {
        return Err(behind_the_end(source, state.next_offset, marks.high));
    }
    let mut intake = Intake::new(source.clone(), state);
    let mut body = Vec::new();
    if state.next_offset == marks.high {
        return Ok(intake.finish(Bytes::new()));
    }
    let mut reader = PartitionReader::get(shared, Some((source, state.next_offset)))?;
    // Whether an end that is told now was seen by the brokers after `marks` were.
    let mut fresh = reader.at.as_ref() != Some(&(source.clone(), state.next_offset));
    if fresh {
        reader.begin(shared, source, state.next_offset)?;
    }
    let mut more = None;
    while intake.next_offset() < marks.high {
        let Some(got) = reader.next(shared, &source.topic, wanted)? else {
            if !fresh {
                // Fetched ahead before the last records came, which may wait behind it: ask again from here.
                fresh = true;
                reader.begin(shared, source, intake.next_offset())?;
                continue;
            }
            // Offsets without records may end a compacted partition. In a family topic every offset has its record: none is passed.
            if !is_family_topic(&source.topic) {
                intake.skip_to(marks.high);
            }
            break;
        };
        match got {
            Got::Kept(message) => decode::take(&mut intake, &mut body, &message)?,
            // A message from before a pause or an assignment under way.
            Got::Fresh(message) if message.offset() < intake.next_offset() => {}
            Got::Fresh(message) => {
                if !intake.is_empty() && body.len() + decode::size(&message) > max_bytes {
                    more = Some(message.detach());
                    break;
                }
                decode::take(&mut intake, &mut body, &message)?;
            }
        }
        if body.len() >= max_bytes {
            break;
        }
    }
    let next = intake.next_offset();
    if next < marks.high {
        reader.at = Some((source.clone(), next));
        reader.pending = more;
    } else {
        reader.rest();
    }
    reader.put_back(shared);
    Ok(intake.finish(body.into()))
}

/// The newest value per key of a compacted topic.
pub(super) fn table(
    shared: &Shared,
    topic: &str,
    wanted: Wanted<'_>,
) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LogError> {
    let physical = shared.options.physical(topic);
    let name: std::sync::Arc<str> = topic.into();
    let (mut ends, mut places) = (BTreeMap::new(), Vec::new());
    for partition in 0..shared.partitions(topic)? {
        let marks = shared.watermarks(&TopicPartition { topic: name.clone(), partition })?;
        if marks.low < marks.high {
            ends.insert(partition, marks.high);
            places.push((physical.clone(), partition, marks.low));
        }
    }
    let mut table = BTreeMap::new();
    if places.is_empty() {
        return Ok(table);
    }
    let mut reader = PartitionReader::get(shared, None)?;
    reader.assign(&places).map_err(|error| shared.error(topic, &error, None))?;
    while !ends.is_empty() {
        match reader.poll(shared, topic, wanted)? {
            Polled::End(partition) => {
                ends.remove(&partition);
            }
            Polled::Message(message) => {
                let partition = message.partition();
                if ends.get(&partition).is_some_and(|end| message.offset() + 1 >= *end) {
                    ends.remove(&partition);
                }
                let key = message.key().unwrap_or_default();
                match message.payload() {
                    Some(value) => table.insert(key.to_vec(), value.to_vec()),
                    None => table.remove(key),
                };
            }
        }
    }
    reader.rest();
    reader.put_back(shared);
    Ok(table)
}

/// First offset whose record time is at least `time` (microseconds).
pub(super) fn offset_at(
    shared: &Shared,
    source: &TopicPartition,
    time: i64,
) -> Result<Option<i64>, LogError> {
    // Names a missing topic; the question itself would not.
    shared.watermarks(source)?;
    let millis = time.div_euclid(1000) + i64::from(time.rem_euclid(1000) > 0);
    let mut list = TopicPartitionList::new();
    let physical = shared.options.physical(&source.topic);
    let added = list.add_partition_offset(&physical, source.partition, Offset::Offset(millis.max(0)));
    let asked = added.and_then(|()| shared.questions().offsets_for_times(list, ANSWER));
    let answer = shared.told(&source.topic, asked)?;
    let Some(found) = answer.find_partition(&physical, source.partition) else { return Ok(None) };
    shared.told(&source.topic, found.error())?;
    Ok(match found.offset() {
        Offset::Offset(offset) if offset >= 0 => Some(offset),
        _ => None,
    })
}

/// Says that retention has passed a reader.
pub(super) fn expired(source: &TopicPartition, wanted: i64, low: i64) -> LogError {
    LogError::Topic {
        problem: format!(
            "retention of {}/{} has passed offset {wanted}; the oldest record still there is {low}",
            source.topic, source.partition
        ),
        fix: "bring what is missing to the reader by other means, then let it begin anew at a place that the log still holds".into(),
    }
}

/// Says that the log is shorter than a reader remembers.
pub(super) fn behind_the_end(source: &TopicPartition, wanted: i64, high: i64) -> LogError {
    LogError::Inconsistent(format!(
        "{}/{} ends at {high}, but a reader stands at {wanted}: the topic was recreated or lost records",
        source.topic, source.partition
    ))
}
