//! A subscriber's table as an agreement sees it.

/// The shape of one target table, merged from every delivery of one subscriber that writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetTable {
    /// Table name as written, with schema where the kind has schemas.
    pub table: String,
    /// Key columns; a unique index over exactly these must exist.
    pub key: Vec<TargetColumn>,
    /// Column groups: columns that are always written together, each with its own version.
    pub groups: Vec<ColumnGroup>,
    /// Where versions are kept.
    pub version: VersionStore,
}

impl TargetTable {
    /// Whether this group's versions can be compared with the row's mark. A group of an earlier agreement has none to compare.
    #[must_use]
    pub fn decides_row(&self, group: &str) -> bool {
        self.groups.iter().any(|known| known.name == group && known.decides_row)
    }
}

/// Columns that are always written together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnGroup {
    /// Stable name in the ledger: the group's first column.
    pub name: String,
    /// Columns in the order in which cells are given.
    pub columns: Vec<TargetColumn>,
    /// Whether the family that writes the group also creates and deletes the table's rows. Only then are the group's versions and
    /// the row's mark of one order: two families have two writers, whose sequences cannot be compared.
    pub decides_row: bool,
}

/// One written column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetColumn {
    /// Column name.
    pub name: String,
    /// What the bus will write there.
    pub kind: CellKind,
}

/// Kinds of cells that a sink writes, so that a target column's type can be checked before the first row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// Truth value.
    Bool,
    /// 64-bit integer.
    Integer,
    /// 64-bit float.
    Float,
    /// Exact decimal.
    Decimal,
    /// Text.
    Text,
    /// Bytes.
    Bytes,
    /// Calendar date.
    Date,
    /// Time of day.
    Time,
    /// Instant.
    Timestamp,
    /// UUID.
    Uuid,
    /// List of texts.
    TextList,
}

/// Where a target row's versions are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionStore {
    /// In `lienthong_version`, one entry per (table, key).
    Ledger,
    /// In a text column of the row; `lienthong_version` keeps only the marks of deleted rows.
    Column(String),
}
