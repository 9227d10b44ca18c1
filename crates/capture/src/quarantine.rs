//! Rows that break their contract: what is told of them, and their values sealed.

use lienthong_contract::keys::{HashKey, KeyHash, SealKey};
use lienthong_schemas::Cell;
use serde_json::{Value, json};

/// One row on its way to `lt.quarantine.<participant>`.
#[derive(Debug)]
pub struct Quarantined {
    /// The change's `ce_id`, the same whenever it is read again.
    pub id: String,
    /// Event that the row would have become.
    pub event: String,
    /// Source table.
    pub table: String,
    /// Keyed hash of table and key.
    pub key: KeyHash,
    /// Field of the contract, or column of the table.
    pub column: String,
    /// Broken rule.
    pub rule: &'static str,
    /// Commit time, microseconds.
    pub time: i64,
    /// The row's cells as JSON, sealed under the site's seal key with the id as context; of values that are too large only kind and
    /// length.
    pub sealed: Vec<u8>,
}

/// The topic of a participant's quarantine.
pub(crate) fn topic(participant: &str) -> String {
    format!("lt.quarantine.{participant}")
}

/// The keys that quarantine needs.
#[derive(Clone, Debug)]
pub struct QuarantineKeys {
    /// Hashes row keys.
    pub subject: HashKey,
    /// Seals values.
    pub seal: SealKey,
}

impl QuarantineKeys {
    /// Keyed hash of a row's key.
    #[must_use]
    pub fn key(&self, table: &str, key: &[Cell<'_>]) -> KeyHash {
        let text = Value::from(key.iter().map(to_json).collect::<Vec<_>>()).to_string();
        self.subject.hash(&[table.as_bytes(), text.as_bytes()])
    }

    /// The row's values, sealed. What would make the record larger than the log takes is left out, the longest values first: the row
    /// was set aside so that the stream can go on, and its source still has it.
    #[must_use]
    pub fn seal(&self, id: &str, columns: &[String], row: &[Cell<'_>]) -> Vec<u8> {
        let text = |longest| {
            let values = row.iter().map(|cell| shortened(cell, longest));
            Value::from(columns.iter().cloned().zip(values).collect::<serde_json::Map<_, _>>()).to_string()
        };
        let fitting = [usize::MAX, LONG_VALUE].into_iter().map(text).find(|text| text.len() <= SEALED_BYTES);
        self.seal.seal(id.as_bytes(), fitting.unwrap_or_else(|| text(0)).as_bytes())
    }
}

/// Longest JSON text of a row that is sealed: what contracts allow one record.
const SEALED_BYTES: usize = 1 << 20;
/// A value longer than this is left out of a row that is too long as a whole.
const LONG_VALUE: usize = 256;

fn shortened(cell: &Cell<'_>, longest: usize) -> Value {
    let value = to_json(cell);
    if longest == usize::MAX {
        return value;
    }
    let length = value.to_string().len();
    if length <= longest { value } else { json!({"left_out": cell.kind(), "length": length}) }
}

fn to_json(cell: &Cell<'_>) -> Value {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(value) => json!(value),
        Cell::I64(value) => json!(value),
        Cell::F64(value) => json!(value),
        Cell::Decimal(value) => json!({"unscaled": hex(value.unscaled), "scale": value.scale}),
        Cell::Str(text) => json!(text),
        Cell::Bytes(bytes) => json!({"bytes": hex(bytes)}),
        Cell::Date(days) => json!({"date": days}),
        Cell::Time(micros) => json!({"time": micros}),
        Cell::Timestamp(micros) => json!({"timestamp": micros}),
        Cell::Uuid(bytes) => json!({"uuid": hex(bytes)}),
        Cell::List(items) => items.iter().map(to_json).collect(),
    }
}
