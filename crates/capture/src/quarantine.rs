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
    /// The row's cells as JSON, sealed under the site's seal key with the id as context.
    pub sealed: Vec<u8>,
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

    /// The row's values, sealed.
    #[must_use]
    pub fn seal(&self, id: &str, columns: &[String], row: &[Cell<'_>]) -> Vec<u8> {
        let row: serde_json::Map<_, _> = columns.iter().cloned().zip(row.iter().map(to_json)).collect();
        self.seal.seal(id.as_bytes(), Value::from(row).to_string().as_bytes())
    }
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
