//! What every process writes to `lt.status`, every five seconds and at every change, and what `status` reads.

use std::time::Duration;

use lienthong_log::{Log, LogError};
use serde::{Deserialize, Serialize};

/// The compacted topic of states.
pub(crate) const TOPIC: &str = "lt.status";
/// How often a process that is alive writes.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
/// A record older than this is not believed: its process is gone or cut off.
pub(crate) const BELIEVED: Duration = Duration::from_secs(15);

/// One connector's or one subscription's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StatusRecord {
    /// `connector` or `subscription`.
    pub(crate) kind: String,
    /// Participant, or `subscriber/family`.
    pub(crate) name: String,
    /// catching-up, live, waiting, halted, stopped.
    pub(crate) state: String,
    /// Why, when it is not live.
    pub(crate) cause: Option<String>,
    /// Events since the process started.
    pub(crate) events: u64,
    /// Newest event's commit time, microseconds.
    pub(crate) last_event_time: Option<i64>,
    /// Everything committed up to this time has arrived, microseconds.
    pub(crate) fresh_through: Option<i64>,
    /// Rows set aside.
    pub(crate) quarantined: u64,
    /// Changes that a source keeps for the bus; null where it is not known.
    #[serde(default)]
    pub(crate) retained: Option<u64>,
    /// When this was written, microseconds.
    pub(crate) at: i64,
}

impl StatusRecord {
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.kind, self.name)
    }

    pub(crate) async fn write(&self, log: &dyn Log) -> Result<(), LogError> {
        let value = serde_json::to_vec(self).map_err(|error| LogError::Inconsistent(error.to_string()))?;
        log.put(TOPIC, self.key().as_bytes(), &value).await
    }

    /// State as `status` tells it.
    pub(crate) fn believed_state(&self, now: i64) -> &str {
        let ended = matches!(self.state.as_str(), "stopped" | "halted");
        let age = now.saturating_sub(self.at);
        if !ended && age > BELIEVED.as_micros() as i64 { "unreachable" } else { &self.state }
    }
}

/// Microseconds since 1970 UTC.
pub(crate) fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_process_is_unreachable_and_a_stopped_one_is_stopped() {
        let mut record = StatusRecord {
            kind: "connector".into(),
            name: "a.b".into(),
            state: "live".into(),
            cause: None,
            events: 0,
            last_event_time: None,
            fresh_through: None,
            quarantined: 0,
            retained: None,
            at: 0,
        };
        assert_eq!(record.believed_state(14_000_000), "live");
        assert_eq!(record.believed_state(16_000_000), "unreachable");
        record.state = "stopped".into();
        assert_eq!(record.believed_state(16_000_000), "stopped");
    }
}
