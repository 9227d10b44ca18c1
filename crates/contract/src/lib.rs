//! The nouns of the bus and the doors between its rooms: what a [`source::Source`] yields, what a [`sink::Sink`]
//! commits, and the pure rules that every kind of database shares.
//!
//! **Invariant:** no I/O, no clock, no async runtime; time comes in as an argument. [`provoke`] alone looks outside, and only in
//! builds for development.

pub mod aside;
pub mod event;
pub mod keys;
pub mod ledger;
pub mod load;
pub mod participant;
pub mod position;
pub mod predicate;
pub mod provoke;
pub mod retained;
pub mod sink;
pub mod source;
pub mod target;

pub use lienthong_schemas::{Cell, Decimal, counted, date, digits};
