//! One value on the road, borrowed from its batch's buffer.

use std::fmt;

/// A value between a database's wire format and Avro. It carries personal data, so its `Debug` shows
/// kind and length only, and it has no `Display`.
#[derive(Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// Absent.
    Null,
    /// Truth value.
    Bool(bool),
    /// Avro int and long.
    I64(i64),
    /// Avro float and double.
    F64(f64),
    /// Exact decimal.
    Decimal(Decimal<'a>),
    /// Text, and the symbol of an Avro enum.
    Str(&'a str),
    /// Bytes, and Avro fixed.
    Bytes(&'a [u8]),
    /// Days since 1970-01-01, negative before.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 1970-01-01T00:00:00Z, negative before.
    Timestamp(i64),
    /// RFC 4122 byte order.
    Uuid([u8; 16]),
    /// Array elements; the fields of a nested record in order; the entries of a map, each a list of key and value.
    List(&'a [Cell<'a>]),
}

/// `unscaled * 10^-scale`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Decimal<'a> {
    /// Two's complement, big endian, as Avro has it; may carry redundant leading bytes.
    pub unscaled: &'a [u8],
    /// Digits after the point.
    pub scale: u32,
}

impl Cell<'_> {
    /// The kind's name, for errors that must not show the value.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Cell::Null => "null",
            Cell::Bool(_) => "bool",
            Cell::I64(_) => "integer",
            Cell::F64(_) => "float",
            Cell::Decimal(_) => "decimal",
            Cell::Str(_) => "text",
            Cell::Bytes(_) => "bytes",
            Cell::Date(_) => "date",
            Cell::Time(_) => "time",
            Cell::Timestamp(_) => "timestamp",
            Cell::Uuid(_) => "uuid",
            Cell::List(_) => "list",
        }
    }

    /// Whether the value is absent.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Cell::Null)
    }

    fn length(&self) -> Option<usize> {
        match self {
            Cell::Str(text) => Some(text.len()),
            Cell::Bytes(bytes) => Some(bytes.len()),
            Cell::Decimal(decimal) => Some(decimal.unscaled.len()),
            Cell::List(items) => Some(items.len()),
            _ => None,
        }
    }
}

impl fmt::Debug for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length() {
            Some(length) => write!(f, "{}({length})", self.kind()),
            None => f.write_str(self.kind()),
        }
    }
}

impl fmt::Debug for Decimal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "decimal({})", self.unscaled.len())
    }
}
