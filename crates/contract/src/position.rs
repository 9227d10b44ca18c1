//! Where a source stands: opaque outside the source that made it.

use std::fmt;

/// A set of changes that a source has given out, as printable text. Only the source that made it can read it.
/// It holds no personal data except where a snapshot in progress must remember a key; so it is printed as its length.
#[derive(Clone, PartialEq, Eq)]
pub struct Position(String);

impl Position {
    /// Wraps a source's text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The source's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position({} bytes)", self.0.len())
    }
}

/// What makes a source this source: a restored or recreated database has another one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Lineage {
    /// Named parts, such as `system_identifier` or `outbox_created`, compared one by one.
    pub parts: Vec<(String, String)>,
}

impl Lineage {
    /// The first part in which `self` (stored) and `now` differ: name, stored value, present value.
    #[must_use]
    pub fn difference(&self, now: &Lineage) -> Option<(String, String, String)> {
        let find = |in_: &Lineage, name: &str| {
            in_.parts.iter().find(|(n, _)| n == name).map_or_else(|| "missing".to_owned(), |(_, v)| v.clone())
        };
        let names = self.parts.iter().chain(&now.parts).map(|(name, _)| name);
        names
            .map(|name| (name.clone(), find(self, name), find(now, name)))
            .find(|(_, stored, present)| stored != present)
    }
}
