//! `lt.positions`: claims, checkpoints, and which checkpoint is valid.

use lienthong_schemas::counted;
use serde::{Deserialize, Serialize};

use super::Broken;
use crate::api::CheckpointBody;

/// A value in `lt.positions`, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PositionRecord {
    /// A writer begins; the record's offset is its epoch.
    Claim(Claim),
    /// A writer's source may forget, if no newer claim stands before it.
    Checkpoint(Checkpoint),
}

/// A claim's content: for people only, its offset is what counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Whose.
    pub participant: String,
    /// When, microseconds.
    pub time: i64,
}

/// A checkpoint's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Whose.
    pub participant: String,
    /// The writer's claim.
    pub epoch: i64,
    /// Rises by one within an epoch; its parity is the slot.
    pub number: u64,
    /// The source's side.
    pub body: CheckpointBody,
    /// One per partition that the participant ever wrote.
    pub partitions: Vec<PartitionPoint>,
}

/// Where a partition stood at a checkpoint: what a late reader or the next writer's read-back starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionPoint {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The rule's epoch there: the checkpoint's own, except for a topic that its writer no longer held, and in a checkpoint that covers
    /// no more than the one before its claim.
    pub epoch: i64,
    /// The offset after the writer's last record covered, or after its fence.
    pub next_offset: i64,
    /// Sequence of the last record covered.
    pub sequence: u64,
}

impl Checkpoint {
    /// The point of one partition.
    #[must_use]
    pub fn point(&self, topic: &str, partition: i32) -> Option<&PartitionPoint> {
        self.partitions.iter().find(|point| point.topic == topic && point.partition == partition)
    }

    /// A topic that the checkpoint knows must still have as many partitions: keys would change places otherwise.
    ///
    /// # Errors
    /// When the count has changed.
    pub fn check_partitions(&self, topic: &str, now: i32) -> Result<(), Broken> {
        let then = self.partitions.iter().filter(|point| point.topic == topic).count();
        if then == 0 || i32::try_from(then) == Ok(now) {
            return Ok(());
        }
        Err(Broken::new(
            format!("{topic} had {} at the last checkpoint and has {now} now", counted(then, "partition")),
            "partition counts are fixed at creation: move the family to a new topic",
        ))
    }
}

impl PositionRecord {
    /// As JSON.
    ///
    /// # Errors
    /// Never for values made by this crate.
    pub fn encode(&self) -> Result<Vec<u8>, Broken> {
        serde_json::to_vec(self).map_err(|error| unreadable(&error.to_string()))
    }

    /// From JSON.
    ///
    /// # Errors
    /// When the bytes are neither claim nor checkpoint.
    pub fn decode(value: &[u8]) -> Result<Self, Broken> {
        serde_json::from_slice(value).map_err(|error| unreadable(&format!("column {}", error.column())))
    }

    /// Whose.
    #[must_use]
    pub fn participant(&self) -> &str {
        match self {
            Self::Claim(claim) => &claim.participant,
            Self::Checkpoint(checkpoint) => &checkpoint.participant,
        }
    }
}

fn unreadable(what: &str) -> Broken {
    Broken::new(
        format!("lt.positions holds a record that is neither claim nor checkpoint ({what})"),
        "only connectors of this version or older may write lt.positions; upgrade this one",
    )
}

/// Key of a claim. `nonce` is random, so that compaction never takes a claim away.
#[must_use]
pub fn claim_key(participant: &str, nonce: &str) -> String {
    format!("{participant}/claim/{nonce}")
}

/// Key of a checkpoint. Two slots per epoch: the last one may have landed behind a newer claim and is then invalid; compaction
/// must not have taken the valid one before it.
#[must_use]
pub fn checkpoint_key(participant: &str, epoch: i64, number: u64) -> String {
    format!("{participant}/{epoch}/{}", number % 2)
}

/// Milestones kept per participant.
const MILESTONES: i64 = 400;
const DAY: i64 = 24 * 3600 * 1_000_000;

/// Key of a checkpoint that is put a second time, once a day, so that compaction keeps places to begin for late readers: the two slots
/// of a writer that runs for months are both of today. A ring of days bounds them; validity is judged by their place in the topic as
/// with every checkpoint. `time` in microseconds.
#[must_use]
pub fn milestone_key(participant: &str, time: i64) -> String {
    format!("{participant}/day/{}", time.div_euclid(DAY).rem_euclid(MILESTONES))
}

/// One participant's history in `lt.positions`, fed in order; records of others are passed over.
#[derive(Clone, Debug)]
pub struct Positions {
    participant: String,
    highest_claim: Option<i64>,
    newest: Option<Checkpoint>,
}

impl Positions {
    /// Before the first record.
    #[must_use]
    pub fn new(participant: &str) -> Self {
        Self { participant: participant.to_owned(), highest_claim: None, newest: None }
    }

    /// Takes the record at `offset`. Offsets must rise.
    ///
    /// # Errors
    /// When a checkpoint stands there whose claim does not: claims are never lost, so `lt.positions` was recreated or cut.
    pub fn observe(&mut self, offset: i64, record: PositionRecord) -> Result<(), Broken> {
        if record.participant() != self.participant {
            return Ok(());
        }
        match record {
            PositionRecord::Claim(_) => self.highest_claim = Some(offset),
            PositionRecord::Checkpoint(checkpoint) => {
                if self.highest_claim.is_none_or(|claim| claim < checkpoint.epoch) {
                    return Err(Broken::new(
                        format!(
                            "lt.positions holds a checkpoint of epoch {} of {} without its claim: it was recreated or cut",
                            checkpoint.epoch, self.participant
                        ),
                        "restore lt.positions, or move the participant to new topics; never write on",
                    ));
                }
                // A lower epoch here is a zombie's late checkpoint: what it covers is not what the newer writer saw.
                if self.highest_claim == Some(checkpoint.epoch) {
                    self.newest = Some(checkpoint);
                }
            }
        }
        Ok(())
    }

    /// The last checkpoint before which no higher claim stands.
    #[must_use]
    pub fn newest_valid(&self) -> Option<&Checkpoint> {
        self.newest.as_ref()
    }

    /// The highest claim seen.
    #[must_use]
    pub fn highest_claim(&self) -> Option<i64> {
        self.highest_claim
    }

    /// The claim that stands above `own`: this writer stops for good and its source forgets nothing.
    #[must_use]
    pub fn superseded(&self, own: i64) -> Option<i64> {
        self.highest_claim.filter(|claim| *claim > own)
    }
}
