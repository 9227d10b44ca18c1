//! Compiling a decode plan: the writer's fields in their order, each read, stepped over or looked into; then the
//! reader's defaults.

use apache_avro::Schema;
use serde_json::Value as Json;

use super::cursor::Skip;
use super::read::{Into, Read, ReadField, ReadRecord};
use super::{Op, Step};
use crate::defaults::{OwnedCell, default_cell};
use crate::path::{FieldPath, PathTree, join};
use crate::plan::PlanError;
use crate::resolve::compare_records;
use crate::shape::{EnumShape, FieldShape, RecordShape, Shape, UuidForm};

pub(super) fn steps(writer: &Schema, reader: &Schema, paths: &[FieldPath]) -> Result<Vec<Step>, PlanError> {
    let writer = RecordShape::compile(writer)?;
    let reader = RecordShape::compile(reader)?;
    if let Some(mismatch) = compare_records(&writer, &reader).into_iter().find(|mismatch| mismatch.always) {
        return Err(PlanError::Incompatible { path: mismatch.path, why: mismatch.why });
    }
    record_steps(&writer, &reader, &PathTree::build(paths), "")
}

fn record_steps(
    writer: &RecordShape,
    reader: &RecordShape,
    tree: &PathTree,
    path: &str,
) -> Result<Vec<Step>, PlanError> {
    if let Some(unknown) = tree.children.keys().find(|name| reader.field(name).is_none()) {
        return Err(PlanError::UnknownPath { path: join(path, unknown) });
    }
    let mut steps = Vec::new();
    for written in &writer.fields {
        let wanted = reader.field(&written.name).zip(tree.children.get(&written.name));
        let op = match wanted {
            Some((field, subtree)) => op(&written.shape, &field.shape, subtree, &join(path, &field.name))?,
            None => Op::Skip(Skip::of(&written.shape)),
        };
        steps.push(Step { name: written.name.clone(), op });
    }
    for field in reader.fields.iter().filter(|field| writer.field(&field.name).is_none()) {
        if let Some(subtree) = tree.children.get(&field.name) {
            defaults(field, subtree, &join(path, &field.name), &mut steps)?;
        }
    }
    Ok(steps)
}

fn op(written: &Shape, reader: &Shape, tree: &PathTree, path: &str) -> Result<Op, PlanError> {
    let mut ops = Vec::new();
    for slot in &tree.slots {
        ops.push(Op::Read { slot: *slot, read: read(written, reader, path)? });
    }
    if !tree.children.is_empty() {
        ops.push(inside(written, reader, tree, path)?);
    }
    Ok(match ops.len() {
        1 => ops.remove(0),
        _ => Op::Again(ops),
    })
}

/// The ops for paths that lead into a nested record.
fn inside(written: &Shape, reader: &Shape, tree: &PathTree, path: &str) -> Result<Op, PlanError> {
    match (written, reader) {
        (Shape::Optional { null_first, inner: written }, reader) => {
            let (null_allowed, reader) = optional(reader);
            let inner = Box::new(inside(written, reader, tree, path)?);
            Ok(Op::Optional { null_first: *null_first, null_allowed, inner })
        }
        (written, Shape::Optional { inner: reader, .. }) => inside(written, reader, tree, path),
        (Shape::Record(writer), Shape::Record(reader)) => {
            Ok(Op::Record(record_steps(writer, reader, tree, path)?))
        }
        (Shape::Null, reader) if reader.as_record().is_some() => Ok(Op::Skip(Skip::Fixed(0))),
        _ => {
            let name = tree.children.keys().next().map_or("", String::as_str);
            Err(PlanError::UnknownPath { path: join(path, name) })
        }
    }
}

fn optional(shape: &Shape) -> (bool, &Shape) {
    match shape {
        Shape::Optional { inner, .. } => (true, inner),
        other => (false, other),
    }
}

/// The cells of a field that only the reader has.
fn defaults(field: &FieldShape, tree: &PathTree, path: &str, steps: &mut Vec<Step>) -> Result<(), PlanError> {
    let Some(json) = &field.default else { return Err(PlanError::NoValue { path: path.to_owned() }) };
    default_parts(json, &field.shape, tree, path, steps)
}

fn default_parts(
    json: &Json,
    shape: &Shape,
    tree: &PathTree,
    path: &str,
    steps: &mut Vec<Step>,
) -> Result<(), PlanError> {
    // Checked also when only a part is asked for.
    let value = default_cell(json, shape, path)?;
    for slot in &tree.slots {
        steps.push(Step { name: path.to_owned(), op: Op::Default { slot: *slot, value: value.clone() } });
    }
    for (name, subtree) in &tree.children {
        let path = join(path, name);
        let field = shape.as_record().and_then(|record| record.field(name));
        let Some(field) = field else { return Err(PlanError::UnknownPath { path }) };
        match json.get(name).or(field.default.as_ref()) {
            // A null record leaves its fields' cells null.
            _ if json.is_null() => default_names(&field.shape, subtree, &path)?,
            Some(json) => default_parts(json, &field.shape, subtree, &path, steps)?,
            None => return Err(PlanError::BadDefault { path }),
        }
    }
    Ok(())
}

/// Checks that paths exist below a record whose default is null.
fn default_names(shape: &Shape, tree: &PathTree, path: &str) -> Result<(), PlanError> {
    for (name, subtree) in &tree.children {
        let path = join(path, name);
        match shape.as_record().and_then(|record| record.field(name)) {
            Some(field) => default_names(&field.shape, subtree, &path)?,
            None => return Err(PlanError::UnknownPath { path }),
        }
    }
    Ok(())
}

/// How one value is read; the pair has been compared before.
fn read(written: &Shape, reader: &Shape, path: &str) -> Result<Read, PlanError> {
    Ok(match (written, reader) {
        (Shape::Optional { null_first, inner }, reader) => {
            let (null_allowed, reader) = optional(reader);
            let inner = Box::new(read(inner, reader, path)?);
            Read::Optional { null_first: *null_first, null_allowed, inner }
        }
        (Shape::Null, _) => Read::Null,
        (written, Shape::Optional { inner: reader, .. }) => return read(written, reader, path),
        (Shape::Int | Shape::Long, Shape::Float) => Read::LongAsFloat { int: is_int(written) },
        (Shape::Int | Shape::Long, Shape::Double) => Read::LongAsDouble { int: is_int(written) },
        (Shape::Text | Shape::Bytes, Shape::Bytes) => Read::Bytes,
        (Shape::Text | Shape::Bytes, Shape::Text) => Read::Text,
        (Shape::Enum(written), Shape::Enum(reader)) => Read::Symbol(symbols(written, reader)),
        (Shape::List(written), Shape::List(reader)) => {
            Read::List { min_bytes: written.min_bytes(), item: Box::new(read(written, reader, path)?) }
        }
        (Shape::Map(written), Shape::Map(reader)) => {
            Read::Map { min_bytes: 1 + written.min_bytes(), value: Box::new(read(written, reader, path)?) }
        }
        (Shape::Record(writer), Shape::Record(reader)) => Read::Record(record(writer, reader, path)?),
        (written, reader) => same(written).ok_or_else(|| PlanError::Incompatible {
            path: path.to_owned(),
            why: format!("{} cannot become {}", written.kind(), reader.kind()),
        })?,
    })
}

fn is_int(shape: &Shape) -> bool {
    matches!(shape, Shape::Int)
}

/// Reading a type as itself; float to double is the same cell.
fn same(shape: &Shape) -> Option<Read> {
    Some(match shape {
        Shape::Bool => Read::Bool,
        Shape::Int => Read::Int,
        Shape::Long => Read::Long,
        Shape::Float => Read::Float,
        Shape::Double => Read::Double,
        Shape::Fixed(size) => Read::Fixed(*size),
        Shape::Decimal(decimal) => Read::Decimal { scale: decimal.scale, fixed: decimal.fixed },
        Shape::Uuid(UuidForm::Text) => Read::UuidText,
        Shape::Uuid(UuidForm::Bytes) => Read::UuidBytes,
        Shape::Uuid(UuidForm::Fixed) => Read::UuidFixed,
        Shape::Date => Read::Date,
        Shape::TimeMillis => Read::TimeMillis,
        Shape::TimeMicros => Read::TimeMicros,
        Shape::TimestampMillis { .. } => Read::TimestampMillis,
        Shape::TimestampMicros { .. } => Read::TimestampMicros,
        _ => return None,
    })
}

fn symbols(writer: &EnumShape, reader: &EnumShape) -> Vec<Option<String>> {
    let known = |symbol: &String| reader.symbols.contains(symbol).then(|| symbol.clone());
    writer.symbols.iter().map(|symbol| known(symbol).or_else(|| reader.default.clone())).collect()
}

fn record(writer: &RecordShape, reader: &RecordShape, path: &str) -> Result<ReadRecord, PlanError> {
    let place = |name: &str| reader.fields.iter().position(|field| field.name == name);
    let mut fields = Vec::new();
    for written in &writer.fields {
        let into = match place(&written.name) {
            Some(index) => {
                let field = &reader.fields[index];
                Into::Place(index, read(&written.shape, &field.shape, &join(path, &field.name))?)
            }
            None => Into::Nowhere(Skip::of(&written.shape)),
        };
        fields.push(ReadField { name: written.name.clone(), into });
    }
    let mut defaults: Vec<(usize, OwnedCell)> = Vec::new();
    for (index, field) in reader.fields.iter().enumerate() {
        if writer.field(&field.name).is_some() {
            continue;
        }
        let path = join(path, &field.name);
        let Some(json) = &field.default else { return Err(PlanError::NoValue { path }) };
        defaults.push((index, default_cell(json, &field.shape, &path)?));
    }
    Ok(ReadRecord { width: reader.fields.len(), fields, defaults })
}
