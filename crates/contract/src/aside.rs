//! Tables that are set aside: their changes cannot be read as the participant's file says, and are kept until somebody has mended that.

use serde::{Deserialize, Serialize};

use crate::Cell;
use crate::source::Place;

/// One change of a table that is set aside, borrowed from the source's buffer for the time of one call.
pub struct SetAside<'a> {
    /// The table's own name, schema included.
    pub table: &'a str,
    /// Index into the source's list of tables.
    pub index: usize,
    /// As [`crate::source::RowChange::id`].
    pub id: &'a str,
    /// The change's transaction and its place there. Places of one table rise.
    pub place: Place,
    /// Commit time, microseconds since 1970 UTC.
    pub time: i64,
    /// The row's key, as far as it can be read.
    pub key: &'a [Cell<'a>],
    /// Why the table is set aside, in a word.
    pub rule: &'a str,
    /// What mends it.
    pub fix: &'a str,
    /// The change as its source can read it again. It holds values.
    pub content: &'a [u8],
}

/// It holds values.
impl std::fmt::Debug for SetAside<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SetAside({}, {} bytes)", self.table, self.content.len())
    }
}

/// A table that is set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsideTable {
    /// As [`SetAside::table`].
    pub table: String,
    /// No change of it before this place is set aside.
    pub from: Place,
    /// The place of the newest that is.
    pub last: Option<Place>,
    /// Changes that are.
    pub rows: u64,
    /// When the first of them was committed, microseconds since 1970 UTC.
    pub since: i64,
    /// Why, in a word.
    pub rule: String,
    /// Why.
    pub problem: String,
    /// What mends it.
    pub fix: String,
    /// It has been decided how its changes are read again: they are to be published before anything else.
    pub decided: bool,
}

/// How changes that were set aside are read, where the mapping of today names other columns than they have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mending {
    /// Columns under another name.
    pub renames: Vec<Renamed>,
    /// Columns that they do not have: null.
    pub absent: Vec<Absent>,
}

/// A column that changes which were set aside have under another name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Renamed {
    /// As [`SetAside::table`].
    pub table: String,
    /// The name that they have.
    pub old: String,
    /// The name in the mapping.
    pub new: String,
}

/// A column of the mapping that changes which were set aside do not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Absent {
    /// As [`SetAside::table`].
    pub table: String,
    /// The name in the mapping.
    pub column: String,
}
