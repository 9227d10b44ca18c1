//! One side of a change, the row before or after it, as one publication sees it. Pure.

use lienthong_contract::source::{BrokenValue, Side, TableCapture};
use lienthong_schemas::Cell;

use crate::convert::Rule;
use crate::publication::{Field, FieldSource, Publication, When};

/// What is wrong with a row: field of the contract or column of the table, and the broken rule.
pub(crate) type Broken = (String, Rule);

/// Judges rows for one publication. What the publication does not use cannot set a row aside.
pub(crate) struct Judge<'p> {
    pub(crate) publication: &'p Publication,
    pub(crate) table: &'p TableCapture,
    /// Values of both sides that no cell can hold.
    pub(crate) broken: &'p [BrokenValue],
}

impl Judge<'_> {
    /// Whether the row counts for the publication.
    pub(crate) fn counts(&self, cells: &[Cell<'_>]) -> bool {
        self.publication.when.as_ref().is_none_or(|when| holds(when, cells))
    }

    /// Every value that the publication takes from a row could be read.
    pub(crate) fn whole(&self, side: Side) -> Result<(), Broken> {
        let mut here = self.broken.iter().filter(|broken| broken.side == side);
        let used = here.find(|broken| self.uses(broken.column));
        used.map_or(Ok(()), |broken| Err((self.name(broken), broken.rule)))
    }

    /// The key counts as used: a row without one cannot be followed.
    fn uses(&self, column: usize) -> bool {
        let name = &self.table.columns[column];
        self.table.key.contains(name) || self.publication.fields.iter().any(|field| takes(field, column))
    }

    fn name(&self, broken: &BrokenValue) -> String {
        self.table.columns[broken.column].clone()
    }
}

/// A `when` that cannot be evaluated for a row does not hold.
fn holds(when: &When, cells: &[Cell<'_>]) -> bool {
    let inputs: Vec<Cell<'_>> = when.columns.iter().map(|&column| cells[column]).collect();
    when.predicate.matches(&inputs).unwrap_or(false)
}

fn takes(field: &Field, column: usize) -> bool {
    match &field.source {
        FieldSource::Column(from) | FieldSource::List { column: from, .. } => *from == column,
        FieldSource::PartialDate { date, precision } => *date == column || *precision == column,
        FieldSource::Constant(_) => false,
    }
}
