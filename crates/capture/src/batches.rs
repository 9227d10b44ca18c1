//! What one poll becomes: batches that are appended one after the other, each durable before the next is sent. Pure.
//!
//! One batch lands partition by partition, and a crash may leave any of them behind. What did not land is sent again by the next
//! writer, with a higher `ce_sequence` than everything that landed. So two changes of one source row that go to different partitions
//! must not lie in one batch: were the later one to land alone, the earlier one would come again as the newer, and its values would
//! win wherever the row is known by its record's number. The batch is cut before the later change. A row whose key changes is
//! deleted under the old key and inserted under the new one, one directly after the other: such a pair counts as one row.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash as _, Hasher, RandomState};

use lienthong_contract::source::RowOp;
use lienthong_log::record::{NewRecord, Pushed, TooLong};
use lienthong_log::{Batch, TopicPartition};
use lienthong_schemas::Cell;

/// Where a source row's records of the open batch lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// All in this part.
    One(usize),
    /// In several, by one change.
    Several,
}

/// Records of one poll.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    cut: Vec<Batch>,
    open: Batch,
    /// Source rows with records in the open batch, by digest. Two rows with one digest are cut apart in vain, no more.
    rows: HashMap<u64, Place>,
    /// Records of the change under way.
    change: Vec<Pushed>,
    /// Table and place of the change before, where it was a deletion.
    gone: Option<(usize, Place)>,
    /// The newest change that has records, in the open batch; its row's digest.
    last: Vec<Pushed>,
    last_row: u64,
    digests: RandomState,
}

impl Batches {
    /// Adds a record of the change under way; [`Batches::change_done`] must follow.
    pub(crate) fn push(&mut self, target: &TopicPartition, record: &NewRecord<'_>) -> Result<(), TooLong> {
        self.change.push(self.open.push(target, record)?);
        Ok(())
    }

    /// How many records of the change under way there are.
    pub(crate) fn of_change(&self) -> usize {
        self.change.len()
    }

    /// Takes all but the first `kept` records of the change under way out again.
    pub(crate) fn undo(&mut self, kept: usize) {
        self.open.undo(&self.change.split_off(kept));
    }

    /// All records of a change are in. `key` are the cells of its row's key.
    pub(crate) fn change_done<'c>(
        &mut self,
        table: usize,
        op: RowOp,
        key: impl Iterator<Item = &'c Cell<'c>>,
    ) {
        let gone = self.gone.take().filter(|(of, _)| *of == table && op == RowOp::Insert);
        let Some(place) = place(&self.change) else { return };
        let mut digest = self.digests.build_hasher();
        table.hash(&mut digest);
        key.for_each(|cell| feed(cell, &mut digest));
        let row = digest.finish();
        let apart = |known: &Place| *known != place || place == Place::Several;
        let elsewhere = self.rows.get(&row).is_some_and(apart) || gone.is_some_and(|(_, gone)| apart(&gone));
        let place = if elsewhere { self.split() } else { place };
        self.gone = (op == RowOp::Delete).then_some((table, place));
        self.rows.insert(row, place);
        std::mem::swap(&mut self.last, &mut self.change);
        self.change.clear();
        self.last_row = row;
    }

    /// Gives the newest record one more header, if it is still here.
    pub(crate) fn add_to_last(&mut self, name: &str, value: &str) {
        if let Some(last) = self.last.last() {
            self.open.add_header(last, name, value.as_bytes());
        }
    }

    /// Moves the change under way into a batch of its own.
    fn split(&mut self) -> Place {
        let later = self.open.split_off(&mut self.change);
        self.cut.push(std::mem::replace(&mut self.open, later));
        self.rows.clear();
        self.gone = None;
        if self.open.parts.len() == 1 { Place::One(0) } else { Place::Several }
    }

    /// Everything since the last call, in the order in which it must become durable; no batch is empty. With `hold` the newest change
    /// stays.
    pub(crate) fn take(&mut self, hold: bool) -> Vec<Batch> {
        let held = if hold { self.open.split_off(&mut self.last) } else { Batch::default() };
        let mut all = std::mem::take(&mut self.cut);
        all.extend(Some(std::mem::replace(&mut self.open, held)).filter(|batch| !batch.is_empty()));
        self.rows.clear();
        match place(&self.last).filter(|_| hold) {
            Some(place) => {
                self.rows.insert(self.last_row, place);
                self.gone = self.gone.map(|(table, _)| (table, place));
            }
            None => {
                self.last.clear();
                self.gone = None;
            }
        }
        all
    }
}

fn place(change: &[Pushed]) -> Option<Place> {
    let (first, rest) = change.split_first()?;
    let one = rest.iter().all(|pushed| pushed.part == first.part);
    Some(if one { Place::One(first.part) } else { Place::Several })
}

fn feed(cell: &Cell<'_>, digest: &mut impl Hasher) {
    cell.kind().hash(digest);
    match cell {
        Cell::Null => {}
        Cell::Bool(value) => value.hash(digest),
        Cell::I64(value) | Cell::Time(value) | Cell::Timestamp(value) => value.hash(digest),
        Cell::F64(value) => value.to_bits().hash(digest),
        Cell::Decimal(value) => (value.unscaled, value.scale).hash(digest),
        Cell::Str(text) => text.hash(digest),
        Cell::Bytes(bytes) => bytes.hash(digest),
        Cell::Date(days) => days.hash(digest),
        Cell::Uuid(bytes) => bytes.hash(digest),
        Cell::List(items) => items.iter().for_each(|item| feed(item, digest)),
    }
}
