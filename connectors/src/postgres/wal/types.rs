//! Types of columns by their oid: how a value is read from the text of its output function, and from the bytes of its send function
//! where both say the same.

use std::collections::HashMap;

use super::super::decode::Reading;

/// How the values of a type come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// One value.
    Scalar {
        /// What becomes of it.
        reading: Reading,
        /// What its bytes are.
        form: Form,
    },
    /// An array of any number of dimensions.
    List {
        /// Its elements.
        element: Box<Type>,
        /// What stands between them in text.
        delimiter: u8,
    },
    /// The outbox records it in another way than by its text (composite types, types that have a JSON form of their own): one
    /// column would have two meanings.
    Unreadable,
}

/// What the bytes of a value are when it comes in binary form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As the reading and the length say.
    Plain,
    /// A number of four bytes without a sign.
    Unsigned,
    /// A time of day with its zone, of which the text is wanted.
    ZonedTime,
    /// Something that is not decoded here.
    OnlyText,
}

/// Oid, oid of the array, name. They are the same in every server and for ever.
const BUILT_IN: [(u32, u32, &str); 35] = [
    (16, 1000, "bool"),
    (17, 1001, "bytea"),
    (18, 1002, "char"),
    (19, 1003, "name"),
    (20, 1016, "int8"),
    (21, 1005, "int2"),
    (23, 1007, "int4"),
    (25, 1009, "text"),
    (26, 1028, "oid"),
    (114, 199, "json"),
    (142, 143, "xml"),
    (650, 651, "cidr"),
    (700, 1021, "float4"),
    (701, 1022, "float8"),
    (774, 775, "macaddr8"),
    (790, 791, "money"),
    (829, 1040, "macaddr"),
    (869, 1041, "inet"),
    (1042, 1014, "bpchar"),
    (1043, 1015, "varchar"),
    (1082, 1182, "date"),
    (1083, 1183, "time"),
    (1114, 1115, "timestamp"),
    (1184, 1185, "timestamptz"),
    (1186, 1187, "interval"),
    (1266, 1270, "timetz"),
    (1560, 1561, "bit"),
    (1562, 1563, "varbit"),
    (1700, 1231, "numeric"),
    (2950, 2951, "uuid"),
    (3614, 3643, "tsvector"),
    (3802, 3807, "jsonb"),
    (3904, 3905, "int4range"),
    (3906, 3907, "numrange"),
    (3912, 3913, "daterange"),
];

impl Type {
    fn scalar(name: &str) -> Self {
        let reading = Reading::of(name, None);
        let form = match name {
            "oid" => Form::Unsigned,
            "timetz" => Form::ZonedTime,
            "text" | "varchar" | "name" | "citext" => Form::Plain,
            _ if reading == Reading::Text => Form::OnlyText,
            _ => Form::Plain,
        };
        Self::Scalar { reading, form }
    }

    fn list(element: Self, delimiter: u8) -> Self {
        match element {
            // A delimiter is one byte; where it is part of a character, none can be told.
            element if !delimiter.is_ascii() || element == Self::Unreadable => Self::Unreadable,
            element => Self::List { element: Box::new(element), delimiter },
        }
    }

    fn built_in(oid: u32) -> Option<Self> {
        BUILT_IN.iter().find_map(|(own, array, name)| match oid {
            oid if oid == *own => Some(Self::scalar(name)),
            oid if oid == *array => Some(Self::list(Self::scalar(name), b',')),
            _ => None,
        })
    }

    /// All that are built in.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        BUILT_IN.iter().flat_map(|(own, array, _)| [*own, *array]).filter_map(Self::built_in)
    }

    /// What becomes of a value; `None` when it is not read.
    pub(crate) fn reading(&self) -> Option<Reading> {
        match self {
            Self::Scalar { reading, .. } => Some(reading.clone()),
            Self::List { element, .. } => Some(Reading::List(Box::new(element.reading()?))),
            Self::Unreadable => None,
        }
    }

    /// Whether a stream may be asked for the binary form of this type. It is asked for all types of a stream or for none, so one
    /// needed column of which this is false wants a stream of text.
    pub(crate) fn binary_fits(&self) -> bool {
        match self {
            Self::Scalar { form, .. } => *form != Form::OnlyText,
            Self::List { element, .. } => element.binary_fits(),
            Self::Unreadable => true,
        }
    }
}

/// Describes the types `$1`, an array of numbers, and those behind them, as [`Described`].
pub(crate) const DESCRIBE: &str = "with recursive need (oid) as ( \
         select unnest($1::bigint[])::oid \
         union select part.oid from need join pg_catalog.pg_type t on t.oid = need.oid \
         cross join lateral (values (t.typbasetype), (t.typelem)) part (oid) where part.oid <> 0) \
     select t.oid::bigint as oid, t.typname::text as name, t.typtype::text as kind, t.typbasetype::bigint as base, \
     case when t.typoutput = 'pg_catalog.array_out'::regproc then t.typelem else 0 end::bigint as element, \
     t.typdelim::text as delimiter, \
     t.typcategory = 'A' and t.typoutput <> 'pg_catalog.array_out'::regproc or t.typtype = 'c' \
     or exists (select from pg_catalog.pg_cast c where c.castsource = t.oid and c.castmethod = 'f' \
         and c.casttarget = 'pg_catalog.json'::regtype) as unreadable \
     from need join pg_catalog.pg_type t using (oid)";

/// A row of [`DESCRIBE`].
#[derive(Clone, Debug)]
pub(crate) struct Described {
    /// The type.
    pub(crate) oid: u32,
    /// Its name without a schema.
    pub(crate) name: String,
    /// `d` for a domain, `e` for an enum, others.
    pub(crate) kind: String,
    /// What a domain is of.
    pub(crate) base: u32,
    /// What an array is of; 0 when it is none.
    pub(crate) element: u32,
    /// What stands between such elements in an array's text.
    pub(crate) delimiter: u8,
    /// Whether the outbox records its values otherwise than by their text.
    pub(crate) unreadable: bool,
}

/// What is known of types.
#[derive(Clone, Debug, Default)]
pub(crate) struct Types {
    pub(super) read: HashMap<u32, Type>,
}

/// Domains of domains and arrays of them end sooner than this.
const DEPTH: usize = 16;

impl Types {
    /// From the catalogue, behind every domain and every array.
    pub(crate) fn new(described: &[Described]) -> Self {
        let by_oid: HashMap<u32, &Described> = described.iter().map(|row| (row.oid, row)).collect();
        let read = described.iter().filter_map(|row| Some((row.oid, resolve(row.oid, &by_oid, DEPTH)?)));
        Self { read: read.collect() }
    }

    /// The type of this oid; `None` when nothing is known of it.
    pub(crate) fn get(&self, oid: u32) -> Option<Type> {
        Type::built_in(oid).or_else(|| self.read.get(&oid).cloned())
    }
}

fn resolve(oid: u32, described: &HashMap<u32, &Described>, depth: usize) -> Option<Type> {
    let (row, depth) = (described.get(&oid)?, depth.checked_sub(1)?);
    Some(match row.kind.as_str() {
        "d" => resolve(row.base, described, depth)?,
        _ if row.unreadable => Type::Unreadable,
        "e" => Type::Scalar { reading: Reading::Text, form: Form::Plain },
        _ if row.element != 0 => {
            let delimiter = described.get(&row.element)?.delimiter;
            Type::list(resolve(row.element, described, depth)?, delimiter)
        }
        _ => Type::scalar(&row.name),
    })
}
