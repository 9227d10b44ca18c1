//! Source checks by contract: what is refused before it leaves its owner, and what is only flagged.
//!
//! **Invariant:** pure. The instant that a date is compared with comes in as an argument; findings name a rule and a field,
//! never a value.
//!
//! A value that no law and no arithmetic allows is refused (the row goes to quarantine). A value that is legal but odd is
//! flagged: registers are full of those, and a person must not lose an event because of one. Which rule looks at which
//! field is declared in the catalogue (`checks`), compiled once per publication ([`QualityPlan`]) and run over the event's
//! cells. Nothing is allocated for a row without findings.

mod dates;
mod pin;
mod plan;
mod rules;
mod text;
mod units;

pub use pin::{Pin, is_known_province};
pub use plan::{Flag, QualityPlan};
pub use rules::{RULES, Rule, Severity, Vector, by_id, rule};
pub use units::{Level, Standing, Units};

use std::collections::BTreeMap;

use crate::path::FieldPath;

/// Characters that a text may have where the catalogue states no other bound (`max_length`).
pub const DEFAULT_MAX_LENGTH: usize = 1_000;

/// The checks of one event, as its catalogue entry declares them. What every text has to obey (no NUL, bounded, NFC)
/// needs no declaration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Personal identification numbers, with what they can be compared with.
    pub persons: Vec<PersonCheck>,
    /// Codes of administrative units.
    pub units: Vec<UnitCheck>,
    /// Texts that hold a partial date (EDTF).
    pub dates: Vec<FieldPath>,
    /// The same, or `..` for an unknown end.
    pub open_dates: Vec<FieldPath>,
    /// Dates and times that cannot lie in the future.
    pub past: Vec<FieldPath>,
    /// The list of changed fields of an event that changes only some; its names must be fields of the contract.
    pub changed: Option<FieldPath>,
    /// The record of such an event that holds what was before: the list does not name it.
    pub before: Option<FieldPath>,
    /// Bounds of texts, in characters.
    pub max_length: BTreeMap<FieldPath, usize>,
}

/// One person of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonCheck {
    /// The number.
    pub pin: FieldPath,
    /// An enum with `male` and `female`.
    pub sex: Option<FieldPath>,
    /// A date, or EDTF text.
    pub birth_date: Option<FieldPath>,
}

/// One unit code of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitCheck {
    /// The code.
    pub code: FieldPath,
    /// Codes of different levels are independent.
    pub level: Level,
    /// The day on which the code has to be in force, a date or EDTF text; the day of the change where it is not known.
    pub on: Option<FieldPath>,
}
