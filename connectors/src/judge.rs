//! What a delivery's writes come to once the version guard has spoken. Pure; shared by every kind of sink.

use lienthong_contract::Cell;
use lienthong_contract::ledger::{LedgerEntry, Offer, RowMark, SoftMark, Verdict};
use lienthong_contract::sink::{Action, GroupWrite, KeyWrite, Revokes};
use lienthong_contract::target::{TargetColumn, TargetTable, VersionStore};

/// A write that the guard let pass, in the form that is the same for every row of one statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shape<'d> {
    /// Groups of the table, ascending; creates the row.
    Upsert(Vec<usize>),
    /// Groups of the table, ascending; creates the row and never changes one.
    Insert(Vec<usize>),
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
    /// Each stands in its column instead of the groups' own value; the last of a column counts.
    soft: Vec<SoftMark>,
}

impl<'d> Judged<'d> {
    fn older() -> Self {
        Self { shape: None, groups: Vec::new(), soft: Vec::new() }
    }

    fn plain(shape: Shape<'d>) -> Self {
        Self { shape: Some(shape), groups: Vec::new(), soft: Vec::new() }
    }

    fn groups(mut groups: Vec<GroupWrite<'d>>, shape: impl FnOnce(Vec<usize>) -> Shape<'d>) -> Self {
        groups.sort_by_key(|write| write.group);
        let indexes = groups.iter().map(|write| write.group).collect();
        Self { shape: Some(shape(indexes)), groups, soft: Vec::new() }
    }

    /// Cells of the groups without those of the key, in the order of [`value_columns`].
    pub(crate) fn cells(&self, table: &TargetTable) -> Vec<Cell<'d>> {
        let cell = |column: &TargetColumn, cell: &Cell<'d>| {
            let soft = self.soft.iter().rev().find(|soft| soft.column == column.name);
            soft.map_or(*cell, |soft| Cell::Timestamp(soft.at))
        };
        self.groups
            .iter()
            .flat_map(|write| table.groups[write.group].columns.iter().zip(write.values))
            .filter(|(column, _)| !is_key(table, column))
            .map(|(column, value)| cell(column, value))
            .collect()
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
            Verdict::Write { .. } | Verdict::Older => Judged::older(),
        },
        Action::Void { group, column, at, version, revokes } => {
            let deciding = || (0..table.groups.len()).filter(|group| table.groups[*group].decides_row);
            let groups = match (revokes, group) {
                (Some(revokes), _) => revokes.groups.to_vec(),
                (None, Some(group)) => vec![*group],
                (None, None) => deciding().collect(),
            };
            let record = revokes.map(|revokes| revokes.record);
            match entry.void(table, &groups, (version, record), &soft_mark(column, *at)) {
                Verdict::Remove => Judged::plain(Shape::Void(column)),
                Verdict::Write { .. } | Verdict::Older => Judged::older(),
            }
        }
        Action::Clear { group, version, revokes } => take_back(table, entry, *group, version, *revokes),
    }
}

fn soft_mark(column: &str, at: i64) -> SoftMark {
    SoftMark { column: column.to_owned(), at }
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
            Verdict::Write { groups: indexes, soft } => {
                let judged = Self::groups(indexes.into_iter().map(|index| groups[index]).collect(), shape);
                Self { soft, ..judged }
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

/// What one group's event said is gone.
fn take_back<'d>(
    table: &TargetTable,
    entry: &mut LedgerEntry,
    group: usize,
    version: &str,
    revokes: Option<&str>,
) -> Judged<'d> {
    if let Some(record) = revokes
        && entry.revoke(table, &[group], version, record) != Verdict::Remove
    {
        return Judged::older();
    }
    match entry.clear(table, group, version) {
        Verdict::Remove => Judged::plain(Shape::Clear(group)),
        Verdict::Write { .. } | Verdict::Older => Judged::older(),
    }
}

/// The row mark that forbids a version. For rows whose version is in a column.
pub(crate) fn marked<'e>(entry: Option<&'e LedgerEntry>, version: &str) -> Option<&'e RowMark> {
    entry.and_then(|entry| entry.mark.as_ref()).filter(|mark| mark.version.as_str() > version)
}

/// The mark that the end of a row, or of its one group's values, leaves. For rows whose version is in a column.
pub(crate) fn row_mark(action: &Action<'_>) -> Option<RowMark> {
    match action {
        Action::Delete { version, .. } => Some(RowMark { version: (*version).to_owned(), soft: None }),
        Action::Void { column, at, version, .. } => {
            Some(RowMark { version: (*version).to_owned(), soft: Some(soft_mark(column, *at)) })
        }
        Action::Upsert(_) | Action::Update(_) | Action::Clear { .. } => None,
    }
}

/// A write that a mark of `soft` came before, for rows whose version is in a column: a row that is not there is made with the mark
/// and the mark's version; one that is there knows better.
pub(crate) fn overtaken<'d>(table: &TargetTable, write: &KeyWrite<'d>, mark: &RowMark) -> Option<Judged<'d>> {
    let Action::Upsert(groups) = &write.action else { return None };
    let soft = mark.soft.as_ref()?;
    let mut columns = groups.iter().flat_map(|write| &table.groups[write.group].columns);
    columns.any(|column| column.name == soft.column).then(|| {
        let judged = Judged::groups(groups.clone(), Shape::Insert);
        Judged { soft: vec![soft.clone()], ..judged }
    })
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

/// Columns of groups without those of the key, in the order of [`Judged::cells`].
pub(crate) fn value_columns<'t>(table: &'t TargetTable, groups: &[usize]) -> Vec<&'t TargetColumn> {
    groups
        .iter()
        .flat_map(|group| &table.groups[*group].columns)
        .filter(|column| !is_key(table, column))
        .collect()
}

fn is_key(table: &TargetTable, column: &TargetColumn) -> bool {
    table.key.iter().any(|key| key.name == column.name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use lienthong_contract::keys::KeyHash;
    use lienthong_contract::target::{CellKind, ColumnGroup};
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

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
        assert_eq!(judged.cells(&table()).len(), 2, "the key is not written twice");
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

    /// What a subscriber's row holds after writes in this order, without the key.
    fn row_after(
        table: &TargetTable,
        writes: &[&KeyWrite<'static>],
    ) -> Option<BTreeMap<String, Cell<'static>>> {
        let mut entry = LedgerEntry::default();
        let mut row: Option<BTreeMap<String, Cell<'static>>> = None;
        for write in writes {
            let judged = judge(table, write, &mut entry);
            match (&judged.shape, &write.action) {
                (Some(Shape::Upsert(groups)), _) => {
                    let names = value_columns(table, groups).into_iter().map(|column| column.name.clone());
                    row.get_or_insert_default().extend(names.zip(judged.cells(table)));
                }
                (Some(Shape::Void(column)), Action::Void { at, .. }) => {
                    if let Some(row) = &mut row {
                        row.insert((*column).to_owned(), Cell::Timestamp(*at));
                    }
                }
                (Some(Shape::Delete), _) => row = None,
                (None, _) => {}
                (shape, _) => panic!("{shape:?}"),
            }
        }
        row
    }

    /// Every order of these.
    fn orders<T: Copy>(all: &[T]) -> Vec<Vec<T>> {
        if all.is_empty() {
            return vec![Vec::new()];
        }
        let with = |first: usize| {
            let rest: Vec<T> = all[..first].iter().chain(&all[first + 1..]).copied().collect();
            orders(&rest).into_iter().map(move |order| [vec![all[first]], order].concat())
        };
        (0..all.len()).flat_map(with).collect()
    }

    const VERSIONS: [&str; 5] = ["1", "2", "3", "4", "5"];

    /// Groups of two events in one table, each with a column of `soft` of its own, and one column of `soft` of both.
    fn marked_table() -> TargetTable {
        let column = |name: &str| TargetColumn { name: name.to_owned(), kind: CellKind::Timestamp };
        let group = |names: &[&str]| ColumnGroup {
            name: names[0].to_owned(),
            columns: names.iter().map(|name| column(name)).collect(),
            decides_row: true,
        };
        let groups = vec![group(&["a", "a_gone"]), group(&["b", "b_gone"]), group(&["both_gone"])];
        TargetTable { groups, ..table() }
    }

    /// An event of one of the two kinds, or its end.
    fn any(random: &mut StdRng, version: &'static str) -> KeyWrite<'static> {
        let (own, column) = [(0, "a_gone"), (1, "b_gone")][random.random_range(0..2)];
        let record = ["r1", "r2"][random.random_range(0..2)];
        let groups: &[usize] = if own == 0 { &[0, 2] } else { &[1, 2] };
        let value: i64 = version.parse().expect("a number");
        if random.random() {
            let values = |group: usize| -> &'static [Cell<'static>] {
                let cells = if group == 2 { vec![Cell::Null] } else { vec![Cell::I64(value), Cell::Null] };
                Box::leak(cells.into_boxed_slice())
            };
            let part = |group: &usize| GroupWrite {
                group: *group,
                version,
                record: Some(record),
                values: values(*group),
            };
            return write(Action::Upsert(groups.iter().map(part).collect()));
        }
        let column = if random.random() { column } else { "both_gone" };
        let revokes = random.random::<bool>().then_some(Revokes { record, groups });
        write(Action::Void { group: None, column, at: value, version, revokes })
    }

    #[test]
    fn with_soft_events_and_their_ends_come_to_the_same_in_every_order() {
        let table = marked_table();
        let seed = lienthong_testkit::seed();
        println!("seed {seed}");
        let mut random = StdRng::seed_from_u64(seed);
        for _ in 0..200 {
            let writes = VERSIONS.map(|version| any(&mut random, version));
            let in_order = row_after(&table, &writes.each_ref());
            for order in orders(&writes.each_ref()) {
                assert_eq!(row_after(&table, &order), in_order, "{order:?}");
            }
        }
    }

    #[test]
    fn the_newest_of_a_record_stands_with_its_end_and_lives_when_it_is_registered_again() {
        let table = marked_table();
        let event = |record, version, values| {
            write(Action::Upsert(vec![GroupWrite { group: 0, version, record: Some(record), values }]))
        };
        let first = event("r1", "3", &[Cell::Str("first"), Cell::Null]);
        let second = event("r2", "4", &[Cell::Str("second"), Cell::Null]);
        let revoked = Some(Revokes { record: "r2", groups: &[0] });
        for (group, revokes) in [(None, revoked), (Some(0), revoked), (None, None), (Some(0), None)] {
            let void = write(Action::Void { group, column: "a_gone", at: 9, version: "5", revokes });
            let row = |value, gone| BTreeMap::from([("a".to_owned(), value), ("a_gone".to_owned(), gone)]);
            for order in orders(&[&first, &second, &void]) {
                let marked = row(Cell::Str("second"), Cell::Timestamp(9));
                assert_eq!(row_after(&table, &order), Some(marked), "{order:?}");
            }
            let again = event("r2", "6", &[Cell::Str("again"), Cell::Null]);
            for order in orders(&[&first, &second, &void, &again]) {
                assert_eq!(row_after(&table, &order), Some(row(Cell::Str("again"), Cell::Null)), "{order:?}");
            }
        }
    }

    #[test]
    fn where_the_row_keeps_its_version_every_end_leaves_a_mark_and_makes_a_row_that_comes_later() {
        let table = marked_table();
        for group in [None, Some(0)] {
            let void = Action::Void { group, column: "a_gone", at: 9, version: "5", revokes: None };
            let entry = LedgerEntry { mark: row_mark(&void), ..LedgerEntry::default() };
            let mark = marked(Some(&entry), "4").expect("older");
            let values = &[Cell::Str("late"), Cell::Null];
            let late = GroupWrite { group: 0, version: "4", record: None, values };
            let made = overtaken(&table, &write(Action::Upsert(vec![late])), mark).expect("soft");
            assert_eq!(made.shape, Some(Shape::Insert(vec![0])));
            assert_eq!(made.cells(&table), [Cell::Str("late"), Cell::Timestamp(9)]);
            assert!(overtaken(&table, &write(Action::Update(vec![late])), mark).is_none());
            assert!(marked(Some(&entry), "5").is_none());
        }
    }

    #[test]
    fn what_was_revoked_hard_is_not_there_whatever_soft_mark_is_newer() {
        let table = marked_table();
        let values = &[Cell::Str("x"), Cell::Null];
        let event =
            write(Action::Upsert(vec![GroupWrite { group: 0, version: "3", record: Some("r1"), values }]));
        let revokes = Some(Revokes { record: "r1", groups: &[0] });
        let revoked = write(Action::Delete { version: "5", revokes });
        let deleted =
            write(Action::Void { group: None, column: "a_gone", at: 9, version: "7", revokes: None });
        for order in orders(&[&event, &revoked, &deleted]) {
            assert_eq!(row_after(&table, &order), None, "{order:?}");
        }
    }
}
