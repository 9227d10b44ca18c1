//! The nation of `lienthong demo`: its site's files, the ministries' databases, its life, and what every subscriber must hold.
//!
//! **Invariant:** what a copy must hold is computed from the ministries' tables and from what the nation knows of its own dirt, by SQL
//! written for each copy, and never by the code that delivers.

mod check;
mod copies;
mod digest;
mod error;
mod ground;
mod lag;
mod layout;
mod life;
mod offices;
mod secrets;
mod site;
mod tokens;

pub use check::{Checking, Difference, Verdict, check};
pub use error::DemoError;
pub use ground::{Ground, LifeOptions, Making};
pub use lag::{Lag, lag};
pub use layout::inspect;
pub use life::Life;
pub use site::{PARTICIPANTS, SUBSCRIBERS, publisher_file, subscriber_file, write};
