//! Read-back over Kafka: all partitions of a writer at once, each from the newest valid checkpoint to the own fence.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use lienthong_contract::event::header;
use rdkafka::message::Message as _;

use super::client::{Shared, Wanted};
use super::decode;
use super::positions::Tail;
use super::read::{PartitionReader, Polled};
use crate::api::{TopicPartition, WriterError};
use crate::rules::{Broken, Checkpoint, ReadBack, Step};

/// What a partition's read-back found.
pub(super) struct Found {
    pub(super) target: TopicPartition,
    /// Offset of the own fence.
    pub(super) fence: i64,
    /// Last accepted sequence.
    pub(super) sequence: u64,
}

/// Reads every partition back. `targets` holds the offsets of the own fences, all acked. `tail` has read `lt.positions` up to the own claim.
pub(super) fn read_back(
    shared: &Arc<Shared>,
    targets: &BTreeMap<TopicPartition, i64>,
    own: i64,
    checkpoint: Option<&Checkpoint>,
    tail: &mut Tail,
    wanted: Wanted<'_>,
) -> Result<(Vec<Found>, HashSet<Box<str>>), WriterError> {
    let mut open = BTreeMap::new();
    let mut places = Vec::with_capacity(targets.len());
    for (target, fence) in targets {
        let TopicPartition { topic, partition } = target;
        let rule = ReadBack::new(own, checkpoint, topic, *partition);
        let marks = shared.watermarks(target)?;
        rule.check_retention(topic, *partition, marks.low)?;
        if rule.start() >= marks.high {
            return Err(Broken::new(
                format!(
                    "{topic}/{partition} ends at {}, before the last checkpoint's {}",
                    marks.high,
                    rule.start()
                ),
                "the topic was recreated or lost records: move the family to a new topic",
            )
            .into());
        }
        let physical = shared.options.physical(topic);
        places.push((physical.clone(), *partition, rule.start()));
        open.insert((physical, *partition), (target.clone(), *fence, rule));
    }
    let mut found = Vec::with_capacity(targets.len());
    let mut collected = HashSet::new();
    if places.is_empty() {
        return Ok((found, collected));
    }
    let mut reader = PartitionReader::get(shared, None)?;
    let what = "a writer's topics";
    reader.assign(&places).map_err(|error| shared.error(what, &error, None))?;
    while !open.is_empty() {
        // The own fence is there for certain; ends before it are of no interest.
        let Polled::Message(message) = reader.poll(shared, what, wanted)? else { continue };
        let place = (message.topic().to_owned(), message.partition());
        let Some((target, own_fence, rule)) = open.get_mut(&place) else { continue };
        let id = decode::header(&message, header::ID).and_then(|id| std::str::from_utf8(id).ok());
        match rule.observe(message.offset(), decode::mark(&message), id)? {
            Step::More => {}
            Step::Newer(fence) => return Err(newer(shared, target, own, fence, tail, wanted)),
            Step::Done if message.offset() != *own_fence => {
                return Err(foreign(target, message.offset(), own).into());
            }
            Step::Done => {
                if let Some((target, fence, rule)) = open.remove(&place) {
                    found.push(Found { target, fence, sequence: rule.sequence() });
                    collected.extend(rule.into_collected());
                }
            }
        }
    }
    reader.rest();
    reader.put_back(shared);
    Ok((found, collected))
}

/// The own epoch stands where this writer has written nothing: another claim had that offset once.
fn foreign(target: &TopicPartition, offset: i64, own: i64) -> Broken {
    let TopicPartition { topic, partition } = target;
    Broken::new(
        format!(
            "{topic}/{partition} holds a fence of epoch {own} at offset {offset} that this writer has not written: lt.positions \
             was recreated"
        ),
        "restore lt.positions, or move the participant to new topics; never write on",
    )
}

/// A higher epoch stands before the own fence: fenced when such a claim exists, otherwise `lt.positions` is not what it was.
fn newer(
    shared: &Arc<Shared>,
    target: &TopicPartition,
    own: i64,
    fence: i64,
    tail: &mut Tail,
    wanted: Wanted<'_>,
) -> WriterError {
    // The claim of that epoch would stand at that offset.
    let known = match tail.end(shared) {
        Ok(end) if end > fence => tail.read_to(shared, fence, wanted),
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = known {
        return error;
    }
    match tail.rule().superseded(own) {
        Some(claim) if claim >= fence => {
            WriterError::Fenced { participant: tail.participant().to_owned(), claim: Some(claim) }
        }
        _ => Broken::fence_without_claim(&target.topic, target.partition, fence, own).into(),
    }
}
