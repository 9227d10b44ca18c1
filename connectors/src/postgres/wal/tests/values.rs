//! A value of the stream, in either form, becomes the cell that the outbox gives for it; the server says what the value is.

use bumpalo::Bump;
use lienthong_contract::Cell;
use lienthong_contract::source::{Side, TableCapture};
use sqlx::{AssertSqlSafe, Row as _};

use super::super::message::Message;
use super::super::tuple::Value;
use super::super::types::{Type, Types};
use super::super::{SETTINGS, binary, text};
use super::server::{Asked, Server};
use crate::identifier::TableName;
use crate::postgres::captured::Captured;
use crate::postgres::{catalogue, decode};

/// What is made before the tables.
const TYPES: [&str; 10] = [
    "create extension citext",
    "create extension hstore",
    "create type mood as enum ('vui', 'buồn', 'NULL')",
    "create type pair as (a integer, b text)",
    "create domain pin as varchar(12)",
    "create domain amount as numeric(20,4)",
    "create domain moment as timestamptz",
    "create domain later as moment",
    "create domain tags as text[]",
    "create domain days as date",
];

/// A type and SQL for one value of it or a row of them per line.
const VALUES: &str = include_str!("values.txt");

/// A table per type, with the SQL of its values.
fn tables() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut tables: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in VALUES.lines() {
        let (of, sql) = line.split_once(": ").expect("a type and a value");
        match tables.last_mut() {
            Some((last, values)) if *last == of => values.push(sql),
            _ => tables.push((of, vec![sql])),
        }
    }
    tables
}

/// What the outbox makes of each row, by the catalogue as it reads it.
async fn by_outbox<'a>(
    server: &mut Server,
    table: &str,
    arena: &'a Bump,
) -> Vec<Result<Cell<'a>, &'static str>> {
    let name = TableName { schema: "public".to_owned(), name: table.to_owned() };
    let described =
        catalogue::table(&mut server.stream, &name).await.expect("the catalogue").expect("the table");
    let capture = TableCapture::new(table, vec!["id".to_owned()], vec!["v".to_owned()]);
    let captured = Captured::new(&capture, &described);
    let sql = format!("select row_to_json(t.*)::text as row from public.{table} t order by id");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut server.stream).await.expect("rows");
    let read = rows.iter().map(|row| {
        let mut broken = Vec::new();
        let json = arena.alloc_str(row.get("row"));
        let cells = decode::row(json, &captured.needed, (Side::After, &mut broken), arena).expect("a row");
        broken.first().map_or(Ok(cells[0]), |broken| Err(broken.rule))
    });
    read.collect()
}

/// Alike to the bit.
fn same(one: &Cell<'_>, other: &Cell<'_>) -> bool {
    match (one, other) {
        (Cell::F64(one), Cell::F64(other)) => {
            one.to_bits() == other.to_bits() || one.is_nan() && other.is_nan()
        }
        (Cell::List(one), Cell::List(other)) => {
            one.len() == other.len() && one.iter().zip(*other).all(|(one, other)| same(one, other))
        }
        _ => one == other,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_in_either_form_becomes_the_cell_that_the_outbox_gives() {
    let tables = tables();
    let made = tables.iter().enumerate().map(|(at, (of, _))| {
        format!("create table t{at} (id integer primary key generated always as identity, v {of})")
    });
    let setup: Vec<String> = TYPES.iter().map(|&sql| sql.to_owned()).chain(made).collect();
    let mut server = Server::new(&setup).await;
    for (at, (of, values)) in tables.iter().enumerate() {
        for value in values {
            server.run(&insert(at, of, value)).await;
        }
    }
    let streams = [
        (Asked::Text, server.messages(Asked::Text).await),
        (Asked::Binary, server.messages(Asked::Binary).await),
    ];
    let arena = Bump::new();
    let mut outbox = Vec::new();
    for at in 0..tables.len() {
        outbox.push(by_outbox(&mut server, &format!("t{at}"), &arena).await);
    }
    let columns: Vec<u32> = (0..tables.len()).map(|at| rows(&streams[0].1, &format!("t{at}")).0).collect();
    let types = server.types(&columns).await;
    server.close().await;
    for (asked, messages) in &streams {
        for (at, (of, sql)) in tables.iter().enumerate() {
            let (column, values) = rows(messages, &format!("t{at}"));
            let column = types.get(column).expect("a type");
            assert!(values.len() >= sql.len() && values.len() == outbox[at].len(), "{of}");
            let whole = matches!(values[0], Value::Binary(_)) == (*asked == Asked::Binary);
            assert!(whole || values[0] == Value::Null, "{of} comes in the form that was asked for");
            for (row, (expected, value)) in outbox[at].iter().zip(values).enumerate() {
                compare((expected, value), &column, &format!("{of}, row {row}, {asked:?}"));
            }
        }
    }
}

fn compare((expected, value): (&Result<Cell<'_>, &'static str>, Value<'_>), of: &Type, place: &str) {
    let arena = Bump::new();
    let read = match value {
        Value::Null => Ok(Cell::Null),
        Value::Text(bytes) => text::read(bytes, of, &arena),
        Value::Binary(bytes) if of.binary_fits() => binary::read(bytes, of, &arena),
        // A stream with such a column is not asked for bytes.
        Value::Binary(bytes) => return assert!(binary::read(bytes, of, &arena).is_err(), "{place}"),
        Value::Unchanged => panic!("a new row has all its values"),
    };
    let alike = match (expected, &read) {
        (Ok(expected), Ok(read)) => same(expected, read),
        (Err(expected), Err(read)) => expected == read,
        _ => false,
    };
    assert!(alike, "{place}: {expected:?}, not {read:?}");
}

/// A statement that puts a value, or a row of them, into a table.
fn insert(table: usize, of: &str, value: &str) -> String {
    let (value, from) = value.split_once(" from ").unwrap_or((value, "(select) one"));
    format!("insert into t{table} (v) select ({value})::{of} from {from}")
}

/// The type of column `v` of a table, and its values.
fn rows<'a>(messages: &'a [Vec<u8>], table: &str) -> (u32, Vec<Value<'a>>) {
    let (mut found, mut values) = ((0, 0), Vec::new());
    for message in messages {
        match Message::parse(message).expect("a message") {
            Message::Relation(relation) if relation.name == table => {
                assert_eq!((relation.columns[0].name, relation.columns[1].name), ("id", "v"));
                found = (relation.oid, relation.columns[1].type_oid);
            }
            Message::Insert { relation, new } if relation == found.0 => values.extend(new.values().nth(1)),
            _ => {}
        }
    }
    (found.1, values)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_another_json_form_than_its_text_is_not_read() {
    let setup: Vec<String> = TYPES.iter().map(|&sql| sql.to_owned()).collect();
    let mut server = Server::new(&setup).await;
    let names = ["public.pair", "public.pair[]", "public.hstore", "public.hstore[]", "int2vector"];
    let mut found = Vec::new();
    for of in names {
        let sql = format!("select '{of}'::regtype::oid::bigint as oid");
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(&mut server.stream).await.expect("a type");
        let oid = u32::try_from(row.get::<i64, _>("oid")).expect("an oid");
        found.push(server.types(&[oid]).await.get(oid));
    }
    server.close().await;
    assert_eq!(found, names.map(|_| Some(Type::Unreadable)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_built_in_types_is_the_servers() {
    let mut server = Server::new(&[]).await;
    let sql = "select oid::bigint as oid, typarray::bigint as list from pg_type where oid < 10000 and typtype in ('b', 'r')";
    let rows = sqlx::query(sql).fetch_all(&mut server.stream).await.expect("types");
    let oids: Vec<u32> = rows
        .iter()
        .flat_map(|row| [row.get::<i64, _>("oid"), row.get("list")])
        .map(|oid| u32::try_from(oid).expect("an oid"))
        .collect();
    let described = server.types(&oids).await;
    server.close().await;
    let known = Types::default();
    let found: Vec<u32> = oids.into_iter().filter(|oid| known.get(*oid).is_some()).collect();
    for oid in &found {
        assert_eq!(known.get(*oid).as_ref(), described.read.get(oid), "{oid}");
    }
    let distinct: std::collections::HashSet<u32> = found.into_iter().collect();
    assert_eq!(distinct.len(), Type::all().count());
}

#[test]
fn a_stream_is_asked_for_bytes_only_where_all_of_them_are_read() {
    let fits = |oid| Types::default().get(oid).expect("a built-in type").binary_fits();
    // bool, bytea, int8, text, json, float4, varchar, bpchar, date, timestamptz, timetz, numeric, uuid, jsonb, text[]
    for oid in [16, 17, 20, 25, 114, 700, 1043, 1042, 1082, 1184, 1266, 1700, 2950, 3802, 1009] {
        assert!(fits(oid), "{oid}");
    }
    // "char", xml, cidr, money, inet, interval, varbit, numrange, inet[]
    for oid in [18, 142, 650, 790, 869, 1186, 1562, 3906, 1041] {
        assert!(!fits(oid), "{oid}");
    }
    assert_eq!(Types::default().get(99_999), None);
}

#[test]
fn the_session_of_a_stream_sets_what_the_triggers_set() {
    let triggers = include_str!("../../sql/capture.sql");
    for (name, value) in SETTINGS.iter().filter(|(name, _)| *name != "client_encoding") {
        let alike = [format!("set {name} = '{value}'"), format!("set {name} = {value}")];
        assert!(alike.iter().any(|set| triggers.contains(set)), "{name}");
    }
}
