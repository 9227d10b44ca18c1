//! Values in the form of their type's send function.

use std::fmt::Write as _;

use bumpalo::Bump;
use lienthong_contract::{Cell, date};

use super::super::decode::Reading;
use super::message::EPOCH_MICROS;
use super::text::{self, utf8};
use super::types::{Form, Type};
use super::{array, numeric};
use crate::text::format_time;

/// The first microsecond of the first year; what is before has no date here.
const FIRST_MICROS: i64 = -62_135_596_800_000_000;

/// Reads one value; the error is the broken rule, the same one as of its text.
pub(super) fn read<'a>(bytes: &'a [u8], of: &Type, arena: &'a Bump) -> Result<Cell<'a>, &'static str> {
    element(bytes, of, 0, arena)
}

/// Reads a value with `depth` lists around it.
pub(super) fn element<'a>(
    bytes: &'a [u8],
    of: &Type,
    depth: usize,
    arena: &'a Bump,
) -> Result<Cell<'a>, &'static str> {
    match of {
        Type::List { element, .. } => array::binary(bytes, element, depth + 1, arena),
        Type::Unreadable => Err("unreadable-type"),
        Type::Scalar { form: Form::OnlyText, .. } => Err("not-in-binary-form"),
        Type::Scalar { form: Form::Unsigned, .. } => bytes
            .try_into()
            .map(|oid| Cell::I64(u32::from_be_bytes(oid).into()))
            .map_err(|_| "not-an-integer"),
        Type::Scalar { form: Form::ZonedTime, .. } => {
            zoned_time(bytes).map(|text| Cell::Str(arena.alloc_str(&text))).ok_or("not-a-time-of-day")
        }
        Type::Scalar { form: Form::Plain, reading } => plain(bytes, reading, depth, arena),
    }
}

fn plain<'a>(
    bytes: &'a [u8],
    reading: &Reading,
    depth: usize,
    arena: &'a Bump,
) -> Result<Cell<'a>, &'static str> {
    match reading {
        Reading::Bool => match bytes {
            [0] => Ok(Cell::Bool(false)),
            [1] => Ok(Cell::Bool(true)),
            _ => Err("not-a-boolean"),
        },
        Reading::Integer => integer(bytes).map(Cell::I64).ok_or("not-an-integer"),
        Reading::Float => float(bytes).map(Cell::F64).ok_or("not-a-float"),
        Reading::Numeric => numeric::read(bytes, arena).map(Cell::Decimal).ok_or("not-a-number"),
        Reading::Text => utf8(bytes).map(Cell::Str),
        Reading::Padded => utf8(bytes).map(|text| Cell::Str(text.trim_end_matches(' '))),
        Reading::Bytes => Ok(Cell::Bytes(bytes)),
        Reading::Date => day(bytes),
        Reading::Time => match bytes.try_into().map(i64::from_be_bytes) {
            Ok(micros @ 0..date::MICROS_PER_DAY) => Ok(Cell::Time(micros)),
            _ => Err("not-a-time-of-day"),
        },
        Reading::Timestamp => instant(bytes),
        Reading::Uuid => bytes.try_into().map(Cell::Uuid).map_err(|_| "not-a-uuid"),
        // `jsonb` says its version first, which no JSON begins with.
        Reading::Json => text::json(utf8(bytes.strip_prefix(&[1]).unwrap_or(bytes))?, depth, arena),
        Reading::List(_) => Err("not-a-list"),
    }
}

/// Of two, four or eight bytes.
fn integer(bytes: &[u8]) -> Option<i64> {
    Some(match *bytes {
        [a, b] => i16::from_be_bytes([a, b]).into(),
        [a, b, c, d] => i32::from_be_bytes([a, b, c, d]).into(),
        _ => i64::from_be_bytes(bytes.try_into().ok()?),
    })
}

fn float(bytes: &[u8]) -> Option<f64> {
    match *bytes {
        [a, b, c, d] => Some(real(f32::from_be_bytes([a, b, c, d]))),
        _ => Some(f64::from_be_bytes(bytes.try_into().ok()?)),
    }
}

/// The number that the server writes for a `real`: the fewest digits that are nearer to it than to its neighbours, and of a tie the
/// even one. Rust also takes digits that lie in the middle between two, and of a tie the greater one.
fn real(value: f32) -> f64 {
    let exact = f64::from(value);
    let middle = |neighbour: f32| f64::midpoint(exact, f64::from(neighbour));
    let (low, high) = (middle(value.next_down()), middle(value.next_up()));
    let candidate = |text: &str| text.parse().ok().filter(|number| low < *number && *number < high);
    let rounded = |digits: usize| candidate(&format!("{exact:.digits$e}"));
    let shortest = format!("{value:e}");
    // Behind the point of `-2.5e-7`.
    let digits = shortest.split(['.', 'e']).nth(1).filter(|_| shortest.contains('.')).map_or(0, str::len);
    rounded(digits)
        .or_else(|| candidate(&shortest))
        .or_else(|| (digits..9).find_map(rounded))
        .unwrap_or(exact)
}

fn day<'a>(bytes: &[u8]) -> Result<Cell<'a>, &'static str> {
    let days = i32::from_be_bytes(bytes.try_into().map_err(|_| "not-a-date")?);
    let since_1970 = days.checked_add((EPOCH_MICROS / date::MICROS_PER_DAY) as i32);
    match since_1970 {
        _ if days == i32::MIN || days == i32::MAX => Err("infinite-date"),
        Some(day) if i64::from(day) < FIRST_MICROS / date::MICROS_PER_DAY => Err("infinite-date"),
        Some(day) => Ok(Cell::Date(day)),
        None => Err("not-a-date"),
    }
}

fn instant<'a>(bytes: &[u8]) -> Result<Cell<'a>, &'static str> {
    let micros = i64::from_be_bytes(bytes.try_into().map_err(|_| "not-a-timestamp")?);
    match micros.checked_add(EPOCH_MICROS) {
        _ if micros == i64::MIN || micros == i64::MAX => Err("infinite-date"),
        Some(since_1970) if since_1970 < FIRST_MICROS => Err("infinite-date"),
        Some(since_1970) => Ok(Cell::Timestamp(since_1970)),
        None => Err("not-a-timestamp"),
    }
}

/// `23:59:59.5+07:30` of microseconds and seconds to the west.
fn zoned_time(bytes: &[u8]) -> Option<String> {
    let (micros, zone) = bytes.split_at_checked(8)?;
    let micros = u64::from_be_bytes(micros.try_into().ok()?);
    let west = i32::from_be_bytes(zone.try_into().ok()?);
    // Midnight at the end of a day is a time of day to the server.
    let micros = i64::try_from(micros).ok().filter(|micros| *micros <= date::MICROS_PER_DAY)?;
    let mut text = format_time(micros).trim_end_matches('0').trim_end_matches('.').to_owned();
    let (sign, zone) = (if west > 0 { '-' } else { '+' }, west.unsigned_abs());
    let (hours, minutes, seconds) = (zone / 3_600, zone / 60 % 60, zone % 60);
    // Writing to a String cannot fail.
    let _ = write!(text, "{sign}{hours:02}");
    if minutes > 0 || seconds > 0 {
        let _ = write!(text, ":{minutes:02}");
    }
    if seconds > 0 {
        let _ = write!(text, ":{seconds:02}");
    }
    Some(text)
}
