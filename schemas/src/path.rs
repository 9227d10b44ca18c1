//! Dotted field paths (`child.pin`) and the tree that a list of them forms.

use std::collections::BTreeMap;
use std::fmt;

/// Where a field stands in a contract: names joined by dots. A path names a leaf (`child.pin`) or a whole
/// field (`child`); it never enters an array or a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(String);

impl FieldPath {
    /// Wraps a dotted text. Whether the field exists is for the schema to say.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        FieldPath(path.into())
    }

    /// The dotted text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names from the root down.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// The field's own name, without its parents.
    #[must_use]
    pub fn last(&self) -> &str {
        self.0.rsplit('.').next().unwrap_or(&self.0)
    }

    /// Whether `other` is this field or lies inside it.
    #[must_use]
    pub fn covers(&self, other: &FieldPath) -> bool {
        other.lies_in(&self.0)
    }

    /// The path from a record that this field lies in to this field.
    #[must_use]
    pub fn below(&self, record: &FieldPath) -> Option<FieldPath> {
        let rest = self.0.strip_prefix(record.as_str())?.strip_prefix('.')?;
        Some(FieldPath(rest.to_owned()))
    }

    /// Whether this field is the one of that path, or lies inside it.
    #[must_use]
    pub fn lies_in(&self, path: &str) -> bool {
        match self.0.strip_prefix(path) {
            Some(rest) => rest.is_empty() || rest.starts_with('.'),
            None => false,
        }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for FieldPath {
    fn from(path: &str) -> Self {
        FieldPath(path.to_owned())
    }
}

impl From<String> for FieldPath {
    fn from(path: String) -> Self {
        FieldPath(path)
    }
}

impl AsRef<str> for FieldPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for FieldPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A list of paths as a tree: each node knows which positions of the list end in it.
#[derive(Default)]
pub(crate) struct PathTree {
    pub(crate) slots: Vec<usize>,
    pub(crate) children: BTreeMap<String, PathTree>,
}

impl PathTree {
    pub(crate) fn build(paths: &[FieldPath]) -> PathTree {
        let mut root = PathTree::default();
        for (slot, path) in paths.iter().enumerate() {
            let mut node = &mut root;
            for segment in path.segments() {
                node = node.children.entry(segment.to_owned()).or_default();
            }
            node.slots.push(slot);
        }
        root
    }

    /// Every slot of this node and below it.
    pub(crate) fn all_slots(&self) -> Vec<usize> {
        let mut slots = self.slots.clone();
        for child in self.children.values() {
            slots.extend(child.all_slots());
        }
        slots.sort_unstable();
        slots
    }
}

/// `parent.name`, or `name` at the root.
pub(crate) fn join(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::FieldPath;

    #[test]
    fn a_path_covers_itself_and_what_lies_inside() {
        let child = FieldPath::new("child");
        assert!(child.covers(&FieldPath::new("child")));
        assert!(child.covers(&FieldPath::new("child.pin")));
        assert!(!child.covers(&FieldPath::new("children")));
        assert!(!FieldPath::new("child.pin").covers(&child));
        assert_eq!(FieldPath::new("child.pin").last(), "pin");
    }
}
