//! The inbound loop: guard, filter, project, deliver.
//!
//! **Invariant:** a batch's rows, ledger, receipt and offset are one transaction of the subscriber's database; nothing here
//! decides that an event may be lost. `order`, `filter`, `project`, `compact` and `receipt` are pure: no I/O, no clock.
//!
//! The way of a batch: `session` takes it from the consumer, `lane` keeps it per partition, `backlog` cuts transactions, `worker`
//! runs one: `head` and `plans` read, `filter`, `project`, `effect` and `compact` make writes, the sink applies them.

mod backlog;
mod compact;
mod deliver;
mod effect;
mod error;
mod filter;
mod head;
mod lane;
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
