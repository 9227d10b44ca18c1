//! A record contract: the text that is registered, and its fields as dotted paths.

use apache_avro::Schema;
use thiserror::Error;

use crate::path::{FieldPath, join};
use crate::plan::PlanError;
use crate::shape::{RecordShape, Shape};

/// Why a text is no contract.
#[derive(Debug, Error)]
pub enum SchemaError {
    /// The Avro parser refuses it.
    #[error("not an Avro schema: {0}")]
    Avro(#[source] Box<apache_avro::Error>),
    /// Valid Avro that the bus does not carry.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// The type of a field, as the cell that carries it. Milliseconds appear as microseconds, like their cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldType {
    /// Truth value.
    Bool,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// Single precision.
    Float,
    /// Double precision.
    Double,
    /// UTF-8 text.
    Text,
    /// Any bytes.
    Bytes,
    /// Exactly so many bytes.
    Fixed(usize),
    /// One of these symbols.
    Enum(Vec<String>),
    /// Calendar date.
    Date,
    /// Time of day.
    TimeMicros,
    /// Instant, or local time where the schema says so.
    TimestampMicros,
    /// Exact decimal.
    Decimal {
        /// Digits in all.
        precision: usize,
        /// Digits after the point.
        scale: u32,
    },
    /// UUID in any of its three forms.
    Uuid,
    /// Array.
    List,
    /// Map from text.
    Map,
    /// Nested record.
    Record,
    /// Only null.
    Null,
}

impl FieldType {
    fn of(shape: &Shape) -> FieldType {
        match shape {
            Shape::Null => FieldType::Null,
            Shape::Bool => FieldType::Bool,
            Shape::Int => FieldType::Int,
            Shape::Long => FieldType::Long,
            Shape::Float => FieldType::Float,
            Shape::Double => FieldType::Double,
            Shape::Bytes => FieldType::Bytes,
            Shape::Text => FieldType::Text,
            Shape::Fixed(size) => FieldType::Fixed(*size),
            Shape::Enum(symbols) => FieldType::Enum(symbols.symbols.clone()),
            Shape::Decimal(decimal) => {
                FieldType::Decimal { precision: decimal.precision, scale: decimal.scale }
            }
            Shape::Uuid(_) => FieldType::Uuid,
            Shape::Date => FieldType::Date,
            Shape::TimeMillis | Shape::TimeMicros => FieldType::TimeMicros,
            Shape::TimestampMillis { .. } | Shape::TimestampMicros { .. } => FieldType::TimestampMicros,
            Shape::List(_) => FieldType::List,
            Shape::Map(_) => FieldType::Map,
            Shape::Record(_) => FieldType::Record,
            Shape::Optional { inner, .. } => FieldType::of(inner),
        }
    }
}

/// One field of a contract.
#[derive(Clone, Debug)]
pub struct Field {
    /// Dotted path from the root.
    pub path: FieldPath,
    /// Type without "optional".
    pub kind: FieldType,
    /// Whether a reader may find null here: the field or a record around it is optional.
    pub nullable: bool,
    /// Whether the contract gives a default here or around it.
    pub has_default: bool,
    /// What the contract says about the field.
    pub doc: Option<String>,
}

impl Field {
    /// Whether the field has no fields of its own.
    #[must_use]
    pub fn is_leaf(&self) -> bool {
        self.kind != FieldType::Record
    }

    /// Whether a publisher may leave the field out.
    #[must_use]
    pub fn may_be_left_out(&self) -> bool {
        self.nullable || self.has_default
    }
}

/// A record contract, parsed from the text of an `.avsc` file.
#[derive(Clone, Debug)]
pub struct RecordSchema {
    text: String,
    schema: Schema,
    full_name: String,
    doc: Option<String>,
    fields: Vec<Field>,
}

impl RecordSchema {
    /// Parses a contract. References are resolved, so that what parses also has plans.
    ///
    /// # Errors
    /// When the text is no Avro, is not a record, or uses what the bus does not carry (aliases, unions other
    /// than "optional", types inside themselves).
    pub fn parse(text: &str) -> Result<RecordSchema, SchemaError> {
        let schema = Schema::parse_str(text).map_err(|error| SchemaError::Avro(Box::new(error)))?;
        let record = RecordShape::compile(&schema)?;
        let Schema::Record(avro) = &schema else { return Err(PlanError::NotARecord.into()) };
        let (full_name, doc) = (avro.name.fullname(None), avro.doc.clone());
        let mut fields = Vec::new();
        collect(&record, &schema, "", (false, false), &mut fields);
        Ok(RecordSchema { text: text.to_owned(), schema, full_name, doc, fields })
    }

    /// The text as it was given: this, byte for byte, is what a registry stores.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The parsed schema.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Namespace and name: `vn.lienthong.civil_status.BirthRegistered`.
    #[must_use]
    pub fn full_name(&self) -> &str {
        &self.full_name
    }

    /// What the contract says about the record.
    #[must_use]
    pub fn doc(&self) -> Option<&str> {
        self.doc.as_deref()
    }

    /// Every field in the order of the contract, each nested record before its own fields.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The fields without fields of their own.
    pub fn leaf_paths(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(|field| field.is_leaf())
    }

    /// A field by its dotted path.
    #[must_use]
    pub fn field(&self, path: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.path.as_str() == path)
    }
}

fn collect(
    record: &RecordShape,
    schema: &Schema,
    parent: &str,
    (nullable, has_default): (bool, bool),
    fields: &mut Vec<Field>,
) {
    let docs = record_fields(schema);
    for field in &record.fields {
        let path = join(parent, &field.name);
        let avro = docs.iter().find(|avro| avro.name == field.name);
        let nullable = nullable || matches!(field.shape, Shape::Optional { .. } | Shape::Null);
        let has_default = has_default || field.default.is_some();
        fields.push(Field {
            path: FieldPath::new(path.clone()),
            kind: FieldType::of(&field.shape),
            nullable,
            has_default,
            doc: avro.and_then(|avro| avro.doc.clone()),
        });
        if let (Some(inner), Some(avro)) = (field.shape.as_record(), avro) {
            collect(inner, &avro.schema, &path, (nullable, has_default), fields);
        }
    }
}

/// The fields of a record, looking through "optional". A type used a second time is only a reference here, so
/// its fields' docs stand at its first use.
fn record_fields(schema: &Schema) -> &[apache_avro::schema::RecordField] {
    match schema {
        Schema::Record(record) => &record.fields,
        Schema::Union(union) => {
            union.variants().iter().map(record_fields).find(|fields| !fields.is_empty()).unwrap_or(&[])
        }
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERSON: &str = r#"{"type":"record","name":"Birth","namespace":"vn.test","doc":"A birth.","fields":[
        {"name":"no","type":"string","doc":"Number."},
        {"name":"child","doc":"Child.","type":{"type":"record","name":"Person","fields":[
            {"name":"pin","type":["null","string"],"default":null,"doc":"PIN."},
            {"name":"sex","type":{"type":"enum","name":"Sex","symbols":["MALE","FEMALE"]}}]}},
        {"name":"mother","type":["null","Person"],"default":null},
        {"name":"fee","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2},"default":"\u0000"}]}"#;

    #[test]
    fn fields_are_listed_with_their_dotted_paths() {
        let schema = RecordSchema::parse(PERSON).unwrap();
        assert_eq!(schema.full_name(), "vn.test.Birth");
        assert_eq!(schema.text(), PERSON);
        let paths: Vec<_> = schema.fields().iter().map(|field| field.path.as_str()).collect();
        let expected = ["no", "child", "child.pin", "child.sex", "mother", "mother.pin", "mother.sex", "fee"];
        assert_eq!(paths, expected);
        assert_eq!(schema.leaf_paths().count(), 6);
        let pin = schema.field("child.pin").unwrap();
        assert!(pin.nullable && pin.has_default && pin.doc.as_deref() == Some("PIN."));
        let sex = schema.field("mother.sex").unwrap();
        assert!(sex.nullable && sex.may_be_left_out());
        assert!(!schema.field("child.sex").unwrap().may_be_left_out());
        assert_eq!(schema.field("fee").unwrap().kind, FieldType::Decimal { precision: 12, scale: 2 });
    }

    #[test]
    fn what_the_bus_does_not_carry_is_refused() {
        for (schema, message) in [
            (r#""string""#, "not a record"),
            (r#"{"type":"record","name":"R","fields":[{"name":"a","type":["int","string"]}]}"#, "a union"),
            (
                r#"{"type":"record","name":"R","fields":[{"name":"a","type":["null","R"]}]}"#,
                "contains itself",
            ),
            (
                r#"{"type":"record","name":"R","fields":[{"name":"a","aliases":["b"],"type":"int"}]}"#,
                "aliases",
            ),
            ("{", "not an Avro schema"),
        ] {
            let error = RecordSchema::parse(schema).unwrap_err().to_string();
            assert!(error.contains(message), "{schema}: {error}");
        }
    }
}
