//! The captured tables and how the stream describes them.

use lienthong_contract::predicate::PredicateType;
use lienthong_contract::source::{SourceError, TableCapture};
use sqlx::postgres::PgConnection;

use super::super::captured::Captured;
use super::super::catalogue::Table;
use super::super::decode::Reading;
use super::super::joins::Joined;
use super::super::keyed::Keyed;
use super::super::wal::message::Relation;
use super::super::wal::relation::{Difference, Plan};
use super::super::wal::types::{Described, Types};
use super::check;
use super::partitions::{self, Partitions};

/// One captured table.
pub(super) struct StreamTable {
    pub(super) capture: TableCapture,
    pub(super) captured: Captured,
    /// Places of the key among the columns.
    pub(super) keys: Vec<usize>,
    /// The server's number of it, the same whatever its name becomes.
    oid: u32,
    /// How its rows are read, from the first description on; `None` where they cannot be.
    pub(super) plan: Option<Plan>,
    /// Its newest description, whether its rows can be read or not.
    pub(super) seen: Option<Seen>,
    /// Where its rows are, if not in itself.
    pub(super) partitions: Option<Partitions>,
    /// How rows are looked up of which the log does not hold all.
    pub(super) keyed: Option<Keyed>,
}

impl StreamTable {
    /// The server's number of it.
    pub(super) fn number(&self) -> u32 {
        self.oid
    }

    /// Whether something of its rows is looked up.
    pub(super) fn looks_up(&self) -> bool {
        self.keyed.is_some() || !self.captured.joins.is_empty()
    }

    /// Whether the log holds no more of a row as it was than its key.
    pub(super) fn is_by_key(&self) -> bool {
        let whole = |plan: &Plan| (0..self.capture.columns.len()).all(|column| plan.in_identity(column));
        self.keyed.is_some() && !self.plan.as_ref().is_some_and(whole)
    }
}

/// A description of a table.
pub(super) struct Seen {
    /// As it came.
    pub(super) relation: Vec<u8>,
    /// What can be read of rows.
    pub(super) plan: Plan,
    /// Why that is not enough.
    pub(super) breach: Option<Breach>,
}

/// Why a table cannot be captured as it was planned, though its log goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Breach {
    /// In a word.
    pub(super) rule: &'static str,
    /// Which table and column.
    pub(super) problem: String,
}

/// All of them, and the types of their columns.
pub(super) struct Tables {
    pub(super) all: Vec<StreamTable>,
    described: Vec<Described>,
    /// A root has been described, and what comes next describes the partition that its rows are of.
    root: Option<usize>,
}

impl Tables {
    /// `found` is what the catalogue says of the captures' tables.
    pub(super) fn new(
        captures: &[TableCapture],
        (found, joins): (&[Table], Vec<Vec<Joined>>),
        described: Vec<Described>,
    ) -> Self {
        let all = captures.iter().zip(found).zip(joins).map(|((capture, table), joins)| StreamTable {
            captured: Captured::new(capture, table).joining(joins),
            keys: capture
                .key
                .iter()
                .filter_map(|name| capture.columns.iter().position(|column| column == name))
                .collect(),
            oid: u32::try_from(table.oid).unwrap_or_default(),
            capture: capture.clone(),
            plan: None,
            seen: None,
            partitions: partitions::is_root(table).then(Partitions::default),
            keyed: capture.look_up.then(|| keyed(capture, table)),
        });
        Self { all: all.collect(), described, root: None }
    }

    /// Which of them has this number.
    pub(super) fn of(&self, oid: u32) -> Option<usize> {
        self.all.iter().position(|table| table.oid == oid)
    }

    /// Which of them has this name.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        self.all.iter().position(|table| table.captured.name == name)
    }

    /// Whether the tables, as far as they have been described, can be read in binary form.
    pub(super) fn binary_fits(&self) -> bool {
        self.all.iter().filter_map(|table| table.plan.as_ref()).all(Plan::binary_fits)
    }

    /// What conditions see of a table's cells.
    pub(super) fn column_types(&self, table: usize) -> Vec<PredicateType> {
        let columns = self.all.get(table).into_iter().flat_map(|table| &table.captured.needed);
        columns.map(|column| column.reading.seen()).collect()
    }

    /// Takes a table's new description. Types that came after the opening are asked for.
    pub(super) async fn describe(
        &mut self,
        conn: &mut PgConnection,
        (relation, message): (&Relation<'_>, &[u8]),
    ) -> Result<Result<(), SourceError>, sqlx::Error> {
        let root = self.root.take();
        let Some(at) = self.of(relation.oid) else {
            if let Some(of) = root.map(|root| &mut self.all[root])
                && let Some(partitions) = &mut of.partitions
            {
                partitions.describe(&of.capture, relation);
                return Ok(Ok(()));
            }
            let roots = self.all.iter().filter(|table| table.partitions.is_some());
            let roots: Vec<i64> = roots.map(|table| i64::from(table.oid)).collect();
            return partitions::by_itself(conn, &roots, relation).await;
        };
        self.root = self.all[at].partitions.is_some().then_some(at);
        // Of a description that is refused no row may be read as the one before said.
        (self.all[at].plan, self.all[at].seen) = (None, None);
        let (plan, differences) = self.plan(conn, at, relation).await?;
        let table = &mut self.all[at];
        let mut breach = None;
        for difference in differences {
            match judge(&table.captured.name, &difference) {
                Ok(found) => breach = breach.or(found),
                Err(error) => return Ok(Err(error)),
            }
        }
        table.plan = breach.is_none().then(|| plan.clone());
        table.seen = Some(Seen { relation: message.to_vec(), plan, breach });
        Ok(Ok(()))
    }

    /// How rows of such a description are read. Types that came after the opening are asked for.
    pub(super) async fn plan(
        &mut self,
        conn: &mut PgConnection,
        at: usize,
        relation: &Relation<'_>,
    ) -> Result<(Plan, Vec<Difference>), sqlx::Error> {
        let table = &self.all[at];
        let known: Vec<Reading> = table.captured.needed.iter().map(|column| column.reading.clone()).collect();
        let plan =
            |described: &[Described]| Plan::new(&table.capture, relation, &Types::new(described), &known);
        let planned = plan(&self.described);
        let unknown = planned.1.iter().filter_map(|difference| match difference {
            Difference::UnknownType(_, oid) => Some(i64::from(*oid)),
            _ => None,
        });
        let unknown: Vec<i64> = unknown.collect();
        if unknown.is_empty() {
            return Ok(planned);
        }
        self.described.extend(check::describe(conn, &unknown).await?);
        Ok(plan(&self.described))
    }
}

fn keyed(capture: &TableCapture, table: &Table) -> Keyed {
    let cast = |name| table.column(name).map_or("text", |column| column.cast.as_str());
    let by: Vec<(&str, &str)> = capture.key.iter().map(|name| (name.as_str(), cast(name))).collect();
    Keyed::new((&table.name, table.kind != "p"), &by, &capture.columns)
}

/// Whether a table can be read on; where it cannot, whether its changes can be set aside until somebody has mended that.
pub(super) fn judge(table: &str, difference: &Difference) -> Result<Option<Breach>, SourceError> {
    match difference {
        // Each value comes as the cell of its own type; what the mapping cannot make of it is set aside row by row.
        Difference::Retyped(column) => {
            tracing::warn!(table, column, "the log has rows in which this column is of another type");
            Ok(None)
        }
        Difference::Missing(column) => Ok(Some(Breach {
            rule: "column-missing",
            problem: format!("the log has changes of {table} without the captured column {column}"),
        })),
        Difference::UnknownType(column, _) | Difference::Unreadable(column) => Ok(Some(Breach {
            rule: "type-not-read",
            problem: format!("column {column} of {table} has a type that is not read from the log"),
        })),
        // What the log keeps of a row as it was does not tell which row it is: no mapping helps.
        Difference::KeyOutsideIdentity(column) => Err(SourceError::Gap {
            gap: format!(
                "the log does not hold column {column} of rows of {table} as they were, and it is part of the key"
            ),
            fix: "set the table's replica identity to full, and run `lienthong connect PARTICIPANT --accept-lineage REASON`"
                .to_owned(),
        }),
    }
}
