//! People and households as the generator keeps them: about a hundred bytes each, texts as indexes.

use chrono::{Datelike as _, NaiveDate};

use crate::names::Name;

/// Nobody, no household.
pub(crate) const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sex {
    Male,
    Female,
}

impl Sex {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Sex::Male => "male",
            Sex::Female => "female",
        }
    }
}

/// How much of a birth date the registers know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    Year,
    Month,
    Day,
}

impl Precision {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Precision::Year => "Y",
            Precision::Month => "M",
            Precision::Day => "D",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marital {
    Single,
    Married,
    Widowed,
    Divorced,
}

impl Marital {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Marital::Single => "single",
            Marital::Married => "married",
            Marital::Widowed => "widowed",
            Marital::Divorced => "divorced",
        }
    }
}

/// What somebody is to the head of the household.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Head,
    Spouse,
    Child,
    Parent,
    Other,
}

impl Relation {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Relation::Head => "head",
            Relation::Spouse => "spouse",
            Relation::Child => "child",
            Relation::Parent => "parent",
            Relation::Other => "other",
        }
    }
}

/// Somebody. No `Debug`: a person is never printed.
#[derive(Clone)]
pub(crate) struct Person {
    /// 0 while there is none.
    pub(crate) pin: u64,
    pub(crate) name: Name,
    pub(crate) birth: NaiveDate,
    /// Day on which the birth was registered.
    pub(crate) registered: NaiveDate,
    pub(crate) precision: Precision,
    pub(crate) sex: Sex,
    pub(crate) ethnicity: u8,
    pub(crate) marital: Marital,
    pub(crate) relation: Relation,
    pub(crate) alive: bool,
    /// Code of the province of birth registration, of the state of the country on that day.
    pub(crate) birth_province: u8,
    /// Code of the commune of birth registration.
    pub(crate) birth_office: u32,
    /// Number in the civil status register; 0 when the register has not been digitised.
    pub(crate) birth_no: u32,
    pub(crate) household: u32,
    pub(crate) mother: u32,
    pub(crate) father: u32,
    pub(crate) spouse: u32,
    /// Number of the residence file.
    pub(crate) file: u32,
    /// Number of the card; 0 when there is none.
    pub(crate) card: u32,
    pub(crate) card_expires: Option<NaiveDate>,
    /// Whether there is a health card.
    pub(crate) insured: bool,
    /// Number of the running participation; 0 when there is none.
    pub(crate) participation: u32,
    /// For mothers.
    pub(crate) last_child: Option<NaiveDate>,
    /// Number of the happening from which on another may concern them.
    pub(crate) free_from: u64,
}

impl Person {
    /// Full years on a day.
    pub(crate) fn age(&self, day: NaiveDate) -> u32 {
        age(self.birth, day)
    }
}

/// Full years between a birth and a day; 0 before the birth.
pub(crate) fn age(birth: NaiveDate, day: NaiveDate) -> u32 {
    let before = (day.month(), day.day()) < (birth.month(), birth.day());
    u32::try_from(day.year() - birth.year() - i32::from(before)).unwrap_or(0)
}

/// People at one address.
pub(crate) struct Household {
    pub(crate) commune: u16,
    /// Index of the street's name.
    pub(crate) street: u8,
    pub(crate) house: u16,
    pub(crate) members: Vec<u32>,
}
