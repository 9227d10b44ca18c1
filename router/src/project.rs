//! From a decoded event to a target row: only agreed fields, each as its column wants it.

use bumpalo::Bump;
use lienthong_contract::keys::{HashKey, KeyHash};
use lienthong_contract::provoke;
use lienthong_schemas::{Cell, PartialDate};

use crate::error::EventFault;
use crate::subscription::{ColumnMap, ColumnSource, Partial, SubscriptionKeys};

/// What projecting needs besides the event.
#[derive(Clone, Copy)]
pub(crate) struct Projector<'a> {
    /// Keys of hashes.
    pub(crate) keys: &'a SubscriptionKeys,
    /// Where new cells and texts go.
    pub(crate) arena: &'a Bump,
}

impl<'a> Projector<'a> {
    /// The cells of some columns.
    ///
    /// # Errors
    /// When a value does not fit its column.
    pub(crate) fn columns(
        &self,
        sources: &[ColumnSource],
        row: &[Cell<'a>],
    ) -> Result<&'a [Cell<'a>], EventFault> {
        provoke::panic_at("route", || provoke::texts(row));
        let cells = self.arena.alloc_slice_fill_copy(sources.len(), Cell::Null);
        for (cell, source) in cells.iter_mut().zip(sources) {
            *cell = self.cell(source.map, row[source.path])?;
        }
        Ok(cells)
    }

    fn cell(&self, map: ColumnMap, cell: Cell<'a>) -> Result<Cell<'a>, EventFault> {
        match (map, cell) {
            (ColumnMap::Unset, _) => Ok(Cell::Null),
            (ColumnMap::Plain, cell) | (_, cell @ Cell::Null) => Ok(cell),
            (ColumnMap::Pseudonym, cell) => {
                let mut bytes = Vec::new();
                canonical(&cell, &mut bytes);
                Ok(Cell::Str(self.arena.alloc_str(&self.keys.pseudonym.hash(&[&bytes]).hex())))
            }
            (ColumnMap::Date { .. }, cell @ Cell::Date(_)) => Ok(cell),
            (ColumnMap::Date { partial }, Cell::Str(text)) => date(text, partial),
            (ColumnMap::Date { .. }, cell) => Err(EventFault::new(
                format!("a date column has a source of kind {}", cell.kind()),
                "map a date or an EDTF text to the column",
            )),
        }
    }

    /// The keyed hash of a table and a key; `None` when a part of the key is null, because then it names no row.
    #[must_use]
    pub(crate) fn key_hash(&self, table: &str, key: &[Cell<'_>]) -> Option<KeyHash> {
        if key.iter().any(Cell::is_null) {
            return None;
        }
        let parts: Vec<Vec<u8>> = key.iter().map(canonical_bytes).collect();
        Some(hash(&self.keys.ledger, table.as_bytes(), &parts))
    }

    /// The keyed hash (hex) of a record's number within its event type; null has none.
    #[must_use]
    pub(crate) fn record_hash(&self, event: &str, number: &Cell<'_>) -> Option<&'a str> {
        if number.is_null() {
            return None;
        }
        let parts = [event.as_bytes().to_vec(), canonical_bytes(number)];
        Some(self.arena.alloc_str(&hash(&self.keys.ledger, b"record", &parts).hex()))
    }
}

fn hash(key: &HashKey, first: &[u8], rest: &[Vec<u8>]) -> KeyHash {
    let mut parts: Vec<&[u8]> = vec![first];
    parts.extend(rest.iter().map(Vec::as_slice));
    key.hash(&parts)
}

fn date(text: &str, partial: Partial) -> Result<Cell<'static>, EventFault> {
    let date = PartialDate::parse(text).ok_or_else(|| {
        EventFault::new("a date field holds no EDTF date", "the publisher must correct the record")
    })?;
    match (date.to_date(), partial) {
        (Some(days), _) => Ok(Cell::Date(days)),
        (None, Partial::Null) => Ok(Cell::Null),
        (None, Partial::Reject) => Err(EventFault::new(
            "a date is partial and the agreement says `partial: reject`",
            "write `partial: null` in the agreement, or map the text to a text column",
        )),
    }
}

fn canonical_bytes(cell: &Cell<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    canonical(cell, &mut bytes);
    bytes
}

/// One text of bytes per value, so that equal values have equal hashes for ever: kind, then content.
fn canonical(cell: &Cell<'_>, out: &mut Vec<u8>) {
    match cell {
        Cell::Null => out.push(0),
        Cell::Bool(truth) => out.extend([1, u8::from(*truth)]),
        Cell::I64(number) => tagged(2, &number.to_be_bytes(), out),
        Cell::F64(number) => tagged(3, &number.to_bits().to_be_bytes(), out),
        Cell::Decimal(decimal) => {
            tagged(4, &decimal.scale.to_be_bytes(), out);
            out.extend_from_slice(shortest(decimal.unscaled));
        }
        Cell::Str(text) => tagged(5, text.as_bytes(), out),
        Cell::Bytes(bytes) => tagged(6, bytes, out),
        Cell::Date(days) => tagged(7, &days.to_be_bytes(), out),
        Cell::Time(micros) => tagged(8, &micros.to_be_bytes(), out),
        Cell::Timestamp(micros) => tagged(9, &micros.to_be_bytes(), out),
        Cell::Uuid(bytes) => tagged(10, bytes, out),
        Cell::List(items) => {
            tagged(11, &(items.len() as u64).to_be_bytes(), out);
            for item in items.iter() {
                let inner = canonical_bytes(item);
                out.extend_from_slice(&(inner.len() as u64).to_be_bytes());
                out.extend_from_slice(&inner);
            }
        }
    }
}

fn tagged(tag: u8, content: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(content);
}

/// Without redundant leading bytes of the two's complement.
fn shortest(mut bytes: &[u8]) -> &[u8] {
    while let [first, second, ..] = bytes {
        let redundant = (*first == 0 && *second < 0x80) || (*first == 0xff && *second >= 0x80);
        if !redundant {
            break;
        }
        bytes = &bytes[1..];
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use lienthong_schemas::Decimal;

    fn with<T>(test: impl FnOnce(Projector<'_>) -> T) -> T {
        let keys = SubscriptionKeys::derive(&HashKey::new([9; 32]), "a", "P1", "b");
        test(Projector { keys: &keys, arena: &Bump::new() })
    }

    #[test]
    fn partial_dates_become_null_or_are_refused_and_never_a_first_of_january() {
        let source = |partial| [ColumnSource { path: 0, map: ColumnMap::Date { partial } }];
        with(|project| {
            let cell = |partial, row: Cell<'static>| {
                project.columns(&source(partial), &[row]).map(|cells| match cells[0] {
                    Cell::Date(days) => Some(days),
                    _ => None,
                })
            };
            assert_eq!(cell(Partial::Null, Cell::Str("1970-01-02")), Ok(Some(1)));
            assert_eq!(cell(Partial::Null, Cell::Str("1970-01")), Ok(None));
            assert_eq!(cell(Partial::Reject, Cell::Null), Ok(None));
            assert_eq!(cell(Partial::Reject, Cell::Date(5)), Ok(Some(5)));
            assert!(cell(Partial::Reject, Cell::Str("1970")).is_err());
            let error = cell(Partial::Null, Cell::Str("tomorrow")).expect_err("no date");
            assert!(!error.to_string().contains("tomorrow"));
        });
    }

    #[test]
    fn pseudonyms_are_keyed_tokens_and_null_stays_null() {
        with(|project| {
            let source = [ColumnSource { path: 0, map: ColumnMap::Pseudonym }];
            let token = |cell: Cell<'static>| match project.columns(&source, &[cell]).expect("cells")[0] {
                Cell::Str(text) => Some(text.to_owned()),
                _ => None,
            };
            assert_eq!(token(Cell::Null), None);
            assert_eq!(token(Cell::Str("1")).map(|token| token.len()), Some(32));
            assert_ne!(token(Cell::Str("1")), token(Cell::I64(1)));
        });
    }

    #[test]
    fn equal_keys_have_equal_hashes_and_a_null_key_has_none() {
        with(|project| {
            let decimal = |unscaled| Cell::Decimal(Decimal { unscaled, scale: 2 });
            assert_eq!(project.key_hash("t", &[decimal(&[0, 5])]), project.key_hash("t", &[decimal(&[5])]));
            assert_ne!(project.key_hash("t", &[Cell::Str("a")]), project.key_hash("u", &[Cell::Str("a")]));
            assert_eq!(project.key_hash("t", &[Cell::Str("a"), Cell::Null]), None);
            assert_eq!(project.record_hash("e", &Cell::Null), None);
        });
    }
}
