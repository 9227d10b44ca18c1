//! A row as 128 bits: what a million people's copies must hold does not fit into memory as it stands.

use std::borrow::Cow;
use std::hash::{BuildHasher as _, RandomState};

use rusqlite::Row;
use rusqlite::types::ValueRef;
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

/// Stands for a row or for its key. Keyed anew in every check: two that differ are the same once in 2^64 checks of a whole nation.
pub(crate) type Digest = u128;

/// Whose text it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// A ministry's: the bus carries it in NFC, however it was written.
    Written,
    /// A subscriber's: it stands as the bus carried it.
    Carried,
}

/// Makes digests of rows.
#[derive(Default)]
pub(crate) struct Digests {
    halves: [RandomState; 2],
    row: Vec<u8>,
}

impl Digests {
    /// Of the key, which are the first `key` columns, and of the whole row; columns before `first` are no part of it. A number is the same
    /// as its text.
    pub(crate) fn of(
        &mut self,
        row: &Row<'_>,
        columns: std::ops::Range<usize>,
        key: usize,
        text: Text,
    ) -> rusqlite::Result<(Digest, Digest)> {
        self.row.clear();
        let mut of_key = self.digest();
        for (place, at) in columns.enumerate() {
            match row.get_ref(at)? {
                ValueRef::Null => self.row.push(0),
                ValueRef::Integer(number) => self.cell(&number.to_string()),
                ValueRef::Real(number) => self.cell(&number.to_string()),
                ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                    let whole = String::from_utf8_lossy(bytes);
                    self.cell(&if text == Text::Written { nfc(&whole) } else { whole });
                }
            }
            if place + 1 == key {
                of_key = self.digest();
            }
        }
        Ok((of_key, self.digest()))
    }

    /// No two lists of cells make the same bytes.
    fn cell(&mut self, text: &str) {
        self.row.push(1);
        self.row.extend_from_slice(&text.len().to_le_bytes());
        self.row.extend_from_slice(text.as_bytes());
    }

    fn digest(&self) -> Digest {
        let [high, low] = self.halves.each_ref().map(|half| u128::from(half.hash_one(&self.row)));
        high << 64 | low
    }
}

/// The bus carries text in NFC, whatever the ministry wrote.
pub(crate) fn nfc(text: &str) -> Cow<'_, str> {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        IsNormalized::No | IsNormalized::Maybe => Cow::Owned(text.nfc().collect()),
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn rows_are_the_same_exactly_when_their_cells_are() {
        let conn = Connection::open_in_memory().unwrap();
        let mut digests = Digests::default();
        let mut by = |values: &str, text| {
            conn.query_row(&format!("select 'no part', {values}"), [], |row| digests.of(row, 1..4, 2, text))
                .unwrap()
        };
        let (nfd, nfc) = ("'a\u{323}', 'b', null", "'\u{1ea1}', 'b', null");
        assert_eq!(by(nfd, Text::Written), by(nfc, Text::Carried), "a ministry's NFD is the same text");
        assert_ne!(by(nfd, Text::Carried), by(nfc, Text::Carried), "a subscriber never gets NFD");
        let mut of = |values: &str| by(values, Text::Written);
        let (key, row) = of("'a', 'b', null");
        assert_eq!(of("'a', 'b', null"), (key, row));
        assert_eq!(of("'a', 'b', ''").0, key, "the same key");
        for other in
            ["'a', 'b', ''", "'a', 'b', 'null'", "'ab', '', null", "'a', null, 'b'", "'b', 'a', null"]
        {
            assert_ne!(of(other).1, row, "{other}");
        }
        assert_eq!(of("12, 'b', null"), of("'12', 'b', null"));
    }
}
