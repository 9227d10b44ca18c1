//! A contract and a row as plain trees, owned by the test.

use bumpalo::Bump;
use lienthong_schemas::{Cell, Decimal, Schema};
use serde_json::{Value as Json, json};

/// A type. Fields are called `f0`, `f1`, ... unless evolution names them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ty {
    Bool,
    Int,
    Long,
    Float,
    Double,
    Text,
    Bytes,
    Fixed(usize),
    /// Symbols, and the enum's default.
    Enum(Vec<String>, Option<String>),
    Decimal {
        precision: usize,
        scale: u32,
        fixed: Option<usize>,
    },
    UuidText,
    UuidFixed,
    Date,
    TimeMillis,
    TimeMicros,
    TimestampMillis(bool),
    TimestampMicros(bool),
    List(Box<Ty>),
    Map(Box<Ty>),
    Record(Vec<Field>),
    Optional(bool, Box<Ty>),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) ty: Ty,
    pub(crate) default: Option<Json>,
}

/// A value of a type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Val {
    Null,
    Bool(bool),
    I64(i64),
    F64(f64),
    Text(String),
    Bytes(Vec<u8>),
    Decimal(i128),
    Uuid([u8; 16]),
    Date(i32),
    Time(i64),
    Timestamp(i64),
    List(Vec<Val>),
    Map(Vec<(String, Val)>),
    Record(Vec<Val>),
}

/// The schema of a record type.
pub(crate) fn schema(fields: &[Field]) -> Schema {
    let json = type_json(&Ty::Record(fields.to_vec()), &mut 0);
    Schema::parse_str(&json.to_string()).unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn type_json(ty: &Ty, names: &mut usize) -> Json {
    *names += 1;
    let name = format!("T{names}");
    let logical = |base: &str, logical: &str| json!({"type": base, "logicalType": logical});
    let timestamp = |local: bool, unit: &str| {
        logical("long", &format!("{}timestamp-{unit}", if local { "local-" } else { "" }))
    };
    match ty {
        Ty::Bool => json!("boolean"),
        Ty::Int => json!("int"),
        Ty::Long => json!("long"),
        Ty::Float => json!("float"),
        Ty::Double => json!("double"),
        Ty::Text => json!("string"),
        Ty::Bytes => json!("bytes"),
        Ty::Fixed(size) => json!({"type": "fixed", "name": name, "size": size}),
        Ty::Enum(symbols, None) => json!({"type": "enum", "name": name, "symbols": symbols}),
        Ty::Enum(symbols, default) => {
            json!({"type": "enum", "name": name, "symbols": symbols, "default": default})
        }
        Ty::Decimal { precision, scale, fixed: None } => {
            json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale})
        }
        Ty::Decimal { precision, scale, fixed: Some(size) } => json!({"type": "fixed", "name": name,
            "size": size, "logicalType": "decimal", "precision": precision, "scale": scale}),
        Ty::UuidText => logical("string", "uuid"),
        Ty::UuidFixed => json!({"type": "fixed", "name": name, "size": 16, "logicalType": "uuid"}),
        Ty::Date => logical("int", "date"),
        Ty::TimeMillis => logical("int", "time-millis"),
        Ty::TimeMicros => logical("long", "time-micros"),
        Ty::TimestampMillis(local) => timestamp(*local, "millis"),
        Ty::TimestampMicros(local) => timestamp(*local, "micros"),
        Ty::List(item) => json!({"type": "array", "items": type_json(item, names)}),
        Ty::Map(value) => json!({"type": "map", "values": type_json(value, names)}),
        Ty::Record(fields) => {
            let fields: Vec<Json> = fields.iter().map(|field| field_json(field, names)).collect();
            json!({"type": "record", "name": name, "fields": fields})
        }
        Ty::Optional(true, inner) => json!(["null", type_json(inner, names)]),
        Ty::Optional(false, inner) => json!([type_json(inner, names), "null"]),
    }
}

fn field_json(field: &Field, names: &mut usize) -> Json {
    let ty = type_json(&field.ty, names);
    match &field.default {
        Some(default) => json!({"name": field.name, "type": ty, "default": default}),
        None => json!({"name": field.name, "type": ty}),
    }
}

/// A value as a cell in an arena. Decimals come with redundant leading bytes, as databases may give them.
pub(crate) fn cell<'a>(ty: &Ty, val: &Val, arena: &'a Bump) -> Cell<'a> {
    match (ty, val) {
        (Ty::Optional(_, inner), val) if *val != Val::Null => cell(inner, val, arena),
        (_, Val::Null) => Cell::Null,
        (_, Val::Bool(value)) => Cell::Bool(*value),
        (_, Val::I64(value)) => Cell::I64(*value),
        (_, Val::F64(value)) => Cell::F64(*value),
        (_, Val::Text(text)) => Cell::Str(arena.alloc_str(text)),
        (_, Val::Bytes(bytes)) => Cell::Bytes(arena.alloc_slice_copy(bytes)),
        (Ty::Decimal { scale, .. }, Val::Decimal(unscaled)) => Cell::Decimal(Decimal {
            unscaled: arena.alloc_slice_copy(&unscaled.to_be_bytes()),
            scale: *scale,
        }),
        (_, Val::Uuid(uuid)) => Cell::Uuid(*uuid),
        (_, Val::Date(days)) => Cell::Date(*days),
        (_, Val::Time(micros)) => Cell::Time(*micros),
        (_, Val::Timestamp(micros)) => Cell::Timestamp(*micros),
        (Ty::List(item), Val::List(items)) => {
            Cell::List(arena.alloc_slice_fill_iter(items.iter().map(|val| cell(item, val, arena))))
        }
        (Ty::Map(value), Val::Map(entries)) => {
            Cell::List(arena.alloc_slice_fill_iter(entries.iter().map(|(key, val)| {
                let pair = [Cell::Str(arena.alloc_str(key)), cell(value, val, arena)];
                Cell::List(arena.alloc_slice_copy(&pair))
            })))
        }
        (Ty::Record(fields), Val::Record(vals)) => {
            Cell::List(arena.alloc_slice_fill_iter(
                fields.iter().zip(vals).map(|(field, val)| cell(&field.ty, val, arena)),
            ))
        }
        (ty, val) => panic!("{val:?} is no {ty:?}"),
    }
}

/// A cell back as a value. Maps are sorted by key, decimals compared as numbers.
pub(crate) fn value(ty: &Ty, cell: &Cell<'_>) -> Val {
    match (ty, cell) {
        (_, Cell::Null) => Val::Null,
        (Ty::Optional(_, inner), cell) => value(inner, cell),
        (_, Cell::Bool(value)) => Val::Bool(*value),
        (_, Cell::I64(value)) => Val::I64(*value),
        (_, Cell::F64(value)) => Val::F64(*value),
        (_, Cell::Str(text)) => Val::Text((*text).to_owned()),
        (_, Cell::Bytes(bytes)) => Val::Bytes(bytes.to_vec()),
        (Ty::Decimal { scale, .. }, Cell::Decimal(decimal)) => {
            assert_eq!(decimal.scale, *scale);
            let negative = decimal.unscaled.first().is_some_and(|byte| byte & 0x80 != 0);
            let start = if negative { -1i128 } else { 0 };
            Val::Decimal(decimal.unscaled.iter().fold(start, |sum, byte| sum << 8 | i128::from(*byte)))
        }
        (_, Cell::Uuid(uuid)) => Val::Uuid(*uuid),
        (_, Cell::Date(days)) => Val::Date(*days),
        (_, Cell::Time(micros)) => Val::Time(*micros),
        (_, Cell::Timestamp(micros)) => Val::Timestamp(*micros),
        (Ty::List(item), Cell::List(items)) => {
            Val::List(items.iter().map(|cell| value(item, cell)).collect())
        }
        (Ty::Map(inner), Cell::List(entries)) => Val::Map(sorted(entries, inner)),
        (Ty::Record(fields), Cell::List(cells)) => {
            assert_eq!(fields.len(), cells.len());
            Val::Record(fields.iter().zip(*cells).map(|(field, cell)| value(&field.ty, cell)).collect())
        }
        (ty, cell) => panic!("{cell:?} is no {ty:?}"),
    }
}

fn sorted(entries: &[Cell<'_>], inner: &Ty) -> Vec<(String, Val)> {
    let mut entries: Vec<_> = entries
        .iter()
        .map(|entry| match entry {
            Cell::List([Cell::Str(key), val]) => ((*key).to_owned(), value(inner, val)),
            other => panic!("{other:?} is no entry"),
        })
        .collect();
    entries.sort_by(|left, right| left.0.cmp(&right.0));
    entries
}

/// Dotted leaf paths with their types and values; below a null record every leaf is null.
pub(crate) fn leaves(fields: &[Field], vals: &[Val]) -> Vec<(String, Ty, Val)> {
    let mut found = Vec::new();
    collect(fields, Some(vals), "", &mut found);
    found
}

fn collect(fields: &[Field], vals: Option<&[Val]>, parent: &str, found: &mut Vec<(String, Ty, Val)>) {
    for (index, field) in fields.iter().enumerate() {
        let path = if parent.is_empty() { field.name.clone() } else { format!("{parent}.{}", field.name) };
        let val = vals.map_or(&Val::Null, |vals| &vals[index]);
        let inner = match &field.ty {
            Ty::Optional(_, inner) => inner,
            ty => ty,
        };
        match (inner, val) {
            (Ty::Record(fields), Val::Record(vals)) => collect(fields, Some(vals), &path, found),
            (Ty::Record(fields), _) => collect(fields, None, &path, found),
            _ => found.push((path, field.ty.clone(), val.clone())),
        }
    }
}

/// A record given by its leaves cannot tell "there, with nothing in it" from "not there": the latter it is.
pub(crate) fn without_hollow_records(ty: &Ty, val: &Val) -> Val {
    match (ty, val) {
        (Ty::Optional(_, inner), val) => match (inner.as_ref(), without_hollow_records(inner, val)) {
            (Ty::Record(fields), Val::Record(vals))
                if leaves(fields, &vals).iter().all(|(_, _, val)| *val == Val::Null) =>
            {
                Val::Null
            }
            (_, val) => val,
        },
        (Ty::Record(fields), Val::Record(vals)) => Val::Record(
            fields.iter().zip(vals).map(|(field, val)| without_hollow_records(&field.ty, val)).collect(),
        ),
        (_, val) => val.clone(),
    }
}
