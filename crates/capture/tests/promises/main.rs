//! What a connector promises, shown with a real database and a real log: the embedded engine, sources of both kinds.

#![allow(clippy::unwrap_used, reason = "a test")]

mod aside;
mod dying;
mod flaky;
mod life;
mod lineage;
mod mended;
mod order;
mod quarantine;
mod when;
mod world;
