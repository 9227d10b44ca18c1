//! One participant's partition of `lt.positions`: where it is, and reading it up to an offset.

use std::sync::Arc;
use std::time::Duration;

use lienthong_contract::participant::ParticipantId;
use rdkafka::message::{BorrowedMessage, Message as _};

use super::client::{Shared, Wanted};
use super::read::{PartitionReader, Polled, SILENCE};
use crate::api::{LogError, TopicPartition, WriterError};
use crate::murmur2;
use crate::rules::{Broken, PositionRecord, Positions};

/// The topic of claims and checkpoints.
pub(super) const TOPIC: &str = "lt.positions";
/// After an end was told, a new record would come within this time.
const AFTER_END: Duration = Duration::from_millis(500);

/// Reads the participant's history in order, and remembers how far it is.
pub(super) struct Tail {
    reader: PartitionReader,
    source: TopicPartition,
    /// Start of the participant's keys.
    mine: String,
    next: i64,
    rule: Positions,
}

/// The partition that holds a participant's claims and checkpoints.
pub(super) fn place(shared: &Shared, participant: &ParticipantId) -> Result<TopicPartition, WriterError> {
    let partitions = shared.partitions(TOPIC)?;
    let partition = murmur2::partition(participant.as_str().as_bytes(), partitions);
    Ok(TopicPartition { topic: TOPIC.into(), partition })
}

impl Tail {
    /// At the partition's beginning, which must still be there.
    pub(super) fn new(
        shared: &Shared,
        source: &TopicPartition,
        participant: &ParticipantId,
    ) -> Result<Self, WriterError> {
        let low = shared.watermarks(source)?.low;
        if low > 0 {
            return Err(Broken::new(
                format!("{TOPIC}/{} begins at offset {low}: claims may have been deleted", source.partition),
                format!("{TOPIC} must be compacted and keep records for ever; restore it, then start again"),
            )
            .into());
        }
        let mut reader = PartitionReader::get(shared, None)?;
        let start = [(shared.options.physical(TOPIC), source.partition, 0)];
        reader.assign(&start).map_err(|error| shared.error(TOPIC, &error, None))?;
        Ok(Self {
            reader,
            source: source.clone(),
            mine: format!("{participant}/"),
            next: 0,
            rule: Positions::new(participant.as_str()),
        })
    }

    /// What is known so far.
    pub(super) fn rule(&self) -> &Positions {
        &self.rule
    }

    /// Whose.
    pub(super) fn participant(&self) -> &str {
        self.mine.trim_end_matches('/')
    }

    /// Offset that is read next.
    pub(super) fn next(&self) -> i64 {
        self.next
    }

    /// Offset of the record that comes after the last one.
    pub(super) fn end(&self, shared: &Shared) -> Result<i64, WriterError> {
        Ok(shared.watermarks(&self.source)?.high)
    }

    /// Reads up to and with a record that is known to be there.
    pub(super) fn read_to(
        &mut self,
        shared: &Shared,
        offset: i64,
        wanted: Wanted<'_>,
    ) -> Result<(), WriterError> {
        while self.next <= offset {
            // An end that was seen before the record landed may still be waiting here: only the record counts.
            if let Polled::Message(message) = self.reader.poll(shared, TOPIC, wanted)? {
                take(&mut self.rule, &mut self.next, &self.mine, &message)?;
            }
        }
        Ok(())
    }

    /// Reads what is there now; a record that lands meanwhile may be left to the next time.
    pub(super) fn read_on(&mut self, shared: &Shared, wanted: Wanted<'_>) -> Result<(), WriterError> {
        let high = shared.watermarks(&self.source)?.high;
        if high < self.next {
            return Err(recreated(&self.source, self.next, high));
        }
        // An end that is told may be one from before: only a moment of silence after it says that compaction has taken the rest.
        let mut patience = SILENCE;
        while self.next < high {
            match self.reader.poll_for(shared, TOPIC, wanted, patience)? {
                None if patience < SILENCE && wanted() => break,
                None => {
                    return Err(LogError::Unreachable {
                        address: shared.options.brokers.clone(),
                        reason: format!("reading {TOPIC}: no answer"),
                    }
                    .into());
                }
                Some(Polled::End(_)) => patience = AFTER_END,
                Some(Polled::Message(message)) => {
                    take(&mut self.rule, &mut self.next, &self.mine, &message)?;
                }
            }
        }
        Ok(())
    }

    /// The reader can serve others again.
    pub(super) fn close(mut self, shared: &Arc<Shared>) {
        self.reader.rest();
        self.reader.put_back(shared);
    }
}

fn take(
    rule: &mut Positions,
    next: &mut i64,
    mine: &str,
    message: &BorrowedMessage<'_>,
) -> Result<(), WriterError> {
    let offset = message.offset();
    if offset < *next {
        return Ok(());
    }
    *next = offset + 1;
    // Records of other participants share the partition; nobody but their owner reads them.
    if message.key().is_some_and(|key| key.starts_with(mine.as_bytes())) {
        let record = PositionRecord::decode(message.payload().unwrap_or_default())?;
        rule.observe(offset, record)?;
    }
    Ok(())
}

/// The topic is shorter than it was.
pub(super) fn recreated(source: &TopicPartition, known: i64, now: i64) -> WriterError {
    Broken::new(
        format!(
            "{TOPIC}/{} was read up to offset {known} and ends at {now} now: it was recreated",
            source.partition
        ),
        "restore lt.positions, or move the participant to new topics; never write on",
    )
    .into()
}
