//! From a source's cell to the type that the contract wants. Pure. A conversion that is not exact is a broken rule, never a guess.

use bumpalo::Bump;
use lienthong_schemas::{Cell, Decimal, EncodeProblem, FieldType, PartialDate, Precision, date};

/// Why a value does not fit its contract; the name goes to quarantine.
pub type Rule = &'static str;

/// Converts one cell. Text made on the way lies in `arena`.
///
/// # Errors
/// The rule that the value breaks.
pub fn convert<'a>(cell: Cell<'a>, kind: &FieldType, arena: &'a Bump) -> Result<Cell<'a>, Rule> {
    match (kind, cell) {
        (_, Cell::Null) => Ok(Cell::Null),
        (FieldType::Text, cell) => to_text(cell, arena),
        (FieldType::Enum(symbols), Cell::Str(text)) => {
            if symbols.iter().any(|symbol| symbol == text) {
                Ok(cell)
            } else {
                Err("unknown-enum-symbol")
            }
        }
        (FieldType::Bool, Cell::Bool(_)) => Ok(cell),
        (FieldType::Bool, Cell::I64(value @ 0..=1)) => Ok(Cell::Bool(value == 1)),
        (FieldType::Int | FieldType::Long, cell) => to_integer(cell),
        (FieldType::Float | FieldType::Double, Cell::F64(_)) => Ok(cell),
        (FieldType::Float | FieldType::Double, Cell::I64(value)) => Ok(Cell::F64(value as f64)),
        (FieldType::Date, Cell::Date(_)) => Ok(cell),
        (FieldType::Date, Cell::Str(text)) => date::parse_date(text).map(Cell::Date).ok_or("not-a-date"),
        (FieldType::TimestampMicros, Cell::Timestamp(_)) => Ok(cell),
        (FieldType::TimestampMicros, Cell::Str(text)) => {
            date::parse_timestamp(text).map(Cell::Timestamp).ok_or("not-a-timestamp")
        }
        (FieldType::TimeMicros, Cell::Time(_)) => Ok(cell),
        (FieldType::Uuid, Cell::Uuid(_) | Cell::Str(_)) => Ok(cell),
        (FieldType::Bytes, Cell::Bytes(_)) => Ok(cell),
        (FieldType::Bytes, Cell::Str(text)) => Ok(Cell::Bytes(text.as_bytes())),
        (FieldType::Fixed(size), Cell::Bytes(bytes)) if bytes.len() == *size => Ok(cell),
        (FieldType::Decimal { .. }, Cell::Decimal(_)) => Ok(cell),
        (FieldType::Decimal { .. }, Cell::I64(value)) => {
            Ok(Cell::Decimal(Decimal { unscaled: arena.alloc(value.to_be_bytes()), scale: 0 }))
        }
        (FieldType::List | FieldType::Map | FieldType::Record, Cell::List(_)) => Ok(cell),
        _ => Err("wrong-type"),
    }
}

fn to_integer(cell: Cell<'_>) -> Result<Cell<'_>, Rule> {
    match cell {
        Cell::I64(_) => Ok(cell),
        Cell::Bool(value) => Ok(Cell::I64(i64::from(value))),
        Cell::Str(text) => text.parse().map(Cell::I64).map_err(|_| "not-an-integer"),
        Cell::Decimal(Decimal { unscaled, scale: 0 }) if unscaled.len() <= 8 => {
            let negative = unscaled.first().is_some_and(|byte| byte & 0x80 != 0);
            let mut bytes = [if negative { 0xff } else { 0 }; 8];
            bytes[8 - unscaled.len()..].copy_from_slice(unscaled);
            Ok(Cell::I64(i64::from_be_bytes(bytes)))
        }
        _ => Err("not-an-integer"),
    }
}

fn to_text<'a>(cell: Cell<'a>, arena: &'a Bump) -> Result<Cell<'a>, Rule> {
    let text = match cell {
        Cell::Str(text) if text.contains('\0') => return Err("nul-character"),
        Cell::Str(_) => return Ok(cell),
        Cell::I64(value) => value.to_string(),
        Cell::Bool(value) => value.to_string(),
        Cell::Date(days) => written(|out| date::format_date(days, out)),
        Cell::Timestamp(micros) => written(|out| date::format_timestamp(micros, out)),
        _ => return Err("not-a-text"),
    };
    Ok(Cell::Str(arena.alloc_str(&text)))
}

/// EDTF text of a date and its precision. A precision that is absent means a whole day.
///
/// # Errors
/// The rule that date or precision break.
pub fn partial_date<'a>(day: Cell<'a>, precision: Cell<'a>, arena: &'a Bump) -> Result<Cell<'a>, Rule> {
    let precision = match precision {
        Cell::Null | Cell::Str("day" | "D") => Precision::Day,
        Cell::Str("month" | "M") => Precision::Month,
        Cell::Str("year" | "Y") => Precision::Year,
        _ => return Err("unknown-date-precision"),
    };
    let days = match day {
        Cell::Null => return Ok(Cell::Null),
        Cell::Date(days) => days,
        Cell::Str(text) => date::parse_date(text).ok_or("not-a-date")?,
        _ => return Err("not-a-date"),
    };
    let date = PartialDate::from_date(days, precision).ok_or("year-out-of-range")?;
    Ok(Cell::Str(arena.alloc_str(&date.to_text())))
}

/// Elements of a text list; none for empty text.
pub fn split_list<'a>(cell: Cell<'a>, separator: &str, arena: &'a Bump) -> Result<Cell<'a>, Rule> {
    let text = match cell {
        Cell::Null => return Ok(Cell::List(&[])),
        Cell::List(_) => return Ok(cell),
        Cell::Str(text) => text,
        _ => return Err("not-a-text"),
    };
    let items = text.split(separator).map(str::trim).filter(|item| !item.is_empty()).map(Cell::Str);
    Ok(Cell::List(arena.alloc_slice_fill_iter(items.collect::<Vec<_>>())))
}

fn written(write: impl FnOnce(&mut String)) -> String {
    let mut text = String::with_capacity(27);
    write(&mut text);
    text
}

/// The rule behind an encoder's problem.
#[must_use]
pub fn rule_of(problem: EncodeProblem) -> Rule {
    match problem {
        EncodeProblem::RowWidth { .. } | EncodeProblem::Length { .. } => "wrong-length",
        EncodeProblem::Kind { .. } => "wrong-type",
        EncodeProblem::Null => "required-value-missing",
        EncodeProblem::Range { .. } | EncodeProblem::Precision => "out-of-range",
        EncodeProblem::Inexact { .. } => "inexact",
        EncodeProblem::Symbol => "unknown-enum-symbol",
        EncodeProblem::Uuid => "not-a-uuid",
        EncodeProblem::TooLong { .. } => "too-long",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_conversions_pass_and_others_name_their_rule() {
        let arena = Bump::new();
        assert_eq!(convert(Cell::Str("42"), &FieldType::Long, &arena), Ok(Cell::I64(42)));
        assert_eq!(convert(Cell::I64(7), &FieldType::Text, &arena), Ok(Cell::Str("7")));
        assert_eq!(convert(Cell::Str("1969-12-31"), &FieldType::Date, &arena), Ok(Cell::Date(-1)));
        assert_eq!(convert(Cell::Str("31/12/1969"), &FieldType::Date, &arena), Err("not-a-date"));
        assert_eq!(convert(Cell::Str("a\0"), &FieldType::Text, &arena), Err("nul-character"));
        let minus_two = Decimal { unscaled: &[0xff, 0xfe], scale: 0 };
        assert_eq!(convert(Cell::Decimal(minus_two), &FieldType::Int, &arena), Ok(Cell::I64(-2)));
    }

    #[test]
    fn a_partial_date_keeps_only_what_is_known() {
        let arena = Bump::new();
        let day = Cell::Str("1995-03-07");
        let text = |precision| partial_date(day, precision, &arena);
        assert_eq!(text(Cell::Str("year")), Ok(Cell::Str("1995")));
        assert_eq!(text(Cell::Str("M")), Ok(Cell::Str("1995-03")));
        assert_eq!(text(Cell::Null), Ok(Cell::Str("1995-03-07")));
        assert_eq!(text(Cell::Str("week")), Err("unknown-date-precision"));
    }

    #[test]
    fn an_empty_text_is_an_empty_list() {
        let arena = Bump::new();
        assert_eq!(split_list(Cell::Str(""), ",", &arena), Ok(Cell::List(&[])));
        assert_eq!(
            split_list(Cell::Str("01, 02"), ",", &arena),
            Ok(Cell::List(&[Cell::Str("01"), Cell::Str("02")]))
        );
    }
}
