//! Where a late reader may begin: `lt.positions` read as a whole, whoever wrote it.

use std::collections::BTreeMap;

use lienthong_contract::sink::OffsetState;
use rdkafka::message::Message as _;

use super::client::{Shared, Wanted};
use super::positions::TOPIC;
use super::read::{PartitionReader, Polled};
use crate::api::{LogError, TopicPartition};
use crate::marks::is_family_topic;
use crate::rules::{PositionRecord, Starts};

/// See [`crate::api::Log::start_at`].
pub(super) fn start_at(
    shared: &Shared,
    source: &TopicPartition,
    wanted: i64,
    waits: Wanted<'_>,
) -> Result<OffsetState, LogError> {
    let TopicPartition { topic, partition } = source;
    let marks = shared.watermarks(source)?;
    if !is_family_topic(topic) {
        return Ok(OffsetState { next_offset: wanted.clamp(marks.low, marks.high), ..OffsetState::START });
    }
    if marks.low <= 0 && wanted <= 0 {
        return Ok(OffsetState::START);
    }
    let starts = read(shared, source, waits)?;
    // Retention may have gone on meanwhile; a place that is gone is no place.
    let marks = shared.watermarks(source)?;
    starts.choose(wanted, (marks.low, marks.high)).ok_or_else(|| LogError::Topic {
        problem: format!(
            "{topic}/{partition} begins at offset {}, and {TOPIC} holds no valid checkpoint from there on: nobody can begin to read it",
            marks.low
        ),
        fix: format!("start the connector that writes {topic}: its next checkpoint is a place to begin"),
    })
}

fn read(shared: &Shared, source: &TopicPartition, waits: Wanted<'_>) -> Result<Starts, LogError> {
    let physical = shared.options.physical(TOPIC);
    let (mut ends, mut places) = (BTreeMap::new(), Vec::new());
    for partition in 0..shared.partitions(TOPIC)? {
        let marks = shared.watermarks(&TopicPartition { topic: TOPIC.into(), partition })?;
        if marks.low < marks.high {
            ends.insert(partition, marks.high);
            places.push((physical.clone(), partition, marks.low));
        }
    }
    let mut starts = Starts::new(&source.topic, source.partition);
    if places.is_empty() {
        return Ok(starts);
    }
    let mut reader = PartitionReader::get(shared, None)?;
    reader.assign(&places).map_err(|error| shared.error(TOPIC, &error, None))?;
    while !ends.is_empty() {
        match reader.poll(shared, TOPIC, waits)? {
            // Assigned after the ends were asked for, so that this one is not from before.
            Polled::End(partition) => drop(ends.remove(&partition)),
            Polled::Message(message) => {
                let (partition, offset) = (message.partition(), message.offset());
                if ends.get(&partition).is_some_and(|end| offset + 1 >= *end) {
                    ends.remove(&partition);
                }
                let record = PositionRecord::decode(message.payload().unwrap_or_default());
                starts.observe(offset, record.map_err(|broken| LogError::Inconsistent(broken.to_string()))?);
            }
        }
    }
    reader.rest();
    reader.put_back(shared);
    Ok(starts)
}
