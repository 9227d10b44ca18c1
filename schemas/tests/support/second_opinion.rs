//! Values as apache-avro has them.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Decimal, Schema, Uuid};

use super::model::{Field, Ty, Val};

/// Two's complement in the fewest bytes, by the definition and not by the code under test.
fn minimal(value: i128) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let start = (0..15).find(|at| {
        let rest = &bytes[*at..];
        let extended = if rest[1] & 0x80 == 0 { 0 } else { 0xff };
        rest[0] != extended
    });
    bytes[start.unwrap_or(15)..].to_vec()
}

/// What apache-avro writes.
pub(crate) fn write(schema: &Schema, value: Value) -> Vec<u8> {
    let writer = GenericDatumWriter::builder(schema).build().unwrap();
    writer.write_value_to_vec(value).unwrap()
}

/// What apache-avro reads.
pub(crate) fn read(
    writer: &Schema,
    reader: Option<&Schema>,
    datum: &[u8],
) -> Result<Value, apache_avro::Error> {
    let reader = GenericDatumReader::builder(writer).maybe_reader_schema(reader).build()?;
    reader.read_value(&mut &datum[..])
}

/// Our value as theirs.
pub(crate) fn to_avro(ty: &Ty, val: &Val) -> Value {
    match (ty, val) {
        (Ty::Optional(null_first, _), Val::Null) => {
            Value::Union(u32::from(!null_first), Box::new(Value::Null))
        }
        (Ty::Optional(null_first, inner), val) => {
            Value::Union(u32::from(*null_first), Box::new(to_avro(inner, val)))
        }
        (Ty::Int, Val::I64(value)) => Value::Int(*value as i32),
        (Ty::Long, Val::I64(value)) => Value::Long(*value),
        (Ty::Bool, Val::Bool(value)) => Value::Boolean(*value),
        (Ty::Float, Val::F64(value)) => Value::Float(*value as f32),
        (Ty::Double, Val::F64(value)) => Value::Double(*value),
        (Ty::Text, Val::Text(text)) => Value::String(text.clone()),
        (Ty::Enum(symbols, _), Val::Text(symbol)) => {
            let index = symbols.iter().position(|known| known == symbol).unwrap_or_default();
            Value::Enum(index as u32, symbol.clone())
        }
        (Ty::Bytes, Val::Bytes(bytes)) => Value::Bytes(bytes.clone()),
        (Ty::Fixed(size), Val::Bytes(bytes)) => Value::Fixed(*size, bytes.clone()),
        (Ty::Decimal { .. }, Val::Decimal(value)) => Value::Decimal(Decimal::from(minimal(*value))),
        (_, Val::Uuid(uuid)) => Value::Uuid(Uuid::from_bytes(*uuid)),
        (_, Val::Date(days)) => Value::Date(*days),
        (Ty::TimeMillis, Val::Time(micros)) => Value::TimeMillis((micros / 1_000) as i32),
        (_, Val::Time(micros)) => Value::TimeMicros(*micros),
        (Ty::TimestampMillis(false), Val::Timestamp(micros)) => Value::TimestampMillis(micros / 1_000),
        (Ty::TimestampMillis(true), Val::Timestamp(micros)) => Value::LocalTimestampMillis(micros / 1_000),
        (Ty::TimestampMicros(true), Val::Timestamp(micros)) => Value::LocalTimestampMicros(*micros),
        (_, Val::Timestamp(micros)) => Value::TimestampMicros(*micros),
        (Ty::List(item), Val::List(items)) => {
            Value::Array(items.iter().map(|val| to_avro(item, val)).collect())
        }
        (Ty::Map(inner), Val::Map(entries)) => {
            Value::Map(entries.iter().map(|(key, val)| (key.clone(), to_avro(inner, val))).collect())
        }
        (Ty::Record(fields), Val::Record(vals)) => record(fields, vals),
        (ty, val) => panic!("{val:?} is no {ty:?}"),
    }
}

/// A record of theirs.
pub(crate) fn record(fields: &[Field], vals: &[Val]) -> Value {
    let pairs = fields.iter().zip(vals);
    Value::Record(pairs.map(|(field, val)| (field.name.clone(), to_avro(&field.ty, val))).collect())
}

/// Their value as ours. Maps are sorted by key.
pub(crate) fn from_avro(value: &Value) -> Val {
    match value {
        Value::Null => Val::Null,
        Value::Union(_, inner) => from_avro(inner),
        Value::Boolean(value) => Val::Bool(*value),
        Value::Int(value) => Val::I64(i64::from(*value)),
        Value::Long(value) => Val::I64(*value),
        Value::Float(value) => Val::F64(f64::from(*value)),
        Value::Double(value) => Val::F64(*value),
        Value::String(text) | Value::Enum(_, text) => Val::Text(text.clone()),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => Val::Bytes(bytes.clone()),
        Value::Uuid(uuid) => Val::Uuid(*uuid.as_bytes()),
        Value::Date(days) => Val::Date(*days),
        Value::TimeMillis(millis) => Val::Time(i64::from(*millis) * 1_000),
        Value::TimeMicros(micros) => Val::Time(*micros),
        Value::TimestampMillis(millis) | Value::LocalTimestampMillis(millis) => {
            Val::Timestamp(millis * 1_000)
        }
        Value::TimestampMicros(micros) | Value::LocalTimestampMicros(micros) => Val::Timestamp(*micros),
        Value::Array(items) => Val::List(items.iter().map(from_avro).collect()),
        Value::Map(entries) => {
            let mut entries: Vec<_> =
                entries.iter().map(|(key, value)| (key.clone(), from_avro(value))).collect();
            entries.sort_by(|left, right| left.0.cmp(&right.0));
            Val::Map(entries)
        }
        Value::Record(fields) => Val::Record(fields.iter().map(|(_, value)| from_avro(value)).collect()),
        other => panic!("{other:?} does not occur"),
    }
}

/// Whether two maps of the same entries may be written in different orders.
pub(crate) fn order_is_free(val: &Val) -> bool {
    match val {
        Val::Map(entries) => entries.len() > 1 || entries.iter().any(|(_, val)| order_is_free(val)),
        Val::List(vals) | Val::Record(vals) => vals.iter().any(order_is_free),
        _ => false,
    }
}
