//! One side of a change, the row before or after it, as one publication sees it. Pure.

use lienthong_contract::source::{BrokenValue, Side, TableCapture};
use lienthong_schemas::Cell;

use crate::convert::Rule;
use crate::publication::Publication;

/// What is wrong with a row: field of the contract or column of the table, and the broken rule.
pub(crate) type Broken = (String, Rule);

/// `when` has no answer for a row, so nobody can say whether it is to be published.
const NO_ANSWER: Rule = "when-not-evaluated";

/// Judges rows for one publication. What the publication does not use cannot set a row aside.
pub(crate) struct Judge<'p> {
    pub(crate) publication: &'p Publication,
    pub(crate) table: &'p TableCapture,
    /// Values of both sides that no cell can hold.
    pub(crate) broken: &'p [BrokenValue],
}

impl Judge<'_> {
    /// The row, if it counts for the publication.
    ///
    /// # Errors
    /// When that cannot be said: `when` reads a value that no cell can hold, or has no answer for the values that stand there.
    pub(crate) fn counting<'r, 'c>(
        &self,
        side: Side,
        row: Option<&'r [Cell<'c>]>,
    ) -> Result<Option<&'r [Cell<'c>]>, Broken> {
        let (Some(when), Some(cells)) = (&self.publication.when, row) else { return Ok(row) };
        if let Some(broken) = self.here(side).find(|broken| when.columns.contains(&broken.column)) {
            return Err((self.name(broken), NO_ANSWER));
        }
        let inputs: Vec<Cell<'_>> = when.columns.iter().map(|&column| cells[column]).collect();
        let holds = when.predicate.matches(&inputs).map_err(|_| ("when".to_owned(), NO_ANSWER))?;
        Ok(Some(cells).filter(|_| holds))
    }

    /// Every value that the publication takes from a row could be read.
    pub(crate) fn whole(&self, side: Side) -> Result<(), Broken> {
        let used = self.here(side).find(|broken| self.uses(broken.column));
        used.map_or(Ok(()), |broken| Err((self.name(broken), broken.rule)))
    }

    fn here(&self, side: Side) -> impl Iterator<Item = &BrokenValue> {
        self.broken.iter().filter(move |broken| broken.side == side)
    }

    /// The key counts as used: a row without one cannot be followed.
    fn uses(&self, column: usize) -> bool {
        self.table.columns.get(column).is_some_and(|name| self.table.key.contains(name))
            || self.publication.fields.iter().any(|field| field.source.columns().any(|taken| taken == column))
    }

    fn name(&self, broken: &BrokenValue) -> String {
        self.table.names().swap_remove(broken.column)
    }
}
