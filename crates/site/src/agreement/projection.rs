//! `columns`: which agreed field becomes which column, and as what.

use lienthong_contract::target::CellKind;
use lienthong_router::subscription::{ColumnMap, Partial};
use lienthong_schemas::{Access, EventContract, Field, FieldPath, FieldType};

use crate::node::Key;
use crate::reader::{Reader, Text};

use super::file::{ColumnFile, IntoFile, MapFile};
use super::rule::{Column, unknown_field};

/// The columns whose sources are right.
pub(super) fn columns(
    reader: &mut Reader<'_>,
    into: &IntoFile,
    event: &EventContract,
    agreed: Option<&[FieldPath]>,
    purpose: Option<&str>,
) -> Vec<Column> {
    let mut columns = Vec::new();
    for (key, source) in &into.columns {
        let Some(source) = source else { continue };
        let is_key = into.key.iter().any(|name| name.value == key.name);
        let Some(field) = leaf(reader, &source.field, event) else { continue };
        if let Some(agreed) = agreed.filter(|agreed| !agreed.contains(&field.path)) {
            not_agreed(reader, &source.field, agreed);
        } else if let Some(purpose) = purpose {
            only_as_pseudonym(reader, source, event, purpose);
        }
        columns.extend(column(reader, key, source, field, is_key));
    }
    columns
}

fn leaf<'e>(reader: &mut Reader<'_>, name: &Text, event: &'e EventContract) -> Option<&'e Field> {
    match event.schema.field(&name.value) {
        Some(field) if field.is_leaf() => Some(field),
        Some(field) => {
            let inner = event.schema.leaf_paths().find(|leaf| field.path.covers(&leaf.path));
            let example = inner.map_or(name.raw.as_str(), |leaf| leaf.path.as_str());
            let fix = format!("map one of its fields, such as `{example}`");
            reader.problem(name.at, format!("`{}` is a record and fits no column", name.raw), fix);
            None
        }
        None => {
            unknown_field(reader, name, event);
            None
        }
    }
}

fn not_agreed(reader: &mut Reader<'_>, name: &Text, agreed: &[FieldPath]) {
    let message = format!("`{}` is not among the agreed `fields`", name.raw);
    let otherwise = format!("add `{}` to `fields`", name.raw);
    reader.unknown(name.at, message, &name.raw, agreed.iter().map(FieldPath::as_str), &otherwise);
}

fn only_as_pseudonym(reader: &mut Reader<'_>, source: &ColumnFile, event: &EventContract, purpose: &str) {
    let pseudonym = matches!(source.map, MapFile::Pseudonym);
    let access = event.access(purpose, &FieldPath::new(source.field.value.clone()));
    if access == Access::Pseudonym && !pseudonym {
        let message = format!("purpose {purpose} may see `{}` only as a pseudonym", source.field.raw);
        reader.problem(source.field.at, message, format!("write {{pseudonym: {}}}", source.field.raw));
    }
}

fn column(
    reader: &mut Reader<'_>,
    key: &Key,
    source: &ColumnFile,
    field: &Field,
    is_key: bool,
) -> Option<Column> {
    let (map, kind) = match &source.map {
        MapFile::Plain => (ColumnMap::Plain, plain(reader, source, field)?),
        MapFile::Pseudonym => {
            plain(reader, source, field)?;
            (ColumnMap::Pseudonym, CellKind::Text)
        }
        MapFile::Date(at, partial) => {
            let partial = match (partial, &field.kind) {
                (Some(partial), FieldType::Text | FieldType::Date) => *partial,
                // A calendar date is never partial.
                (None, FieldType::Date) => Partial::Reject,
                (None, FieldType::Text) => {
                    let message = format!(
                        "`{}` may be partial, and `partial` does not say what becomes of it then",
                        field.path
                    );
                    reader.problem(*at, message, "add partial: null, or partial: reject");
                    return None;
                }
                _ => {
                    let message =
                        format!("`{}` is neither a date nor a text, and cannot become a date", field.path);
                    reader.problem(source.field.at, message, format!("write `{}: {}`", key.name, field.path));
                    return None;
                }
            };
            if is_key && partial == Partial::Null && field.kind == FieldType::Text {
                let message = format!("`{}` is part of the key and cannot become null", key.name);
                reader.problem(*at, message, "write partial: reject, or map the text as it is");
            }
            (ColumnMap::Date { partial }, CellKind::Date)
        }
    };
    let (path, nullable) = (field.path.clone(), field.nullable);
    Some(Column { name: key.name.clone(), at: key.at, path, nullable, map, kind })
}

fn plain(reader: &mut Reader<'_>, source: &ColumnFile, field: &Field) -> Option<CellKind> {
    let kind = match field.kind {
        FieldType::Bool => CellKind::Bool,
        FieldType::Int | FieldType::Long => CellKind::Integer,
        FieldType::Float | FieldType::Double => CellKind::Float,
        FieldType::Decimal { .. } => CellKind::Decimal,
        FieldType::Text | FieldType::Enum(_) => CellKind::Text,
        FieldType::Bytes | FieldType::Fixed(_) => CellKind::Bytes,
        FieldType::Date => CellKind::Date,
        FieldType::TimeMicros => CellKind::Time,
        FieldType::TimestampMicros => CellKind::Timestamp,
        FieldType::Uuid => CellKind::Uuid,
        FieldType::List => CellKind::TextList,
        FieldType::Map | FieldType::Record | FieldType::Null => {
            let message = format!("`{}` is of a kind that fits no column", field.path);
            reader.problem(source.field.at, message, "map another field");
            return None;
        }
    };
    Some(kind)
}
