//! Schema resolution: what of a writer's record a reader can take, compared type by type.

use crate::path::join;
use crate::shape::{EnumShape, RecordShape, Shape};

/// One difference between writer and reader that matters.
#[derive(Debug)]
pub(crate) struct Mismatch {
    pub(crate) path: String,
    pub(crate) why: String,
    /// Whether no value at all can pass; otherwise only some values cannot.
    pub(crate) always: bool,
}

/// Everything that keeps `reader` from reading what `writer` wrote.
pub(crate) fn compare_records(writer: &RecordShape, reader: &RecordShape) -> Vec<Mismatch> {
    let mut found = Vec::new();
    records(writer, reader, "", &mut found);
    found
}

fn records(writer: &RecordShape, reader: &RecordShape, path: &str, found: &mut Vec<Mismatch>) {
    if writer.name != reader.name {
        // This codec does not care, Java's does.
        let why = format!("the record is renamed from {} to {}", writer.name, reader.name);
        found.push(Mismatch { path: path.to_owned(), why, always: false });
    }
    for field in &reader.fields {
        let path = join(path, &field.name);
        match writer.field(&field.name) {
            Some(written) => shapes(&written.shape, &field.shape, &path, found),
            None if field.default.is_some() => {}
            None => {
                let why = "the field is new and has no default".to_owned();
                found.push(Mismatch { path, why, always: true });
            }
        }
    }
}

fn shapes(writer: &Shape, reader: &Shape, path: &str, found: &mut Vec<Mismatch>) {
    let mut differ = |why: String, always| {
        found.push(Mismatch { path: path.to_owned(), why, always });
    };
    match (writer, reader) {
        (Shape::Optional { inner: written, .. }, Shape::Optional { inner, .. }) => {
            shapes(written, inner, path, found);
        }
        (Shape::Null, Shape::Optional { .. }) => {}
        (written, Shape::Optional { inner, .. }) => shapes(written, inner, path, found),
        (Shape::Optional { inner: written, .. }, reader) => {
            differ("the field is no longer optional, older records may hold null".to_owned(), false);
            shapes(written, reader, path, found);
        }
        (Shape::Record(written), Shape::Record(reader)) => records(written, reader, path, found),
        (Shape::List(written), Shape::List(reader)) | (Shape::Map(written), Shape::Map(reader)) => {
            shapes(written, reader, path, found);
        }
        (Shape::Enum(written), Shape::Enum(reader)) => {
            for symbol in lost_symbols(written, reader) {
                differ(format!("the enum has lost the symbol `{symbol}` and has no default"), false);
            }
        }
        (Shape::Fixed(written), Shape::Fixed(reader)) if written != reader => {
            differ(format!("fixed of {written} bytes cannot become fixed of {reader} bytes"), true);
        }
        (Shape::Decimal(written), Shape::Decimal(reader)) => {
            if written.scale != reader.scale {
                differ(format!("the scale changes from {} to {}", written.scale, reader.scale), true);
            }
            if written.precision > reader.precision {
                let (from, to) = (written.precision, reader.precision);
                differ(format!("the precision shrinks from {from} to {to}"), false);
            }
            if written.fixed != reader.fixed {
                differ("the decimal's carrier (bytes, fixed) changes".to_owned(), true);
            }
        }
        (written, reader) => {
            if !same_or_promoted(written, reader) {
                differ(format!("{} cannot become {}", written.kind(), reader.kind()), true);
            }
        }
    }
}

fn lost_symbols<'w>(writer: &'w EnumShape, reader: &EnumShape) -> Vec<&'w String> {
    if reader.default.is_some() {
        return Vec::new();
    }
    writer.symbols.iter().filter(|symbol| !reader.symbols.contains(symbol)).collect()
}

/// Avro's promotions, and no more: a logical type only becomes itself.
fn same_or_promoted(writer: &Shape, reader: &Shape) -> bool {
    match (writer, reader) {
        (Shape::Int, Shape::Int | Shape::Long | Shape::Float | Shape::Double)
        | (Shape::Long, Shape::Long | Shape::Float | Shape::Double)
        | (Shape::Float, Shape::Float | Shape::Double)
        | (Shape::Double, Shape::Double)
        | (Shape::Text | Shape::Bytes, Shape::Text | Shape::Bytes)
        | (Shape::Null, Shape::Null)
        | (Shape::Bool, Shape::Bool)
        | (Shape::Fixed(_), Shape::Fixed(_))
        | (Shape::Date, Shape::Date)
        | (Shape::TimeMillis, Shape::TimeMillis)
        | (Shape::TimeMicros, Shape::TimeMicros) => true,
        (Shape::Uuid(written), Shape::Uuid(reader)) => written == reader,
        (Shape::TimestampMillis { local: written }, Shape::TimestampMillis { local })
        | (Shape::TimestampMicros { local: written }, Shape::TimestampMicros { local }) => written == local,
        _ => false,
    }
}
