//! A synthetic nation: people with Vietnamese names in real communes, and their lives as transactions in the ministries' databases.
//!
//! Pure: no clock, no I/O. Everything follows from [`Config`]; equal configurations give equal rows and an equal history on every machine.
//!
//! ```
//! use lienthong_nation::{Config, Nation, System};
//!
//! let mut nation = Nation::new(Config { people: 200, ..Config::default() })?;
//! assert_eq!(nation.initial_rows(System::Population).filter(|row| row.table == "person").count(), 200);
//! let happening = nation.advance();
//! assert!(!happening.steps.is_empty());
//! # Ok::<(), lienthong_nation::ConfigError>(())
//! ```
//!
//! **Invariants:** a row that is updated was inserted before; nobody dies twice; happenings less than [`Nation::apart`] apart never concern
//! the same people; every row says itself what is wrong with it ([`RowWrite::dirt`]).

mod config;
mod country;
mod dirt;
mod life;
mod names;
mod nation;
mod person;
mod pin;
mod random;
mod rows;
mod start;
mod tables;
mod write;

pub use config::{Calendar, Config, ConfigError, DirtRates, Rates};
pub use dirt::{Dirt, DirtCounts};
pub use nation::Nation;
pub use rows::{InitialRows, unit_rows};
pub use tables::{System, Table};
pub use write::{Field, Happening, Kind, Op, RowWrite, Step, Value};
