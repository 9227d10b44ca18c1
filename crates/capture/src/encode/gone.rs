//! Deletions of the rows that an emptied table had: each carries what the last event of its row said.

use lienthong_contract::event::{Operation, log_sequence};
use lienthong_contract::source::{Emptied, RowChange, RowOp};
use lienthong_log::{Batch, LogError};
use lienthong_schemas::Cell;

use super::{Encoder, Event};
use crate::emptied::{Known, Scan, ScanParts};

/// The number of the entry that an event's id names: what [`Encoder::id`] has put behind the change, in front of person and rekey.
pub(crate) fn entry_of(id: &str) -> Option<usize> {
    let (_, end) = id.rsplit_once('-')?;
    end.trim_end_matches('r').split('.').next()?.parse().ok()
}

impl Encoder {
    /// The name of an emptied table.
    pub(crate) fn table_of(&self, emptied: &Emptied) -> &str {
        &self.parts.tables[emptied.table].table
    }

    /// Everything that has been encoded, also what may be the last of the transaction under way: that does not say so then.
    pub(crate) fn release(&mut self) -> Vec<Batch> {
        if let Some(of) = &mut self.transaction {
            of.pushed = 0;
        }
        self.pushed = false;
        self.batches.take(false)
    }

    /// What looks for the rows that are known of an emptied table, for each entry that it feeds.
    ///
    /// # Errors
    /// When the contract of this very program cannot be read.
    pub(crate) fn scans(&self, emptied: &Emptied) -> Result<Vec<Scan>, LogError> {
        let mut sequence = String::new();
        log_sequence(self.parts.lineage_epoch, emptied.place.lsn, emptied.place.index, &mut sequence);
        let entries = self.by_table.get(emptied.table).into_iter().flat_map(|of| of.iter().copied());
        let scan = |index: usize| {
            Scan::new(ScanParts {
                publications: self.parts.publications.clone(),
                index,
                capture: self.parts.tables[emptied.table].clone(),
                lanes: self.lanes[index].clone(),
                urn: self.parts.urn.clone(),
                own: format!("{}-{}.", self.parts.lineage_epoch, emptied.id),
                sequence: sequence.clone(),
                keys: self.parts.keys.clone(),
            })
        };
        entries.map(scan).collect()
    }

    /// Deletes a row of an emptied table. The event belongs to no place in its transaction: how many there are is known only at the end.
    ///
    /// # Errors
    /// When the record does not fit the log, though that of its last event did.
    pub(crate) fn gone(
        &mut self,
        emptied: &Emptied,
        publication: usize,
        known: &Known,
    ) -> Result<(), LogError> {
        let id = format!("{}.{}", emptied.id, known.row.hex());
        let row = RowChange {
            table: emptied.table,
            op: RowOp::Delete,
            id: &id,
            moved_from: None,
            time: emptied.time,
            place: Some(emptied.place),
            before: None,
            after: None,
            broken: &[],
            looked_up: &[],
        };
        self.causes.begin(&row);
        self.last_event_time = self.last_event_time.max(Some(row.time));
        self.value.clear();
        self.value.extend_from_slice(&known.value);
        self.flag_text.clear();
        self.correlation.clear();
        self.looked_up.clear();
        let transaction = self.transaction.take();
        let event =
            Event { publication, operation: Operation::Delete, person: None, subject: &known.subject };
        let sent = self.emit(&row, &event);
        self.transaction = transaction;
        sent.map_err(|(_, rule)| LogError::Inconsistent(format!("the deletion of a row breaks {rule}")))?;
        let key = Cell::Bytes(&known.row.0);
        self.batches.change_done(emptied.table, RowOp::Delete, std::iter::once(&key));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::entry_of;

    #[test]
    fn an_id_names_its_entry_whatever_stands_around_it() {
        for (id, entry) in [
            ("1-w00000000056fe0d8/6-2", Some(2)),
            ("2-w00000000056fe0d8/6.1-13.1", Some(13)),
            ("1-p0a1b2c3d4e5f-ff-0.1r", Some(0)),
            ("1-w00000000056fe0d8/6-4r", Some(4)),
            ("1-w00000000056fe0d8/6-", None),
            ("", None),
        ] {
            assert_eq!(entry_of(id), entry, "{id}");
        }
    }
}
