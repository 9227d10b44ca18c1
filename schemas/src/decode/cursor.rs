//! The place in a datum, what is left of the record's bound, and how to step over what nobody asked for.

use super::DecodeProblem;
use crate::plan::Limits;
use crate::shape::{Shape, UuidForm};
use crate::varint::{self, VarintError};

pub(super) type Fault = Box<crate::fault::Fault<DecodeProblem>>;

/// How to step over one value.
#[derive(Clone, Debug)]
pub(super) enum Skip {
    Fixed(usize),
    Integer,
    /// A length and so many bytes.
    Prefixed,
    /// Blocks of items of at least `min_bytes` each.
    Blocks {
        item: Box<Skip>,
        min_bytes: usize,
    },
    Optional {
        null_first: bool,
        inner: Box<Skip>,
    },
    Each(Vec<Skip>),
}

impl Skip {
    pub(super) fn of(shape: &Shape) -> Skip {
        match shape {
            Shape::Null => Skip::Fixed(0),
            Shape::Bool => Skip::Fixed(1),
            Shape::Float => Skip::Fixed(4),
            Shape::Double => Skip::Fixed(8),
            Shape::Fixed(size) => Skip::Fixed(*size),
            Shape::Decimal(decimal) => decimal.fixed.map_or(Skip::Prefixed, Skip::Fixed),
            Shape::Uuid(UuidForm::Fixed) => Skip::Fixed(16),
            Shape::Uuid(_) | Shape::Bytes | Shape::Text => Skip::Prefixed,
            Shape::Int
            | Shape::Long
            | Shape::Enum(_)
            | Shape::Date
            | Shape::TimeMillis
            | Shape::TimeMicros
            | Shape::TimestampMillis { .. }
            | Shape::TimestampMicros { .. } => Skip::Integer,
            Shape::List(item) => Skip::Blocks { min_bytes: item.min_bytes(), item: Box::new(Skip::of(item)) },
            Shape::Map(value) => Skip::Blocks {
                min_bytes: 1 + value.min_bytes(),
                item: Box::new(Skip::Each(vec![Skip::Prefixed, Skip::of(value)])),
            },
            Shape::Record(record) => {
                Skip::Each(record.fields.iter().map(|field| Skip::of(&field.shape)).collect())
            }
            Shape::Optional { null_first, inner } => {
                Skip::Optional { null_first: *null_first, inner: Box::new(Skip::of(inner)) }
            }
        }
    }
}

/// One block of an array or a map.
pub(super) struct Block {
    pub(super) count: usize,
    /// Where the block must end, if it says so.
    pub(super) end: Option<usize>,
}

pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    limits: Limits,
    list_cells: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Cursor { bytes, at: 0, limits, list_cells: limits.list_cells }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn back_to(&mut self, at: usize) {
        self.at = at;
    }

    pub(super) fn fault(&self, problem: DecodeProblem) -> Fault {
        crate::fault::Fault::new(problem, self.at)
    }

    pub(super) fn check_length(&self) -> Result<(), Fault> {
        let limit = self.limits.record_bytes;
        if self.bytes.len() > limit { Err(self.fault(DecodeProblem::TooLong { limit })) } else { Ok(()) }
    }

    /// List cells that the record may still have.
    pub(super) fn list_cells(&self) -> usize {
        self.list_cells
    }

    /// Takes list cells from the record's bound.
    pub(super) fn charge(&mut self, cells: usize) -> Result<(), Fault> {
        match self.list_cells.checked_sub(cells) {
            Some(left) => {
                self.list_cells = left;
                Ok(())
            }
            None => Err(self.fault(DecodeProblem::TooManyItems { limit: self.limits.list_cells })),
        }
    }

    #[inline]
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let rest = &self.bytes[self.at..];
        match rest.get(..length) {
            Some(taken) => {
                self.at += length;
                Ok(taken)
            }
            None => Err(self.fault(DecodeProblem::Truncated)),
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        match self.bytes[self.at..].first_chunk::<N>() {
            Some(chunk) => {
                self.at += N;
                Ok(*chunk)
            }
            None => Err(self.fault(DecodeProblem::Truncated)),
        }
    }

    #[inline]
    pub(super) fn long(&mut self) -> Result<i64, Fault> {
        match varint::read(&self.bytes[self.at..]) {
            Ok((value, length)) => {
                self.at += length;
                Ok(value)
            }
            Err(VarintError::Truncated) => Err(self.fault(DecodeProblem::Truncated)),
            Err(VarintError::TooLong) => Err(self.fault(DecodeProblem::Integer)),
        }
    }

    pub(super) fn int(&mut self) -> Result<i32, Fault> {
        let value = self.long()?;
        i32::try_from(value).map_err(|_| self.fault(DecodeProblem::Range))
    }

    #[inline]
    pub(super) fn prefixed(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.long()?;
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => Err(self.fault(DecodeProblem::Length)),
        }
    }

    /// Whether an optional value is there.
    #[inline]
    pub(super) fn present(&mut self, null_first: bool) -> Result<bool, Fault> {
        match self.long()? {
            0 => Ok(!null_first),
            1 => Ok(null_first),
            _ => Err(self.fault(DecodeProblem::Tag)),
        }
    }

    /// The head of the next block; `None` after the last. A count that the remaining bytes cannot hold, or
    /// that exceeds the record's bound, is refused before anything is allocated for it.
    pub(super) fn block(&mut self, min_bytes: usize) -> Result<Option<Block>, Fault> {
        let count = self.long()?;
        if count == 0 {
            return Ok(None);
        }
        let end = if count < 0 {
            let size = usize::try_from(self.long()?).map_err(|_| self.fault(DecodeProblem::Length))?;
            if size > self.bytes.len() - self.at {
                return Err(self.fault(DecodeProblem::Truncated));
            }
            Some(self.at + size)
        } else {
            None
        };
        let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        if count.saturating_mul(min_bytes) > end.unwrap_or(self.bytes.len()) - self.at {
            return Err(self.fault(DecodeProblem::Truncated));
        }
        self.charge(count)?;
        Ok(Some(Block { count, end }))
    }

    /// After the items of a block: it must end where it said. Otherwise one reader that steps over the block
    /// and one that reads it would see different records.
    pub(super) fn close(&self, block: &Block) -> Result<(), Fault> {
        match block.end {
            Some(end) if end != self.at => Err(self.fault(DecodeProblem::Length)),
            _ => Ok(()),
        }
    }

    pub(super) fn skip(&mut self, skip: &Skip) -> Result<(), Fault> {
        match skip {
            Skip::Fixed(length) => self.take(*length).map(drop),
            Skip::Integer => self.long().map(drop),
            Skip::Prefixed => self.prefixed().map(drop),
            Skip::Blocks { item, min_bytes } => self.skip_blocks(item, *min_bytes),
            Skip::Optional { null_first, inner } => {
                if self.present(*null_first)? {
                    self.skip(inner)
                } else {
                    Ok(())
                }
            }
            Skip::Each(parts) => parts.iter().try_for_each(|part| self.skip(part)),
        }
    }

    fn skip_blocks(&mut self, item: &Skip, min_bytes: usize) -> Result<(), Fault> {
        while let Some(block) = self.block(min_bytes)? {
            match block.end {
                Some(end) => self.at = end,
                None => {
                    for _ in 0..block.count {
                        self.skip(item)?;
                    }
                }
            }
        }
        Ok(())
    }
}
