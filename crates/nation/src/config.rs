//! What the caller decides about the nation.

use chrono::{Datelike as _, NaiveDate};

use crate::country::{MERGER, MERGER_DAY};

/// Bounds and choices of a nation. Equal configurations make equal nations with equal histories, on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many live in it at the start: 100 to 1,000,000.
    pub people: u32,
    /// The nation's first day, not before the merger of 1 July 2025.
    pub start: NaiveDate,
    /// How the nation's calendar goes on.
    pub calendar: Calendar,
    /// Names, addresses, causes, numbers that can be found again: see [`crate::Nation::canaries`].
    pub canaries: bool,
    /// How often each thing happens.
    pub rates: Rates,
    /// How often each kind of dirt occurs.
    pub dirt: DirtRates,
    /// Whether a corrected birth year brings a new PIN (Decree 70/2024). Without it the PIN stays and disagrees with the year.
    pub reissue_pins: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            people: 10_000,
            start: NaiveDate::from_ymd_opt(2026, 9, 1).unwrap_or(NaiveDate::MAX),
            calendar: Calendar::Runs,
            canaries: false,
            rates: Rates::default(),
            dirt: DirtRates::default(),
            reissue_pins: false,
        }
    }
}

/// How the nation's days pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calendar {
    /// Each happening takes as long as it does among so many people by the rates: 10,000 people see 13 happenings a day.
    Runs,
    /// A day lasts until [`crate::Nation::set_today`] names another. For a nation that keeps to the caller's own day.
    Driven,
}

/// How often things happen in the country of 101 million, in thousands a year; only their proportions matter for what comes next.
///
/// The defaults are estimates from public figures (fertility 1.91 and the census of 2019 among them); the country publishes no counts of
/// registrations. A correction is an assumption, and so is a wrong death.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Births.
    pub births: u32,
    /// Deaths.
    pub deaths: u32,
    /// Deaths registered for the wrong person.
    pub wrong_deaths: u32,
    /// Changes of permanent residence, by whole or part of a household.
    pub moves: u32,
    /// Marriages.
    pub marriages: u32,
    /// Divorces.
    pub divorces: u32,
    /// Corrections of name or birth date.
    pub corrections: u32,
    /// Cards issued.
    pub cards: u32,
    /// Changes of insurance.
    pub insurance: u32,
    /// Communes that change their kind.
    pub units: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            births: 1_400,
            deaths: 675,
            wrong_deaths: 1,
            moves: 2_000,
            marriages: 650,
            divorces: 40,
            corrections: 300,
            cards: 12_000,
            insurance: 30_000,
            units: 1,
        }
    }
}

impl Rates {
    /// Births, deaths and what follows from them as often as they are, and the mass of cards and insurance thinned out: for people who
    /// watch.
    #[must_use]
    pub fn lively() -> Self {
        Self { wrong_deaths: 60, divorces: 100, cards: 700, insurance: 900, units: 40, ..Self::default() }
    }

    /// Thousands of happenings a year in the whole country.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_kind().iter().map(|(_, rate)| u64::from(*rate)).sum()
    }

    /// Each kind with its rate. What happens by appointment (a PIN, a repair) has none.
    pub(crate) fn by_kind(&self) -> [(crate::Kind, u32); 10] {
        use crate::Kind;
        [
            (Kind::Birth, self.births),
            (Kind::Death, self.deaths),
            (Kind::WrongDeath, self.wrong_deaths),
            (Kind::Move, self.moves),
            (Kind::Marriage, self.marriages),
            (Kind::Divorce, self.divorces),
            (Kind::Correction, self.corrections),
            (Kind::Card, self.cards),
            (Kind::Insurance, self.insurance),
            (Kind::UnitRenamed, self.units),
        ]
    }
}

/// How often each kind of dirt occurs among the rows (or people, or births) that can have it, per 100,000.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirtRates {
    /// Rows with names in NFD.
    pub nfd: u32,
    /// Rows in which the tone mark stands on the other vowel, of those whose names allow it.
    pub tone_placement: u32,
    /// Rows that write i for y, of those whose names allow it.
    pub i_for_y: u32,
    /// Births that get a second dossier.
    pub duplicate: u32,
    /// People whose PIN names another birth year.
    pub pin_year: u32,
    /// People whose PIN names the other sex.
    pub pin_sex: u32,
    /// People whose PIN begins with a province that never was.
    pub pin_province: u32,
    /// Addresses of today with the code of a province that is closed.
    pub retired_province: u32,
    /// Values such as "0000000000", "không rõ" and "N/A".
    pub placeholder: u32,
    /// PINs in full-width digits. Refused.
    pub wide_pin: u32,
    /// PINs of eleven digits. Refused.
    pub short_pin: u32,
    /// Dates such as 30 February. Refused.
    pub impossible_date: u32,
    /// Birth dates that are still to come.
    pub future_date: u32,
    /// Births whose PIN is not known at registration.
    pub pin_later: u32,
}

impl Default for DirtRates {
    fn default() -> Self {
        Self {
            nfd: 800,
            tone_placement: 10_000,
            i_for_y: 8_000,
            duplicate: 600,
            pin_year: 60,
            pin_sex: 40,
            pin_province: 30,
            retired_province: 400,
            placeholder: 2_000,
            wide_pin: 40,
            short_pin: 60,
            impossible_date: 60,
            future_date: 40,
            pin_later: 4_000,
        }
    }
}

impl DirtRates {
    /// A nation without any dirt. Children without a PIN are no dirt; they stay.
    #[must_use]
    pub fn none() -> Self {
        Self {
            nfd: 0,
            tone_placement: 0,
            i_for_y: 0,
            duplicate: 0,
            pin_year: 0,
            pin_sex: 0,
            pin_province: 0,
            retired_province: 0,
            placeholder: 0,
            wide_pin: 0,
            short_pin: 0,
            impossible_date: 0,
            future_date: 0,
            ..Self::default()
        }
    }
}

/// Why a nation cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Too few or too many.
    #[error("people: {0} is outside 100 to 1,000,000")]
    People(u32),
    /// The nation lives in the units of today.
    #[error(
        "start: {0} lies outside {MERGER} to 2199-12-31; present addresses use the units in force since the merger"
    )]
    Start(NaiveDate),
    /// Nothing would ever happen.
    #[error("rates: every rate is 0; give at least `insurance` or `cards` a rate, they can always happen")]
    Still,
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !(100..=1_000_000).contains(&self.people) {
            return Err(ConfigError::People(self.people));
        }
        if self.start < MERGER_DAY || self.start.year() > 2199 {
            return Err(ConfigError::Start(self.start));
        }
        if self.rates.total() == 0 {
            return Err(ConfigError::Still);
        }
        Ok(())
    }
}
