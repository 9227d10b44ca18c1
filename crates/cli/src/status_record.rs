//! What every process writes to `lt.status`, every five seconds and at every change, and what `status` reads.

use std::sync::OnceLock;
use std::time::Duration;

use lienthong_capture::{AsideTable, FirstLoad, LoadProgress};
use lienthong_log::{Log, LogError};
use serde::{Deserialize, Serialize};

/// The compacted topic of states.
pub(crate) const TOPIC: &str = "lt.status";
/// How often a process that is alive writes.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
/// A record older than this is not believed: its process is gone or cut off.
pub(crate) const BELIEVED: Duration = Duration::from_secs(15);

/// The record of a process that has been silent for so long is taken away by the next one that starts.
const FORGOTTEN: Duration = Duration::from_secs(3600);

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
    /// Tables whose changes are set aside until somebody has mended the mapping.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) set_aside: Vec<AsideRecord>,
    /// Changes that a source keeps for the bus; null where it is not known.
    #[serde(default)]
    pub(crate) retained: Option<u64>,
    /// What a source's server keeps of its log, bytes; null where there is no such log and where it is not known.
    #[serde(default)]
    pub(crate) retained_log: Option<u64>,
    /// How fast that grows, bytes per second; null until it is known.
    #[serde(default)]
    pub(crate) retained_log_growth: Option<i64>,
    /// When the nearer bound will be reached, days; null where it is unknown, and where nothing grows or bounds it.
    #[serde(default)]
    pub(crate) days_to_loss: Option<f64>,
    /// Partitions of the live topic behind `fresh_through`; null where one process always has all.
    #[serde(default)]
    pub(crate) partitions: Option<Vec<i32>>,
    /// How far requests for rows have come, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) loads: Vec<LoadRecord>,
    /// Number of the first request for rows that is not served; null where nobody can ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) served: Option<i64>,
    /// How far the first load is that is under way; null where none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) first_load: Option<FirstLoadRecord>,
    /// Which process: several may hold parts of one subscription.
    #[serde(default)]
    pub(crate) instance: String,
    /// When this was written, microseconds.
    pub(crate) at: i64,
}

/// A table whose changes are set aside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AsideRecord {
    /// The table.
    pub(crate) table: String,
    /// Changes set aside.
    pub(crate) changes: u64,
    /// When the first was committed, microseconds.
    pub(crate) since: i64,
    /// Why.
    pub(crate) problem: String,
    /// What mends it.
    pub(crate) fix: String,
}

impl From<&AsideTable> for AsideRecord {
    fn from(table: &AsideTable) -> Self {
        let AsideTable { table, rows, since, problem, fix, .. } = table.clone();
        Self { table, changes: rows, since, problem, fix }
    }
}

/// How far a first load is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FirstLoadRecord {
    /// Rows in the log, or come as changes meanwhile.
    pub(crate) rows: u64,
    /// Rows in all, by the database's guess; null where it has none.
    pub(crate) expected: Option<u64>,
    /// Rows per second; null until it is known.
    pub(crate) per_second: Option<f64>,
    /// Seconds until it is done; null where it cannot be told.
    pub(crate) remaining_seconds: Option<f64>,
}

impl From<FirstLoad> for FirstLoadRecord {
    fn from(load: FirstLoad) -> Self {
        let FirstLoad { rows, expected, per_second } = load;
        let tenths = |number: f64| (number * 10.0).round() / 10.0;
        Self {
            rows,
            expected,
            per_second: per_second.map(tenths),
            remaining_seconds: load.remaining_seconds().map(tenths),
        }
    }
}

/// How far a request for rows has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LoadRecord {
    /// The request.
    pub(crate) id: String,
    /// Rows read and in the log, or come as changes meanwhile.
    pub(crate) rows: u64,
    /// Keys that no row has.
    pub(crate) missing: u64,
    /// Rows or keys in all, where it is known.
    pub(crate) total: Option<u64>,
    /// The total is a guess.
    pub(crate) estimated: bool,
    /// Nothing more comes.
    pub(crate) done: bool,
    /// Why nothing comes.
    pub(crate) refused: Option<String>,
}

impl From<&LoadProgress> for LoadRecord {
    fn from(load: &LoadProgress) -> Self {
        let LoadProgress { id, rows, missing, total, estimated, done, refused } = load.clone();
        Self { id, rows, missing, total, estimated, done, refused }
    }
}

impl LoadRecord {
    /// Rows that are still to come, as far as it is known.
    pub(crate) fn remaining(&self) -> Option<u64> {
        if self.done {
            return Some(0);
        }
        self.total.map(|total| total.saturating_sub(self.rows + self.missing))
    }
}

impl StatusRecord {
    pub(crate) fn key(&self) -> String {
        format!("{}/{}/{}", self.kind, self.name, self.instance)
    }

    /// Takes the records of former processes away that this one follows, so that their number stays bounded: those that have ended,
    /// and those that have been silent for long.
    pub(crate) async fn tidy(&self, log: &dyn Log) -> Result<(), LogError> {
        for (key, value) in log.table(TOPIC).await? {
            let Ok(other) = serde_json::from_slice::<Self>(&value) else { continue };
            let same = other.kind == self.kind && other.name == self.name && other.instance != self.instance;
            let silent = self.at.saturating_sub(other.at) > FORGOTTEN.as_micros() as i64;
            if same && (other.has_ended() || silent) {
                log.remove(TOPIC, &key).await?;
            }
        }
        Ok(())
    }

    /// Whether its process has said that it ends.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state.as_str(), "stopped" | "halted")
    }

    pub(crate) async fn write(&self, log: &dyn Log) -> Result<(), LogError> {
        let value = serde_json::to_vec(self).map_err(|error| LogError::Inconsistent(error.to_string()))?;
        log.put(TOPIC, self.key().as_bytes(), &value).await
    }

    /// State as `status` tells it.
    pub(crate) fn believed_state(&self, now: i64) -> &str {
        let age = now.saturating_sub(self.at);
        if !self.has_ended() && age > BELIEVED.as_micros() as i64 { "unreachable" } else { &self.state }
    }
}

/// This process among others of the same name.
pub(crate) fn instance() -> String {
    static INSTANCE: OnceLock<String> = OnceLock::new();
    INSTANCE.get_or_init(|| format!("{:016x}", rand::random::<u64>())).clone()
}

/// Microseconds since 1970 UTC.
pub(crate) fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

#[cfg(test)]
mod tests {
    use crate::status_merge::tests::record;

    #[test]
    fn a_silent_process_is_unreachable_and_a_stopped_one_is_stopped() {
        let mut record = record("one", "live", 0);
        assert_eq!(record.believed_state(14_000_000), "live");
        assert_eq!(record.believed_state(16_000_000), "unreachable");
        record.state = "stopped".into();
        assert_eq!(record.believed_state(16_000_000), "stopped");
    }
}
