//! Compiling an encode plan: every field of the schema gets a slot, a constant, or fields of its own.

use apache_avro::Schema;
use bumpalo::Bump;

use super::value::Writer;
use super::{Field, Step};
use crate::defaults::default_cell;
use crate::path::{FieldPath, PathTree, join};
use crate::plan::{Limits, PlanError};
use crate::shape::{FieldShape, RecordShape, Shape};

pub(super) fn fields(schema: &Schema, slots: &[FieldPath]) -> Result<Vec<Field>, PlanError> {
    let record = RecordShape::compile(schema)?;
    record_fields(&record, &PathTree::build(slots), "")
}

fn record_fields(record: &RecordShape, tree: &PathTree, path: &str) -> Result<Vec<Field>, PlanError> {
    if let Some(unknown) = tree.children.keys().find(|name| record.field(name).is_none()) {
        return Err(PlanError::UnknownPath { path: join(path, unknown) });
    }
    record
        .fields
        .iter()
        .map(|field| {
            let path = join(path, &field.name);
            let step = match tree.children.get(&field.name) {
                Some(subtree) => mapped(field, subtree, &path)?,
                None => Step::Constant(constant(field, &path)?),
            };
            Ok(Field { name: field.name.clone(), step })
        })
        .collect()
}

fn mapped(field: &FieldShape, tree: &PathTree, path: &str) -> Result<Step, PlanError> {
    match (tree.slots.as_slice(), tree.children.is_empty()) {
        ([slot], true) => return Ok(Step::Slot { slot: *slot, shape: field.shape.clone() }),
        ([], false) => {}
        _ => return Err(PlanError::Overlap { path: path.to_owned() }),
    }
    match &field.shape {
        Shape::Record(record) => Ok(Step::Record(record_fields(record, tree, path)?)),
        Shape::Optional { null_first, inner } => match inner.as_ref() {
            Shape::Record(record) => {
                let fields = record_fields(record, tree, path)?;
                Ok(Step::Optional { null_first: *null_first, slots: tree.all_slots(), fields })
            }
            _ => Err(below_a_leaf(tree, path)),
        },
        _ => Err(below_a_leaf(tree, path)),
    }
}

fn below_a_leaf(tree: &PathTree, path: &str) -> PlanError {
    let name = tree.children.keys().next().map_or("", String::as_str);
    PlanError::UnknownPath { path: join(path, name) }
}

/// The bytes of a field that no slot feeds.
fn constant(field: &FieldShape, path: &str) -> Result<Vec<u8>, PlanError> {
    let null = serde_json::Value::Null;
    let default = match (&field.default, &field.shape) {
        (Some(default), _) => default,
        (None, Shape::Optional { .. } | Shape::Null) => &null,
        (None, _) => return Err(PlanError::NoValue { path: path.to_owned() }),
    };
    let cell = default_cell(default, &field.shape, path)?;
    let mut bytes = Vec::new();
    let arena = Bump::new();
    let limits = Limits::default();
    Writer { out: &mut bytes, limits, list_cells: limits.list_cells }
        .value(&field.shape, &cell.cell(&arena))
        .map_err(|_| PlanError::BadDefault { path: path.to_owned() })?;
    Ok(bytes)
}
