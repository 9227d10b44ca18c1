//! A change that is set aside, as bytes: the server's own messages with their place, so that it can be read later by another mapping.

use super::super::wal::message::{Message, Relation};

/// Version of the form.
const FORM: u8 = 1;
/// Version, commit, index, time, length of the description.
const HEAD: usize = 1 + 8 + 4 + 8 + 4;

/// Where a change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    /// Where its transaction's commit stands.
    pub(super) commit: u64,
    /// Which row message of the transaction.
    pub(super) index: u32,
    /// Commit time, microseconds since 1970 UTC.
    pub(super) time: i64,
}

/// `relation` describes the table of the row in `message`; both are messages as they came, values as text.
pub(super) fn write(spot: Spot, relation: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(relation.len()).ok()?;
    let mut bytes = Vec::with_capacity(HEAD + relation.len() + message.len());
    bytes.push(FORM);
    bytes.extend_from_slice(&spot.commit.to_be_bytes());
    bytes.extend_from_slice(&spot.index.to_be_bytes());
    bytes.extend_from_slice(&spot.time.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(relation);
    bytes.extend_from_slice(message);
    Some(bytes)
}

/// What [`write`] has written; `None` for anything else.
pub(super) fn read(bytes: &[u8]) -> Option<(Spot, Relation<'_>, Message<'_>)> {
    let (form, rest) = bytes.split_first()?;
    let (commit, rest) = rest.split_first_chunk()?;
    let (index, rest) = rest.split_first_chunk()?;
    let (time, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (relation, message) = rest.split_at_checked(length)?;
    let spot = Spot {
        commit: u64::from_be_bytes(*commit),
        index: u32::from_be_bytes(*index),
        time: i64::from_be_bytes(*time),
    };
    match (*form, Message::parse(relation).ok()?) {
        (FORM, Message::Relation(relation)) => Some((spot, relation, Message::parse(message).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_nothing_else_does() {
        let relation = b"R\0\0\0\x07public\0person\0f\0\x01\x01id\0\0\0\0\x17\xff\xff\xff\xff";
        let message = b"I\0\0\0\x07N\0\x01t\0\0\0\x015";
        let spot = Spot { commit: 0x1_0000_0001, index: 4, time: -3 };
        let bytes = write(spot, relation, message).unwrap();
        let (at, described, row) = read(&bytes).unwrap();
        assert_eq!((at, described.name, described.columns[0].name), (spot, "person", "id"));
        assert!(matches!(row, Message::Insert { relation: 7, .. }));
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length]).is_none(), "{length}");
        }
        assert!(read(&[&[2], &bytes[1..]].concat()).is_none());
        assert!(read(&write(spot, message, message).unwrap()).is_none(), "a row describes no table");
    }
}
