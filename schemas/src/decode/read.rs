//! Reading one value of the writer as the reader's cell.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::DecodeProblem;
use super::cursor::{Cursor, Fault, Skip};
use crate::cell::{Cell, Decimal};
use crate::defaults::OwnedCell;
use crate::uuid_text;

/// What to read, promotion included.
#[derive(Clone, Debug)]
pub(super) enum Read {
    Null,
    Bool,
    Int,
    Long,
    /// int or long to float.
    LongAsFloat {
        int: bool,
    },
    /// int or long to double.
    LongAsDouble {
        int: bool,
    },
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    /// The reader's symbol for each of the writer's numbers, if it has one.
    Symbol(Vec<Option<String>>),
    Decimal {
        scale: u32,
        fixed: Option<usize>,
    },
    UuidText,
    UuidBytes,
    UuidFixed,
    Date,
    TimeMillis,
    TimeMicros,
    TimestampMillis,
    TimestampMicros,
    List {
        item: Box<Read>,
        min_bytes: usize,
    },
    Map {
        value: Box<Read>,
        min_bytes: usize,
    },
    Record(ReadRecord),
    Optional {
        null_first: bool,
        null_allowed: bool,
        inner: Box<Read>,
    },
}

/// A whole nested record as a list in the order of the reader's fields.
#[derive(Clone, Debug)]
pub(super) struct ReadRecord {
    pub(super) width: usize,
    /// The writer's fields in its order.
    pub(super) fields: Vec<ReadField>,
    /// The reader's fields that the writer does not have.
    pub(super) defaults: Vec<(usize, OwnedCell)>,
}

#[derive(Clone, Debug)]
pub(super) struct ReadField {
    pub(super) name: String,
    pub(super) into: Into,
}

#[derive(Clone, Debug)]
pub(super) enum Into {
    Place(usize, Read),
    Nowhere(Skip),
}

impl Read {
    pub(super) fn read<'a>(&'a self, cursor: &mut Cursor<'a>, arena: &'a Bump) -> Result<Cell<'a>, Fault> {
        Ok(match self {
            Read::Text => Cell::Str(text(cursor)?),
            Read::Optional { null_first, null_allowed, inner } => {
                if cursor.present(*null_first)? {
                    return inner.read(cursor, arena);
                }
                if !null_allowed {
                    return Err(cursor.fault(DecodeProblem::Null));
                }
                Cell::Null
            }
            Read::Null => Cell::Null,
            Read::Bool => match cursor.array::<1>()? {
                [0] => Cell::Bool(false),
                [1] => Cell::Bool(true),
                _ => return Err(cursor.fault(DecodeProblem::Tag)),
            },
            Read::Int => Cell::I64(i64::from(cursor.int()?)),
            Read::Long => Cell::I64(cursor.long()?),
            Read::LongAsFloat { int } => Cell::F64(f64::from(whole(cursor, *int)? as f32)),
            Read::LongAsDouble { int } => Cell::F64(whole(cursor, *int)? as f64),
            Read::Float => Cell::F64(f64::from(f32::from_le_bytes(cursor.array()?))),
            Read::Double => Cell::F64(f64::from_le_bytes(cursor.array()?)),
            Read::Bytes => Cell::Bytes(cursor.prefixed()?),
            Read::Fixed(size) => Cell::Bytes(cursor.take(*size)?),
            Read::Symbol(symbols) => symbol(cursor, symbols)?,
            Read::Decimal { scale, fixed } => {
                let unscaled = match fixed {
                    Some(size) => cursor.take(*size)?,
                    None => cursor.prefixed()?,
                };
                Cell::Decimal(Decimal { unscaled, scale: *scale })
            }
            Read::UuidText | Read::UuidBytes | Read::UuidFixed => self.uuid(cursor)?,
            Read::Date => Cell::Date(cursor.int()?),
            Read::TimeMillis => Cell::Time(i64::from(cursor.int()?) * 1_000),
            Read::TimeMicros => Cell::Time(cursor.long()?),
            Read::TimestampMillis => {
                let micros = cursor.long()?.checked_mul(1_000);
                Cell::Timestamp(micros.ok_or_else(|| cursor.fault(DecodeProblem::Range))?)
            }
            Read::TimestampMicros => Cell::Timestamp(cursor.long()?),
            Read::List { item, min_bytes } => list(item, *min_bytes, cursor, arena)?,
            Read::Map { value, min_bytes } => map(value, *min_bytes, cursor, arena)?,
            Read::Record(record) => record.read(cursor, arena)?,
        })
    }

    fn uuid<'a>(&self, cursor: &mut Cursor<'a>) -> Result<Cell<'a>, Fault> {
        let uuid = match self {
            Read::UuidText => uuid_text::parse(cursor.prefixed()?),
            Read::UuidBytes => cursor.prefixed()?.try_into().ok(),
            _ => Some(cursor.array()?),
        };
        uuid.map(Cell::Uuid).ok_or_else(|| cursor.fault(DecodeProblem::Uuid))
    }
}

impl ReadRecord {
    fn read<'a>(&'a self, cursor: &mut Cursor<'a>, arena: &'a Bump) -> Result<Cell<'a>, Fault> {
        cursor.charge(self.width)?;
        let cells = arena.alloc_slice_fill_copy(self.width, Cell::Null);
        for field in &self.fields {
            match &field.into {
                Into::Nowhere(skip) => cursor.skip(skip),
                Into::Place(place, read) => read.read(cursor, arena).map(|cell| cells[*place] = cell),
            }
            .map_err(|fault| fault.within(&field.name))?;
        }
        for (place, value) in &self.defaults {
            cursor.charge(value.list_cells())?;
            cells[*place] = value.cell(arena);
        }
        Ok(Cell::List(cells))
    }
}

fn text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, Fault> {
    let bytes = cursor.prefixed()?;
    std::str::from_utf8(bytes).map_err(|_| cursor.fault(DecodeProblem::Utf8))
}

fn whole(cursor: &mut Cursor<'_>, int: bool) -> Result<i64, Fault> {
    if int { cursor.int().map(i64::from) } else { cursor.long() }
}

fn symbol<'a>(cursor: &mut Cursor<'_>, symbols: &'a [Option<String>]) -> Result<Cell<'a>, Fault> {
    let number = cursor.long()?;
    match usize::try_from(number).ok().and_then(|number| symbols.get(number)) {
        Some(Some(symbol)) => Ok(Cell::Str(symbol)),
        _ => Err(cursor.fault(DecodeProblem::Symbol)),
    }
}

/// Room for so many more. A list of many blocks doubles as it grows, but never beyond what its record may still hold: the arena keeps
/// what was outgrown.
fn make_room<'a>(items: &mut BumpVec<'a, Cell<'a>>, more: usize, left: usize) {
    let needed = items.len() + more;
    if needed > items.capacity() {
        let wanted = needed.max((2 * items.capacity()).min(needed + left));
        items.reserve_exact(wanted - items.len());
    }
}

fn list<'a>(
    item: &'a Read,
    min_bytes: usize,
    cursor: &mut Cursor<'a>,
    arena: &'a Bump,
) -> Result<Cell<'a>, Fault> {
    let mut items = BumpVec::new_in(arena);
    while let Some(block) = cursor.block(min_bytes)? {
        make_room(&mut items, block.count, cursor.list_cells());
        for _ in 0..block.count {
            let cell = item.read(cursor, arena).map_err(|fault| fault.at(items.len()))?;
            items.push(cell);
        }
        cursor.close(&block)?;
    }
    Ok(Cell::List(items.into_bump_slice()))
}

fn map<'a>(
    value: &'a Read,
    min_bytes: usize,
    cursor: &mut Cursor<'a>,
    arena: &'a Bump,
) -> Result<Cell<'a>, Fault> {
    let mut entries = BumpVec::new_in(arena);
    while let Some(block) = cursor.block(min_bytes)? {
        // The block itself has been charged for one cell each.
        cursor.charge(block.count.saturating_mul(2))?;
        make_room(&mut entries, block.count, cursor.list_cells() / 3);
        for _ in 0..block.count {
            let at = |fault: Fault| fault.at(entries.len());
            let key = text(cursor).map_err(at)?;
            let value = value.read(cursor, arena).map_err(at)?;
            entries.push(Cell::List(arena.alloc_slice_copy(&[Cell::Str(key), value])));
        }
        cursor.close(&block)?;
    }
    Ok(Cell::List(entries.into_bump_slice()))
}
