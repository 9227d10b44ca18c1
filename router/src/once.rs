//! What `once` means: every partition delivered up to where it ended at the start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lienthong_log::{Log, LogError, TopicPartition, TopicSpec};
use tokio::time::Instant;

/// Another router's offsets are looked at this often.
const LOOK: Duration = Duration::from_millis(250);

/// Ends of partitions, and what is still open.
pub(crate) struct Goal {
    open: BTreeMap<TopicPartition, i64>,
    looked_at: Instant,
}

impl Goal {
    /// Where the log ends now.
    pub(crate) async fn read(log: &dyn Log, topics: &[String]) -> Result<Self, LogError> {
        let wanted: Vec<TopicSpec> = topics.iter().map(|name| spec(name)).collect();
        let mut open = BTreeMap::new();
        for state in log.describe_topics(&wanted).await? {
            let Some(partitions) = state.partitions else {
                return Err(LogError::Topic {
                    problem: format!("topic {} does not exist", state.name),
                    fix: "lienthong topics create".to_owned(),
                });
            };
            let topic: Arc<str> = state.name.into();
            for partition in 0..partitions {
                let source = TopicPartition { topic: Arc::clone(&topic), partition };
                let marks = log.watermarks(&source).await?;
                if marks.high > 0 {
                    open.insert(source, marks.high);
                }
            }
        }
        Ok(Self { open, looked_at: Instant::now() })
    }

    /// A partition has been delivered up to this offset.
    pub(crate) fn reached(&mut self, source: &TopicPartition, offset: i64) {
        if self.open.get(source).is_some_and(|end| offset >= *end) {
            self.open.remove(source);
        }
    }

    /// Whether nothing is open.
    pub(crate) fn is_met(&self) -> bool {
        self.open.is_empty()
    }

    /// Partitions that are open.
    pub(crate) fn open(&self) -> Vec<TopicPartition> {
        self.open.keys().cloned().collect()
    }

    /// Whether it is time to look after open partitions that others hold.
    pub(crate) fn others_due(&mut self, mine: impl Fn(&TopicPartition) -> bool) -> bool {
        let due = self.looked_at.elapsed() >= LOOK && self.open.keys().any(|source| !mine(source));
        if due {
            self.looked_at = Instant::now();
        }
        due
    }
}

/// Only the name counts: what the topic should be is not this crate's business.
fn spec(name: &str) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        partitions: 1,
        replication: 1,
        min_insync_replicas: 1,
        retention: None,
        compacted: false,
    }
}
