//! The ministries' systems and their tables, as plain SQL that SQLite and PostgreSQL both read.
//!
//! Dates are ISO text. A date that may be partial has a `_precision` column beside it: `Y`, `M` or `D`; the unknown part of the date
//! stands as 01. Booleans are 0 and 1. An address is `province_code`, `commune_code`, `street` and `unit_version`, the day on
//! which the codes were valid.

mod civil_status;
mod others;

/// A publishing system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum System {
    /// Ministry of Justice: births, deaths, marriages, corrections, revocations.
    CivilStatus,
    /// Ministry of Public Security: the national population database.
    Population,
    /// Ministry of Public Security: permanent residence.
    Residence,
    /// Ministry of Public Security: identity cards.
    Identity,
    /// Viet Nam Social Security.
    Insurance,
    /// Ministry of Health: notices of births and deaths.
    Facilities,
    /// Ministry of Home Affairs: administrative units.
    AdminUnits,
}

impl System {
    /// All of them.
    pub const ALL: [System; 7] = [
        System::CivilStatus,
        System::Population,
        System::Residence,
        System::Identity,
        System::Insurance,
        System::Facilities,
        System::AdminUnits,
    ];

    /// The participant's name on the bus.
    #[must_use]
    pub fn participant(self) -> &'static str {
        match self {
            System::CivilStatus => "moj.civil-status",
            System::Population => "mps.population",
            System::Residence => "mps.residence",
            System::Identity => "mps.identity",
            System::Insurance => "vss.insurance",
            System::Facilities => "moh.facilities",
            System::AdminUnits => "homeaffairs.admin-units",
        }
    }

    /// Its tables.
    #[must_use]
    pub fn tables(self) -> &'static [Table] {
        match self {
            System::CivilStatus => civil_status::TABLES,
            System::Population => others::POPULATION,
            System::Residence => others::RESIDENCE,
            System::Identity => others::IDENTITY,
            System::Insurance => others::INSURANCE,
            System::Facilities => others::FACILITIES,
            System::AdminUnits => others::ADMIN_UNITS,
        }
    }
}

/// A table of a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// Columns of the primary key.
    pub key: &'static [&'static str],
    /// `create table`.
    pub create: &'static str,
}
