//! What a subscription shows of itself while it runs.

use std::collections::BTreeMap;

use lienthong_contract::counted;
use lienthong_contract::sink::OffsetState;
use lienthong_log::TopicPartition;

/// What a subscription is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Joining, reading offsets.
    #[default]
    Starting,
    /// Behind the log.
    CatchingUp,
    /// Everything that the log has for this router is delivered.
    Live,
    /// A dependency is away; tries again by itself. The text says which and why, without values.
    Waiting(String),
    /// Ended until somebody mends the cause.
    Halted(String),
    /// Ended.
    Stopped,
}

/// A subscription's gauges, of the partitions that this process holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// Events read since the start.
    pub events: u64,
    /// Of them, those that a filter let pass.
    pub delivered: u64,
    /// Rows inserted, changed or removed.
    pub changed: u64,
    /// Transactions committed.
    pub batches: u64,
    /// Newest delivered event's time, microseconds.
    pub last_event_time: Option<i64>,
    /// Oldest heartbeat over all live partitions held here; `None` while one is unknown.
    pub fresh_through: Option<i64>,
    /// The subscriber's database fits and the log has been asked for partitions.
    pub joined: bool,
    /// Partitions that began behind offset 0, because the log had let go of what stood before, and where.
    pub late: BTreeMap<TopicPartition, i64>,
    /// Where each partition stands.
    pub partitions: BTreeMap<TopicPartition, PartitionStatus>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    /// The offset row.
    pub offset: OffsetState,
    /// Why its worker waits, when it does.
    pub waiting: Option<String>,
}

impl Default for PartitionStatus {
    fn default() -> Self {
        Self { offset: OffsetState::START, waiting: None }
    }
}

impl Status {
    /// What somebody must know although nothing is wrong; without values.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        let (source, offset) = self.late.first_key_value()?;
        let TopicPartition { topic, partition } = source;
        let others = match self.late.len() {
            1 => String::new(),
            count => format!(" and {} later than their beginning", counted(count - 1, "more partition")),
        };
        Some(format!(
            "this subscription began at offset {offset} of {topic}/{partition}{others}: the log no longer held what stood before, and it \
             is not delivered; a first load of the family from its publisher brings it"
        ))
    }

    /// Partitions of the live topic that are held here.
    #[must_use]
    pub fn live_partitions(&self) -> Vec<i32> {
        let live = |source: &&TopicPartition| lienthong_log::marks::is_live_topic(&source.topic);
        self.partitions.keys().filter(live).map(|source| source.partition).collect()
    }

    /// Brings what follows from the partitions up to date. `idle`: nothing waits in this process and the log has nothing more.
    pub(crate) fn settle(&mut self, idle: bool) {
        let live = |source: &TopicPartition| lienthong_log::marks::is_live_topic(&source.topic);
        let fresh = self.partitions.iter().filter(|(source, _)| live(source));
        self.fresh_through =
            fresh.map(|(_, partition)| partition.offset.fresh_through).min().filter(|time| *time > 0);
        let waiting = self.partitions.values().find_map(|partition| partition.waiting.clone());
        self.state = match waiting {
            Some(cause) => State::Waiting(cause),
            None if idle => State::Live,
            None => State::CatchingUp,
        };
    }
}
