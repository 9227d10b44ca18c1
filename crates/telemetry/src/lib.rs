//! What a process tells of itself: log lines, metrics, health, traces. Personal data cannot reach them: types that carry values have
//! redacted `Debug` and no `Display`, and labels and attributes are made of a closed set of types ([`Label`], [`Name`]).
//!
//! `names` is the one place of every metric's name, unit and meaning; docs/metrics.md is made from it.

mod health;
mod histogram;
mod label;
mod logging;
mod meters;
mod metrics;
pub mod names;
mod reference;
mod server;
mod trace;
mod trace_context;

pub use health::{Health, Look, Verdict, Watch};
pub use histogram::Tally;
pub use label::{Label, Name, System};
pub use logging::{LogFormat, Logging, SERVICE, init};
pub use meters::{ConnectorMeters, Published, SubscriptionMeters, Transaction};
pub use metrics::{Counter, Gauge, Metrics, Readings};
pub use reference::markdown;
pub use server::{ServeError, Server};
pub use trace::{Span, Stage, TraceError, TraceOptions, Traces};
pub use trace_context::{Origin, TraceContext};
