//! Why a subscription ended. Texts name tables, topics, offsets, schema ids and rules, never values.

use lienthong_log::{LogError, TopicPartition};

use crate::subscription::{Standing, Validity};

/// Why a subscription ended.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// Something that waiting does not mend: contract, lineage, agreement, target. The offset is kept, nothing is skipped.
    #[error("{problem}; fix: {fix}")]
    Halted {
        /// What is wrong.
        problem: String,
        /// What to do.
        fix: String,
    },
    /// A dependency was away for longer than allowed.
    #[error("{0}")]
    Away(String),
    /// The log does not let this router in. Trying again does not help; the offset is kept.
    #[error("{0}")]
    Refused(String),
    /// This program has a defect: something panicked. Nothing is skipped; the offset is kept.
    #[error("a defect of this program ended it; fix: report it with the lines before")]
    Defect,
    /// The log's address cannot be used.
    #[error("{0}")]
    Options(String),
}

impl RouterError {
    /// A halt.
    #[must_use]
    pub fn halted(problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Halted { problem: problem.into(), fix: fix.into() }
    }

    /// Whether starting again later may help without anybody's doing.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Away(_))
    }

    /// An agreement that does not allow a delivery today; `None` when it does.
    #[must_use]
    pub fn outside(valid: &Validity, now: i64, agreement: &str) -> Option<Self> {
        let (problem, fix) = match valid.judge(now) {
            Standing::Valid => return None,
            Standing::Early => ("is not valid yet", "wait for its first day, or correct `valid.from`"),
            Standing::Ended => {
                ("has ended", "renew it with a new version; delivery goes on from the kept offset")
            }
        };
        let from = day(valid.from);
        let days = valid
            .until
            .map_or_else(|| format!("from {from} on"), |until| format!("{from} to {}", day(until)));
        Some(Self::halted(format!("agreement {agreement} {problem} (valid {days})"), fix))
    }

    /// Retention has passed what was not yet delivered.
    #[must_use]
    pub fn expired(source: &TopicPartition, wanted: i64, low: i64) -> Self {
        let TopicPartition { topic, partition } = source;
        Self::halted(
            format!(
                "retention of {topic}/{partition} has passed this subscription: offsets {wanted} to {} are gone",
                low - 1
            ),
            "bring the rows concerned from the publisher by other means, then delete this partition's row from the subscriber's offset \
             table and start again: delivery begins at the oldest place that the log still holds, and newer rows are never overwritten",
        )
    }
}

fn day(days: i32) -> String {
    let mut text = String::new();
    lienthong_schemas::date::format_date(days, &mut text);
    text
}

impl From<LogError> for RouterError {
    fn from(error: LogError) -> Self {
        match transient(error) {
            Ok(text) => Self::Away(text),
            Err(error) => error,
        }
    }
}

/// Splits the log's failures: `Ok` for one that waiting may mend, `Err` for a halt.
///
/// # Errors
/// A failure that waiting does not mend, as a halt.
pub(crate) fn transient(error: LogError) -> Result<String, RouterError> {
    match error {
        LogError::Unreachable { .. } | LogError::RegistryDown(_) => Ok(error.to_string()),
        LogError::Schema { problem, fix }
        | LogError::Topic { problem, fix }
        | LogError::File { problem, fix } => Err(RouterError::Halted { problem, fix }),
        LogError::DiskFull(_) => Err(RouterError::halted(error.to_string(), "free space, then start again")),
        LogError::Refused(_) => Err(RouterError::Refused(error.to_string())),
        LogError::Options { .. } => Err(RouterError::Options(error.to_string())),
        LogError::Inconsistent(_) => Err(RouterError::halted(
            error.to_string(),
            "report this with the log's version and the offsets named",
        )),
    }
}

/// An event that cannot be delivered, before it is known where it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; fix: {fix}")]
pub(crate) struct EventFault {
    /// What is wrong, without values.
    pub(crate) problem: String,
    /// What to do.
    pub(crate) fix: &'static str,
}

impl EventFault {
    /// A fault.
    #[must_use]
    pub(crate) fn new(problem: impl Into<String>, fix: &'static str) -> Self {
        Self { problem: problem.into(), fix }
    }

    /// With its place.
    #[must_use]
    pub(crate) fn at(self, source: &TopicPartition, offset: i64) -> RouterError {
        let TopicPartition { topic, partition } = source;
        RouterError::halted(
            format!("the event at {topic}/{partition} offset {offset} cannot be delivered: {}", self.problem),
            self.fix,
        )
    }
}
