//! What a position holds of the rows that are asked for.

use lienthong_contract::load::LoadProgress;
use serde::{Deserialize, Serialize};

/// How far requests have been served.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Number of the first request that has not been served as a whole.
    pub(crate) next: i64,
    /// Of that one, the last key that has been passed.
    pub(crate) after: Option<Vec<String>>,
    /// Rows passed.
    pub(crate) rows: u64,
    /// Keys passed that no row has.
    pub(crate) missing: u64,
}

/// A key may be a number of a person.
impl std::fmt::Debug for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Asked({}, {} rows)", self.next, self.rows)
    }
}

impl Asked {
    /// Nobody has asked for anything: such a position is written as before.
    pub(crate) fn is_new(&self) -> bool {
        *self == Self::default()
    }

    /// Goes on with the request of this number.
    pub(crate) fn turn_to(&mut self, number: i64) {
        if self.next != number {
            *self = Self { next: number, ..Self::default() };
        }
    }

    /// The request is served.
    pub(crate) fn done(&self) -> Self {
        Self { next: self.next.saturating_add(1), ..Self::default() }
    }
}

/// What passing a chunk makes of a position.
pub(crate) struct Passed {
    pub(crate) asked: Asked,
    pub(crate) progress: LoadProgress,
}
