//! Partial dates: EDTF level 0 text (`1995`, `1995-03`, `1995-03-07`).
//!
//! Old registers know only a year, or a year and a month. Such a date stays partial on the road; nothing here
//! invents a first of January.

use std::fmt;

use crate::date;

/// How much of a date is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Precision {
    /// Only the year.
    Year,
    /// Year and month.
    Month,
    /// The full date.
    Day,
}

impl Precision {
    /// Reads `day`, `month` or `year`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Precision> {
        match text {
            "day" => Some(Precision::Day),
            "month" => Some(Precision::Month),
            "year" => Some(Precision::Year),
            _ => None,
        }
    }

    /// `day`, `month` or `year`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Precision::Day => "day",
            Precision::Month => "month",
            Precision::Year => "year",
        }
    }
}

/// A calendar date of which month or day may be unknown; what is known exists in the calendar.
/// Its order is that of its text, a partial date before the full dates inside it. Its `Debug` shows only
/// the precision, because a birth date is personal data.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartialDate {
    year: u16,
    month: Option<u8>,
    day: Option<u8>,
}

impl PartialDate {
    /// Reads EDTF level 0 text; `None` when it is something else or the date does not exist.
    #[must_use]
    pub fn parse(text: &str) -> Option<PartialDate> {
        let bytes = text.as_bytes();
        let year = date::number(bytes.get(..4)?)? as u16;
        let month = match bytes.get(4..)? {
            [] => return Some(PartialDate { year, month: None, day: None }),
            [b'-', m1, m2, ..] => date::number(&[*m1, *m2])? as u8,
            _ => return None,
        };
        let day = match bytes.get(7..)? {
            [] => None,
            [b'-', d1, d2] => Some(date::number(&[*d1, *d2])? as u8),
            _ => return None,
        };
        // A month without a day exists when its first day does.
        date::days_from_civil(i32::from(year), u32::from(month), u32::from(day.unwrap_or(1)))?;
        Some(PartialDate { year, month: Some(month), day })
    }

    /// Cuts a full date down to what is known of it; `None` outside the years 0 to 9999.
    #[must_use]
    pub fn from_date(days: i32, precision: Precision) -> Option<PartialDate> {
        let (year, month, day) = date::civil_from_days(days);
        let year = u16::try_from(year).ok().filter(|year| *year <= 9999)?;
        Some(match precision {
            Precision::Year => PartialDate { year, month: None, day: None },
            Precision::Month => PartialDate { year, month: Some(month as u8), day: None },
            Precision::Day => PartialDate { year, month: Some(month as u8), day: Some(day as u8) },
        })
    }

    /// Days since 1970-01-01, for a full date only.
    #[must_use]
    pub fn to_date(self) -> Option<i32> {
        date::days_from_civil(i32::from(self.year), u32::from(self.month?), u32::from(self.day?))
    }

    /// The first and the last day that it may be.
    #[must_use]
    pub fn days(self) -> Option<(i32, i32)> {
        let year = i32::from(self.year);
        let (first, last) = match self.month {
            None => ((1, 1), (12, 31)),
            Some(month) => {
                let month = u32::from(month);
                let days = self.day.map(u32::from);
                ((month, days.unwrap_or(1)), (month, days.unwrap_or(date::days_in_month(year, month))))
            }
        };
        let day = |(month, day)| date::days_from_civil(year, month, day);
        Some((day(first)?, day(last)?))
    }

    /// How much is known.
    #[must_use]
    pub fn precision(self) -> Precision {
        match (self.month, self.day) {
            (None, _) => Precision::Year,
            (Some(_), None) => Precision::Month,
            (Some(_), Some(_)) => Precision::Day,
        }
    }

    /// The year.
    #[must_use]
    pub fn year(self) -> u16 {
        self.year
    }

    /// Appends the EDTF text.
    pub fn write(self, out: &mut String) {
        use fmt::Write as _;
        // Writing to a String cannot fail.
        let _ = write!(out, "{:04}", self.year);
        if let Some(month) = self.month {
            let _ = write!(out, "-{month:02}");
        }
        if let Some(day) = self.day {
            let _ = write!(out, "-{day:02}");
        }
    }

    /// The EDTF text.
    #[must_use]
    pub fn to_text(self) -> String {
        let mut text = String::with_capacity(10);
        self.write(&mut text);
        text
    }
}

impl fmt::Debug for PartialDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partial date({})", self.precision().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_precision_reads_and_writes() {
        for (text, precision) in
            [("1995", Precision::Year), ("1995-03", Precision::Month), ("1995-03-07", Precision::Day)]
        {
            let date = PartialDate::parse(text).unwrap();
            assert_eq!(date.precision(), precision);
            assert_eq!(date.to_text(), text);
            assert_eq!(Precision::parse(precision.as_str()), Some(precision));
        }
    }

    #[test]
    fn only_a_full_date_becomes_a_day() {
        assert_eq!(PartialDate::parse("1995").unwrap().to_date(), None);
        assert_eq!(PartialDate::parse("1995-03").unwrap().to_date(), None);
        assert_eq!(PartialDate::parse("1969-12-31").unwrap().to_date(), Some(-1));
    }

    #[test]
    fn what_is_no_partial_date_is_refused() {
        for text in [
            "",
            "95",
            "1995-",
            "1995-13",
            "1995-00",
            "1995-02-29",
            "1995-2",
            "1995-03-07T",
            "１９９５",
            "199X",
            "1995~",
        ] {
            assert!(PartialDate::parse(text).is_none(), "{text}");
        }
        assert!(PartialDate::parse("1996-02-29").is_some());
    }

    #[test]
    fn a_date_is_cut_down_to_its_precision() {
        let days = date::days_from_civil(1954, 7, 20).unwrap();
        let cut = |precision| PartialDate::from_date(days, precision).unwrap().to_text();
        assert_eq!(cut(Precision::Year), "1954");
        assert_eq!(cut(Precision::Month), "1954-07");
        assert_eq!(cut(Precision::Day), "1954-07-20");
        assert!(PartialDate::from_date(i32::MAX, Precision::Year).is_none());
    }

    #[test]
    fn debug_hides_the_date() {
        assert_eq!(format!("{:?}", PartialDate::parse("1995").unwrap()), "partial date(year)");
    }
}
