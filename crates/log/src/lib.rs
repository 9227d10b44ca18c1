//! The log: one door, two engines. Family topics hold events; `lt.positions` holds claims and checkpoints.
//!
//! The writing and reading rules live in [`rules`], pure and shared by both engines; nobody above this crate sees fences,
//! zombies' late records or heartbeats' framing. `kafka` is the only place that knows rdkafka.

pub mod api;
mod checked;
pub mod control;
pub mod embedded;
pub mod kafka;
pub mod marks;
pub mod murmur2;
pub mod record;
mod redacted;
pub mod rules;
mod topic;

pub use api::*;
pub use checked::CheckedLog;
pub use record::{Batch, LogBatch, RecordRef};
pub use rules::Mark;
pub use topic::{Difference, TopicSpec, TopicState};
