//! `where`: whether an event is a subscription's business.
//!
//! An event that does not match is outside and skipped. A row that leaves the filter by a change therefore stays at the
//! subscriber with its last matching values, until it is deleted or revoked; agreements filter by what does not change.

use lienthong_contract::predicate::PredicateFault;
use lienthong_schemas::Cell;

use crate::subscription::RowFilter;

/// Judges decoded events; keeps its buffer.
#[derive(Debug, Default)]
pub(crate) struct Sieve<'a> {
    cells: Vec<Cell<'a>>,
}

impl<'a> Sieve<'a> {
    /// Whether the decoded cells match; without a filter everything does.
    ///
    /// # Errors
    /// When the condition has no answer for the row.
    pub(crate) fn passes(
        &mut self,
        filter: Option<&RowFilter>,
        row: &[Cell<'a>],
    ) -> Result<bool, PredicateFault> {
        let Some(filter) = filter else { return Ok(true) };
        self.cells.clear();
        self.cells.extend(filter.inputs.iter().map(|path| row[*path]));
        filter.predicate.matches(&self.cells)
    }
}
