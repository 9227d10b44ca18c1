//! Rows that take values from another table.

use anyhow::{Context as _, Result, ensure};
use lienthong_contract::source::{Join, RowOp, SourceError, TableCapture};

use crate::kind::Kind;
use crate::publisher::{Change, Publisher, Row, capture};

const SETUP: [&str; 5] = [
    "create table office (code varchar(9) primary key not null, name text, chief text)",
    "create table person (id integer primary key not null, name text, office text)",
    "insert into office values ('A', 'Hà Nội', 'x')",
    "insert into person values (1, 'An', 'A')",
    "insert into person values (2, 'Bình', 'Z')",
];
const PLACE: &str = "ministries/moj.yaml:9:20";

/// Persons with what they take of their office.
pub(crate) fn persons(table: &str, by: &str, take: &str) -> Vec<TableCapture> {
    let join = Join {
        table: table.to_owned(),
        by: vec![(by.to_owned(), 2)],
        take: take.to_owned(),
        place: PLACE.to_owned(),
    };
    vec![TableCapture { joins: vec![join], ..capture("person", &["id", "name", "office"]) }]
}

fn cells(values: [&str; 4]) -> Option<Row> {
    Some(values.into_iter().map(|value| Some(value.to_owned()).filter(|text| !text.is_empty())).collect())
}

type Told<'c> = (RowOp, Option<Row>, Option<Row>, &'c [usize]);

fn told(changes: &[Change]) -> Vec<Told<'_>> {
    let one = |change: &Change| (change.op, change.before.clone(), change.after.clone());
    changes
        .iter()
        .map(|change| {
            let (op, before, after) = one(change);
            (op, before, after, change.looked_up.as_slice())
        })
        .collect()
}

pub(crate) async fn a_row_takes_values_of_another_table_where_it_stands_in_one_transaction_or_later<
    K: Kind,
>() -> Result<()> {
    let mut publisher = Publisher::<K>::new(&SETUP, persons("office", "code", "name")).await?;
    publisher.prepare().await?;
    let mut reader = publisher.reader(None).await?;
    let mut loaded = reader.catch_up(10).await?;
    loaded.sort_by(|left, right| left.after.cmp(&right.after));
    let (none, name): (&[usize], &[usize]) = (&[], &[3]);
    // What is read with the row is not marked.
    let first = cells(["1", "An", "A", "Hà Nội"]);
    let second = cells(["2", "Bình", "Z", ""]);
    assert_eq!(told(&loaded), [(RowOp::Snapshot, None, first, none), (RowOp::Snapshot, None, second, none)]);

    publisher
        .run(&["insert into office values ('Z', 'Zuôn', null)", "insert into person values (3, 'Chi', 'Z')"])
        .await?;
    publisher.run(&["update person set office = 'Z' where id = 1"]).await?;
    // Nobody is told of this, but what is told from now on has it.
    publisher.run(&["update office set name = 'Dak' where code = 'A'"]).await?;
    publisher.run(&["update person set office = null where id = 2"]).await?;
    publisher.run(&["delete from person where id = 3"]).await?;
    publisher.run(&["update person set id = 4, office = 'A' where id = 1"]).await?;
    let changes = reader.catch_up(10).await?;
    let expected = [
        (RowOp::Insert, None, cells(["3", "Chi", "Z", "Zuôn"]), name),
        (RowOp::Update, cells(["1", "An", "A", "Zuôn"]), cells(["1", "An", "Z", "Zuôn"]), name),
        (RowOp::Update, cells(["2", "Bình", "Z", ""]), cells(["2", "Bình", "", ""]), name),
        (RowOp::Delete, cells(["3", "Chi", "Z", "Zuôn"]), None, name),
        (RowOp::Delete, cells(["1", "An", "Z", "Zuôn"]), None, name),
        (RowOp::Insert, None, cells(["4", "An", "A", "Dak"]), name),
    ];
    assert_eq!(told(&changes), expected);
    Ok(())
}

pub(crate) async fn a_look_up_that_cannot_be_done_is_refused_at_its_place<K: Kind>() -> Result<()> {
    let cases = [
        ("bureau", "code", "name", "bureau does not exist"),
        ("office", "kode", "name", "office has no column kode"),
        ("office", "code", "namen", "office has no column namen"),
        ("office", "chief", "name", "office has no unique index over exactly (chief)"),
    ];
    for (table, by, take, part) in cases {
        let publisher = Publisher::<K>::new(&SETUP, persons(table, by, take)).await?;
        let refused = publisher.admin().prepare().await.err().context("a refusal")?;
        let text = refused.to_string();
        ensure!(matches!(refused, SourceError::NotPrepared { .. }), "{text}");
        ensure!(text.contains(&format!("{PLACE}: ")) && text.contains(part), "{text}");
        let found = publisher.admin().findings().await?;
        ensure!(found.iter().any(|found| found.halts && found.problem.contains(part)), "{found:?}");
    }
    Ok(())
}
