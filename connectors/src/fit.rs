//! What every kind of sink checks before it writes: the tables of the bus, the columns of the targets, and how misfits are told.

use lienthong_contract::sink::SinkError;
use lienthong_contract::target::{CellKind, TargetColumn, TargetTable};

use crate::judge::version_column;

/// The tables of the bus with their columns.
pub(crate) const BUS_TABLES: [(&str, &[&str]); 4] = [
    (
        "lienthong_offset",
        &["subscription", "topic", "partition", "next_offset", "epoch", "sequence", "fresh_through"],
    ),
    ("lienthong_version", &["table_name", "key_hash", "entry"]),
    (
        "lienthong_receipt",
        &[
            "subscription",
            "topic",
            "partition",
            "number",
            "first_offset",
            "last_offset",
            "events_read",
            "events_delivered",
            "writer_epoch",
            "first_time",
            "last_time",
            "applied_at",
            "agreement",
            "key_id",
            "subjects",
            "previous_hash",
            "hash",
        ],
    ),
    (
        "lienthong_parked",
        &["subscription", "table_name", "key_hash", "version", "group_name", "sealed", "parked_at"],
    ),
];

/// Problems and the statements that mend them.
#[derive(Default)]
pub(crate) struct Findings {
    problems: Vec<String>,
    fixes: Vec<String>,
}

impl Findings {
    /// Adds a problem; a statement that mends several is told once.
    pub(crate) fn add(&mut self, problem: String, fix: String) {
        self.problems.push(problem);
        if !self.fixes.contains(&fix) {
            self.fixes.push(fix);
        }
    }

    /// Everything at once; nothing found is well.
    pub(crate) fn into_result(self, target: &str) -> Result<(), SinkError> {
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(SinkError::Unfit {
            problem: format!("{target}: {}", self.problems.join("; ")),
            fix: self.fixes.join("; "),
        })
    }
}

/// Every column that is written, each once.
pub(crate) fn written(table: &TargetTable) -> Vec<TargetColumn> {
    let version =
        version_column(table).map(|name| TargetColumn { name: name.to_owned(), kind: CellKind::Text });
    let groups = table.groups.iter().flat_map(|group| group.columns.iter().cloned());
    let mut columns: Vec<TargetColumn> = Vec::new();
    for column in table.key.iter().cloned().chain(groups).chain(version) {
        if !columns.iter().any(|other| other.name == column.name) {
            columns.push(column);
        }
    }
    columns
}
