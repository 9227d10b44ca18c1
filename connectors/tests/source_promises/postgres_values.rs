//! PostgreSQL: every type as its cell, by first load and by change alike.

use anyhow::Result;
use lienthong_contract::source::Side;
use lienthong_testkit::database::Database;

use crate::kind::Kind;
use crate::publisher::{Publisher, capture};

/// Column type, SQL value, kind of the cell, the cell as text.
const VALUES: [(&str, &str, &str, &str); 34] = [
    ("boolean", "false", "bool", "false"),
    ("smallint", "-32768", "integer", "-32768"),
    ("integer", "2147483647", "integer", "2147483647"),
    ("bigint", "-9223372036854775808", "integer", "-9223372036854775808"),
    ("real", "0.1", "float", "0.1"),
    ("double precision", "0.1 + 0.2::double precision", "float", "0.30000000000000004"),
    ("numeric", "-12345678901234567890.12340", "decimal", "-1234567890123456789012340e-5"),
    ("numeric(12,2)", "1", "decimal", "100e-2"),
    ("text", "E'd\\u00f2ng\\n2'", "text", "dòng\n2"),
    ("varchar(5)", "'ab  '", "text", "ab  "),
    ("char(5)", "'ab'", "text", "ab"),
    ("bytea", "'\\x00ff10'", "bytes", "00ff10"),
    ("bytea", "''", "bytes", ""),
    ("date", "'1995-03-07'", "date", "1995-03-07"),
    ("date", "'0001-01-01'", "date", "0001-01-01"),
    ("time", "'23:59:59.000001'", "time", "86399000001"),
    ("timestamp", "'2026-09-07 03:02:11.5'", "timestamp", "2026-09-07T03:02:11.500000Z"),
    ("timestamptz", "'2026-09-07 03:02:11.000001+07'", "timestamp", "2026-09-06T20:02:11.000001Z"),
    ("timestamptz", "'1900-01-01 00:00:00+00'", "timestamp", "1900-01-01T00:00:00.000000Z"),
    ("uuid", "'1481531d-ccc9-46d9-a56f-5b67459c0537'", "uuid", "1481531dccc946d9a56f5b67459c0537"),
    ("text[]", "array['x', null, 'y,\"z\"']", "list", "[Some(\"x\"), None, Some(\"y,\\\"z\\\"\")]"),
    ("integer[]", "'{}'", "list", "[]"),
    (
        "moment[]",
        "array['2026-09-07 03:02:11+07'::public.moment]",
        "list",
        "[Some(\"2026-09-06T20:02:11.000000Z\")]",
    ),
    (
        "moments[]",
        "array['{2026-09-07 03:02:11+07}'::public.moments]",
        "list",
        "[Some(\"[Some(\\\"2026-09-06T20:02:11.000000Z\\\")]\")]",
    ),
    ("bigint[]", "array[1, -2]", "list", "[Some(\"1\"), Some(\"-2\")]"),
    ("json", "'{\"a\":  [1, null]}'", "text", "{\"a\":  [1, null]}"),
    ("jsonb", "'{\"b\": 1.50}'", "text", "{\"b\": 1.50}"),
    ("mood", "'vui'", "text", "vui"),
    ("pin", "'001203004567'", "text", "001203004567"),
    ("interval", "'1 year 2 days 03:04:05'", "text", "P1Y2DT3H4M5S"),
    ("inet", "'10.0.0.1/8'", "text", "10.0.0.1/8"),
    ("bit varying", "b'1010'", "text", "1010"),
    ("numrange", "'[1.5,2)'", "text", "[1.5,2)"),
    ("xml", "'<a>&amp;</a>'", "text", "<a>&amp;</a>"),
];

async fn publisher<K: Kind>(values: &[(&str, &str)]) -> Result<Publisher<K>> {
    let columns: Vec<String> =
        values.iter().enumerate().map(|(at, (type_name, _))| format!("c{at} {type_name}")).collect();
    let table = format!("create table item (id integer primary key, {})", columns.join(", "));
    let names: Vec<String> =
        std::iter::once("id".to_owned()).chain((0..values.len()).map(|at| format!("c{at}"))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let setup = [
        "create type mood as enum ('vui', 'buồn')",
        "create domain pin as varchar(12)",
        "create domain moment as timestamptz",
        "create domain moments as moment[]",
        &table,
        &insert(1, values),
    ];
    let publisher = Publisher::<K>::new(&setup, vec![capture("item", &names)]).await?;
    publisher.prepare().await?;
    Ok(publisher)
}

fn insert(id: u32, values: &[(&str, &str)]) -> String {
    let sql: Vec<&str> = values.iter().map(|(_, sql)| *sql).collect();
    format!("insert into item values ({id}, {})", sql.join(", "))
}

pub(crate) async fn every_type_is_read_as_its_cell_by_first_load_and_by_change<K: Kind>() -> Result<()> {
    let values: Vec<(&str, &str)> = VALUES.iter().map(|(type_name, sql, ..)| (*type_name, *sql)).collect();
    let publisher = publisher::<K>(&values).await?;
    let mut reader = publisher.reader(None).await?;
    let loaded = reader.catch_up(10).await?;
    // An owner whose session writes values in other ways than the connector's.
    let mut owner = Database::open(&publisher.kind.url()).await?;
    let settings = [
        "set timezone = 'Asia/Ho_Chi_Minh'",
        "set datestyle = 'German'",
        "set extra_float_digits = -5",
        "set bytea_output = 'escape'",
        "set intervalstyle = 'sql_standard'",
        "set search_path = pg_temp",
    ];
    let mut statements: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
    // The same instants: a date of this form is read alike in every date style; what has no zone stays as it is.
    statements.push(
        insert(2, &values)
            .replace("insert into item", "insert into public.item")
            .replace("'vui'", "'vui'::public.mood"),
    );
    owner.run(&statements).await?;
    let changed = reader.catch_up(10).await?;
    for (how, changes) in [("loaded", &loaded), ("changed", &changed)] {
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].broken, [], "{how}");
        let row = changes[0].after.as_ref().expect("a row");
        for (at, (type_name, _, kind, text)) in VALUES.iter().enumerate() {
            assert_eq!(
                (changes[0].kinds[at + 1], row[at + 1].as_deref()),
                (*kind, Some(*text)),
                "{how}: {type_name}"
            );
        }
    }
    Ok(())
}

pub(crate) async fn what_no_cell_can_hold_is_named_by_column_and_rule_and_the_stream_goes_on<K: Kind>()
-> Result<()> {
    let broken = [
        ("date", "'infinity'"),
        ("timestamptz", "'-infinity'"),
        ("date", "'0044-03-15 BC'"),
        ("numeric", "'NaN'"),
        ("time", "'24:00:00'"),
    ];
    for value in broken {
        let mut publisher = publisher::<K>(&[("text", "'good'"), value]).await?;
        let mut reader = publisher.reader(None).await?;
        reader.catch_up(10).await?;
        publisher
            .run(&[
                &insert(2, &[("text", "'good'"), value]),
                "delete from item where id = 2",
                "insert into item values (3, 'good', null)",
            ])
            .await?;
        reader.catch_up(10).await?;
        assert_eq!(reader.changes.len(), 4);
        for change in &reader.changes[..3] {
            let [named] = change.broken.as_slice() else { panic!("it is named once: {value:?}") };
            assert_eq!(named.column, 2, "{value:?}");
            assert_eq!(named.side == Side::After, change.after.is_some(), "{value:?}");
            assert!(!named.rule.is_empty());
            let row = change.after.as_ref().or(change.before.as_ref()).expect("a row");
            assert_eq!((row[1].as_deref(), &row[2]), (Some("good"), &None));
        }
        assert_eq!(reader.changes[3].broken, []);
    }
    Ok(())
}

pub(crate) async fn keys_of_any_type_are_loaded_in_chunks<K: Kind>() -> Result<()> {
    let keys = [
        ("bigint", "i * 1000000007::bigint"),
        ("numeric(10,3)", "i / 7.0"),
        ("text", "'mã ' || i"),
        ("char(12)", "lpad(i::text, 5, '0')"),
        ("date", "'2000-01-01'::date + i"),
        ("timestamptz", "'2000-01-01 00:00:00+00'::timestamptz + i * interval '0.001 s'"),
        ("uuid", "md5(i::text)::uuid"),
        ("bytea", "decode(md5(i::text), 'hex')"),
        ("pin", "'p' || i"),
        ("double precision", "i / 3.0::double precision"),
    ];
    for (type_name, value) in keys {
        println!("{type_name}");
        let setup = [
            "create domain pin as varchar(12)",
            &format!("create table item (k {type_name} primary key, n integer)"),
            &format!("insert into item select {value}, i from generate_series(1, 40) i"),
        ];
        let mut publisher = Publisher::<K>::new(&setup, vec![capture("item", &["k", "n"])]).await?;
        publisher.prepare().await?;
        let mut reader = publisher.reader(None).await?;
        reader.poll(7).await?;
        publisher.run(&["update item set n = 0 where n in (3, 39)"]).await?;
        reader.catch_up(7).await?;
        assert_eq!(reader.changes.len(), 42, "{type_name}");
        let middle = reader.positions[2].clone();
        let ids: Vec<String> = reader.changes[middle.1..].iter().map(|change| change.id.clone()).collect();
        drop(reader);
        let again = publisher.reader(Some(&middle.0)).await?.catch_up(6).await?;
        let mut again: Vec<String> = again.into_iter().map(|change| change.id).collect();
        let mut ids = ids;
        ids.sort();
        again.sort();
        assert_eq!(again, ids, "{type_name}");
    }
    Ok(())
}
