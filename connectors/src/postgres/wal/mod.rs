//! Capture from the write-ahead log: what `pgoutput` sends, as messages and cells. Pure; no connection.
//!
//! A value becomes the cell that the outbox would have given, whichever form it comes in: who changes from one kind of capture to the
//! other, or reads both, sees no difference.

mod array;
mod binary;
mod cursor;
pub(super) mod message;
mod numeric;
pub(super) mod relation;
mod text;
pub(super) mod tuple;
pub(super) mod types;

#[cfg(test)]
mod tests;

use bumpalo::Bump;

use message::{Message, Old};
use tuple::{Tuple, Value};
use types::Type;

/// What the session of a stream must set: the text of values depends on it. The triggers of the outbox set the same. What is left is
/// `lc_monetary`: the triggers leave it to whoever writes, so only the text of `money` may differ.
pub(crate) const SETTINGS: [(&str, &str); 7] = [
    ("client_encoding", "UTF8"),
    ("timezone", "UTC"),
    ("datestyle", "ISO"),
    ("intervalstyle", "iso_8601"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    // Names of tables and types as values, such as `regclass`.
    ("search_path", "pg_catalog, pg_temp"),
];

/// Reads foreign bytes as one message, and its values as if they were of every type; whether the bytes are one.
pub(crate) fn is_message(bytes: &[u8]) -> bool {
    let rows = match Message::parse(bytes) {
        Ok(Message::Insert { new, .. }) => [Some(new), None],
        Ok(Message::Update { old: Some(Old::Key(old) | Old::Full(old)), new, .. }) => [Some(new), Some(old)],
        Ok(Message::Update { old: None, new, .. }) => [Some(new), None],
        Ok(Message::Delete { old: Old::Key(old) | Old::Full(old), .. }) => [Some(old), None],
        Ok(_) => [None, None],
        Err(_) => return false,
    };
    let arena = Bump::new();
    for value in rows.iter().flatten().flat_map(Tuple::values) {
        for of in Type::all() {
            let _refused = match value {
                Value::Null | Value::Unchanged => continue,
                Value::Text(bytes) => text::read(bytes, &of, &arena),
                Value::Binary(bytes) => binary::read(bytes, &of, &arena),
            };
        }
    }
    rows.iter().flatten().all(|row| row.values().count() == row.len())
}
