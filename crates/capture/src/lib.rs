//! The outbound loop: rows of a source become events in the log, exactly once.
//!
//! [`publication`] is a `publishes` entry of a ministry's YAML, compiled; [`encode`] turns one changed row into records (pure);
//! [`pump`] polls, appends, checkpoints and lets the source forget; [`run`] starts it again when a dependency was away; `trace` tells of
//! single events; [`lineage`] guards what a position belongs to.
//!
//! **Invariant:** nothing here knows a kind of database or an engine of the log.

pub mod aside;
mod batches;
mod causation;
mod cells;
pub mod convert;
mod correlation;
mod emptied;
pub mod encode;
mod envelope;
mod first_load;
pub mod lineage;
mod looked_up;
pub mod publication;
pub mod pump;
pub mod quarantine;
mod recent;
pub mod requests;
mod retention;
pub mod run;
mod side;
mod to_end;
mod trace;
mod when;

pub use aside::Retry;
pub use envelope::Held;
pub use first_load::FirstLoad;
pub use lienthong_contract::aside::{Absent, AsideTable, Mending, Renamed};
pub use lienthong_contract::load::{LoadProgress, Wanted};
pub use publication::{FieldSource, Publication, When};
pub use recent::Recent;
pub use retention::Retained;
pub use run::{CaptureError, CaptureOptions, Connector, State, Status, retry, run, topics};
