//! Rows that somebody asks for: a first load again, a backfill, a repair.

use std::fmt;

/// Which rows of a table are asked for.
#[derive(Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Those whose first key column is between these, both included; without a bound all on that side.
    Range {
        /// The lowest, as text.
        from: Option<String>,
        /// The highest, as text.
        to: Option<String>,
    },
    /// Those with these keys, each part as text, in the order of the table's key.
    Keys(Vec<Vec<String>>),
}

/// Keys may be numbers of persons.
impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range { .. } => f.write_str("Range(***)"),
            Self::Keys(keys) => write!(f, "Keys({})", keys.len()),
        }
    }
}

/// A request for rows of one table, as one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadRequest {
    /// Names the request, and with it the rows that it gives: the same request gives a row the same id.
    pub id: String,
    /// The only event type that they shall become.
    pub event: String,
    /// Index into the source's list of tables.
    pub table: usize,
    /// Which rows.
    pub rows: Wanted,
    /// At most so many rows per second.
    pub rate: u32,
}

/// How far a request, or a first load, has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadProgress {
    /// The request; empty for a first load.
    pub id: String,
    /// Rows that have been read and given out, or have come as changes meanwhile.
    pub rows: u64,
    /// Keys of the list that no row has.
    pub missing: u64,
    /// Rows or keys in all, where it is known.
    pub total: Option<u64>,
    /// The total is the database's own guess.
    pub estimated: bool,
    /// Nothing more comes of it.
    pub done: bool,
    /// Why nothing comes of it, without values.
    pub refused: Option<String>,
}

impl LoadProgress {
    /// A request that is not served, and why.
    #[must_use]
    pub fn refused(id: &str, reason: &str) -> Self {
        Self {
            id: id.to_owned(),
            rows: 0,
            missing: 0,
            total: None,
            estimated: false,
            done: true,
            refused: Some(reason.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_does_not_show_its_keys() {
        let keys = Wanted::Keys(vec![vec!["001085730194".to_owned()]]);
        let range = Wanted::Range { from: Some("001085730194".to_owned()), to: None };
        assert!(!format!("{keys:?} {range:?}").contains("0010857"));
    }
}
