//! Calendar arithmetic and RFC 3339 text, without a clock or a time zone database.
//!
//! Days count from 1970-01-01 and microseconds from its midnight UTC, negative before, in the proleptic
//! Gregorian calendar. Parsers answer `None` without the text: it may be personal data.

use std::fmt::Write as _;

use crate::digits::decimal;

/// Microseconds of one day.
pub const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Day number of a calendar date that exists; `None` for 30 February and for dates beyond 32 bits.
#[must_use]
pub fn days_from_civil(year: i32, month: u32, day: u32) -> Option<i32> {
    if !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    // Years run from March, so that the leap day is the last of its year (Hinnant, "chrono-compatible
    // low-level date algorithms").
    let shifted = i64::from(year) - i64::from(month <= 2);
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    i32::try_from(era * 146_097 + day_of_era - 719_468).ok()
}

/// Year, month and day of a day number.
#[must_use]
pub fn civil_from_days(days: i32) -> (i32, u32, u32) {
    let shifted = i64::from(days) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as i32, month, day)
}

/// Length of a month; 0 when there is no such month.
#[must_use]
pub fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 0,
    }
}

/// Appends `2026-09-07`. Years outside 0..=9999 get a sign and six digits at least, as ISO 8601 asks.
pub fn format_date(days: i32, out: &mut String) {
    let (year, month, day) = civil_from_days(days);
    match u64::try_from(year) {
        Ok(year) if year <= 9_999 => decimal(year, 4, out),
        // Writing to a String cannot fail.
        _ => drop(write!(out, "{year:+07}")),
    }
    for part in [month, day] {
        out.push('-');
        decimal(u64::from(part), 2, out);
    }
}

/// Reads what [`format_date`] writes; the date must exist.
#[must_use]
pub fn parse_date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    let year_length = match bytes.first()? {
        b'+' | b'-' => bytes[1..].iter().position(|byte| *byte == b'-')? + 1,
        _ => 4,
    };
    let (year, rest) = (bytes.get(..year_length)?, bytes.get(year_length..)?);
    let year = match year[0] {
        b'+' if year.len() >= 7 => number(&year[1..])?,
        b'-' if year.len() >= 7 => -number(&year[1..])?,
        b'+' | b'-' => return None,
        _ => number(year)?,
    };
    let [b'-', m1, m2, b'-', d1, d2] = rest else { return None };
    let month = number(&[*m1, *m2])?;
    let day = number(&[*d1, *d2])?;
    days_from_civil(i32::try_from(year).ok()?, month as u32, day as u32)
}

/// Appends `2026-09-07T03:02:11.000000Z`: always UTC, always six digits of a second.
pub fn format_timestamp(micros: i64, out: &mut String) {
    format_date(micros.div_euclid(MICROS_PER_DAY) as i32, out);
    let of_day = micros.rem_euclid(MICROS_PER_DAY);
    let of_day = of_day.unsigned_abs();
    let seconds = of_day / 1_000_000;
    for (before, part, width) in [
        ('T', seconds / 3_600, 2),
        (':', seconds / 60 % 60, 2),
        (':', seconds % 60, 2),
        ('.', of_day % 1_000_000, 6),
    ] {
        out.push(before);
        decimal(part, width, out);
    }
    out.push('Z');
}

/// Reads an RFC 3339 time with `Z` or an offset. Digits beyond the microsecond are cut off, towards the
/// past; leap seconds are refused.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<i64> {
    let at = text.find(['T', 't', ' '])?;
    let days = parse_date(&text[..at])?;
    let time = text.as_bytes().get(at + 1..)?;
    let [h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = time else { return None };
    let (hours, minutes, seconds) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?, number(&[*s1, *s2])?);
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let (fraction, zone) = match rest {
        [b'.', rest @ ..] => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (fraction_micros(&rest[..digits])?, &rest[digits..])
        }
        _ => (0, rest),
    };
    let of_day = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction;
    let offset = offset_micros(zone)?;
    let micros = i128::from(days) * i128::from(MICROS_PER_DAY) + i128::from(of_day) - i128::from(offset);
    i64::try_from(micros).ok()
}

fn fraction_micros(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() {
        return None;
    }
    let mut padded = *b"000000";
    for (place, digit) in padded.iter_mut().zip(digits) {
        *place = *digit;
    }
    number(&padded)
}

fn offset_micros(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = (hours * 60 + minutes) * 60_000_000;
            Some(if *sign == b'-' { -offset } else { offset })
        }
        _ => None,
    }
}

/// A number of ASCII digits only: no sign, no blank, no full-width digit.
pub(crate) fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 12 {
        return None;
    }
    digits
        .iter()
        .try_fold(0i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(days: i32) -> String {
        let mut text = String::new();
        format_date(days, &mut text);
        text
    }

    fn timestamp(micros: i64) -> String {
        let mut text = String::new();
        format_timestamp(micros, &mut text);
        text
    }

    #[test]
    fn every_day_of_four_centuries_survives_the_round_trip() {
        let mut expected = (1800, 1, 1);
        let first = days_from_civil(1800, 1, 1).unwrap();
        for days in first..first + 146_097 {
            assert_eq!(civil_from_days(days), expected);
            assert_eq!(parse_date(&date(days)), Some(days));
            let (year, month, day) = expected;
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, day) if day == days_in_month(year, month) => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }

    #[test]
    fn known_days_and_the_ends_of_the_range() {
        assert_eq!(days_from_civil(1970, 1, 1), Some(0));
        assert_eq!(days_from_civil(1969, 12, 31), Some(-1));
        assert_eq!(days_from_civil(2000, 2, 29), Some(11_016));
        assert_eq!(days_from_civil(1900, 2, 29), None);
        assert_eq!(days_from_civil(2026, 13, 1), None);
        for days in [i32::MIN, i32::MAX, 3_000_000, -800_000] {
            assert_eq!(parse_date(&date(days)), Some(days));
        }
    }

    #[test]
    fn dates_that_are_not_dates_are_refused() {
        for text in [
            "",
            "1995",
            "1995-02-30",
            "1995-2-03",
            "95-02-03",
            "1995-02-03T",
            "１９９５-02-03",
            "+1995-02-03",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn timestamps_are_utc_with_six_digits() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00.000000Z");
        assert_eq!(timestamp(-1), "1969-12-31T23:59:59.999999Z");
        for micros in [0, -1, 1_788_750_131_000_123, i64::MIN, i64::MAX] {
            assert_eq!(parse_timestamp(&timestamp(micros)), Some(micros), "{micros}");
        }
    }

    #[test]
    fn offsets_and_fractions() {
        let noon = parse_timestamp("2026-09-02T12:00:00Z");
        assert!(noon.is_some());
        assert_eq!(parse_timestamp("2026-09-02T19:00:00+07:00"), noon);
        assert_eq!(parse_timestamp("2026-09-02T19:00:00.0000009+07:00"), noon);
        assert_eq!(parse_timestamp("2026-09-02T12:00:00.5Z"), noon.map(|at| at + 500_000));
        for text in
            ["2026-09-02T12:00:00", "2026-09-02T24:00:00Z", "2026-09-02T12:00:60Z", "2026-09-02T12:00:00.Z"]
        {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }
}
