//! One organisation's configuration: a folder of YAML files, read, checked and compiled to what connectors and routers run.
//!
//! **Invariants:** a site that loads is without mistake, so nothing that runs on it checks a name again; what is wrong is
//! told all at once, each with file, line, column and the fix; what `${env:NAME}` and `${file:PATH}` stand for is in no
//! message and in no `Debug`.
//!
//! The way of a file: `node` makes a tree that knows its places; `ministry::file` and `agreement::file` read it with `reader`,
//! which keeps every mistake; `ministry::compile` and `agreement::compile` hold it against the catalogue.

mod agreement;
mod contracts;
mod database;
mod files;
mod keys;
mod log_address;
mod ministry;
mod node;
mod reader;
mod secret;
mod settings;
mod site;

pub use agreement::Subscriber;
pub use keys::{Keys, key_files};
pub use log_address::{KafkaAddress, LogAddress, Login, Sasl, SaslMechanism, Tls};
pub use ministry::Participant;
pub use secret::Secret;
pub use settings::{Routing, Telemetry};
pub use site::{FILE, Overrides, Site, contract_texts};
