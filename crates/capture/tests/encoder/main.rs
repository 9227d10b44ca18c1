//! What the encoder makes of rows: judged values, quarantine, subjects.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

mod causation;
mod correlation;
mod persons;
mod quality;
mod support;
mod transactions;
