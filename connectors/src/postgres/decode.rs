//! From the text of `row_to_json` to cells. Pure.
//!
//! Columns that nobody needs are skipped without a copy. What is written without a time zone is read as UTC; trailing blanks
//! of `char(n)` mean nothing to the server and are cut off.

use bumpalo::Bump;
use lienthong_contract::Cell;
use lienthong_contract::date;
use lienthong_contract::predicate::PredicateType;
use lienthong_contract::source::{BrokenValue, Side};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{decimal, text};

/// How the text of a column is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// `true`, `false`.
    Bool,
    /// Two, four or eight bytes.
    Integer,
    /// Four or eight bytes; may be NaN or infinite.
    Float,
    /// Exact number.
    Numeric,
    /// Any type whose text is its value.
    Text,
    /// `char(n)`.
    Padded,
    /// `\x..`.
    Bytes,
    /// Calendar date.
    Date,
    /// Time of day without zone.
    Time,
    /// With or without zone.
    Timestamp,
    /// UUID.
    Uuid,
    /// JSON as its text.
    Json,
    /// Array of one of the others.
    List(Box<Reading>),
}

impl Reading {
    /// Picks by the name of the type behind any domain, and of an array's element.
    pub(super) fn of(base: &str, element: Option<&str>) -> Self {
        if let Some(element) = element {
            return Self::List(Box::new(Self::of(element, None)));
        }
        match base {
            "bool" => Self::Bool,
            "int2" | "int4" | "int8" | "oid" => Self::Integer,
            "float4" | "float8" => Self::Float,
            "numeric" => Self::Numeric,
            "bpchar" => Self::Padded,
            "bytea" => Self::Bytes,
            "date" => Self::Date,
            "time" => Self::Time,
            "timestamp" | "timestamptz" => Self::Timestamp,
            "uuid" => Self::Uuid,
            "json" | "jsonb" => Self::Json,
            _ => Self::Text,
        }
    }
}

impl Reading {
    /// What conditions see of the cells.
    pub(super) fn seen(&self) -> PredicateType {
        match self {
            Self::Bool => PredicateType::Bool,
            Self::Integer => PredicateType::Int,
            Self::Float => PredicateType::Float,
            Self::Text | Self::Padded | Self::Json => PredicateType::Text,
            Self::Bytes => PredicateType::Bytes,
            Self::Date => PredicateType::Date,
            Self::Timestamp => PredicateType::Timestamp,
            Self::List(_) => PredicateType::List,
            Self::Numeric | Self::Time | Self::Uuid => PredicateType::Other,
        }
    }
}

/// One needed column.
#[derive(Clone, Debug)]
pub(super) struct Needed {
    /// Name in the JSON object.
    pub(super) name: String,
    /// How its value is read.
    pub(super) reading: Reading,
}

/// The row's text is no JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotARow;

/// Reads one row into cells that point into `json` and `arena`. Values that no cell can hold are named in `broken` and null.
pub(super) fn row<'a>(
    json: &'a str,
    columns: &[Needed],
    (side, broken): (Side, &mut Vec<BrokenValue>),
    arena: &'a Bump,
) -> Result<&'a [Cell<'a>], NotARow> {
    let raw: &mut [Option<&'a str>] = arena.alloc_slice_fill_copy(columns.len(), None);
    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.deserialize_map(RowVisitor { columns, raw: &mut *raw }).map_err(|_| NotARow)?;
    let cells = arena.alloc_slice_fill_copy(columns.len(), Cell::Null);
    for (column, (needed, raw)) in columns.iter().zip(raw.iter()).enumerate() {
        let read = match raw {
            Some(raw) => value(raw, &needed.reading, arena),
            None => Err("missing-column"),
        };
        match read {
            Ok(cell) => cells[column] = cell,
            Err(rule) => broken.push(BrokenValue { side, column, rule }),
        }
    }
    Ok(cells)
}

struct RowVisitor<'c, 'a> {
    columns: &'c [Needed],
    raw: &'c mut [Option<&'a str>],
}

impl<'a> Visitor<'a> for RowVisitor<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        let mut hint = 0;
        while let Some(found) = map.next_key_seed(ColumnSeed { columns: self.columns, hint })? {
            match found {
                Some(index) => {
                    hint = index + 1;
                    self.raw[index] = Some(map.next_value::<&'a RawValue>()?.get());
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Finds a key's column; columns come mostly in order, so the search starts where the last one ended.
struct ColumnSeed<'c> {
    columns: &'c [Needed],
    hint: usize,
}

impl<'de> DeserializeSeed<'de> for ColumnSeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for ColumnSeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a column name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let count = self.columns.len();
        Ok((0..count).map(|step| (self.hint + step) % count).find(|index| self.columns[*index].name == name))
    }
}

/// Reads one JSON value; the error is the broken rule.
pub(super) fn value<'a>(raw: &'a str, reading: &Reading, arena: &'a Bump) -> Result<Cell<'a>, &'static str> {
    if raw == "null" {
        return Ok(Cell::Null);
    }
    match reading {
        Reading::Json => Ok(Cell::Str(raw)),
        Reading::List(element) => list(raw, element, 1, arena),
        _ => scalar(unquote(raw, arena).ok_or("not-text")?, reading, IN_JSON, arena),
    }
}

/// What stands between day and time, and how UTC is written; the triggers and the connector set the time zone.
pub(super) type Stamps = (char, &'static str);

/// As `row_to_json` writes them.
const IN_JSON: Stamps = ('T', "+00:00");

/// Reads one value that is neither JSON nor a list, without quotes around it.
pub(super) fn scalar<'a>(
    text: &'a str,
    reading: &Reading,
    stamps: Stamps,
    arena: &'a Bump,
) -> Result<Cell<'a>, &'static str> {
    match reading {
        Reading::Bool => text.parse().map(Cell::Bool).map_err(|_| "not-a-boolean"),
        Reading::Integer => text.parse().map(Cell::I64).map_err(|_| "not-an-integer"),
        Reading::Float => text.parse().map(Cell::F64).map_err(|_| "not-a-float"),
        Reading::Numeric => decimal::parse(text, arena).map(Cell::Decimal).ok_or("not-a-number"),
        Reading::Padded => Ok(Cell::Str(text.trim_end_matches(' '))),
        Reading::Bytes => bytes(text, arena),
        Reading::Date => day(text).map(Cell::Date),
        Reading::Time => text::parse_time(text).map(Cell::Time).ok_or("not-a-time-of-day"),
        Reading::Timestamp => instant(text, stamps).map(Cell::Timestamp),
        Reading::Uuid => text::parse_uuid(text).map(Cell::Uuid).ok_or("not-a-uuid"),
        Reading::Text | Reading::Json | Reading::List(_) => Ok(Cell::Str(text)),
    }
}

/// A JSON string's text, or any other JSON value as it stands.
fn unquote<'a>(raw: &'a str, arena: &'a Bump) -> Option<&'a str> {
    let Some(inner) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return Some(raw) };
    if !inner.contains('\\') {
        return Some(inner);
    }
    let text: String = serde_json::from_str(raw).ok()?;
    Some(arena.alloc_str(&text))
}

/// Dimensions that an array can have. What is a list further inside is JSON that an element holds, however deep.
pub(super) const DIMENSIONS: usize = 6;

/// Reads a JSON array that has `depth - 1` others around it.
pub(super) fn list<'a>(
    raw: &'a str,
    element: &Reading,
    depth: usize,
    arena: &'a Bump,
) -> Result<Cell<'a>, &'static str> {
    let items: Vec<&'a RawValue> = serde_json::from_str(raw).map_err(|_| "not-a-list")?;
    let cells = arena.alloc_slice_fill_copy(items.len(), Cell::Null);
    for (cell, item) in cells.iter_mut().zip(items) {
        // Arrays of several dimensions are lists of lists.
        *cell = if depth < DIMENSIONS && item.get().starts_with('[') {
            list(item.get(), element, depth + 1, arena)?
        } else {
            value(item.get(), element, arena)?
        };
    }
    Ok(Cell::List(cells))
}

fn bytes<'a>(text: &str, arena: &'a Bump) -> Result<Cell<'a>, &'static str> {
    let bytes = text.strip_prefix("\\x").and_then(text::unhex).ok_or("not-bytes")?;
    Ok(Cell::Bytes(arena.alloc_slice_copy(&bytes)))
}

/// `2026-09-07`, also with more than four digits of a year.
fn day(text: &str) -> Result<i32, &'static str> {
    if text.ends_with(" BC") || text.ends_with("infinity") {
        return Err("infinite-date");
    }
    let mut parts = text.split('-').map(str::parse::<u32>);
    let (Some(Ok(year)), Some(Ok(month)), Some(Ok(day)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("not-a-date");
    };
    i32::try_from(year).ok().and_then(|year| date::days_from_civil(year, month, day)).ok_or("not-a-date")
}

/// `2026-09-07T03:02:11.5+00:00` or without a zone, both UTC.
fn instant(text: &str, (between, utc): Stamps) -> Result<i64, &'static str> {
    if text.ends_with(" BC") || text.ends_with("infinity") {
        return Err("infinite-date");
    }
    let text = text.strip_suffix(utc).unwrap_or(text);
    let (date, time) = text.split_once(between).ok_or("not-a-timestamp")?;
    let time = text::parse_time(time).ok_or("not-a-timestamp")?;
    i64::from(day(date)?)
        .checked_mul(date::MICROS_PER_DAY)
        .and_then(|midnight| midnight.checked_add(time))
        .ok_or("not-a-timestamp")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{format_timestamp, render};

    fn one(raw: &str, base: &str) -> Result<String, &'static str> {
        let arena = Bump::new();
        let columns = [Needed { name: "c".to_owned(), reading: Reading::of(base, None) }];
        let json = format!(r#"{{"other":{{"c":[1,2]}},"c":{raw}}}"#);
        let mut broken = Vec::new();
        let cells = row(&json, &columns, (Side::After, &mut broken), &arena).unwrap();
        match broken.first() {
            Some(broken) => Err(broken.rule),
            None => Ok(format!("{}:{}", cells[0].kind(), render(&cells[0]).unwrap_or_default())),
        }
    }

    #[test]
    fn every_type_is_read_as_its_cell() {
        let cases = [
            ("true", "bool", "bool:true"),
            ("-9223372036854775808", "int8", "integer:-9223372036854775808"),
            ("1.5e+10", "float8", "float:15000000000"),
            ("12345678901234567890123456789.0010", "numeric", "decimal:12345678901234567890123456789.0010"),
            (r#""Nguy\u1ec5n \"A\"\n""#, "text", "text:Nguyễn \"A\"\n"),
            (r#""M  ""#, "bpchar", "text:M"),
            (r#""\\x00ff""#, "bytea", "bytes:00ff"),
            (r#""1995-03-07""#, "date", "date:1995-03-07"),
            (r#""23:59:59.000001""#, "time", "time:23:59:59.000001"),
            (r#""2026-09-07T03:02:11.5+00:00""#, "timestamptz", "timestamp:2026-09-07T03:02:11.500000Z"),
            (r#""2026-09-07T03:02:11""#, "timestamp", "timestamp:2026-09-07T03:02:11.000000Z"),
            (
                r#""1481531d-ccc9-46d9-a56f-5b67459c0537""#,
                "uuid",
                "uuid:1481531d-ccc9-46d9-a56f-5b67459c0537",
            ),
            (r#"{"a": [1, null]}"#, "jsonb", r#"text:{"a": [1, null]}"#),
            ("null", "int4", "null:"),
            (r#""(1,2)""#, "point", "text:(1,2)"),
        ];
        for (raw, base, expected) in cases {
            let read = one(raw, base).unwrap();
            assert!(read.starts_with(expected), "{base}: {read}");
        }
    }

    #[test]
    fn what_no_cell_can_hold_is_named_and_null() {
        assert_eq!(one(r#""NaN""#, "numeric"), Err("not-a-number"));
        assert_eq!(one(r#""infinity""#, "date"), Err("infinite-date"));
        assert_eq!(one(r#""0044-03-15 BC""#, "date"), Err("infinite-date"));
        assert_eq!(one(r#""-infinity""#, "timestamptz"), Err("infinite-date"));
        assert_eq!(one(r#""24:00:00""#, "time"), Err("not-a-time-of-day"));
        assert_eq!(one(r#""12345-01-02""#, "date").as_deref(), Ok("date:+012345-01-02"));
        assert!(one(r#""NaN""#, "float8").is_ok());
    }

    #[test]
    fn a_column_that_was_dropped_since_is_null_and_named() {
        let arena = Bump::new();
        let columns = [
            Needed { name: "a".to_owned(), reading: Reading::Integer },
            Needed { name: "gone".to_owned(), reading: Reading::Text },
        ];
        let mut broken = Vec::new();
        let cells = row(r#"{"b":"x","a":7}"#, &columns, (Side::Before, &mut broken), &arena).unwrap();
        assert!(cells[1].is_null());
        assert_eq!(broken, [BrokenValue { side: Side::Before, column: 1, rule: "missing-column" }]);
        assert_eq!(row("[]", &columns, (Side::Before, &mut broken), &arena), Err(NotARow));
    }

    #[test]
    fn arrays_are_lists_of_any_depth() {
        let arena = Bump::new();
        let columns = [Needed { name: "a".to_owned(), reading: Reading::of("_text", Some("text")) }];
        let mut broken = Vec::new();
        let json = r#"{"a":[["x","y\\"],["z",null]]}"#;
        let cells = row(json, &columns, (Side::After, &mut broken), &arena).unwrap();
        assert_eq!(broken, []);
        assert_eq!(render(&cells[0]).as_deref(), Some(r#"[["x","y\\"],["z",null]]"#));
        assert_eq!(format_timestamp(0), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn json_in_an_array_may_be_as_deep_as_it_likes() {
        let arena = Bump::new();
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let Ok(Cell::List([Cell::List([Cell::List([Cell::List([Cell::List([Cell::List(inner)])])])])])) =
            value(&deep, &Reading::List(Box::new(Reading::Json)), &arena)
        else {
            panic!("six dimensions");
        };
        assert!(matches!(inner, [Cell::Str(rest)] if rest.len() == 200_000 - 12));
    }
}
