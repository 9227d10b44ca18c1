//! The version guard: what a write may do, given what the ledger knows of its row. Pure; shared by every sink.
//!
//! The ledger keeps one entry per (table, key): the version of each column group and a row mark. Each group takes its
//! newest value; a delete counts for the whole row and leaves a mark, so that a late update cannot resurrect. A revocation
//! that comes before the event of its record leaves a mark for that record alone.

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
    /// Revocations whose records may still write their groups: what they came before is not written when it comes.
    #[serde(default, rename = "x", skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<Revoked>,
}

/// A revocation that found nothing of its record to undo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// The group's name.
    #[serde(rename = "g")]
    pub group: String,
    /// `ce_sequence` of the revocation: the same record registered again after it is written.
    #[serde(rename = "v")]
    pub version: String,
    /// Keyed hash (hex) of the record number.
    #[serde(rename = "r")]
    pub record: String,
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
    /// Nothing: older than what is there, or revoked before it came.
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
            if newer && !marked && !self.is_revoked(group, version, *record) {
                let record = record.map(str::to_owned);
                self.groups
                    .insert((*group).to_owned(), GroupVersion { version: (*version).to_owned(), record });
                write.push(index);
            }
        }
        self.forget_outdated();
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
        if !newer_value {
            self.groups.clear();
        }
        self.forget_outdated();
        if newer_value { Verdict::Older } else { Verdict::Remove }
    }

    /// Judges a revocation of the record whose hash is `record` for one group: it counts only if that very record wrote
    /// the group's newest value. Otherwise the record's event may come later: the revocation is remembered until it cannot.
    pub fn revoke(&mut self, group: &str, version: &str, record: &str) -> Verdict {
        match self.groups.get(group) {
            Some(known) if known.record.as_deref() == Some(record) && known.version.as_str() <= version => {
                Verdict::Remove
            }
            _ => {
                self.remember(group, version, record);
                Verdict::Older
            }
        }
    }

    fn is_revoked(&self, group: &str, version: &str, record: Option<&str>) -> bool {
        self.revoked.iter().any(|known| {
            known.group == group && Some(known.record.as_str()) == record && known.version.as_str() > version
        })
    }

    fn remember(&mut self, group: &str, version: &str, record: &str) {
        let known = self.revoked.iter_mut().find(|known| known.group == group && known.record == record);
        match known {
            Some(known) if known.version.as_str() < version => version.clone_into(&mut known.version),
            Some(_) => {}
            None => self.revoked.push(Revoked {
                group: group.to_owned(),
                version: version.to_owned(),
                record: record.to_owned(),
            }),
        }
        self.forget_outdated();
    }

    /// Forgets the revocations that come to nothing: what they forbid is forbidden by a newer value or mark as well.
    fn forget_outdated(&mut self) {
        let Self { groups, mark, revoked } = self;
        revoked.retain(|known| {
            let value = groups.get(&known.group).map(|value| value.version.as_str());
            let mark = mark.as_ref().map(|mark| mark.version.as_str());
            value.max(mark).is_none_or(|newest| newest < known.version.as_str())
        });
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

    #[test]
    fn a_revocation_that_overtakes_its_event_forbids_it_and_nothing_else() {
        let mut entry = LedgerEntry::default();
        entry.offer(&[("a", "3", Some("r1")), ("b", "3", Some("r1"))]);
        assert_eq!(entry.revoke("a", "5", "r2"), Verdict::Older, "r2 has not come yet");
        assert_eq!(entry.offer(&[("a", "4", Some("r2")), ("b", "4", Some("r2"))]), Verdict::Write(vec![1]));
        assert_eq!(entry.groups["a"].record.as_deref(), Some("r1"), "what was there before stays");
        assert_eq!(entry.offer(&[("a", "4", Some("r3"))]), Verdict::Write(vec![0]), "another record");
        assert_eq!(entry.offer(&[("a", "6", Some("r2"))]), Verdict::Write(vec![0]), "registered again");
        assert_eq!(entry.revoked, Vec::new(), "older events than the newest value are refused anyway");
    }

    #[test]
    fn a_remembered_revocation_is_kept_once_with_its_newest_version() {
        let mut entry = LedgerEntry::default();
        for version in ["5", "7", "6"] {
            assert_eq!(entry.revoke("a", version, "r1"), Verdict::Older);
        }
        let newest = Revoked { group: "a".to_owned(), version: "7".to_owned(), record: "r1".to_owned() };
        assert_eq!(entry.revoked, vec![newest]);
        entry.remove("8");
        assert_eq!(entry.revoked, Vec::new());
        entry.revoke("a", "7", "r1");
        assert_eq!(entry.revoked, Vec::new(), "the row's mark forbids it");
    }
}
