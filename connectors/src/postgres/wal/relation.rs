//! From a table as the stream describes it to the cells of its rows.

use bumpalo::Bump;
use lienthong_contract::Cell;
use lienthong_contract::source::{BrokenValue, Side, TableCapture};

use super::super::decode::Reading;
use super::message::{Old, Relation};
use super::tuple::{Tuple, Value};
use super::types::{Type, Types};
use super::{binary, text};

/// What keeps a table, as it is now, from being captured as it was planned. Each names the column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// The stream has no such column: it was dropped, renamed, is computed, or the publication leaves it out. Rows are given with
    /// the value broken.
    Missing(String),
    /// Its type is now one whose values are other cells than before.
    Retyped(String),
    /// Nothing is known of its type: to be asked of the catalogue. Until then its values are broken.
    UnknownType(String, u32),
    /// Its type is not captured from the log. Its values are broken.
    Unreadable(String),
    /// It is part of the key, and old rows do not hold it: of an update or a delete nobody could say which row it was.
    KeyOutsideIdentity(String),
}

/// How the rows of a table are read until the stream describes it anew.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Values in a row of the stream.
    width: usize,
    /// One per column of the capture, in its order.
    columns: Vec<Planned>,
}

#[derive(Clone, Debug)]
struct Planned {
    /// Index into a row of the stream.
    at: Option<usize>,
    of: Option<Type>,
    identity: bool,
    /// Rows do not have it, and that means null.
    absent: bool,
}

/// A row's needed columns.
pub(crate) struct Row<'a> {
    /// In the order of [`TableCapture::columns`]; null where the message does not say.
    pub(crate) cells: &'a mut [Cell<'a>],
    /// Which of them the message says.
    pub(crate) part: Part,
    /// Columns that the message leaves out because they are stored out of line and have not changed. Theirs is the value of before,
    /// which whoever gives the row out must find.
    pub(crate) unchanged: Vec<usize>,
}

/// How much of a row a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Every column.
    Whole,
    /// The columns of which [`Plan::in_identity`] is true; that another is null means nothing.
    Identity,
}

/// A row that has another number of values than its table was described with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Misfit;

impl Plan {
    /// `known` is what the columns were read as before, as far as it is known.
    pub(crate) fn new(
        capture: &TableCapture,
        relation: &Relation<'_>,
        types: &Types,
        known: &[Reading],
    ) -> (Self, Vec<Difference>) {
        let mut differences = Vec::new();
        let columns = capture.columns.iter().enumerate().map(|(index, name)| {
            let at = relation.columns.iter().position(|column| column.name == name);
            let Some(column) = at.and_then(|at| relation.columns.get(at)) else {
                differences.push(Difference::Missing(name.clone()));
                return Planned { at: None, of: None, identity: false, absent: false };
            };
            let of = types.get(column.type_oid);
            match of.as_ref().map(Type::reading) {
                None => differences.push(Difference::UnknownType(name.clone(), column.type_oid)),
                Some(None) => differences.push(Difference::Unreadable(name.clone())),
                Some(Some(reading)) if known.get(index).is_some_and(|known| *known != reading) => {
                    differences.push(Difference::Retyped(name.clone()));
                }
                Some(Some(_)) => {}
            }
            Planned { at, of, identity: column.identity, absent: false }
        });
        let columns = columns.collect();
        for name in &capture.key {
            let there = relation.columns.iter().find(|column| column.name == name);
            if there.is_some_and(|column| !column.identity) {
                differences.push(Difference::KeyOutsideIdentity(name.clone()));
            }
        }
        (Self { width: relation.columns.len(), columns }, differences)
    }

    /// The same, and this column of the capture, which rows do not have, is null in them.
    pub(crate) fn without(mut self, column: usize) -> Self {
        if let Some(planned) = self.columns.get_mut(column).filter(|planned| planned.at.is_none()) {
            (planned.absent, planned.identity) = (true, true);
        }
        self
    }

    /// Whether old rows always hold this column of the capture.
    pub(crate) fn in_identity(&self, column: usize) -> bool {
        self.columns.get(column).is_some_and(|planned| planned.identity)
    }

    /// Whether the stream may be asked for the binary form as far as this table is concerned.
    pub(crate) fn binary_fits(&self) -> bool {
        self.columns.iter().filter_map(|planned| planned.of.as_ref()).all(Type::binary_fits)
    }

    /// Reads a row as it is now. Values that no cell can hold are named in `broken` and null.
    pub(crate) fn new_row<'a>(
        &self,
        tuple: Tuple<'a>,
        broken: &mut Vec<BrokenValue>,
        arena: &'a Bump,
    ) -> Result<Row<'a>, Misfit> {
        self.row((tuple, Part::Whole), (Side::After, broken), arena)
    }

    /// Reads a row as it was, as far as the message tells.
    pub(crate) fn old_row<'a>(
        &self,
        old: Old<'a>,
        broken: &mut Vec<BrokenValue>,
        arena: &'a Bump,
    ) -> Result<Row<'a>, Misfit> {
        let old = match old {
            Old::Key(tuple) => (tuple, Part::Identity),
            Old::Full(tuple) => (tuple, Part::Whole),
        };
        self.row(old, (Side::Before, broken), arena)
    }

    fn row<'a>(
        &self,
        (tuple, part): (Tuple<'a>, Part),
        (side, broken): (Side, &mut Vec<BrokenValue>),
        arena: &'a Bump,
    ) -> Result<Row<'a>, Misfit> {
        if tuple.len() != self.width {
            return Err(Misfit);
        }
        let values = arena.alloc_slice_fill_copy(self.width, Value::Null);
        for (place, value) in values.iter_mut().zip(tuple.values()) {
            *place = value;
        }
        let cells = arena.alloc_slice_fill_copy(self.columns.len(), Cell::Null);
        let mut unchanged = Vec::new();
        for (column, planned) in self.columns.iter().enumerate() {
            if part == Part::Identity && !planned.identity {
                continue;
            }
            match planned.read(values, arena) {
                Ok(Some(cell)) => cells[column] = cell,
                Ok(None) => unchanged.push(column),
                Err(rule) => broken.push(BrokenValue { side, column, rule }),
            }
        }
        Ok(Row { cells, part, unchanged })
    }
}

impl Planned {
    /// This column's cell of a row; `None` for what has not changed.
    fn read<'a>(&self, values: &[Value<'a>], arena: &'a Bump) -> Result<Option<Cell<'a>>, &'static str> {
        if self.absent {
            return Ok(Some(Cell::Null));
        }
        let value = self.at.and_then(|at| values.get(at)).ok_or("missing-column")?;
        let of = self.of.as_ref().ok_or("unknown-type");
        match value {
            Value::Null => Ok(Some(Cell::Null)),
            Value::Unchanged => Ok(None),
            Value::Text(bytes) => text::read(bytes, of?, arena).map(Some),
            Value::Binary(bytes) => binary::read(bytes, of?, arena).map(Some),
        }
    }
}
