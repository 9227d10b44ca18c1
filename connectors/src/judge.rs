//! What a delivery's writes come to once the version guard has spoken. Pure; shared by every kind of sink.

use lienthong_contract::Cell;
use lienthong_contract::ledger::{LedgerEntry, Offer, Verdict};
use lienthong_contract::sink::{Action, GroupWrite, KeyWrite, Revokes};
use lienthong_contract::target::{TargetColumn, TargetTable, VersionStore};

/// A write that the guard let pass, in the form that is the same for every row of one statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shape<'d> {
    /// Groups of the table, ascending; creates the row.
    Upsert(Vec<usize>),
    /// Groups of the table, ascending; never creates the row.
    Update(Vec<usize>),
    /// Removes the row.
    Delete,
    /// Sets this column to a time.
    Void(&'d str),
    /// Sets this group's columns to null.
    Clear(usize),
}

/// One write after the guard.
#[derive(Debug)]
pub(crate) struct Judged<'d> {
    /// What is left to do; `None` when the write is older than what is there.
    pub(crate) shape: Option<Shape<'d>>,
    /// The groups to write, ascending by group.
    pub(crate) groups: Vec<GroupWrite<'d>>,
}

impl<'d> Judged<'d> {
    fn older() -> Self {
        Self { shape: None, groups: Vec::new() }
    }

    fn plain(shape: Shape<'d>) -> Self {
        Self { shape: Some(shape), groups: Vec::new() }
    }

    fn groups(mut groups: Vec<GroupWrite<'d>>, shape: impl FnOnce(Vec<usize>) -> Shape<'d>) -> Self {
        groups.sort_by_key(|write| write.group);
        let indexes = groups.iter().map(|write| write.group).collect();
        Self { shape: Some(shape(indexes)), groups }
    }
}

/// Judges one write against the ledger's entry for its row, and takes it into the entry.
pub(crate) fn judge<'d>(table: &TargetTable, write: &KeyWrite<'d>, entry: &mut LedgerEntry) -> Judged<'d> {
    match &write.action {
        Action::Upsert(groups) => {
            let indexes: Vec<usize> = groups.iter().map(|write| write.group).collect();
            let shape = if entry.forbids_creation(table, &indexes) { Shape::Update } else { Shape::Upsert };
            Judged::groups_or_older(table, groups, entry, shape)
        }
        Action::Update(groups) => Judged::groups_or_older(table, groups, entry, Shape::Update),
        Action::Delete { version, revokes } => match remove(table, entry, version, *revokes) {
            Verdict::Remove => Judged::plain(Shape::Delete),
            Verdict::Write(_) | Verdict::Older => Judged::older(),
        },
        Action::Void { group: None, column, version, revokes, .. } => {
            match remove(table, entry, version, *revokes) {
                Verdict::Remove => Judged::plain(Shape::Void(column)),
                Verdict::Write(_) | Verdict::Older => Judged::older(),
            }
        }
        Action::Void { group: Some(group), column, version, revokes, .. } => {
            take_back(table, entry, *group, version, *revokes, Shape::Void(column))
        }
        Action::Clear { group, version, revokes } => {
            let groups = [*group];
            let revokes = revokes.map(|record| Revokes { record, groups: &groups });
            take_back(table, entry, *group, version, revokes, Shape::Clear(*group))
        }
    }
}

impl<'d> Judged<'d> {
    fn groups_or_older(
        table: &TargetTable,
        groups: &[GroupWrite<'d>],
        entry: &mut LedgerEntry,
        shape: impl FnOnce(Vec<usize>) -> Shape<'d>,
    ) -> Self {
        let offered: Vec<Offer<'_>> = groups
            .iter()
            .map(|write| Offer { group: write.group, version: write.version, record: write.record })
            .collect();
        match entry.offer(table, &offered) {
            Verdict::Write(indexes) => {
                Self::groups(indexes.into_iter().map(|index| groups[index]).collect(), shape)
            }
            Verdict::Remove | Verdict::Older => Self::older(),
        }
    }
}

fn remove(
    table: &TargetTable,
    entry: &mut LedgerEntry,
    version: &str,
    revokes: Option<Revokes<'_>>,
) -> Verdict {
    if let Some(Revokes { record, groups }) = revokes
        && entry.revoke(table, groups, version, record) != Verdict::Remove
    {
        return Verdict::Older;
    }
    entry.remove(table, version)
}

/// What one group's event said is gone; the group keeps the version, so that nothing older comes back.
fn take_back<'d>(
    table: &TargetTable,
    entry: &mut LedgerEntry,
    group: usize,
    version: &str,
    revokes: Option<Revokes<'_>>,
    shape: Shape<'d>,
) -> Judged<'d> {
    if let Some(Revokes { record, groups }) = revokes
        && entry.revoke(table, groups, version, record) != Verdict::Remove
    {
        return Judged::older();
    }
    match entry.offer(table, &[Offer { group, version, record: None }]) {
        Verdict::Write(_) => Judged::plain(shape),
        Verdict::Remove | Verdict::Older => Judged::older(),
    }
}

/// Whether the version of a write is one that a row mark forbids. For rows whose version is in a column.
pub(crate) fn marked(entry: Option<&LedgerEntry>, version: &str) -> bool {
    entry.and_then(|entry| entry.mark.as_ref()).is_some_and(|mark| mark.version.as_str() > version)
}

/// The one version of a write, for rows whose version is in a column: the newest of its groups.
pub(crate) fn version_of<'d>(action: &Action<'d>) -> &'d str {
    match action {
        Action::Upsert(groups) | Action::Update(groups) => {
            groups.iter().map(|group| group.version).max().unwrap_or_default()
        }
        Action::Delete { version, .. } | Action::Void { version, .. } | Action::Clear { version, .. } => {
            version
        }
    }
}

/// The form of a write that is judged by the row's own version column instead of the ledger.
pub(crate) fn unjudged<'d>(write: &KeyWrite<'d>) -> Judged<'d> {
    match &write.action {
        Action::Upsert(groups) => Judged::groups(groups.clone(), Shape::Upsert),
        Action::Update(groups) => Judged::groups(groups.clone(), Shape::Update),
        Action::Delete { .. } => Judged::plain(Shape::Delete),
        Action::Void { column, .. } => Judged::plain(Shape::Void(column)),
        Action::Clear { group, .. } => Judged::plain(Shape::Clear(*group)),
    }
}

/// Whether the action undoes only one record's value.
pub(crate) fn revokes(action: &Action<'_>) -> bool {
    match action {
        Action::Upsert(_) | Action::Update(_) => false,
        Action::Delete { revokes, .. } | Action::Void { revokes, .. } => revokes.is_some(),
        Action::Clear { revokes, .. } => revokes.is_some(),
    }
}

/// The table's version column, if that is where versions are kept.
pub(crate) fn version_column(table: &TargetTable) -> Option<&str> {
    match &table.version {
        VersionStore::Ledger => None,
        VersionStore::Column(column) => Some(column),
    }
}

/// Columns of groups without those of the key, in the order of [`value_cells`].
pub(crate) fn value_columns<'t>(table: &'t TargetTable, groups: &[usize]) -> Vec<&'t TargetColumn> {
    groups
        .iter()
        .flat_map(|group| &table.groups[*group].columns)
        .filter(|column| !is_key(table, column))
        .collect()
}

/// Cells of group writes without those of the key, in the order of [`value_columns`].
pub(crate) fn value_cells<'d>(table: &TargetTable, groups: &[GroupWrite<'d>]) -> Vec<Cell<'d>> {
    groups
        .iter()
        .flat_map(|write| table.groups[write.group].columns.iter().zip(write.values))
        .filter(|(column, _)| !is_key(table, column))
        .map(|(_, cell)| *cell)
        .collect()
}

fn is_key(table: &TargetTable, column: &TargetColumn) -> bool {
    table.key.iter().any(|key| key.name == column.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lienthong_contract::keys::KeyHash;
    use lienthong_contract::target::{CellKind, ColumnGroup};

    fn table() -> TargetTable {
        let column = |name: &str| TargetColumn { name: name.to_owned(), kind: CellKind::Text };
        let group = |name: &str| ColumnGroup {
            name: name.to_owned(),
            columns: vec![column("pin"), column(name)],
            decides_row: true,
        };
        TargetTable {
            table: "t".to_owned(),
            key: vec![column("pin")],
            groups: vec![group("a"), group("b")],
            version: VersionStore::Ledger,
        }
    }

    fn write(action: Action<'static>) -> KeyWrite<'static> {
        KeyWrite { table: 0, key_hash: KeyHash([0; 16]), key: &[Cell::Str("1")], action }
    }

    fn values(group: usize, version: &'static str) -> GroupWrite<'static> {
        GroupWrite { group, version, record: Some("r1"), values: &[Cell::Str("1"), Cell::Str("x")] }
    }

    #[test]
    fn only_newer_groups_are_written_and_in_the_tables_order() {
        let mut entry = LedgerEntry::default();
        let both = write(Action::Upsert(vec![values(1, "5"), values(0, "5")]));
        let judged = judge(&table(), &both, &mut entry);
        assert_eq!(judged.shape, Some(Shape::Upsert(vec![0, 1])));
        assert_eq!(value_cells(&table(), &judged.groups).len(), 2, "the key is not written twice");
        let late = write(Action::Upsert(vec![values(0, "4")]));
        assert_eq!(judge(&table(), &late, &mut entry).shape, None);
    }

    #[test]
    fn a_revocation_counts_only_for_the_record_that_wrote_the_group() {
        let mut entry = LedgerEntry::default();
        judge(&table(), &write(Action::Upsert(vec![values(0, "5")])), &mut entry);
        let revoke =
            |record| write(Action::Delete { version: "6", revokes: Some(Revokes { record, groups: &[0] }) });
        assert_eq!(judge(&table(), &revoke("r2"), &mut entry).shape, None);
        assert_eq!(judge(&table(), &revoke("r1"), &mut entry).shape, Some(Shape::Delete));
    }

    #[test]
    fn a_group_that_is_voided_leaves_the_row_to_its_other_groups() {
        let mut entry = LedgerEntry::default();
        judge(&table(), &write(Action::Update(vec![values(1, "5")])), &mut entry);
        let void = Action::Void {
            group: Some(1),
            column: "gone",
            at: 0,
            version: "6",
            revokes: Some(Revokes { record: "r1", groups: &[1] }),
        };
        assert_eq!(judge(&table(), &write(void), &mut entry).shape, Some(Shape::Void("gone")));
        let late = write(Action::Upsert(vec![values(0, "4")]));
        assert_eq!(
            judge(&table(), &late, &mut entry).shape,
            Some(Shape::Upsert(vec![0])),
            "another group's life goes on"
        );
        assert_eq!(judge(&table(), &write(Action::Update(vec![values(1, "5")])), &mut entry).shape, None);
    }

    #[test]
    fn a_cleared_group_keeps_its_version() {
        let mut entry = LedgerEntry::default();
        judge(&table(), &write(Action::Update(vec![values(1, "5")])), &mut entry);
        let clear = write(Action::Clear { group: 1, version: "6", revokes: Some("r1") });
        assert_eq!(judge(&table(), &clear, &mut entry).shape, Some(Shape::Clear(1)));
        assert_eq!(judge(&table(), &write(Action::Update(vec![values(1, "5")])), &mut entry).shape, None);
    }
}
