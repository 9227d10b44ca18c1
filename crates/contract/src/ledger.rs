//! The version guard: what a write may do, given what the ledger knows of its row. Pure; shared by every sink.
//!
//! The ledger keeps one entry per (table, key): the version of each column group and a row mark. Each group takes its
//! newest value; a delete counts for the whole row and leaves a mark, so that a late update cannot resurrect. A revocation
//! that comes before the event of its record leaves a mark for that record alone: the event is not written when it comes.
//! Versions of different families are never compared: the mark is of the family that creates and deletes the row.
//!
//! `soft` takes nothing away, so that it comes to the same whatever the order: the newest value of a group stands in the row,
//! and is marked when a newer delete or a revocation of its record is known. Such marks stay until a newer value is there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::target::{ColumnGroup, TargetTable};

/// What the ledger knows of one row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// Version (`ce_sequence`) and record of the newest value per column group, by group name.
    #[serde(default, rename = "g")]
    pub groups: BTreeMap<String, GroupVersion>,
    /// The newest delete of the whole row.
    #[serde(default, rename = "m", skip_serializing_if = "Option::is_none")]
    pub mark: Option<RowMark>,
    /// Revocations and soft deletes that are newer than the value of their group.
    #[serde(default, rename = "x", skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<Revoked>,
}

/// What becomes of a group's value that is older than this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// The group's name.
    #[serde(rename = "g")]
    pub group: String,
    /// `ce_sequence` of the revocation or delete: the same record registered again after it is written and lives.
    #[serde(rename = "v")]
    pub version: String,
    /// Keyed hash (hex) of the record number, whose values alone are concerned; `None`: whatever record wrote the group.
    #[serde(default, rename = "r", skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// The value is written with this mark; `None`: it is not written.
    #[serde(default, rename = "s", skip_serializing_if = "Option::is_none")]
    pub soft: Option<SoftMark>,
}

/// What `soft` leaves of a record: its values, with the time in a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoftMark {
    /// Column that takes the time.
    #[serde(rename = "c")]
    pub column: String,
    /// Microseconds since 1970 UTC.
    #[serde(rename = "t")]
    pub at: i64,
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

/// A delete of the whole row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowMark {
    /// `ce_sequence` of the delete.
    #[serde(rename = "v")]
    pub version: String,
    /// Where the row keeps its version itself: what a row gets that comes after its soft delete.
    #[serde(default, rename = "s", skip_serializing_if = "Option::is_none")]
    pub soft: Option<SoftMark>,
}

/// What may be written of one key's write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Write these groups.
    Write {
        /// Indexes into the write's own list of groups.
        groups: Vec<usize>,
        /// Values were revoked or deleted before they came, and these mark them.
        soft: Vec<SoftMark>,
    },
    /// Delete, void or clear.
    Remove,
    /// Nothing: older than what is there, or revoked before it came.
    Older,
}

/// One group's value as a write offers it.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// Index of the group in the table.
    pub group: usize,
    /// `ce_sequence` of the event.
    pub version: &'a str,
    /// Keyed hash (hex) of the record number.
    pub record: Option<&'a str>,
}

impl LedgerEntry {
    /// Judges values for groups, each with the version of its event, and takes the newer ones into the entry. An equal version
    /// is written too, so that a replay repairs a row that was damaged by hand; the sink writes only rows that differ.
    pub fn offer(&mut self, table: &TargetTable, values: &[Offer<'_>]) -> Verdict {
        let mut write = Vec::new();
        let mut soft = Vec::new();
        for (index, offer) in values.iter().enumerate() {
            let group = &table.groups[offer.group];
            let concerns = |known: &&Revoked| {
                known.version.as_str() > offer.version && known.concerns(&group.name, offer.record)
            };
            let forbids = |known: &Revoked| known.soft_mark(table).is_none();
            if self.is_newer(table, &group.name, offer.version)
                || self.revoked.iter().filter(concerns).any(forbids)
            {
                continue;
            }
            let mut marks: Vec<&Revoked> = self.revoked.iter().filter(concerns).collect();
            marks.sort_unstable_by_key(|known| (&known.version, known.soft.as_ref().map(|soft| soft.at)));
            soft.extend(marks.into_iter().filter_map(|known| known.soft.clone()));
            let (version, record) = (offer.version.to_owned(), offer.record.map(str::to_owned));
            self.groups.insert(group.name.clone(), GroupVersion { version, record });
            write.push(index);
        }
        self.forget_outdated(table);
        if write.is_empty() { Verdict::Older } else { Verdict::Write { groups: write, soft } }
    }

    /// Judges that a group's values are taken back; the group keeps the version, so that nothing older comes back.
    pub fn clear(&mut self, table: &TargetTable, group: usize, version: &str) -> Verdict {
        let group = &table.groups[group].name;
        if self.is_newer(table, group, version) {
            return Verdict::Older;
        }
        self.groups.insert(group.clone(), GroupVersion { version: version.to_owned(), record: None });
        self.forget_outdated(table);
        Verdict::Remove
    }

    /// Judges a delete of the whole row by the rule that a value newer than the delete keeps the row. Leaves a mark. What
    /// other families wrote has no say; their versions stay, so that nothing older than what is gone comes back.
    pub fn remove(&mut self, table: &TargetTable, version: &str) -> Verdict {
        if self.mark_for(true).is_some_and(|mark| mark > version) {
            return Verdict::Older;
        }
        let newer = |(name, known): (&String, &GroupVersion)| {
            table.decides_row(name) && known.version.as_str() > version
        };
        let newer_value = self.groups.iter().any(newer);
        self.mark = Some(RowMark { version: version.to_owned(), soft: None });
        if !newer_value {
            self.groups.retain(|name, _| !table.decides_row(name));
        }
        self.forget_outdated(table);
        if newer_value { Verdict::Older } else { Verdict::Remove }
    }

    /// Judges a revocation of the record whose hash is `record` for the groups that its event writes: it counts if that very record
    /// wrote the newest value of one of them. Otherwise the record's event may come later: the revocation is remembered for all of
    /// them until it cannot.
    pub fn revoke(&mut self, table: &TargetTable, groups: &[usize], version: &str, record: &str) -> Verdict {
        if groups.iter().any(|group| self.wrote(&table.groups[*group].name, version, record)) {
            return Verdict::Remove;
        }
        self.remember(table, groups, (version, Some(record), None));
        Verdict::Older
    }

    /// Judges a soft delete of these groups, or with `record` a soft revocation of what that very record wrote there, and remembers
    /// it for values that come later. Where a group holds the mark's column, that group's value alone is marked and counts.
    pub fn void(
        &mut self,
        table: &TargetTable,
        groups: &[usize],
        (version, record): (&str, Option<&str>),
        soft: &SoftMark,
    ) -> Verdict {
        let holds = |group: &ColumnGroup| group.columns.iter().any(|column| column.name == soft.column);
        let holder = table.groups.iter().position(holds);
        let groups = holder.as_ref().map_or(groups, std::slice::from_ref);
        let counts = |group: &usize| {
            let name = &table.groups[*group].name;
            // A row that the ledger knows nothing of was there before the bus.
            let value = self.groups.get(name);
            let concerned = match record {
                Some(record) => self.wrote(name, version, record),
                None => value.is_some() || self.groups.is_empty(),
            };
            let record = record.or_else(|| value?.record.as_deref());
            // Unless a newer one has marked the value already.
            let marked = self.revoked.iter().any(|known| {
                known.version.as_str() > version
                    && known.concerns(name, record)
                    && known.soft.as_ref().is_some_and(|known| known.column == soft.column)
            });
            concerned && !marked && !self.is_newer(table, name, version)
        };
        let counts = groups.iter().any(counts);
        self.remember(table, groups, (version, record, Some(soft)));
        if counts { Verdict::Remove } else { Verdict::Older }
    }

    /// Whether a write of another family must not create the row: the family that decides about it has deleted it once.
    #[must_use]
    pub fn forbids_creation(&self, table: &TargetTable, groups: &[usize]) -> bool {
        self.mark.is_some() && groups.iter().any(|group| !table.groups[*group].decides_row)
    }

    /// The row's mark, where it is of the same order as the versions that it is compared with.
    fn mark_for(&self, decides_row: bool) -> Option<&str> {
        self.mark.as_ref().filter(|_| decides_row).map(|mark| mark.version.as_str())
    }

    /// Whether this record wrote the group's newest value, not after `version`.
    fn wrote(&self, group: &str, version: &str, record: &str) -> bool {
        self.groups
            .get(group)
            .is_some_and(|known| known.record.as_deref() == Some(record) && known.version.as_str() <= version)
    }

    /// The version of the group's value or of the row's end, whichever is newer.
    fn newest(&self, table: &TargetTable, group: &str) -> Option<&str> {
        let value = self.groups.get(group).map(|known| known.version.as_str());
        value.max(self.mark_for(table.decides_row(group)))
    }

    fn is_newer(&self, table: &TargetTable, group: &str, version: &str) -> bool {
        self.newest(table, group).is_some_and(|newest| newest > version)
    }

    fn remember(
        &mut self,
        table: &TargetTable,
        groups: &[usize],
        (version, record, soft): (&str, Option<&str>, Option<&SoftMark>),
    ) {
        for group in groups {
            let group = &table.groups[*group].name;
            let column = soft.map(|soft| soft.column.as_str());
            let same = |known: &&mut Revoked| {
                known.group == *group
                    && known.record.as_deref() == record
                    && known.soft.as_ref().map(|soft| soft.column.as_str()) == column
            };
            let new = Revoked {
                group: group.clone(),
                version: version.to_owned(),
                record: record.map(str::to_owned),
                soft: soft.cloned(),
            };
            match self.revoked.iter_mut().find(same) {
                Some(known) if known.version.as_str() < version => *known = new,
                Some(_) => {}
                None => self.revoked.push(new),
            }
        }
        self.forget_outdated(table);
    }

    /// Forgets the revocations that come to nothing: what they forbid is forbidden by a newer value or mark as well.
    fn forget_outdated(&mut self, table: &TargetTable) {
        let mut revoked = std::mem::take(&mut self.revoked);
        revoked.retain(|known| {
            self.newest(table, &known.group).is_none_or(|newest| newest < known.version.as_str())
        });
        self.revoked = revoked;
    }
}

impl Revoked {
    fn concerns(&self, group: &str, record: Option<&str>) -> bool {
        self.group == group && (self.record.is_none() || self.record.as_deref() == record)
    }

    /// The mark that the value is written with. Its column may have gone from the agreement since.
    fn soft_mark(&self, table: &TargetTable) -> Option<&SoftMark> {
        let mut columns = table.groups.iter().flat_map(|group| &group.columns);
        self.soft.as_ref().filter(|soft| columns.any(|column| column.name == soft.column))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::{CellKind, TargetColumn, VersionStore};

    /// Groups `a` and `b` of the family that decides about the row, `c` of another.
    fn table() -> TargetTable {
        let group =
            |name: &str| ColumnGroup { name: name.to_owned(), columns: Vec::new(), decides_row: name != "c" };
        TargetTable {
            table: "t".to_owned(),
            key: Vec::new(),
            groups: ["a", "b", "c"].map(group).into(),
            version: VersionStore::Ledger,
        }
    }

    fn write(groups: &[usize]) -> Verdict {
        Verdict::Write { groups: groups.to_vec(), soft: Vec::new() }
    }

    /// A table and an entry of it.
    struct Case(TargetTable, LedgerEntry);

    impl Case {
        fn new() -> Self {
            Self(table(), LedgerEntry::default())
        }

        fn offer(&mut self, values: &[(&str, &str, Option<&str>)]) -> Verdict {
            let index =
                |name: &str| self.0.groups.iter().position(|group| group.name == name).expect("group");
            let offers: Vec<Offer<'_>> = values
                .iter()
                .map(|(name, version, record)| Offer { group: index(name), version, record: *record })
                .collect();
            self.1.offer(&self.0, &offers)
        }

        fn remove(&mut self, version: &str) -> Verdict {
            self.1.remove(&self.0, version)
        }

        fn revoke(&mut self, groups: &[usize], version: &str, record: &str) -> Verdict {
            self.1.revoke(&self.0, groups, version, record)
        }
    }

    #[test]
    fn each_group_takes_its_newest_value() {
        let mut entry = Case::new();
        assert_eq!(entry.offer(&[("a", "5", None), ("b", "5", None)]), write(&[0, 1]));
        assert_eq!(entry.offer(&[("a", "4", None), ("b", "6", None)]), write(&[1]));
        assert_eq!(entry.offer(&[("a", "5", None)]), write(&[0]), "equal repairs");
        assert_eq!(entry.offer(&[("a", "1", None)]), Verdict::Older);
    }

    #[test]
    fn a_late_update_cannot_resurrect_a_deleted_row() {
        let mut entry = Case::new();
        entry.offer(&[("a", "3", None)]);
        assert_eq!(entry.remove("5"), Verdict::Remove);
        assert_eq!(entry.offer(&[("a", "4", None)]), Verdict::Older);
        assert_eq!(entry.offer(&[("a", "6", None)]), write(&[0]));
        assert_eq!(entry.remove("5"), Verdict::Older, "a replayed delete leaves the newer row");
    }

    #[test]
    fn a_delete_counts_whatever_another_family_wrote() {
        let mut entry = Case::new();
        entry.offer(&[("a", "3", None)]);
        entry.offer(&[("c", "9", None)]);
        assert_eq!(entry.remove("5"), Verdict::Remove, "9 is of another writer");
        assert_eq!(entry.offer(&[("c", "8", None)]), Verdict::Older, "older than what went with the row");
        assert!(entry.1.forbids_creation(&entry.0, &[2]) && !entry.1.forbids_creation(&entry.0, &[0, 1]));
        entry.offer(&[("a", "6", None)]);
        assert_eq!(entry.offer(&[("c", "9", None)]), write(&[0]), "equal repairs");
    }

    #[test]
    fn a_mark_says_nothing_about_the_versions_of_another_family() {
        let mut entry = Case::new();
        entry.offer(&[("a", "3", None)]);
        entry.remove("5");
        entry.offer(&[("a", "6", None)]);
        assert_eq!(entry.offer(&[("c", "1", None)]), write(&[0]));
    }

    #[test]
    fn a_revocation_undoes_only_what_its_record_wrote() {
        let mut entry = Case::new();
        entry.offer(&[("a", "3", Some("r1"))]);
        assert_eq!(entry.revoke(&[0], "5", "r2"), Verdict::Older);
        assert_eq!(entry.revoke(&[0], "5", "r1"), Verdict::Remove);
    }

    #[test]
    fn a_record_whose_first_group_was_overwritten_is_known_by_the_others() {
        let mut entry = Case::new();
        entry.offer(&[("a", "3", Some("r1")), ("b", "3", Some("r1"))]);
        entry.offer(&[("a", "4", Some("r2"))]);
        assert_eq!(entry.revoke(&[0, 1], "5", "r1"), Verdict::Remove);
    }

    #[test]
    fn a_revocation_that_overtakes_its_event_forbids_it_and_nothing_else() {
        let mut entry = Case::new();
        entry.offer(&[("a", "3", Some("r1"))]);
        assert_eq!(entry.revoke(&[0, 1], "5", "r2"), Verdict::Older, "r2 has not come yet");
        assert_eq!(entry.offer(&[("a", "4", Some("r2")), ("b", "4", Some("r2"))]), Verdict::Older);
        assert_eq!(entry.1.groups["a"].record.as_deref(), Some("r1"), "what was there before stays");
        assert_eq!(entry.offer(&[("a", "4", Some("r3"))]), write(&[0]), "another record");
        let again = [("a", "6", Some("r2")), ("b", "6", Some("r2"))];
        assert_eq!(entry.offer(&again), write(&[0, 1]), "registered again");
        assert_eq!(entry.1.revoked, Vec::new(), "older events than the newest value are refused anyway");
    }

    #[test]
    fn a_remembered_revocation_is_kept_once_with_its_newest_version() {
        let mut entry = Case::new();
        for version in ["5", "7", "6"] {
            assert_eq!(entry.revoke(&[0], version, "r1"), Verdict::Older);
        }
        let (group, version, record) = ("a".to_owned(), "7".to_owned(), Some("r1".to_owned()));
        let newest = Revoked { group, version, record, soft: None };
        assert_eq!(entry.1.revoked, vec![newest]);
        entry.remove("8");
        assert_eq!(entry.1.revoked, Vec::new());
        entry.revoke(&[0], "7", "r1");
        assert_eq!(entry.1.revoked, Vec::new(), "the row's mark forbids it");
        entry.revoke(&[2], "7", "r1");
        assert_eq!(entry.1.revoked.len(), 1, "the mark has no say about another family's record");
    }

    #[test]
    fn a_soft_mark_whose_column_is_not_written_any_more_forbids_the_event() {
        let mut entry = Case::new();
        let soft = SoftMark { column: "gone".to_owned(), at: 9 };
        assert_eq!(entry.1.void(&entry.0, &[0], ("5", Some("r1")), &soft), Verdict::Older);
        let text = serde_json::to_string(&entry.1).expect("text");
        assert_eq!(serde_json::from_str::<LedgerEntry>(&text).expect("an entry"), entry.1);
        assert_eq!(entry.offer(&[("a", "4", Some("r1"))]), Verdict::Older);
        let column = TargetColumn { name: "gone".to_owned(), kind: CellKind::Timestamp };
        entry.0.groups[0].columns.push(column);
        let written = Verdict::Write { groups: vec![0], soft: vec![soft] };
        assert_eq!(entry.offer(&[("a", "4", Some("r1"))]), written);
        assert_eq!(entry.offer(&[("a", "4", Some("r2"))]), write(&[0]), "another record lives");
        assert_eq!(entry.offer(&[("a", "6", Some("r1"))]), write(&[0]), "registered again");
        assert_eq!(entry.1.revoked, Vec::new());
    }
}
