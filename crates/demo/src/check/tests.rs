//! Every kind of cell of every copy, altered: the check tells exactly that, and nothing of copies that are right.

use std::ops::ControlFlow;

use rusqlite::types::Value;
use tempfile::TempDir;
use unicode_normalization::UnicodeNormalization as _;

use super::*;
use crate::{Ground, LifeOptions, write};

const HAPPENINGS: u64 = 400;
/// Births that stand in the register with a date that no calendar has.
const REFUSED: u32 = 3;

/// A nation that has lived, and subscribers that hold what they must.
fn nation() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), None).unwrap();
    let secrets = folder.path().join("secrets");
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("subject.key"), "ab".repeat(32)).unwrap();
    let options = LifeOptions { seed: Some(7), people: Some(800), rate: 1e6, canaries: false };
    // What a nation has depends on its first day.
    let day = chrono::NaiveDate::from_ymd_opt(2026, 11, 27).unwrap();
    let ground = Ground::open_on(day, folder.path(), options).unwrap();
    let mut life = ground.settle(&mut |_| ControlFlow::Continue(())).unwrap().expect("nobody breaks it off");
    // Nothing waits for the pauses between the steps.
    while life.happened() < HAPPENINGS {
        life.tick().unwrap();
        life.finish().unwrap();
    }
    let register = Connection::open(publisher_file(folder.path(), "moj.civil-status")).unwrap();
    let spoilt = "with spoilt as (select registration_no from birth_registration where status = 'registered'
        and registration_no not in (select key from demo_refused where origin = 'birth_registration') order by rowid limit ?1)";
    let note = format!(
        "{spoilt} insert into demo_refused select 'birth_registration', registration_no, 'registered_on' from spoilt"
    );
    register.execute(&note, [REFUSED]).unwrap();
    let spoil = "update birth_registration set registered_on = '2026-02-30' where registration_no in
        (select key from demo_refused where origin = 'birth_registration' and column_name = 'registered_on')";
    register.execute(spoil, []).unwrap();
    for subscriber in SUBSCRIBERS {
        let conn = connect(folder.path(), subscriber).unwrap();
        conn.execute_batch("begin").unwrap();
        COPIES.iter().filter(|copy| copy.subscriber == subscriber).for_each(|copy| fill(&conn, copy));
        conn.execute_batch("commit").unwrap();
    }
    folder
}

/// The columns that are compared; the mark of a void row by its name.
fn columns(copy: &Copy) -> Vec<&'static str> {
    let list =
        copy.actual.strip_prefix("select ").and_then(|list| list.rsplit_once(" from ")).expect("a list").0;
    list.split(',').map(|column| column.trim().trim_end_matches(" is not null")).collect()
}

/// Puts into the copy what it must hold.
fn fill(conn: &Connection, copy: &Copy) {
    let refused = refused(conn, copy).unwrap();
    let columns = columns(copy);
    let marks = vec!["?"; columns.len()].join(", ");
    let insert = format!("insert or replace into {} ({}) values ({marks})", copy.table, columns.join(", "));
    let mut statement = conn.prepare(copy.expected).unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let origin: String = row.get(0).unwrap();
        let cell = |at: usize| match row.get(at + 1).unwrap() {
            Value::Text(text) => Value::Text(text.nfc().collect()),
            Value::Integer(mark) if columns[at] == "voided_at" => void(mark != 0),
            other => other,
        };
        if !refused.contains(nfc(&origin).as_ref()) {
            let values: Vec<Value> = (0..columns.len()).map(cell).collect();
            conn.prepare_cached(&insert).unwrap().execute(rusqlite::params_from_iter(values)).unwrap();
        }
    }
}

fn void(is_void: bool) -> Value {
    if is_void { Value::Text("2026-09-01T00:00:00Z".to_owned()) } else { Value::Null }
}

fn seen(conn: &Connection, copy: &Copy) -> (u64, Vec<(&'static str, u64)>) {
    let mut verdict = Verdict::default();
    compare(conn, copy, &mut verdict).unwrap();
    let told = verdict.differences.iter().map(|found| {
        assert_eq!((found.subscriber, found.table), (copy.subscriber, copy.table));
        (found.kind, found.count)
    });
    (verdict.equal, told.collect())
}

/// What the check tells of the copy after a statement that changes one row, which is taken back.
fn after(conn: &Connection, copy: &Copy, statement: &str, value: &Value) -> (u64, Vec<(&'static str, u64)>) {
    conn.execute_batch("begin").unwrap();
    let takes: &[&dyn rusqlite::ToSql] = if statement.contains("?1") { &[value] } else { &[] };
    let changed = conn.execute(statement, takes).unwrap_or_else(|error| panic!("{statement}: {error}"));
    assert_eq!(changed, 1, "{statement}");
    let told = seen(conn, copy);
    conn.execute_batch("rollback").unwrap();
    told
}

#[test]
fn one_altered_cell_one_row_too_many_or_too_few_and_one_leaked_column_are_told_as_what_they_are() {
    let folder = nation();
    let verdict = check(folder.path(), &mut |_| {}).unwrap();
    assert_eq!(verdict.differences, []);
    assert!(verdict.refused >= u64::from(REFUSED));
    let (mut cells, mut decomposed) = (0, 0);
    for copy in &COPIES {
        let conn = connect(folder.path(), copy.subscriber).unwrap();
        let (right, none) = seen(&conn, copy);
        assert!(right > 0 && none.is_empty(), "{} {}", copy.subscriber, copy.table);
        let one = |kind| (right - 1, vec![(kind, 1)]);
        let told = |statement: &str, value: &Value| after(&conn, copy, statement, value);
        let (table, columns) = (copy.table, columns(copy));
        for (at, column) in columns.iter().enumerate() {
            let held =
                format!("select rowid, {column} from {table} order by {column} is null, rowid limit 1");
            let (rowid, held): (i64, Value) =
                conn.query_row(&held, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            let set = format!("update {table} set {column} = ?1 where rowid = {rowid}");
            let place = format!("{} {table}.{column}", copy.subscriber);
            let altered = match &held {
                Value::Null => void(true),
                _ if *column == "voided_at" => Value::Null,
                Value::Text(text) => Value::Text(format!("{text}x")),
                Value::Integer(number) => Value::Integer(1 - number),
                _ => panic!("{place} holds something else"),
            };
            if at < copy.key {
                assert_eq!(told(&set, &altered), (right - 1, vec![("missing", 1), ("extra", 1)]), "{place}");
                continue;
            }
            cells += 1;
            assert_eq!(told(&set, &altered), one("stale"), "{place}");
            for other in [Value::Null, Value::Text(String::new())] {
                let same = other == held || *column == "voided_at";
                assert!(same || told(&set, &other) == one("stale"), "{place} {other:?}");
            }
            let apart = format!("select rowid, {column} from {table} where {column} glob '*[À-ỹ]*' limit 1");
            if let Ok((rowid, text)) =
                conn.query_row(&apart, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
                && text.nfd().collect::<String>() != text
            {
                decomposed += 1;
                let set = format!("update {table} set {column} = ?1 where rowid = {rowid}");
                assert_eq!(told(&set, &Value::Text(text.nfd().collect())), one("stale"), "{place} in NFD");
            }
        }
        let first = format!("where rowid = (select min(rowid) from {table})");
        assert_eq!(told(&format!("delete from {table} {first}"), &Value::Null), one("missing"));
        let leak = format!("update {table} set own_note = 'from nowhere' {first}");
        assert_eq!(told(&leak, &Value::Null), (right, vec![("leaked", 1)]));
        let keys: Vec<&str> = columns[..copy.key].iter().map(|_| "'invented'").collect();
        let names = columns[..copy.key].join(", ");
        let invent = format!("insert into {table} ({names}) values ({})", keys.join(", "));
        assert_eq!(told(&invent, &Value::Null), (right, vec![("extra", 1)]));
    }
    assert!(cells > 100 && decomposed > 10, "{cells} cells were altered, {decomposed} texts decomposed");
}

#[test]
fn a_date_that_is_known_in_part_stands_as_that_part_and_never_as_a_day() {
    let folder = nation();
    for (subscriber, table, column, key) in [
        ("mps.population", "birth", "birth_date", "registration_no"),
        ("moh.ehr", "health_book", "birth_date", "registration_no"),
        ("vss.insurance", "insured_child", "ngay_sinh", "registration_no"),
        ("mof.tax", "taxpayer", "birth_date", "pin"),
    ] {
        let conn = connect(folder.path(), subscriber).unwrap();
        let copy = COPIES.iter().find(|copy| copy.subscriber == subscriber && copy.table == table).unwrap();
        let partial = if column == "ngay_sinh" { "is null" } else { "glob '[0-9][0-9][0-9][0-9]'" };
        let count: i64 = conn
            .query_row(&format!("select count(*) from {table} where {column} {partial}"), [], |row| {
                row.get(0)
            })
            .unwrap();
        assert!(count > 0, "{table} has no partial date");
        let (right, _) = seen(&conn, copy);
        let invented = format!(
            "update {table} set {column} = substr(coalesce({column}, '1990'), 1, 4) || '-01-01'
             where {key} = (select {key} from {table} where {column} {partial} limit 1)"
        );
        assert_eq!(after(&conn, copy, &invented, &Value::Null), (right - 1, vec![("stale", 1)]), "{table}");
    }
}

#[test]
fn nothing_of_a_row_that_is_refused_may_stand_in_a_copy_neither_as_it_is_nor_as_it_was_meant() {
    let folder = nation();
    for copy in COPIES.iter().filter(|copy| copy.origin == "birth_registration") {
        let conn = connect(folder.path(), copy.subscriber).unwrap();
        let (right, none) = seen(&conn, copy);
        assert!(none.is_empty());
        let columns = columns(copy);
        // The copy's own SQL makes the row; where the date stands, also with a right one in its place.
        let spoilt: String = conn
            .query_row(
                "select key from moj.demo_refused where origin = 'birth_registration' and column_name = 'registered_on' limit 1",
                [],
                |row| row.get(0),
            )
            .unwrap();
        let names: Vec<String> = (0..columns.len()).map(|at| format!("c{at}")).collect();
        let value = |(column, name): (&&str, &String)| match *column {
            "voided_at" => format!("iif({name}, 'x', null)"),
            "registered_on" => format!("replace({name}, '-02-30', '?1')"),
            _ => name.clone(),
        };
        let values: Vec<String> = columns.iter().zip(&names).map(value).collect();
        for day in ["-02-30", "-02-03"] {
            let insert = format!(
                "with made (origin, {}) as ({}) insert into {} ({}) select {} from made where origin = '{spoilt}'",
                names.join(", "),
                copy.expected,
                copy.table,
                columns.join(", "),
                values.join(", ").replace("?1", day)
            );
            let told = after(&conn, copy, &insert, &Value::Null);
            assert_eq!(told, (right, vec![("extra", 1)]), "{} {}", copy.subscriber, copy.table);
        }
    }
}
