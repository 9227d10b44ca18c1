//! From cells to an Avro datum, by a plan compiled once per (schema, slots).

mod compile;
mod value;

use apache_avro::Schema;
use thiserror::Error;

use crate::cell::Cell;
use crate::path::FieldPath;
use crate::plan::{Limits, PlanError};
use crate::shape::Shape;
use value::{Writer, fault};

/// How rows of cells become data of one schema.
#[derive(Clone, Debug)]
pub struct EncodePlan {
    fields: Vec<Field>,
    slots: usize,
    limits: Limits,
}

#[derive(Clone, Debug)]
struct Field {
    name: String,
    step: Step,
}

#[derive(Clone, Debug)]
enum Step {
    /// A whole field from one cell.
    Slot { slot: usize, shape: Shape },
    /// A default, encoded when the plan was compiled.
    Constant(Vec<u8>),
    /// A nested record, some of whose fields have slots.
    Record(Vec<Field>),
    /// The same, optional: null when all its slots are.
    Optional { null_first: bool, slots: Vec<usize>, fields: Vec<Field> },
}

/// A row that does not fit its contract. It names the field and the rule, never the value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{path}`: {problem}")]
pub struct EncodeError {
    /// Dotted path of the field, with positions in lists; empty for the record itself.
    pub path: String,
    /// What is wrong.
    pub problem: EncodeProblem,
}

/// What can be wrong with a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeProblem {
    /// The row has not as many cells as the plan has slots.
    #[error("{found} cells for {expected} slots")]
    RowWidth {
        /// Slots of the plan.
        expected: usize,
        /// Cells of the row.
        found: usize,
    },
    /// The cell is of another kind.
    #[error("{expected} expected, {found} found")]
    Kind {
        /// What the contract asks for.
        expected: &'static str,
        /// The cell's kind.
        found: &'static str,
    },
    /// Null where the contract allows none.
    #[error("null is not allowed")]
    Null,
    /// Outside the range of the type.
    #[error("outside the range of {kind}")]
    Range {
        /// The type.
        kind: &'static str,
    },
    /// Would lose digits.
    #[error("{kind} would lose digits")]
    Inexact {
        /// The type.
        kind: &'static str,
    },
    /// More digits than the decimal's precision.
    #[error("more digits than the precision allows")]
    Precision,
    /// A symbol that the enum does not have.
    #[error("not a symbol of the enum")]
    Symbol,
    /// Text that is no UUID.
    #[error("not a UUID")]
    Uuid,
    /// A fixed, nested record or map entry of another length.
    #[error("{expected} parts expected, {found} found")]
    Length {
        /// Length in the contract.
        expected: usize,
        /// Length of the cell.
        found: usize,
    },
    /// The record exceeds a limit.
    #[error("the record exceeds {limit} {unit}")]
    TooLong {
        /// The limit.
        limit: usize,
        /// Of what.
        unit: &'static str,
    },
}

impl EncodePlan {
    /// Compiles a plan with the default [`Limits`]. `slots[i]` says where cell `i` of a row goes: a leaf, or a
    /// whole field (nested record, array, map). Fields without a slot are written with their default, or null
    /// where they are optional.
    ///
    /// # Errors
    /// When a slot names no field, two slots overlap, or a mandatory field has neither slot nor default.
    pub fn compile(schema: &Schema, slots: &[FieldPath]) -> Result<EncodePlan, PlanError> {
        Self::compile_with(schema, slots, Limits::default())
    }

    /// Compiles a plan with limits of its own.
    ///
    /// # Errors
    /// As [`EncodePlan::compile`].
    pub fn compile_with(
        schema: &Schema,
        slots: &[FieldPath],
        limits: Limits,
    ) -> Result<EncodePlan, PlanError> {
        let fields = compile::fields(schema, slots)?;
        Ok(EncodePlan { fields, slots: slots.len(), limits })
    }

    /// Cells that a row must have.
    #[must_use]
    pub fn width(&self) -> usize {
        self.slots
    }

    /// Appends the datum of one row.
    ///
    /// # Errors
    /// When the row does not fit the contract; `out` then has its former length.
    pub fn encode(&self, row: &[Cell<'_>], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        self.write_row(row, out).map_err(|fault| {
            out.truncate(start);
            EncodeError { path: fault.path(), problem: fault.problem }
        })
    }

    fn write_row(&self, row: &[Cell<'_>], out: &mut Vec<u8>) -> Result<(), value::Fault> {
        if row.len() != self.slots {
            return Err(fault(EncodeProblem::RowWidth { expected: self.slots, found: row.len() }));
        }
        let limit = self.limits.record_bytes;
        let start = out.len();
        let mut writer = Writer { out, limits: self.limits, list_cells: self.limits.list_cells };
        write_fields(&self.fields, row, &mut writer)?;
        if out.len() - start > limit {
            return Err(fault(EncodeProblem::TooLong { limit, unit: "bytes" }));
        }
        Ok(())
    }
}

fn write_fields(fields: &[Field], row: &[Cell<'_>], writer: &mut Writer<'_>) -> Result<(), value::Fault> {
    for field in fields {
        write_step(&field.step, row, writer).map_err(|fault| fault.within(&field.name))?;
    }
    Ok(())
}

fn write_step(step: &Step, row: &[Cell<'_>], writer: &mut Writer<'_>) -> Result<(), value::Fault> {
    match step {
        Step::Slot { slot, shape } => writer.value(shape, &row[*slot]),
        Step::Constant(bytes) => {
            writer.out.extend_from_slice(bytes);
            Ok(())
        }
        Step::Record(fields) => write_fields(fields, row, writer),
        Step::Optional { null_first, slots, fields } => {
            let present = slots.iter().any(|slot| !row[*slot].is_null());
            writer.tag(present, *null_first);
            if present { write_fields(fields, row, writer) } else { Ok(()) }
        }
    }
}
