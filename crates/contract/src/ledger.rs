//! The version guard: what a write may do, given what the ledger knows of its row. Pure; shared by every sink.
//!
//! The ledger keeps one entry per (table, key): the version of each column group and a row mark. Each group takes its
//! newest value; a delete counts for the whole row and leaves a mark, so that a late update cannot resurrect.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the ledger knows of one row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Version (`ce_sequence`) and record of the newest value per column group, by group name.
    #[serde(default, rename = "g")]
    pub groups: BTreeMap<String, GroupVersion>,
    /// The newest delete or void of the whole row.
    #[serde(default, rename = "m", skip_serializing_if = "Option::is_none")]
    pub mark: Option<RowMark>,
}

/// The newest value of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupVersion {
    /// `ce_sequence` of the event.
    #[serde(rename = "v")]
    pub version: String,
    /// Keyed hash (hex) of the record number that the event stood for, so that a revocation undoes only its own record.
    #[serde(default, rename = "r", skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
}

/// A delete or void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowMark {
    /// `ce_sequence` of the delete.
    #[serde(rename = "v")]
    pub version: String,
}

/// What may be written of one key's write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Write the groups with these indexes (into the write's own list of groups).
    Write(Vec<usize>),
    /// Delete, void or clear.
    Remove,
    /// Nothing: older than what is there.
    Older,
}

impl LedgerEntry {
    /// Judges values for groups, each with the version of its event, and takes the newer ones into the entry. An equal version
    /// is written too, so that a replay repairs a row that was damaged by hand; the sink writes only rows that differ.
    pub fn offer(&mut self, groups: &[(&str, &str, Option<&str>)]) -> Verdict {
        let mut write = Vec::new();
        for (index, (group, version, record)) in groups.iter().enumerate() {
            let marked = self.mark.as_ref().is_some_and(|mark| mark.version.as_str() > *version);
            let newer = self.groups.get(*group).is_none_or(|known| known.version.as_str() <= *version);
            if newer && !marked {
                let record = record.map(str::to_owned);
                self.groups
                    .insert((*group).to_owned(), GroupVersion { version: (*version).to_owned(), record });
                write.push(index);
            }
        }
        if write.is_empty() { Verdict::Older } else { Verdict::Write(write) }
    }

    /// Judges a delete or void of the whole row by the rule that a value newer than the delete of any group keeps the row. Leaves a mark.
    pub fn remove(&mut self, version: &str) -> Verdict {
        let newer_mark = self.mark.as_ref().is_some_and(|mark| mark.version.as_str() > version);
        let newer_value = self.groups.values().any(|known| known.version.as_str() > version);
        if newer_mark {
            return Verdict::Older;
        }
        self.mark = Some(RowMark { version: version.to_owned() });
        if newer_value {
            return Verdict::Older;
        }
        self.groups.clear();
        Verdict::Remove
    }

    /// Judges a revocation of the record whose hash is `record` for one group: it counts only if that very record wrote
    /// the group's newest value.
    pub fn revoke(&mut self, group: &str, version: &str, record: &str) -> Verdict {
        match self.groups.get(group) {
            Some(known) if known.record.as_deref() == Some(record) && known.version.as_str() <= version => {
                Verdict::Remove
            }
            _ => Verdict::Older,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_takes_its_newest_value_in_either_order() {
        let mut entry = LedgerEntry::default();
        assert_eq!(entry.offer(&[("a", "5", None), ("b", "5", None)]), Verdict::Write(vec![0, 1]));
        assert_eq!(entry.offer(&[("a", "4", None), ("c", "4", None)]), Verdict::Write(vec![1]));
        assert_eq!(entry.offer(&[("a", "5", None)]), Verdict::Write(vec![0]), "equal repairs");
        assert_eq!(entry.offer(&[("b", "4", None)]), Verdict::Older);
    }

    #[test]
    fn a_late_update_cannot_resurrect_a_deleted_row() {
        let mut entry = LedgerEntry::default();
        entry.offer(&[("a", "3", None)]);
        assert_eq!(entry.remove("5"), Verdict::Remove);
        assert_eq!(entry.offer(&[("a", "4", None)]), Verdict::Older);
        assert_eq!(
            entry.offer(&[("a", "6", None)]),
            Verdict::Write(vec![0]),
            "a newer insert creates it again"
        );
        assert_eq!(entry.remove("5"), Verdict::Older, "a replayed delete leaves the newer row");
    }

    #[test]
    fn a_revocation_undoes_only_its_own_record() {
        let mut entry = LedgerEntry::default();
        entry.offer(&[("a", "3", Some("r1"))]);
        assert_eq!(entry.revoke("a", "5", "r2"), Verdict::Older);
        assert_eq!(entry.revoke("a", "5", "r1"), Verdict::Remove);
    }
}
