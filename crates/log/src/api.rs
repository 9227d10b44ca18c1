//! The door. Its comments are the specification that the conformance suite holds both engines to.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lienthong_contract::participant::ParticipantId;
use lienthong_contract::position::{Lineage, Position};
use lienthong_contract::sink::OffsetState;

use crate::record::{Batch, LogBatch};
use crate::rules::Mark;
use crate::topic::{TopicSpec, TopicState};

/// A partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
}

/// First and next offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// Oldest offset still held.
    pub low: i64,
    /// Offset of the next record.
    pub high: i64,
}

/// What a new writer finds, after claim, fences and read-back.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The claim's offset.
    pub epoch: i64,
    /// The newest valid checkpoint's content; `None` at the very first start.
    pub checkpoint: Option<CheckpointBody>,
    /// `ce_id`s accepted after that checkpoint: already in the log, to be skipped when the source gives them again.
    pub collected: HashSet<Box<str>>,
    /// How far the log reached with that checkpoint's position: a checkpoint with a position that covers the same may be made with it
    /// although `collected` is not empty, and its successor collects the same again.
    pub mark: Mark,
    /// Partitions per topic of this writer, fixed while it lives; a key's partition is [`crate::murmur2::partition`].
    pub partitions: BTreeMap<Arc<str>, i32>,
}

/// What a checkpoint says besides the partitions' states, which the writer keeps itself.
#[derive(Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CheckpointBody {
    /// The source's position S as text: everything that it covers is acked in the log. Empty where a lineage was accepted and its source
    /// begins as at the very first start.
    pub position: String,
    /// The source's lineage when S was made.
    pub lineage: Lineage,
    /// Rises when an operator accepts a new lineage.
    pub lineage_epoch: u32,
    /// Counter behind `ce_sequence` of outbox events.
    pub counter: u64,
}

impl CheckpointBody {
    /// The source's position, if it has one.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        (!self.position.is_empty()).then(|| Position::new(self.position.clone()))
    }
}

/// The right to let the source forget: given only for a checkpoint that stands in the log before any newer claim.
#[derive(Debug)]
#[must_use]
pub struct ForgetLeave(pub(crate) ());

/// One participant's writer. Any error ends it for good: open another one.
#[async_trait]
pub trait Writer: Send {
    /// Appends with this writer's epoch and the next dense sequence of each partition, and returns when everything is
    /// durable. Records of one partition keep their order.
    async fn append(&mut self, batch: &Batch) -> Result<(), WriterError>;

    /// Writes a heartbeat of that time to every partition of the live topics, in sequence.
    async fn heartbeat(&mut self, time: i64) -> Result<(), WriterError>;

    /// How far everything appended so far reaches.
    fn mark(&self) -> Mark;

    /// Writes a checkpoint whose position covers every collected id and exactly what had been appended at `mark`, then reads
    /// `lt.positions` up to it. A higher claim before it ends the writer. The next writer collects what stands behind the mark, and
    /// the source must give all of it again, given out or passed, when it goes on from the position.
    async fn checkpoint_at(&mut self, body: &CheckpointBody, mark: &Mark)
    -> Result<ForgetLeave, WriterError>;

    /// The same with a position that covers everything that has been appended.
    async fn checkpoint(&mut self, body: &CheckpointBody) -> Result<ForgetLeave, WriterError> {
        let mark = self.mark();
        self.checkpoint_at(body, &mark).await
    }

    /// Whether a newer claim stands in `lt.positions`: an idle holder asks this and lets go.
    async fn fenced(&mut self) -> Result<bool, WriterError>;

    /// The claim's offset.
    fn epoch(&self) -> i64;
}

/// What a consumer is told, in order.
#[derive(Debug)]
pub enum Delivered {
    /// A partition is this member's now: answer with [`Consumer::start`] before any of its records come.
    Assigned(TopicPartition),
    /// A partition goes to another member: finish the transaction in hand or drop it; nothing more comes of it.
    Revoked(TopicPartition),
    /// Accepted records.
    Records(LogBatch),
    /// Retention has passed what the member asked for: a loss.
    Expired {
        /// Where.
        source: TopicPartition,
        /// What was asked for.
        wanted: i64,
        /// The oldest offset still there.
        low: i64,
    },
}

/// A member of a consumer group. Bounded: it holds at most `fetch_bytes` of records that have not been taken.
#[async_trait]
pub trait Consumer: Send {
    /// The next thing, or `None` after `at_most`.
    async fn next(&mut self, at_most: Duration) -> Result<Option<Delivered>, LogError>;

    /// Where to read an assigned partition from, with the reading rule's state.
    async fn start(&mut self, source: &TopicPartition, state: OffsetState) -> Result<(), LogError>;

    /// Holds back a partition's records until `resume`; nothing fetched is lost.
    async fn pause(&mut self, source: &TopicPartition) -> Result<(), LogError>;

    /// Ends `pause`.
    async fn resume(&mut self, source: &TopicPartition) -> Result<(), LogError>;

    /// Tells the log how far the group is, for lag tools only; the subscriber's database decides.
    async fn commit(&mut self, source: &TopicPartition, next_offset: i64) -> Result<(), LogError>;

    /// Leaves the group at once, so that others take over without waiting.
    async fn leave(&mut self) -> Result<(), LogError>;
}

/// How to consume.
#[derive(Clone, Debug)]
pub struct ConsumeOptions {
    /// Group id.
    pub group: String,
    /// Topics.
    pub topics: Vec<String>,
    /// Bound of records held ready.
    pub fetch_bytes: usize,
    /// How long a member may be silent before others take its partitions.
    pub session: Duration,
}

/// The log.
#[async_trait]
pub trait Log: Send + Sync {
    /// Claims, fences every partition of `topics`, reads back. Several minutes of read-back are possible after a long outage.
    async fn open_writer(
        &self,
        participant: &ParticipantId,
        topics: &[String],
    ) -> Result<(Box<dyn Writer>, Recovered), WriterError>;

    /// Joins a group.
    async fn consume(&self, options: &ConsumeOptions) -> Result<Box<dyn Consumer>, LogError>;

    /// Reads one partition by the reading rule from a state, without a group: `tail`, tests, replays. Returns an empty
    /// batch at the end.
    async fn read(
        &self,
        source: &TopicPartition,
        state: OffsetState,
        max_bytes: usize,
    ) -> Result<LogBatch, LogError>;

    /// First and next offset.
    async fn watermarks(&self, source: &TopicPartition) -> Result<Watermarks, LogError>;

    /// First offset whose record time is at least `time` (microseconds); `None` past the end.
    async fn offset_at(&self, source: &TopicPartition, time: i64) -> Result<Option<i64>, LogError>;

    /// Where a reader that has no state of its own may begin, at the newest such place at or below the offset `wanted`, or else at the
    /// oldest: offset 0 while the log holds it, or where the epoch and the sequence are vouched for (on Kafka by a valid checkpoint).
    /// A partition of a side topic begins anywhere. An error when the log holds no such place.
    async fn start_at(&self, source: &TopicPartition, wanted: i64) -> Result<OffsetState, LogError>;

    /// What exists against what should.
    async fn describe_topics(&self, wanted: &[TopicSpec]) -> Result<Vec<TopicState>, LogError>;

    /// Creates what is missing; never changes what is there.
    async fn create_topics(&self, wanted: &[TopicSpec]) -> Result<(), LogError>;

    /// Puts the newest value per key to a compacted side topic (`lt.status`).
    async fn put(&self, topic: &str, key: &[u8], value: &[u8]) -> Result<(), LogError>;

    /// Takes a key out of a compacted side topic.
    async fn remove(&self, topic: &str, key: &[u8]) -> Result<(), LogError>;

    /// The newest value per key of a compacted side topic.
    async fn table(&self, topic: &str) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LogError>;

    /// Appends to a side topic without order promises (`lt.quarantine.<participant>`, `lt.receipts`, `lt.audit`); durable on return.
    async fn publish(
        &self,
        topic: &str,
        key: &[u8],
        headers: &[(&str, &[u8])],
        value: &[u8],
    ) -> Result<(), LogError>;

    /// Offsets that a group has told, by partition.
    async fn group_offsets(
        &self,
        group: &str,
        topics: &[String],
    ) -> Result<BTreeMap<TopicPartition, i64>, LogError>;

    /// The id of a registered schema, by `<topic>-<record full name>`; never registers.
    async fn schema_id(&self, topic: &str, full_name: &str, schema: &str) -> Result<u32, LogError>;

    /// The text of a schema.
    async fn schema(&self, id: u32) -> Result<Arc<str>, LogError>;

    /// Every registered version of a schema, oldest first; none when nobody has registered one.
    async fn schema_versions(&self, topic: &str, full_name: &str) -> Result<Vec<Arc<str>>, LogError>;

    /// Registers a schema (`schema register` alone calls this), compatibility BACKWARD_TRANSITIVE.
    async fn register_schema(&self, topic: &str, full_name: &str, schema: &str) -> Result<u32, LogError>;
}

/// Why a writer ended. Never carries values.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// A newer claim stands in the log: another connector has taken over.
    #[error("another connector of {participant} has taken over{}", place(.claim))]
    Fenced {
        /// Whose.
        participant: String,
        /// The newer claim; `None` when only its presence was asked for.
        claim: Option<i64>,
    },
    /// A record was not taken; what follows must not be sent.
    #[error("the log did not take a record: {0}")]
    Lost(String),
    /// The log's history contradicts itself: `lt.positions` recreated, retention past the checkpoint, partition count changed.
    #[error("{problem}; fix: {fix}")]
    Broken {
        /// What is wrong.
        problem: String,
        /// What to do.
        fix: String,
    },
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Where the claim stands, in brackets, when that is known.
fn place(claim: &Option<i64>) -> String {
    claim.map(|claim| format!(" (claim {claim})")).unwrap_or_default()
}

/// Why the log failed. Never carries values.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Down or slow; trying again later may help.
    #[error("the log at {address} is unreachable: {reason}")]
    Unreachable {
        /// Address without secrets.
        address: String,
        /// The client's reason.
        reason: String,
    },
    /// The registry is down; trying again later may help.
    #[error("the schema registry is unreachable: {0}")]
    RegistryDown(String),
    /// A schema is not registered, or is not compatible.
    #[error("{problem}; fix: {fix}")]
    Schema {
        /// What is wrong.
        problem: String,
        /// What to do.
        fix: String,
    },
    /// A topic is missing or not as contracts say.
    #[error("{problem}; fix: {fix}")]
    Topic {
        /// What is wrong.
        problem: String,
        /// What to do.
        fix: String,
    },
    /// The file is damaged, foreign, older, on a network file system.
    #[error("{problem}; fix: {fix}")]
    File {
        /// What is wrong.
        problem: String,
        /// What to do.
        fix: String,
    },
    /// No space is left; nothing acknowledged is lost.
    #[error("no space is left for the log at {0}")]
    DiskFull(String),
    /// A property or a file of the log's address cannot be used; nothing was asked yet.
    #[error("{problem}; fix: {fix}")]
    Options {
        /// What is wrong.
        problem: String,
        /// What to do.
        fix: String,
    },
    /// Access is refused.
    #[error("the log refuses access: {0}")]
    Refused(String),
    /// A bug or a broken record.
    #[error("the log is inconsistent: {0}")]
    Inconsistent(String),
}

#[cfg(test)]
mod tests {
    use super::WriterError;

    #[test]
    fn a_claim_is_named_only_when_it_is_known() {
        let told = |claim| WriterError::Fenced { participant: "moj.test".to_owned(), claim }.to_string();
        assert_eq!(told(None), "another connector of moj.test has taken over");
        assert_eq!(told(Some(7)), "another connector of moj.test has taken over (claim 7)");
    }
}
