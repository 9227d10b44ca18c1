//! Topics as contracts want them, as the log has them, and which differences endanger a promise.

use std::fmt;
use std::time::Duration;

use lienthong_schemas::counted;

use crate::api::LogError;

/// A topic as contracts want it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    /// `lt.civil_status.live`.
    pub name: String,
    /// Fixed at creation.
    pub partitions: i32,
    /// Kafka only.
    pub replication: i32,
    /// Kafka only.
    pub min_insync_replicas: i32,
    /// `None` keeps for ever.
    pub retention: Option<Duration>,
    /// Keeps the newest record per key instead of a time.
    pub compacted: bool,
}

/// A topic as the log has it, and in what it differs from its specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// Name.
    pub name: String,
    /// `None`: the topic does not exist.
    pub partitions: Option<i32>,
    /// What is otherwise than it should be.
    pub differences: Vec<Difference>,
}

/// One property that is otherwise than it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Topic, as contracts name it.
    pub topic: String,
    /// As the log names it.
    pub property: &'static str,
    /// What the topic has.
    pub found: String,
    /// What it should have.
    pub wanted: String,
    /// Records may be lost, or come in another order, before anybody notices: nothing may run on such a topic.
    pub endangers: bool,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, property, found, wanted, .. } = self;
        write!(f, "{topic}: {property} is {found}; it should be {wanted}")
    }
}

/// The difference of a topic that is not there.
#[must_use]
pub(crate) fn absent(spec: &TopicSpec) -> Difference {
    Difference {
        topic: spec.name.clone(),
        property: "the topic",
        found: "missing".into(),
        wanted: format!("there, with {}", counted(spec.partitions, "partition")),
        endangers: true,
        fix: CREATE.into(),
    }
}

/// What creates topics.
pub(crate) const CREATE: &str = "run `lienthong topics create`";

/// Retention in words; below 0 means for ever.
#[must_use]
pub(crate) fn kept(milliseconds: i64) -> String {
    if milliseconds < 0 { "for ever".to_owned() } else { format!("for {} s", milliseconds / 1000) }
}

/// Milliseconds; -1 keeps for ever.
#[must_use]
pub(crate) fn retention_ms(spec: &TopicSpec) -> i64 {
    spec.retention.map_or(-1, |retention| i64::try_from(retention.as_millis()).unwrap_or(i64::MAX))
}

/// Whether records go earlier than they should. Below 0 means for ever.
#[must_use]
pub(crate) fn is_shorter(found: i64, wanted: i64) -> bool {
    found >= 0 && (wanted < 0 || found < wanted)
}

/// Differences that do no harm.
///
/// # Errors
/// Differences that endanger a promise, all of them, with what to do.
pub(crate) fn judge(states: Vec<TopicState>) -> Result<Vec<Difference>, LogError> {
    let all = states.into_iter().flat_map(|state| state.differences);
    let (dangers, harmless): (Vec<_>, Vec<_>) = all.partition(|difference| difference.endangers);
    if dangers.is_empty() {
        return Ok(harmless);
    }
    let problem = dangers.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    let mut fixes: Vec<&str> = dangers.iter().map(|difference| difference.fix.as_str()).collect();
    fixes.dedup();
    Err(LogError::Topic { problem, fix: fixes.join("; ") })
}
