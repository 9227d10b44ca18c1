//! Values between SQLite and cells.

use lienthong_contract::Cell;
use lienthong_contract::source::{BrokenValue, Side};
use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use serde::{Deserialize, Serialize};

use crate::text::{hex, render, unhex};

/// A stored value as a cell, by its storage class; the error is the rule that it breaks.
pub(super) fn cell(value: ValueRef<'_>) -> Result<Cell<'_>, &'static str> {
    Ok(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(value) => Cell::I64(value),
        ValueRef::Real(value) => Cell::F64(value),
        ValueRef::Text(text) => Cell::Str(std::str::from_utf8(text).map_err(|_| "not-utf8")?),
        ValueRef::Blob(bytes) => Cell::Bytes(bytes),
    })
}

/// Reads one cell of a row into `cells`; a value that no cell can hold becomes null and is noted.
pub(super) fn push<'a>(
    cells: &mut Vec<Cell<'a>>,
    value: ValueRef<'a>,
    side: Side,
    broken: &mut Vec<BrokenValue>,
) {
    let column = cells.len();
    cells.push(cell(value).unwrap_or_else(|rule| {
        broken.push(BrokenValue { side, column, rule });
        Cell::Null
    }));
}

/// One part of a key, kept exactly, so that a first load can go on behind it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum KeyValue {
    /// 64-bit integer.
    #[serde(rename = "i")]
    Integer(i64),
    /// Bits of a float.
    #[serde(rename = "r")]
    Real(u64),
    /// Text.
    #[serde(rename = "t")]
    Text(String),
    /// Text that is not UTF-8, hexadecimal.
    #[serde(rename = "x")]
    RawText(String),
    /// Bytes, hexadecimal.
    #[serde(rename = "b")]
    Blob(String),
    /// Absent. No first load goes on behind it; it only takes part in digests.
    #[serde(rename = "n")]
    Null,
}

impl std::fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyValue(***)")
    }
}

impl KeyValue {
    /// Copies a stored value.
    pub(super) fn of(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(value) => Self::Integer(value),
            ValueRef::Real(value) => Self::Real(value.to_bits()),
            ValueRef::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => Self::Text(text.to_owned()),
                Err(_) => Self::RawText(hex(text)),
            },
            ValueRef::Blob(bytes) => Self::Blob(hex(bytes)),
        }
    }

    /// Bytes for a digest; the first one tells the storage classes apart.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (class, bytes): (u8, &[u8]) = match self {
            Self::Null => (b'n', &[]),
            Self::Integer(value) => (b'i', &value.to_be_bytes()),
            Self::Real(bits) => (b'r', &bits.to_be_bytes()),
            Self::Text(text) => (b't', text.as_bytes()),
            Self::RawText(hex) => (b'x', hex.as_bytes()),
            Self::Blob(hex) => (b'b', hex.as_bytes()),
        };
        [&[class], bytes].concat()
    }
}

/// Text of any bytes, as SQLite lets people store it.
struct RawText(Vec<u8>);

impl ToSql for RawText {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(&self.0)))
    }
}

/// Binds a key's part as it was read.
pub(super) fn bind_key(
    statement: &mut rusqlite::Statement<'_>,
    index: usize,
    value: &KeyValue,
) -> rusqlite::Result<()> {
    match value {
        KeyValue::Null => statement.raw_bind_parameter(index, Value::Null),
        KeyValue::Integer(value) => statement.raw_bind_parameter(index, value),
        KeyValue::Real(bits) => statement.raw_bind_parameter(index, f64::from_bits(*bits)),
        KeyValue::Text(text) => statement.raw_bind_parameter(index, text),
        KeyValue::RawText(hex) => {
            statement.raw_bind_parameter(index, RawText(unhex(hex).unwrap_or_default()))
        }
        KeyValue::Blob(hex) => statement.raw_bind_parameter(index, unhex(hex).unwrap_or_default()),
    }
}

/// A cell as a subscriber's column takes it: truth values as 0 and 1, numbers and bytes as they are, everything else as text, so
/// that decimals stay exact and times sort.
pub(super) struct Written<'c>(pub(super) &'c Cell<'c>);

impl ToSql for Written<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Cell::Null => ToSqlOutput::Owned(Value::Null),
            Cell::Bool(value) => ToSqlOutput::Owned(Value::Integer(i64::from(*value))),
            Cell::I64(value) => ToSqlOutput::Owned(Value::Integer(*value)),
            Cell::F64(value) => ToSqlOutput::Owned(Value::Real(*value)),
            Cell::Str(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Cell::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            other => ToSqlOutput::Owned(render(other).map_or(Value::Null, Value::Text)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    #[test]
    fn a_key_reads_back_exactly_whatever_its_storage_class() {
        let conn = Connection::open_in_memory().expect("memory");
        let sql = "select 1, 9007199254740993, 0.1, 'a''b', cast(x'ff41' as text), x'00ff', null";
        let read: Vec<KeyValue> = conn
            .query_row(sql, [], |row| (0..7).map(|at| Ok(KeyValue::of(row.get_ref(at)?))).collect())
            .expect("values");
        let text = serde_json::to_string(&read).expect("text");
        let again: Vec<KeyValue> = serde_json::from_str(&text).expect("reads back");
        assert_eq!(again, read);
        let mut echo = conn.prepare("select ?1, typeof(?1)").expect("statement");
        for (at, value) in again.iter().enumerate() {
            bind_key(&mut echo, 1, value).expect("bound");
            let mut rows = echo.raw_query();
            let row = rows.next().expect("row").expect("one");
            assert_eq!(&KeyValue::of(row.get_ref(0).expect("value")), value, "{at}");
        }
        assert!(matches!(read[4], KeyValue::RawText(_)));
    }

    #[test]
    fn text_that_is_not_utf8_is_broken_and_null() {
        let mut broken = Vec::new();
        let mut cells = Vec::new();
        for value in [ValueRef::Integer(1), ValueRef::Text(b"a\xff"), ValueRef::Text(b"\xff")] {
            push(&mut cells, value, Side::Before, &mut broken);
        }
        assert_eq!(cells, [Cell::I64(1), Cell::Null, Cell::Null]);
        let noted = |column| BrokenValue { side: Side::Before, column, rule: "not-utf8" };
        assert_eq!(broken, [noted(1), noted(2)]);
    }

    #[test]
    fn cells_are_written_by_one_rule() {
        let written = |cell: Cell<'_>| match Written(&cell).to_sql().expect("written") {
            ToSqlOutput::Borrowed(value) => Value::try_from(value).expect("utf-8"),
            ToSqlOutput::Owned(value) => value,
            _ => panic!("neither borrowed nor owned"),
        };
        assert_eq!(written(Cell::Bool(true)), Value::Integer(1));
        assert_eq!(written(Cell::Date(0)), Value::Text("1970-01-01".to_owned()));
        assert_eq!(written(Cell::Timestamp(1)), Value::Text("1970-01-01T00:00:00.000001Z".to_owned()));
        assert_eq!(written(Cell::Bytes(&[1])), Value::Blob(vec![1]));
        let decimal = lienthong_contract::Decimal { unscaled: &[4, 210], scale: 2 };
        assert_eq!(written(Cell::Decimal(decimal)), Value::Text("12.34".to_owned()));
    }
}
