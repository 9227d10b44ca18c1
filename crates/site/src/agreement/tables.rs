//! Target tables: what several entries write into one table, merged, and what does not fit together.

use lienthong_contract::target::{ColumnGroup, TargetColumn, TargetTable, VersionStore};
use lienthong_router::subscription::{ColumnMap, Effect};
use lienthong_schemas::FieldPath;

use crate::database::same_table;
use crate::node::Place;
use crate::reader::Reader;

use super::groups::{Group, groups};
use super::rule::{Column, Rule};

/// Where a rule's columns go.
pub(super) struct Placement {
    /// Index of its table.
    pub(super) table: usize,
    /// The table's key columns, in the table's order.
    pub(super) key: Vec<String>,
    /// The groups that the rule writes.
    pub(super) groups: Vec<Placed>,
}

/// One group that a rule writes.
pub(super) struct Placed {
    /// Index of the group in its table.
    pub(super) group: usize,
    pub(super) columns: Vec<String>,
    /// The field that the event must list as changed.
    pub(super) listed: Option<FieldPath>,
}

/// Merges the rules' tables; placements are parallel to the rules. What does not fit is told.
pub(super) fn merge(reader: &mut Reader<'_>, rules: &[Rule<'_>]) -> (Vec<TargetTable>, Vec<Placement>) {
    let mut parts: Vec<Vec<usize>> = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        let same = |part: &&mut Vec<usize>| same_table(&rules[part[0]].table.value, &rule.table.value);
        match parts.iter_mut().find(same) {
            Some(part) => part.push(index),
            None => parts.push(vec![index]),
        }
    }
    let mut tables = Vec::new();
    let mut placements: Vec<(usize, Placement)> = Vec::new();
    for (table, part) in parts.iter().enumerate() {
        let writers: Vec<&Rule<'_>> = part.iter().map(|index| &rules[*index]).collect();
        let mut merger = Merger { reader: &mut *reader, rules: &writers };
        merger.check();
        let (merged, placed) = merger.table(table);
        tables.push(merged);
        placements.extend(part.iter().copied().zip(placed));
    }
    placements.sort_by_key(|(index, _)| *index);
    (tables, placements.into_iter().map(|(_, placement)| placement).collect())
}

struct Merger<'a, 's, 'c> {
    reader: &'a mut Reader<'s>,
    rules: &'a [&'a Rule<'c>],
}

impl Merger<'_, '_, '_> {
    fn check(&mut self) {
        self.keys();
        self.kinds();
        self.families();
        self.lives();
        self.same_event();
        self.reserved();
    }

    fn first(&self) -> &Rule<'_> {
        self.rules[0]
    }

    /// One table has one key, made the same way by every entry.
    fn keys(&mut self) {
        let names =
            |rule: &Rule<'_>| -> Vec<String> { rule.key.iter().map(|key| key.value.clone()).collect() };
        let known = names(self.first());
        for rule in &self.rules[1..] {
            let found = names(rule);
            let at = rule.key.first().map_or(rule.at, |key| key.at);
            let same = found.len() == known.len() && found.iter().all(|name| known.contains(name));
            if !same {
                let (line, column) = self.rules[0].key.first().map_or(self.rules[0].at, |key| key.at);
                let message = format!("`{}` has another key at {line}:{column}", rule.table.raw);
                self.reader.problem(at, message, format!("write key: [{}] in both places", known.join(", ")));
            }
        }
    }

    /// A column takes values of one kind.
    fn kinds(&mut self) {
        let mut seen: Vec<&Column> = Vec::new();
        for (rule, column) in
            self.rules.iter().flat_map(|rule| rule.columns.iter().map(move |column| (rule, column)))
        {
            let Some(first) = seen.iter().find(|first| first.name == column.name) else {
                seen.push(column);
                continue;
            };
            let is_key = rule.key.iter().any(|key| key.value == column.name);
            let token = |column: &Column| column.map == ColumnMap::Pseudonym;
            let (line, at) = first.at;
            if first.kind != column.kind {
                let message = format!("`{}` takes a value of another kind at {line}:{at}", column.name);
                self.reader.problem(column.at, message, "map fields of one kind, or use another column");
            } else if is_key && token(first) != token(column) {
                let message = format!(
                    "the key column `{}` is a pseudonym in one place only, see {line}:{at}",
                    column.name
                );
                self.reader.problem(column.at, message, "make the key the same way in both places");
            }
        }
    }

    /// Two families may write one table only in different columns.
    fn families(&mut self) {
        let mut seen: Vec<(&str, &Column)> = Vec::new();
        for (family, column) in self
            .rules
            .iter()
            .flat_map(|rule| rule.values().map(|column| (rule.event.family.as_str(), column)))
        {
            match seen.iter().find(|(_, first)| first.name == column.name) {
                Some((other, first)) if *other != family => {
                    let (line, at) = first.at;
                    let message = format!(
                        "`{}` is written from family `{family}` here and from `{other}` at {line}:{at}",
                        column.name
                    );
                    self.reader.problem(column.at, message, "use a column of its own for each family");
                }
                Some(_) => {}
                None => seen.push((family, column)),
            }
        }
    }

    /// Only one family creates and deletes the rows of a table.
    fn lives(&mut self) {
        let mut deciding = self.rules.iter().filter(|rule| decides(rule));
        let Some(first) = deciding.next() else { return };
        for rule in deciding.filter(|rule| rule.event.family != first.event.family) {
            let (line, column) = first.at;
            let message = format!(
                "family `{}` creates or deletes rows of `{}` here, family `{}` does at {line}:{column}",
                rule.event.family, rule.table.raw, first.event.family
            );
            let fix = "let one of them only update: effect: {update: {if_missing: insert}}";
            self.reader.problem(rule.at, message, fix);
        }
    }

    /// Two entries for one event that write one column of one row would leave the result to chance.
    fn same_event(&mut self) {
        for (index, rule) in self.rules.iter().enumerate() {
            for other in &self.rules[..index] {
                let same_row =
                    rule.key.iter().all(|key| source(rule, &key.value) == source(other, &key.value));
                let apart = rule.filter.is_some() && other.filter.is_some();
                if rule.event.name != other.event.name || !same_row || apart {
                    continue;
                }
                if let Some(column) =
                    rule.values().find(|column| other.values().any(|known| known.name == column.name))
                {
                    let (line, at) = other.at;
                    let message = format!(
                        "`{}` of the same row is written by the entry at {line}:{at} from the same event",
                        column.name
                    );
                    let fix = "write it in one of them, or give both a `where` that keeps them apart";
                    self.reader.problem(column.at, message, fix);
                }
            }
        }
    }

    /// A revocation undoes the row of one record: the ledger must be able to tell that a row is this record's.
    fn revocable(&mut self, groups: &[super::groups::Group]) {
        for (position, rule) in self.rules.iter().enumerate() {
            if !rule.revocable || !decides(rule) {
                continue;
            }
            let own = |group: &&super::groups::Group| {
                let mut writers = group.writers.iter().map(|(writer, _)| *writer);
                let same = |writer: usize| self.rules[writer].event.name == rule.event.name;
                writers.clone().any(|writer| writer == position) && writers.all(same)
            };
            if groups.iter().find(own).is_none() {
                let message = format!(
                    "every column of `{}` is written by other events too, so that a revocation could not tell whose row it is",
                    rule.event.name
                );
                let number = rule.event.record_number.as_ref().map_or("its number", |path| path.as_str());
                let fix = format!("deliver a field that no other entry writes there, such as {number}");
                self.reader.problem(rule.at, message, fix);
            }
        }
    }

    /// Columns of the bus itself are not written from fields.
    fn reserved(&mut self) {
        let mut reserved: Vec<(&str, &str)> = Vec::new();
        for rule in self.rules {
            reserved.extend(rule.soft_columns().map(|column| (column, "takes the time of a `soft` policy")));
            if let Some((_, VersionStore::Column(column))) = &rule.version {
                reserved.push((column, "holds the row's version"));
            }
        }
        let mapped = self.rules.iter().flat_map(|rule| &rule.columns);
        for column in mapped.filter(|column| column.map != ColumnMap::Unset) {
            if let Some((name, why)) = reserved.iter().find(|(name, _)| *name == column.name) {
                self.reader.problem(column.at, format!("`{name}` {why}"), "map the field to another column");
            }
        }
    }

    fn table(&mut self, index: usize) -> (TargetTable, Vec<Placement>) {
        let groups = groups(self.rules);
        self.revocable(&groups);
        let key: Vec<String> = self.first().key.iter().map(|key| key.value.clone()).collect();
        let placements = (0..self.rules.len())
            .map(|position| {
                let written = |(group, found): (usize, &Group)| {
                    let listed = found.written_by(position)?.clone();
                    Some(Placed { group, columns: found.columns.clone(), listed })
                };
                let groups = groups.iter().enumerate().filter_map(written).collect();
                Placement { table: index, key: key.clone(), groups }
            })
            .collect();
        let version = self.version(groups.len());
        let target = |name: &String| {
            let kind = self.rules.iter().find_map(|rule| rule.column(name)).map(|column| column.kind);
            kind.map(|kind| TargetColumn { name: name.clone(), kind })
        };
        let deciding = self.rules.iter().find(|rule| decides(rule)).map(|rule| &rule.event.family);
        let decides_row = |group: &super::groups::Group| {
            let family = group.writers.first().map(|(position, _)| &self.rules[*position].event.family);
            family.is_some() && family == deciding
        };
        let table = TargetTable {
            table: self.first().table.value.clone(),
            key: key.iter().filter_map(target).collect(),
            groups: groups
                .iter()
                .map(|group| ColumnGroup {
                    name: group.columns.first().cloned().unwrap_or_default(),
                    columns: group.columns.iter().filter_map(target).collect(),
                    decides_row: decides_row(group),
                })
                .collect(),
            version,
        };
        (table, placements)
    }

    /// Where versions are kept: what the entries say, which must be one thing, and a column only where one version is enough.
    fn version(&mut self, groups: usize) -> VersionStore {
        let mut said: Option<(Place, VersionStore)> = None;
        for (at, version) in self.rules.iter().filter_map(|rule| rule.version.clone()) {
            match &said {
                None => said = Some((at, version)),
                Some((first, known)) if *known != version => {
                    let (line, column) = *first;
                    let message = format!("`version` says something else at {line}:{column}");
                    self.reader.problem(at, message, "say the same in every entry of one table");
                }
                Some(_) => {}
            }
        }
        let Some((at, version)) = said else { return VersionStore::Ledger };
        if matches!(version, VersionStore::Column(_)) {
            let family = &self.rules[0].event.family;
            if self.rules.iter().any(|rule| rule.event.family != *family) {
                let message = "a version column serves one family, and two write this table";
                self.reader.problem(at, message, "write version: ledger");
            } else if groups > 1 {
                let message =
                    format!("a version column serves one column group, and this table has {groups}");
                self.reader.problem(
                    at,
                    message,
                    "write version: ledger, or write all columns in every entry",
                );
            } else if self.rules.iter().any(|rule| rule.revocable) {
                let message = "a version column cannot tell which record wrote a row, and a revocation undoes one record only";
                self.reader.problem(at, message, "write version: ledger");
            }
        }
        version
    }
}

/// Whether the entry creates and deletes rows, or only writes columns of rows that are there.
fn decides(rule: &Rule<'_>) -> bool {
    matches!(rule.effect, Effect::Upsert | Effect::Delete)
}

fn source<'r>(rule: &'r Rule<'_>, column: &str) -> Option<(&'r str, ColumnMap)> {
    rule.column(column).map(|column| (column.path.as_str(), column.map))
}
