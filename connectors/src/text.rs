//! Values as text: how a cell is written where a column takes text, and how text of a database is read.

use lienthong_contract::Cell;
use lienthong_contract::date;

use crate::decimal;

/// Microseconds of a whole day; `24:00:00` is not a time of day here.
const DAY: i64 = date::MICROS_PER_DAY;

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads pairs of hexadecimal digits.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).map(|value| value as u8)
}

/// Reads the 36 characters of a UUID.
pub(crate) fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let dashes = [8, 13, 18, 23];
    if text.len() != 36 || !dashes.iter().all(|at| text.as_bytes()[*at] == b'-') {
        return None;
    }
    unhex(&text.replace('-', ""))?.try_into().ok()
}

/// The 36 characters of a UUID, lower case.
pub(crate) fn format_uuid(uuid: &[u8; 16]) -> String {
    let hex = hex(uuid);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Reads `12:34:56` with up to six digits of a second as microseconds since midnight.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let [h1, h2, b':', m1, m2, b':', s1, s2] = clock.as_bytes() else { return None };
    let two =
        |high: &u8, low: &u8| Some(i64::from(decimal_digit(*high)?) * 10 + i64::from(decimal_digit(*low)?));
    let (hours, minutes, seconds) = (two(h1, h2)?, two(m1, m2)?, two(s1, s2)?);
    if fraction.is_empty() || fraction.len() > 6 || minutes > 59 || seconds > 59 {
        return None;
    }
    let mut micros = 0i64;
    for place in 0..6 {
        let digit = fraction.as_bytes().get(place).copied().unwrap_or(b'0');
        micros = micros * 10 + i64::from(decimal_digit(digit)?);
    }
    let total = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros;
    (total < DAY).then_some(total)
}

fn decimal_digit(character: u8) -> Option<u8> {
    character.is_ascii_digit().then(|| character - b'0')
}

/// `12:34:56.000001`.
pub(crate) fn format_time(micros: i64) -> String {
    let seconds = micros / 1_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:06}", seconds % 60, micros % 1_000_000)
}

/// `2026-09-07`.
pub(crate) fn format_date(days: i32) -> String {
    let mut text = String::with_capacity(10);
    date::format_date(days, &mut text);
    text
}

/// `2026-09-07T03:02:11.000000Z`.
pub(crate) fn format_timestamp(micros: i64) -> String {
    let mut text = String::with_capacity(27);
    date::format_timestamp(micros, &mut text);
    text
}

/// A cell as the text that a text column takes; a list as a JSON array. `None` for null.
#[must_use]
pub fn render(cell: &Cell<'_>) -> Option<String> {
    Some(match cell {
        Cell::Null => return None,
        Cell::Bool(value) => value.to_string(),
        Cell::I64(value) => value.to_string(),
        Cell::F64(value) => value.to_string(),
        Cell::Decimal(value) => decimal::format(value),
        Cell::Str(value) => (*value).to_owned(),
        Cell::Bytes(value) => hex(value),
        Cell::Date(days) => format_date(*days),
        Cell::Time(micros) => format_time(*micros),
        Cell::Timestamp(micros) => format_timestamp(*micros),
        Cell::Uuid(uuid) => format_uuid(uuid),
        Cell::List(items) => json(items).to_string(),
    })
}

fn json(items: &[Cell<'_>]) -> serde_json::Value {
    items
        .iter()
        .map(|item| match item {
            Cell::Null => serde_json::Value::Null,
            Cell::Bool(value) => (*value).into(),
            Cell::I64(value) => (*value).into(),
            Cell::F64(value) => (*value).into(),
            Cell::List(nested) => json(nested),
            other => render(other).into(),
        })
        .collect()
}

/// Nothing of a person has so many digits at most.
const LONGEST_NUMBER: usize = 8;

/// Whether a text that a server gave can only be the name of a table, a column or a constraint: no letters with marks, no blanks,
/// no long number.
pub(crate) fn is_plain_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$')
        && text.split(|c: char| !c.is_ascii_digit()).all(|digits| digits.len() <= LONGEST_NUMBER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_and_times_read_back() {
        let text = "1481531d-ccc9-46d9-a56f-5b67459c0537";
        assert_eq!(format_uuid(&parse_uuid(text).unwrap()), text);
        assert!(parse_uuid("1481531dccc946d9a56f5b67459c0537").is_none());
        assert_eq!(parse_time("00:00:00"), Some(0));
        assert_eq!(parse_time("23:59:59.5"), Some(DAY - 500_000));
        assert_eq!(format_time(DAY - 500_000), "23:59:59.500000");
        for wrong in ["24:00:00", "12:60:00", "1:00:00", "12:00:00.", "12:00:00.1234567", "12:00:00+07"] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_list_is_written_as_json() {
        let items = [Cell::Str("a\"b"), Cell::Null, Cell::I64(3)];
        assert_eq!(render(&Cell::List(&items)).as_deref(), Some(r#"["a\"b",null,3]"#));
        assert_eq!(render(&Cell::Null), None);
    }
}
