//! What the router promises, one test per promise: the embedded log, the SQLite sink, and faults around them.

#![allow(clippy::unwrap_used, unreachable_pub, missing_docs, reason = "a test")]

mod deltas;
mod ends;
mod faults;
mod pseudonyms;
mod rows;
mod sharing;
mod subscriber;
mod together;
mod undone;
mod waits;
mod world;
