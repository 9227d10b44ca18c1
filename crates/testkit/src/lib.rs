//! What tests share: the addresses of real servers, databases and names of their own for every test, faults, private servers.
//!
//! **Invariant:** nothing here is a stand-in for a server; tests speak to real ones, each in a namespace of its own.

pub mod admin_units;
pub mod certificates;
pub mod database;
pub mod env;
pub mod kafka;
pub mod postgres;
pub mod private_kafka;
pub mod private_postgres;
pub mod process;
pub mod proxy;
mod random;
pub mod secure_kafka;
pub mod tls_proxy;
mod wait;
pub mod workload;

pub use random::seed;
pub use wait::eventually;
