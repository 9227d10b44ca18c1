//! Changes that an outbox would take with it.

use lienthong_contract::counted;
use lienthong_contract::source::SourceError;

/// An error that says what waits in the outbox: tables and how many changes of each.
pub(crate) fn none(source: &str, waiting: &[(String, i64)]) -> Result<(), SourceError> {
    if waiting.is_empty() {
        return Ok(());
    }
    let all = waiting.iter().map(|(_, count)| count).sum();
    let tables: Vec<String> = waiting.iter().map(|(table, count)| format!("{table}: {count}")).collect();
    Err(SourceError::Unpublished {
        source_name: source.to_owned(),
        changes: format!("{} ({})", counted::<i64>(all, "change"), tables.join(", ")),
    })
}
