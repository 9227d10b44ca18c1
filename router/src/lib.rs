//! The inbound loop: guard, filter, project, deliver.
//!
//! **Invariant:** a batch's rows, ledger, receipt and offset are one transaction of the subscriber's database; nothing here
//! decides that an event may be lost. `order`, `filter`, `project`, `compact`, `merge` and `receipt` are pure: no I/O, no clock.
//!
//! The way of a batch: `session` takes it from the consumer, `lane` keeps it per partition, `backlog` cuts units, `group` says which
//! lanes' units are one transaction, `worker` runs it: `head` and `plans` read, `filter`, `project`, `effect` and `compact` make
//! the writes of each lane, `merge` joins them, the sink applies them.

mod backlog;
mod compact;
mod deliver;
mod effect;
mod error;
mod filter;
mod group;
mod head;
mod lane;
mod merge;
mod observe;
mod once;
mod opening;
mod order;
mod plans;
mod project;
mod receipt;
mod run;
mod session;
mod status;
pub mod subscription;
mod worker;

pub use error::RouterError;
pub use run::{Router, RouterOptions, SinkFactory};
pub use status::{PartitionStatus, State, Status};
