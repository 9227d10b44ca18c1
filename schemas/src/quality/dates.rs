//! Dates as intervals of days: a partial date is every day that it may be.

use crate::cell::Cell;
use crate::date;
use crate::edtf::PartialDate;

/// EDTF's word for an end that is not known.
pub(super) const OPEN: &str = "..";

/// First and last day.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Days {
    pub(super) first: i32,
    pub(super) last: i32,
}

impl Days {
    pub(super) fn one(day: i32) -> Days {
        Days { first: day, last: day }
    }
}

/// The day in Viet Nam, which keeps UTC+7 all year.
pub(super) fn day_of(at: i64) -> i32 {
    const OFFSET: i64 = 7 * 3_600 * 1_000_000;
    at.saturating_add(OFFSET).div_euclid(date::MICROS_PER_DAY) as i32
}

/// The days that a cell may mean; `None` where it is no date.
pub(super) fn days(cell: &Cell<'_>) -> Option<Days> {
    match cell {
        Cell::Date(day) => Some(Days::one(*day)),
        Cell::Timestamp(at) => Some(Days::one(day_of(*at))),
        Cell::Str(text) => {
            let (first, last) = PartialDate::parse(text)?.days()?;
            Some(Days { first, last })
        }
        _ => None,
    }
}

/// The year that a cell says.
pub(super) fn year(cell: &Cell<'_>) -> Option<u16> {
    match cell {
        Cell::Str(text) => PartialDate::parse(text).map(PartialDate::year),
        cell => u16::try_from(date::civil_from_days(days(cell)?.first).0).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_date_is_every_day_that_it_may_be() {
        let span = |text| days(&Cell::Str(text)).map(|days| days.last - days.first + 1);
        assert_eq!(span("2024"), Some(366));
        assert_eq!(span("2025-02"), Some(28));
        assert_eq!(span("2025-02-03"), Some(1));
        assert_eq!(span(OPEN), None);
    }

    #[test]
    fn the_day_is_that_of_viet_nam() {
        assert_eq!(day_of(17 * 3_600 * 1_000_000 - 1), 0);
        assert_eq!(day_of(17 * 3_600 * 1_000_000), 1);
    }
}
