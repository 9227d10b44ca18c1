//! Capture from the write-ahead log: what `pgoutput` sends, as messages. Pure; no connection.

mod cursor;
mod message;
mod tuple;

#[cfg(test)]
mod tests;

/// Reads foreign bytes as one message, all of its values too; whether they are one.
pub(crate) fn is_message(bytes: &[u8]) -> bool {
    use message::{Message, Old};
    let tuples = match Message::parse(bytes) {
        Ok(Message::Insert { new, .. }) => [Some(new), None],
        Ok(Message::Update { old: Some(Old::Key(old) | Old::Full(old)), new, .. }) => [Some(new), Some(old)],
        Ok(Message::Update { old: None, new, .. }) => [Some(new), None],
        Ok(Message::Delete { old: Old::Key(old) | Old::Full(old), .. }) => [Some(old), None],
        Ok(_) => [None, None],
        Err(_) => return false,
    };
    tuples.iter().flatten().all(|tuple| tuple.values().count() == tuple.len())
}
