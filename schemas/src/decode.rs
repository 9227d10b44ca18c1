//! From an Avro datum to borrowed cells, by a plan compiled once per (writer's schema, reader's schema, paths).
//!
//! Resolution between the two schemas is settled when the plan is compiled; a record only pays for the paths
//! that were asked for. Everything else is stepped over by its length.

mod compile;
mod cursor;
mod read;

use apache_avro::Schema;
use bumpalo::Bump;
use thiserror::Error;

use crate::cell::Cell;
use crate::defaults::OwnedCell;
use crate::path::FieldPath;
use crate::plan::{Limits, PlanError};
use cursor::{Cursor, Fault, Skip};
use read::Read;

/// How data of one writer's schema become cells of one reader's schema.
#[derive(Clone, Debug)]
pub struct DecodePlan {
    steps: Vec<Step>,
    width: usize,
    limits: Limits,
}

#[derive(Clone, Debug)]
struct Step {
    name: String,
    op: Op,
}

#[derive(Clone, Debug)]
enum Op {
    /// Nobody asked for this field.
    Skip(Skip),
    /// One value into one cell.
    Read { slot: usize, read: Read },
    /// The reader's default: the writer has no such field.
    Default { slot: usize, value: OwnedCell },
    /// A nested record, some of whose fields were asked for.
    Record(Vec<Step>),
    /// An optional one. Null leaves the cells null, unless the reader forbids it.
    Optional { null_first: bool, null_allowed: bool, inner: Box<Op> },
    /// The same bytes several times: a field was asked for more than once.
    Again(Vec<Op>),
}

/// A datum that is not what its schema says. It names the place and the rule, never the value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{path}` at byte {offset}: {problem}")]
pub struct DecodeError {
    /// Dotted path of the field, with positions in lists; empty for the record itself.
    pub path: String,
    /// Byte of the datum at which reading stopped.
    pub offset: usize,
    /// What is wrong.
    pub problem: DecodeProblem,
}

/// What can be wrong with a datum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeProblem {
    /// Longer than a record may be.
    #[error("the record exceeds {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// The bytes end inside a value.
    #[error("the record ends early")]
    Truncated,
    /// Bytes are left over.
    #[error("bytes are left over")]
    Trailing,
    /// A negative length, or a block that does not end where it says.
    #[error("a wrong length")]
    Length,
    /// More elements than a record may have.
    #[error("the lists exceed {limit} cells")]
    TooManyItems {
        /// The limit.
        limit: usize,
    },
    /// An integer of more than ten bytes.
    #[error("a malformed integer")]
    Integer,
    /// An integer outside the range of its type.
    #[error("outside the range of the type")]
    Range,
    /// A boolean or a branch number that does not exist.
    #[error("a boolean or branch that does not exist")]
    Tag,
    /// A symbol number that does not exist, or a symbol that the reader does not know.
    #[error("an unknown symbol")]
    Symbol,
    /// Text that is not UTF-8.
    #[error("text that is not UTF-8")]
    Utf8,
    /// Text or bytes that are no UUID.
    #[error("not a UUID")]
    Uuid,
    /// Null where the reader allows none.
    #[error("null is not allowed")]
    Null,
}

impl DecodePlan {
    /// Compiles a plan with the default [`Limits`]. `paths` are fields of the reader: leaves, or whole fields
    /// (a nested record becomes a list of its fields). A path inside an optional record reads null when the
    /// record is null.
    ///
    /// # Errors
    /// When a path names no field of the reader, or the writer's record can never be read as the reader's.
    pub fn compile(writer: &Schema, reader: &Schema, paths: &[FieldPath]) -> Result<DecodePlan, PlanError> {
        Self::compile_with(writer, reader, paths, Limits::default())
    }

    /// Compiles a plan with limits of its own.
    ///
    /// # Errors
    /// As [`DecodePlan::compile`].
    pub fn compile_with(
        writer: &Schema,
        reader: &Schema,
        paths: &[FieldPath],
        limits: Limits,
    ) -> Result<DecodePlan, PlanError> {
        let steps = compile::steps(writer, reader, paths)?;
        Ok(DecodePlan { steps, width: paths.len(), limits })
    }

    /// Cells that one record yields.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Appends one cell per path and says how many bytes the datum took. Text, bytes and decimals point into
    /// the datum, symbols and defaults into the plan, lists into the arena.
    ///
    /// # Errors
    /// When the bytes are not a datum of the writer's schema; `out` then has its former length.
    pub fn decode<'a>(
        &'a self,
        datum: &'a [u8],
        arena: &'a Bump,
        out: &mut Vec<Cell<'a>>,
    ) -> Result<usize, DecodeError> {
        let start = out.len();
        let mut cursor = Cursor::new(datum, self.limits);
        let done = cursor.check_length().and_then(|()| {
            out.resize(start + self.width, Cell::Null);
            run_steps(&self.steps, &mut cursor, arena, &mut out[start..])
        });
        done.map(|()| cursor.at()).map_err(|fault| {
            out.truncate(start);
            DecodeError { path: fault.path(), offset: fault.offset, problem: fault.problem }
        })
    }

    /// The same, and nothing may follow the datum.
    ///
    /// # Errors
    /// As [`DecodePlan::decode`], and when bytes are left over.
    pub fn decode_exact<'a>(
        &'a self,
        datum: &'a [u8],
        arena: &'a Bump,
        out: &mut Vec<Cell<'a>>,
    ) -> Result<(), DecodeError> {
        let start = out.len();
        let read = self.decode(datum, arena, out)?;
        if read < datum.len() {
            out.truncate(start);
            let problem = DecodeProblem::Trailing;
            return Err(DecodeError { path: String::new(), offset: read, problem });
        }
        Ok(())
    }
}

fn run_steps<'a>(
    steps: &'a [Step],
    cursor: &mut Cursor<'a>,
    arena: &'a Bump,
    cells: &mut [Cell<'a>],
) -> Result<(), Fault> {
    for step in steps {
        run(&step.op, cursor, arena, cells).map_err(|fault| fault.within(&step.name))?;
    }
    Ok(())
}

fn run<'a>(
    op: &'a Op,
    cursor: &mut Cursor<'a>,
    arena: &'a Bump,
    cells: &mut [Cell<'a>],
) -> Result<(), Fault> {
    match op {
        Op::Skip(skip) => cursor.skip(skip),
        Op::Read { slot, read } => {
            cells[*slot] = read.read(cursor, arena)?;
            Ok(())
        }
        Op::Default { slot, value } => {
            cursor.charge(value.list_cells())?;
            cells[*slot] = value.cell(arena);
            Ok(())
        }
        Op::Record(steps) => run_steps(steps, cursor, arena, cells),
        Op::Optional { null_first, null_allowed, inner } => {
            if cursor.present(*null_first)? {
                run(inner, cursor, arena, cells)
            } else if *null_allowed {
                Ok(())
            } else {
                Err(cursor.fault(DecodeProblem::Null))
            }
        }
        Op::Again(ops) => {
            let start = cursor.at();
            for op in ops {
                cursor.back_to(start);
                run(op, cursor, arena, cells)?;
            }
            Ok(())
        }
    }
}
