//! What the suite's tables must hold after deliveries, told in memory from the contract alone.

use std::collections::BTreeMap;

use crate::subscriber::{Deed, INSURED, Part, Revoked, Row, Value, Write, tables};

/// The group of `insured` that another family writes; `visits` has no group of this number.
pub(crate) const STREET: usize = 2;

/// Everything known of one key.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Values of all groups in order, when the row is there.
    values: Option<Vec<Value>>,
    /// Version and record per group.
    groups: BTreeMap<usize, (String, Option<String>)>,
    mark: Option<String>,
    /// Newest revocation per group and record, whether or not it found something to undo.
    revoked: BTreeMap<(usize, String), String>,
    /// Time in `voided_at`.
    voided: Option<i64>,
}

/// The model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Oracle(BTreeMap<(usize, Vec<String>), Known>);

impl Oracle {
    /// Takes rounds in their order.
    pub(crate) fn take(&mut self, rounds: &[Vec<Write>]) {
        for write in rounds.iter().flatten() {
            let known = self.0.entry((write.table, write.key.clone())).or_default();
            known.take(write.table, &write.deed);
        }
    }

    /// The rows of a table: key and values, and for versions in a column the version.
    pub(crate) fn rows(&self, table: usize) -> Vec<Row> {
        let of_table = self.0.iter().filter(|((index, _), _)| *index == table);
        let mut rows: Vec<Row> = of_table
            .filter_map(|((_, key), known)| {
                let mut row: Row = key.iter().cloned().map(Some).collect();
                row.extend(known.values.clone()?);
                if table != INSURED {
                    row.push(known.groups.get(&0).map(|(version, _)| version.clone()));
                }
                Some(row)
            })
            .collect();
        rows.sort();
        rows
    }

    /// Keys of the rows that carry a time in `voided_at`.
    pub(crate) fn voided(&self, table: usize) -> Vec<Row> {
        let of_table = self.0.iter().filter(|((index, _), _)| *index == table);
        let mut keys: Vec<Row> = of_table
            .filter(|(_, known)| known.values.is_some() && known.voided.is_some())
            .map(|((_, key), _)| key.iter().cloned().map(Some).collect())
            .collect();
        keys.sort();
        keys
    }
}

fn width(table: usize, group: usize) -> (usize, usize) {
    let groups = &tables()[table].groups;
    let before = groups[..group].iter().map(|group| group.columns.len()).sum();
    (before, groups[group].columns.len())
}

impl Known {
    fn take(&mut self, table: usize, deed: &Deed) {
        match deed {
            Deed::Upsert(parts) => {
                // The other family may create a row that was never deleted.
                let decides = parts.iter().all(|part| part.group != STREET);
                if decides || self.mark.is_none() || self.values.is_some() {
                    self.write(table, parts);
                }
            }
            Deed::Update(parts) => {
                if self.values.is_some() {
                    self.write(table, parts);
                }
            }
            Deed::Delete { version, revokes } => {
                if self.removes(table, version, revokes.as_ref()) {
                    self.values = None;
                    self.voided = None;
                    self.groups.retain(|group, _| table == INSURED && *group == STREET);
                }
            }
            Deed::Void { at, version, revokes } => {
                if self.removes(table, version, revokes.as_ref()) {
                    self.groups.retain(|group, _| table == INSURED && *group == STREET);
                    if self.values.is_some() {
                        self.voided = Some(*at);
                        if table != INSURED {
                            self.groups.insert(0, (version.clone(), None));
                        }
                    }
                }
            }
            Deed::Clear { group, version, revokes } => {
                if revokes.as_ref().is_some_and(|record| !self.revoke(&[*group], version, record)) {
                    return;
                }
                let there = table == INSURED || self.values.is_some();
                if there && self.accepts(*group, version) {
                    self.groups.insert(*group, (version.clone(), None));
                    if let Some(values) = &mut self.values {
                        let (from, count) = width(table, *group);
                        values[from..from + count].fill(None);
                    }
                }
            }
        }
    }

    fn accepts(&self, group: usize, version: &str) -> bool {
        (group == STREET || self.mark.as_deref().is_none_or(|mark| mark <= version))
            && self.groups.get(&group).is_none_or(|(known, _)| known.as_str() <= version)
    }

    /// Whether the revoked record wrote what is there.
    fn revoke(&mut self, groups: &[usize], version: &str, record: &str) -> bool {
        let wrote = groups.iter().any(|group| {
            self.groups
                .get(group)
                .is_some_and(|(known, by)| by.as_deref() == Some(record) && known.as_str() <= version)
        });
        for group in groups.iter().filter(|_| !wrote) {
            let newest = self.revoked.entry((*group, record.to_owned())).or_default();
            *newest = (*newest).clone().max(version.to_owned());
        }
        wrote
    }

    fn write(&mut self, table: usize, parts: &[Part]) {
        for part in parts {
            let revocation = part.record.clone().and_then(|record| self.revoked.get(&(part.group, record)));
            if self.accepts(part.group, &part.version)
                && revocation.is_none_or(|revocation| *revocation <= part.version)
            {
                self.groups.insert(part.group, (part.version.clone(), part.record.clone()));
                let (from, count) = width(table, part.group);
                let columns = tables()[table].groups.iter().map(|group| group.columns.len()).sum();
                let values = self.values.get_or_insert_with(|| vec![None; columns]);
                values[from..from + count].clone_from_slice(&part.values);
            }
        }
    }

    /// Whether a delete or void counts; leaves its mark.
    fn removes(&mut self, table: usize, version: &str, revokes: Option<&Revoked>) -> bool {
        if revokes.is_some_and(|(groups, record)| !self.revoke(groups, version, record)) {
            return false;
        }
        if self.mark.as_deref().is_some_and(|mark| mark > version) {
            return false;
        }
        // A row that keeps its version in a column has no version when it is gone.
        let newer =
            self.groups.iter().any(|(group, (known, _))| *group != STREET && known.as_str() > version)
                && (table == INSURED || self.values.is_some());
        self.mark = Some(version.to_owned());
        !newer
    }
}
