//! A schema as the codec sees it: names resolved, unions reduced to "optional", defaults kept.
//!
//! Why not `apache_avro::Schema` itself: its references need a name table at every step, its unions allow what
//! the bus does not, and its tree may be recursive. All of that is settled once, here.

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, Name, UnionSchema, UuidSchema};
use serde_json::Value as Json;
use std::collections::HashMap;

use crate::path::join;
use crate::plan::{MAX_DEPTH, MAX_NODES, PlanError};

/// One type, without references.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    Null,
    Bool,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(EnumShape),
    Decimal(DecimalShape),
    Uuid(UuidForm),
    Date,
    TimeMillis,
    TimeMicros,
    TimestampMillis { local: bool },
    TimestampMicros { local: bool },
    List(Box<Shape>),
    Map(Box<Shape>),
    Record(RecordShape),
    Optional { null_first: bool, inner: Box<Shape> },
}

#[derive(Clone, Debug)]
pub(crate) struct EnumShape {
    pub(crate) symbols: Vec<String>,
    pub(crate) default: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DecimalShape {
    pub(crate) precision: usize,
    pub(crate) scale: u32,
    /// Size of the fixed that carries it; `None` for bytes.
    pub(crate) fixed: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UuidForm {
    Text,
    Bytes,
    Fixed,
}

#[derive(Clone, Debug)]
pub(crate) struct RecordShape {
    /// Name without namespace.
    pub(crate) name: String,
    pub(crate) fields: Vec<FieldShape>,
}

#[derive(Clone, Debug)]
pub(crate) struct FieldShape {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) default: Option<Json>,
}

impl RecordShape {
    /// Compiles a schema whose top level is a record.
    pub(crate) fn compile(schema: &Schema) -> Result<RecordShape, PlanError> {
        match Shape::compile(schema)? {
            Shape::Record(record) => Ok(record),
            _ => Err(PlanError::NotARecord),
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&FieldShape> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl Shape {
    pub(crate) fn compile(schema: &Schema) -> Result<Shape, PlanError> {
        let mut compiler = Compiler { names: HashMap::new(), open: Vec::new(), nodes: 0 };
        compiler.shape(schema, None, "", 0)
    }

    /// The record inside, looking through "optional".
    pub(crate) fn as_record(&self) -> Option<&RecordShape> {
        match self {
            Shape::Record(record) => Some(record),
            Shape::Optional { inner, .. } => inner.as_record(),
            _ => None,
        }
    }

    /// The type's name in messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Shape::Null => "null",
            Shape::Bool => "bool",
            Shape::Int => "int",
            Shape::Long => "long",
            Shape::Float => "float",
            Shape::Double => "double",
            Shape::Bytes => "bytes",
            Shape::Text => "text",
            Shape::Fixed(_) => "fixed",
            Shape::Enum(_) => "enum",
            Shape::Decimal(_) => "decimal",
            Shape::Uuid(_) => "uuid",
            Shape::Date => "date",
            Shape::TimeMillis => "time-millis",
            Shape::TimeMicros => "time-micros",
            Shape::TimestampMillis { local: false } => "timestamp-millis",
            Shape::TimestampMillis { local: true } => "local-timestamp-millis",
            Shape::TimestampMicros { local: false } => "timestamp-micros",
            Shape::TimestampMicros { local: true } => "local-timestamp-micros",
            Shape::List(_) => "array",
            Shape::Map(_) => "map",
            Shape::Record(_) => "record",
            Shape::Optional { inner, .. } => inner.kind(),
        }
    }

    /// Fewest bytes a value can have on the wire. Zero means that a block count alone costs nothing.
    pub(crate) fn min_bytes(&self) -> usize {
        match self {
            Shape::Null => 0,
            Shape::Float => 4,
            Shape::Double => 8,
            Shape::Fixed(size) => *size,
            Shape::Decimal(decimal) => decimal.fixed.unwrap_or(1),
            Shape::Uuid(UuidForm::Fixed) => 16,
            Shape::Record(record) => {
                record.fields.iter().map(|field| field.shape.min_bytes()).fold(0, usize::saturating_add)
            }
            _ => 1,
        }
    }
}

struct Compiler<'s> {
    names: HashMap<Name, &'s Schema>,
    /// Records being unfolded, to find one inside itself.
    open: Vec<Name>,
    nodes: usize,
}

impl<'s> Compiler<'s> {
    fn shape(
        &mut self,
        schema: &'s Schema,
        namespace: Option<&str>,
        path: &str,
        depth: usize,
    ) -> Result<Shape, PlanError> {
        self.bound(path, depth)?;
        match schema {
            Schema::Ref { name } => {
                let name = name.fully_qualified_name(namespace).into_owned();
                match self.names.get(&name) {
                    Some(named) => self.shape(named, name.namespace(), path, depth + 1),
                    None => Err(unsupported(path, format!("the unknown name `{}`", name.fullname(None)))),
                }
            }
            Schema::Record(record) => self.record(schema, record, namespace, path, depth),
            Schema::Union(union) => self.union(union, namespace, path, depth),
            Schema::Array(array) => {
                Ok(Shape::List(Box::new(self.shape(&array.items, namespace, path, depth + 1)?)))
            }
            Schema::Map(map) => {
                Ok(Shape::Map(Box::new(self.shape(&map.types, namespace, path, depth + 1)?)))
            }
            Schema::Enum(symbols) => {
                self.remember(&symbols.name, namespace, schema, symbols.aliases.is_some(), path)?;
                let default = symbols.default.clone();
                Ok(Shape::Enum(EnumShape { symbols: symbols.symbols.clone(), default }))
            }
            Schema::Fixed(fixed) => {
                self.remember(&fixed.name, namespace, schema, fixed.aliases.is_some(), path)?;
                Ok(Shape::Fixed(fixed.size))
            }
            Schema::Decimal(decimal) => {
                let fixed = match &decimal.inner {
                    InnerDecimalSchema::Bytes => None,
                    InnerDecimalSchema::Fixed(fixed) => {
                        self.remember(&fixed.name, namespace, schema, fixed.aliases.is_some(), path)?;
                        Some(fixed.size)
                    }
                };
                let scale = decimal.scale as u32;
                Ok(Shape::Decimal(DecimalShape { precision: decimal.precision, scale, fixed }))
            }
            Schema::Uuid(form) => self.uuid(form, namespace, schema, path),
            other => scalar(other, path),
        }
    }

    fn bound(&mut self, path: &str, depth: usize) -> Result<(), PlanError> {
        self.nodes += 1;
        if depth > MAX_DEPTH {
            return Err(PlanError::TooLarge { path: path.to_owned(), what: "nests deeper than 64 levels" });
        }
        if self.nodes > MAX_NODES {
            return Err(PlanError::TooLarge {
                path: path.to_owned(),
                what: "unfolds to more than 10000 types",
            });
        }
        Ok(())
    }

    fn remember(
        &mut self,
        name: &Name,
        namespace: Option<&str>,
        schema: &'s Schema,
        aliased: bool,
        path: &str,
    ) -> Result<Name, PlanError> {
        let full = name.fully_qualified_name(namespace).into_owned();
        if aliased {
            return Err(PlanError::Alias { path: named(path, &full) });
        }
        self.names.insert(full.clone(), schema);
        Ok(full)
    }

    fn record(
        &mut self,
        schema: &'s Schema,
        record: &'s apache_avro::schema::RecordSchema,
        namespace: Option<&str>,
        path: &str,
        depth: usize,
    ) -> Result<Shape, PlanError> {
        let full = self.remember(&record.name, namespace, schema, record.aliases.is_some(), path)?;
        if self.open.contains(&full) {
            return Err(PlanError::TooLarge { path: path.to_owned(), what: "the type contains itself" });
        }
        self.open.push(full.clone());
        let mut fields = Vec::with_capacity(record.fields.len());
        for field in &record.fields {
            let path = join(path, &field.name);
            if !field.aliases.is_empty() {
                return Err(PlanError::Alias { path });
            }
            let shape = self.shape(&field.schema, full.namespace(), &path, depth + 1)?;
            fields.push(FieldShape { name: field.name.clone(), shape, default: field.default.clone() });
        }
        self.open.pop();
        Ok(Shape::Record(RecordShape { name: full.name().to_owned(), fields }))
    }

    fn union(
        &mut self,
        union: &'s UnionSchema,
        namespace: Option<&str>,
        path: &str,
        depth: usize,
    ) -> Result<Shape, PlanError> {
        let (null_first, inner) = match union.variants() {
            [Schema::Null, inner] => (true, inner),
            [inner, Schema::Null] => (false, inner),
            _ => return Err(unsupported(path, "a union other than null and one type")),
        };
        let inner = Box::new(self.shape(inner, namespace, path, depth + 1)?);
        Ok(Shape::Optional { null_first, inner })
    }

    fn uuid(
        &mut self,
        form: &'s UuidSchema,
        namespace: Option<&str>,
        schema: &'s Schema,
        path: &str,
    ) -> Result<Shape, PlanError> {
        Ok(Shape::Uuid(match form {
            UuidSchema::String => UuidForm::Text,
            UuidSchema::Bytes => UuidForm::Bytes,
            UuidSchema::Fixed(fixed) => {
                self.remember(&fixed.name, namespace, schema, fixed.aliases.is_some(), path)?;
                UuidForm::Fixed
            }
        }))
    }
}

fn scalar(schema: &Schema, path: &str) -> Result<Shape, PlanError> {
    Ok(match schema {
        Schema::Null => Shape::Null,
        Schema::Boolean => Shape::Bool,
        Schema::Int => Shape::Int,
        Schema::Long => Shape::Long,
        Schema::Float => Shape::Float,
        Schema::Double => Shape::Double,
        Schema::Bytes => Shape::Bytes,
        Schema::String => Shape::Text,
        Schema::Date => Shape::Date,
        Schema::TimeMillis => Shape::TimeMillis,
        Schema::TimeMicros => Shape::TimeMicros,
        Schema::TimestampMillis => Shape::TimestampMillis { local: false },
        Schema::TimestampMicros => Shape::TimestampMicros { local: false },
        Schema::LocalTimestampMillis => Shape::TimestampMillis { local: true },
        Schema::LocalTimestampMicros => Shape::TimestampMicros { local: true },
        Schema::TimestampNanos | Schema::LocalTimestampNanos => {
            return Err(unsupported(path, "a timestamp in nanoseconds"));
        }
        Schema::BigDecimal => return Err(unsupported(path, "big-decimal")),
        Schema::Duration(_) => return Err(unsupported(path, "duration")),
        _ => return Err(unsupported(path, "this type")),
    })
}

fn unsupported(path: &str, what: impl Into<String>) -> PlanError {
    PlanError::Unsupported { path: path.to_owned(), what: what.into() }
}

fn named(path: &str, name: &Name) -> String {
    if path.is_empty() { name.name().to_owned() } else { path.to_owned() }
}
