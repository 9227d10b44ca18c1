//! Defaults of a schema (JSON) as cells that a plan can own.

use bumpalo::Bump;
use serde_json::Value as Json;

use crate::cell::{Cell, Decimal};
use crate::path::join;
use crate::plan::PlanError;
use crate::shape::{DecimalShape, Shape, UuidForm};
use crate::uuid_text;

/// A cell with its own storage. It comes from a schema, never from a row.
#[derive(Clone, Debug)]
pub(crate) enum OwnedCell {
    Plain(Cell<'static>),
    Text(String),
    Bytes(Vec<u8>),
    Decimal(Vec<u8>, u32),
    List(Vec<OwnedCell>),
}

impl OwnedCell {
    /// Cells of lists below this one, which a reader charges to the record's bound.
    pub(crate) fn list_cells(&self) -> usize {
        match self {
            OwnedCell::List(items) => items.len() + items.iter().map(OwnedCell::list_cells).sum::<usize>(),
            _ => 0,
        }
    }

    pub(crate) fn cell<'a>(&'a self, arena: &'a Bump) -> Cell<'a> {
        match self {
            OwnedCell::Plain(cell) => *cell,
            OwnedCell::Text(text) => Cell::Str(text),
            OwnedCell::Bytes(bytes) => Cell::Bytes(bytes),
            OwnedCell::Decimal(unscaled, scale) => Cell::Decimal(Decimal { unscaled, scale: *scale }),
            OwnedCell::List(items) if items.is_empty() => Cell::List(&[]),
            OwnedCell::List(items) => {
                Cell::List(arena.alloc_slice_fill_iter(items.iter().map(|item| item.cell(arena))))
            }
        }
    }
}

/// The default of a field as a cell.
pub(crate) fn default_cell(json: &Json, shape: &Shape, path: &str) -> Result<OwnedCell, PlanError> {
    let bad = || PlanError::BadDefault { path: path.to_owned() };
    match (shape, json) {
        (Shape::Optional { .. } | Shape::Null, Json::Null) => Ok(OwnedCell::Plain(Cell::Null)),
        (Shape::Optional { inner, .. }, json) => default_cell(json, inner, path),
        (Shape::List(item), Json::Array(items)) => {
            let items = items.iter().map(|json| default_cell(json, item, path));
            Ok(OwnedCell::List(items.collect::<Result<_, _>>()?))
        }
        (Shape::Map(value), Json::Object(entries)) => {
            let entries = entries.iter().map(|(key, json)| {
                Ok(OwnedCell::List(vec![OwnedCell::Text(key.clone()), default_cell(json, value, path)?]))
            });
            Ok(OwnedCell::List(entries.collect::<Result<_, _>>()?))
        }
        (Shape::Record(record), Json::Object(object)) => {
            let fields = record.fields.iter().map(|field| {
                let path = join(path, &field.name);
                match object.get(&field.name).or(field.default.as_ref()) {
                    Some(json) => default_cell(json, &field.shape, &path),
                    None => Err(PlanError::BadDefault { path }),
                }
            });
            Ok(OwnedCell::List(fields.collect::<Result<_, _>>()?))
        }
        (shape, json) => scalar(json, shape).ok_or_else(bad),
    }
}

fn scalar(json: &Json, shape: &Shape) -> Option<OwnedCell> {
    let int = || json.as_i64().filter(|value| i32::try_from(*value).is_ok());
    let plain = match shape {
        Shape::Bool => Cell::Bool(json.as_bool()?),
        Shape::Int => Cell::I64(int()?),
        Shape::Long => Cell::I64(json.as_i64()?),
        Shape::Float | Shape::Double => Cell::F64(float(json, matches!(shape, Shape::Float))?),
        Shape::Date => Cell::Date(int()? as i32),
        Shape::TimeMillis => Cell::Time(int()? * 1_000),
        Shape::TimeMicros => Cell::Time(json.as_i64()?),
        Shape::TimestampMillis { .. } => Cell::Timestamp(json.as_i64()?.checked_mul(1_000)?),
        Shape::TimestampMicros { .. } => Cell::Timestamp(json.as_i64()?),
        Shape::Text => return Some(OwnedCell::Text(json.as_str()?.to_owned())),
        Shape::Enum(symbols) => {
            let symbol =
                json.as_str().filter(|symbol| symbols.symbols.iter().any(|known| known == symbol))?;
            return Some(OwnedCell::Text(symbol.to_owned()));
        }
        Shape::Bytes => return Some(OwnedCell::Bytes(bytes(json)?)),
        Shape::Fixed(size) => {
            return bytes(json).filter(|bytes| bytes.len() == *size).map(OwnedCell::Bytes);
        }
        Shape::Decimal(decimal) => return decimal_default(json, decimal),
        Shape::Uuid(UuidForm::Text) => Cell::Uuid(uuid_text::parse(json.as_str()?.as_bytes())?),
        Shape::Uuid(_) => Cell::Uuid(bytes(json)?.try_into().ok()?),
        Shape::Null | Shape::List(_) | Shape::Map(_) | Shape::Record(_) | Shape::Optional { .. } => {
            return None;
        }
    };
    Some(OwnedCell::Plain(plain))
}

fn float(json: &Json, single: bool) -> Option<f64> {
    let value = json.as_f64()?;
    Some(if single { f64::from(value as f32) } else { value })
}

fn decimal_default(json: &Json, decimal: &DecimalShape) -> Option<OwnedCell> {
    let unscaled = bytes(json)?;
    if decimal.fixed.is_some_and(|size| size != unscaled.len()) {
        return None;
    }
    Some(OwnedCell::Decimal(unscaled, decimal.scale))
}

/// JSON defaults of bytes are text whose code points 0 to 255 are the bytes.
fn bytes(json: &Json) -> Option<Vec<u8>> {
    json.as_str()?.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}
