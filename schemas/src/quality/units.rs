//! Codes of administrative units and the days on which they are in force.
//!
//! A code means something only together with a day: the merger of 1 July 2025 ended most codes, gave some a new meaning
//! and made a few new ones.

use std::sync::LazyLock;

use super::dates::{Days, OPEN};
use crate::date;

/// The shipped reference; see its first lines for where it comes from.
const REFERENCE: &str = include_str!("../../reference/admin-units.txt");

static UNITS: LazyLock<Units> =
    LazyLock::new(|| Units::parse(REFERENCE).expect("the shipped reference is whole: a test reads it"));

/// Level of a unit. Codes of different levels are independent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// 2 digits.
    Province,
    /// 3 digits, until 30 June 2025.
    District,
    /// 5 digits.
    Commune,
}

impl Level {
    /// All levels.
    pub const ALL: [Level; 3] = [Level::Province, Level::District, Level::Commune];

    /// As the catalogue writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Province => "province",
            Level::District => "district",
            Level::Commune => "commune",
        }
    }

    fn digits(self) -> usize {
        match self {
            Level::Province => 2,
            Level::District => 3,
            Level::Commune => 5,
        }
    }

    fn named(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.as_str() == name)
    }
}

/// How a code stands to a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In force on the day, or on one of the days that are meant.
    InForce,
    /// It ended before.
    Retired,
    /// It begins later.
    Early,
    /// No unit has had it.
    Unknown,
}

/// The codes of all levels.
#[derive(Debug)]
pub struct Units {
    /// Sorted by level and code.
    codes: Vec<(Level, u32, Span)>,
}

/// First and last day of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    first: i32,
    last: i32,
}

impl Units {
    /// The codes that ship with the bus.
    #[must_use]
    pub fn bundled() -> &'static Units {
        &UNITS
    }

    /// Reads a reference: lines `level first/last`, each followed by lines of codes.
    ///
    /// # Errors
    /// Names the line that is written otherwise.
    pub fn parse(text: &str) -> Result<Units, String> {
        let mut codes = Vec::new();
        let mut block: Option<(Level, Span)> = None;
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            let broken = |what: &str| format!("line {}: {what}", index + 1);
            if let Some((level, span)) = line.split_once(' ').filter(|(name, _)| Level::named(name).is_some())
            {
                let span = interval(span).ok_or_else(|| broken("no interval of two days"))?;
                block = Level::named(level).map(|level| (level, span));
                continue;
            }
            let (level, span) = block.ok_or_else(|| broken("codes before a level"))?;
            for code in line.split(' ') {
                let number = number(level, code).ok_or_else(|| broken("no code of its level"))?;
                codes.push((level, number, span));
            }
        }
        codes.sort_unstable_by_key(|(level, code, _)| (*level, *code));
        if codes.windows(2).any(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1)) {
            return Err("a code stands there twice".to_owned());
        }
        Ok(Units { codes })
    }

    /// How a code stands to a day, microseconds being of no matter.
    #[must_use]
    pub fn on_day(&self, level: Level, code: &str, day: i32) -> Standing {
        self.standing(level, code, Days::one(day))
    }

    pub(super) fn standing(&self, level: Level, code: &str, days: Days) -> Standing {
        let found = number(level, code).and_then(|number| {
            let place = self.codes.binary_search_by_key(&(level, number), |(level, code, _)| (*level, *code));
            place.ok().map(|place| self.codes[place].2)
        });
        match found {
            None => Standing::Unknown,
            Some(span) if span.last < days.first => Standing::Retired,
            Some(span) if span.first > days.last => Standing::Early,
            Some(_) => Standing::InForce,
        }
    }
}

fn number(level: Level, code: &str) -> Option<u32> {
    let right = code.len() == level.digits() && code.bytes().all(|byte| byte.is_ascii_digit());
    if right { code.parse().ok() } else { None }
}

fn interval(text: &str) -> Option<Span> {
    let (first, last) = text.split_once('/')?;
    let day = |text: &str, open: i32| if text == OPEN { Some(open) } else { date::parse_date(text) };
    Some(Span { first: day(first, i32::MIN)?, last: day(last, i32::MAX)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_reference_knows_both_states_of_the_country() {
        let units = Units::bundled();
        let on = |level, day: &str| {
            let day = date::parse_date(day).unwrap();
            let in_force = |(_, _, span): &&(Level, u32, Span)| span.first <= day && day <= span.last;
            units.codes.iter().filter(|entry| entry.0 == level).filter(in_force).count()
        };
        let count = |day| Level::ALL.map(|level| on(level, day));
        assert_eq!(count("2025-06-30"), [63, 696, 10_035]);
        assert_eq!(count("2025-07-01"), [34, 0, 3_321]);
    }

    #[test]
    fn a_code_is_judged_on_its_day_and_by_its_level() {
        let units = Units::bundled();
        let on = |level, code, day: &str| units.on_day(level, code, date::parse_date(day).unwrap());
        assert_eq!(on(Level::Province, "10", "2025-06-30"), Standing::InForce);
        assert_eq!(on(Level::Province, "10", "2025-07-01"), Standing::Retired);
        assert_eq!(on(Level::Province, "010", "2025-06-30"), Standing::Unknown);
        assert_eq!(on(Level::District, "001", "2025-07-01"), Standing::Retired);
        assert_eq!(on(Level::Commune, "99999", "2025-07-01"), Standing::Unknown);
    }

    #[test]
    fn a_broken_reference_names_its_line() {
        assert_eq!(Units::parse("01").unwrap_err(), "line 1: codes before a level");
        assert_eq!(Units::parse("# x\nprovince 2025").unwrap_err(), "line 2: no interval of two days");
        assert_eq!(Units::parse("province ../..\n01 1").unwrap_err(), "line 2: no code of its level");
        assert_eq!(Units::parse("province ../..\n01 01").unwrap_err(), "a code stands there twice");
    }
}
