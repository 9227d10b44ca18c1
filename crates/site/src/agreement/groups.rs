//! Column groups: columns of one table that are always written together. Pure.
//!
//! Two columns belong together when exactly the same entries write them, always or on the same condition: an event that changes only
//! some fields writes the columns of the fields that it lists, so there each field has a group of its own. So every entry writes whole groups, and no two groups
//! share a column. The key's columns are in no group of values: every write carries them.

use lienthong_router::subscription::Effect;
use lienthong_schemas::FieldPath;

use super::rule::{Column, Rule};

/// A group of one table.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Names in the order of the file.
    pub(super) columns: Vec<String>,
    /// Positions, among the table's rules, of the entries that write it, each with the field that it must list.
    pub(super) writers: Vec<(usize, Option<FieldPath>)>,
}

impl Group {
    /// Whether an entry writes the group, and which field it must list.
    pub(super) fn written_by(&self, position: usize) -> Option<&Option<FieldPath>> {
        self.writers.iter().find(|(writer, _)| *writer == position).map(|(_, listed)| listed)
    }
}

/// Divides the columns of a table's rules into groups. An entry that writes no columns but the key's (it deletes, or it
/// only says that the row exists) stands in a group of the key's columns, because every rule has a group.
pub(super) fn groups(rules: &[&Rule<'_>]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for column in rules.iter().flat_map(|rule| values(rule)) {
        if seen.contains(&column.name.as_str()) {
            continue;
        }
        seen.push(&column.name);
        let writers = positions(rules, |rule| {
            let written = values(rule).find(|other| other.name == column.name)?;
            Some(rule.event.listed_as(&written.path))
        });
        match groups.iter_mut().find(|group| group.writers == writers) {
            Some(group) => group.columns.push(column.name.clone()),
            None => groups.push(Group { columns: vec![column.name.clone()], writers }),
        }
    }
    let bare = positions(rules, |rule| values(rule).next().is_none().then_some(None));
    if let Some(rule) = bare.first().and_then(|(position, _)| rules.get(*position)) {
        let columns = rule.key.iter().map(|key| key.value.clone()).collect();
        groups.push(Group { columns, writers: bare });
    }
    groups
}

fn values<'r>(rule: &'r Rule<'_>) -> impl Iterator<Item = &'r Column> {
    rule.values().filter(|_| rule.effect != Effect::Delete)
}

fn positions(
    rules: &[&Rule<'_>],
    wanted: impl Fn(&Rule<'_>) -> Option<Option<FieldPath>>,
) -> Vec<(usize, Option<FieldPath>)> {
    let found = |(position, rule): (usize, &&Rule<'_>)| Some((position, wanted(rule)?));
    rules.iter().enumerate().filter_map(found).collect()
}
