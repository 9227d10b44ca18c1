//! What the suite's tables must hold after deliveries, told in memory from the contract alone.

use std::collections::BTreeMap;

use chrono::DateTime;

use crate::subscriber::{Deed, INSURED, Part, Revoked, Row, Value, Write, tables, told};

/// The group of `insured` that another family writes; `visits` has no group of this number.
pub(crate) const STREET: usize = 2;

/// A version, and the time of a void.
type Mark = (String, Option<i64>);

/// Everything known of one key.
#[derive(Clone, Debug, Default)]
struct Known {
    /// Values of all groups in order, when the row is there.
    values: Option<Vec<Value>>,
    /// Version and record per group.
    groups: BTreeMap<usize, (String, Option<String>)>,
    /// The newest delete of the whole row; of a row that keeps its version itself also the newest void, with its time.
    mark: Option<Mark>,
    /// The newest of each group, record (none: of any record) and kind, whether or not it found something to undo; with the time of a void.
    revoked: BTreeMap<(usize, Option<String>, bool), Mark>,
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

    /// Keys of the rows that carry a time in `voided_at`, and the time.
    pub(crate) fn voided(&self, table: usize) -> Vec<Row> {
        let of_table = self.0.iter().filter(|((index, _), _)| *index == table);
        let mut keys: Vec<Row> = of_table
            .filter_map(|((_, key), known)| {
                let at = known.values.as_ref().and(known.voided).and_then(DateTime::from_timestamp_micros)?;
                let at = at.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
                Some(key.iter().cloned().chain([at]).map(Some).collect())
            })
            .collect();
        keys.sort();
        keys
    }
}

fn width(table: usize, group: usize) -> (usize, usize) {
    let groups = &tables()[table].groups;
    let before = groups[..group].iter().map(told).sum();
    (before, told(&groups[group]))
}

/// The group with `voided_at`.
fn marked_group(table: usize) -> usize {
    usize::from(table == INSURED)
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
            Deed::Void { at, version, revokes } if table == INSURED => {
                if self.voids(*at, version, revokes.as_ref()) && self.values.is_some() {
                    self.voided = Some(*at);
                }
            }
            Deed::Void { at, version, .. } => {
                let forbidden = self.mark.as_ref().is_some_and(|(mark, _)| mark > version);
                if self.removes(table, version, None) && self.values.is_some() {
                    self.voided = Some(*at);
                    self.groups.insert(0, (version.clone(), None));
                }
                if !forbidden {
                    self.mark = Some((version.clone(), Some(*at)));
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
                        if *group == marked_group(table) {
                            self.voided = None;
                        }
                    }
                }
            }
        }
    }

    fn accepts(&self, group: usize, version: &str) -> bool {
        (group == STREET || self.mark.as_ref().is_none_or(|(mark, _)| mark.as_str() <= version))
            && self.groups.get(&group).is_none_or(|(known, _)| known.as_str() <= version)
    }

    /// Whether the revoked record wrote what is there.
    fn revoke(&mut self, groups: &[usize], version: &str, record: &str) -> bool {
        let wrote = self.wrote(groups, version, record);
        if !wrote {
            self.remember(groups, version, Some(record), None);
        }
        wrote
    }

    fn wrote(&self, groups: &[usize], version: &str, record: &str) -> bool {
        groups.iter().any(|group| {
            self.groups
                .get(group)
                .is_some_and(|(known, by)| by.as_deref() == Some(record) && known.as_str() <= version)
        })
    }

    fn remember(&mut self, groups: &[usize], version: &str, record: Option<&str>, at: Option<i64>) {
        for group in groups {
            let known = self.revoked.entry((*group, record.map(str::to_owned), at.is_some())).or_default();
            if known.0.as_str() < version {
                *known = (version.to_owned(), at);
            }
        }
    }

    /// All that are newer than a value which they concern.
    fn marks(&self, group: usize, version: &str, record: Option<&str>) -> impl Iterator<Item = &Mark> {
        let known = self.revoked.iter().filter(move |((marked, by, _), (known, _))| {
            *marked == group && (by.is_none() || by.as_deref() == record) && known.as_str() > version
        });
        known.map(|(_, known)| known)
    }

    /// What becomes of a value: it is not written when something hard is newer, else the newest mark stands beside it.
    fn revocation(&self, group: usize, version: &str, record: Option<&str>) -> Option<Mark> {
        self.marks(group, version, record).max_by_key(|(known, at)| (at.is_none(), known, *at)).cloned()
    }

    /// Whether a void of `insured` marks what is there.
    fn voids(&mut self, at: i64, version: &str, revokes: Option<&Revoked>) -> bool {
        let group = marked_group(INSURED);
        let record = revokes.map(|(_, record)| record.as_str());
        let value = self.groups.get(&group);
        let concerned = match (record, value) {
            (Some(record), value) => value.is_some_and(|(_, by)| by.as_deref() == Some(record)),
            (None, None) => self.groups.is_empty(),
            (None, Some(_)) => true,
        };
        let of = record.or_else(|| value?.1.as_deref());
        let outdone = self.marks(group, version, of).any(|(_, at)| at.is_some());
        let counts = concerned && !outdone && self.accepts(group, version);
        self.remember(&[group], version, record, Some(at));
        counts
    }

    fn write(&mut self, table: usize, parts: &[Part]) {
        let mark = self.mark.clone();
        for part in parts {
            let late = mark.as_ref().and_then(|(mark, at)| Some((mark, (*at)?)));
            let late = late.filter(|(mark, _)| table != INSURED && mark.as_str() > part.version.as_str());
            let revocation = self.revocation(part.group, &part.version, part.record.as_deref());
            let (version, at) = match (late, revocation) {
                (Some((mark, at)), _) if self.values.is_none() => (mark.clone(), Some(at)),
                (_, Some((_, None))) => continue,
                (_, _) if !self.accepts(part.group, &part.version) => continue,
                (_, revocation) => (part.version.clone(), revocation.and_then(|(_, at)| at)),
            };
            self.groups.insert(part.group, (version, part.record.clone()));
            let (from, count) = width(table, part.group);
            let columns = tables()[table].groups.iter().map(told).sum();
            let values = self.values.get_or_insert_with(|| vec![None; columns]);
            values[from..from + count].clone_from_slice(&part.values);
            if part.group == marked_group(table) {
                self.voided = at;
            }
        }
    }

    /// Whether a delete counts; leaves its mark.
    fn removes(&mut self, table: usize, version: &str, revokes: Option<&Revoked>) -> bool {
        if revokes.is_some_and(|(groups, record)| !self.revoke(groups, version, record)) {
            return false;
        }
        if self.mark.as_ref().is_some_and(|(mark, _)| mark.as_str() > version) {
            return false;
        }
        // A row that keeps its version in a column has no version when it is gone.
        let newer =
            self.groups.iter().any(|(group, (known, _))| *group != STREET && known.as_str() > version)
                && (table == INSURED || self.values.is_some());
        self.mark = Some((version.to_owned(), None));
        !newer
    }
}
