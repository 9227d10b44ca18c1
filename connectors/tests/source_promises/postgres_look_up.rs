//! PostgreSQL's log of tables whose large values are looked up by the key.

use anyhow::{Context as _, Result, ensure};
use lienthong_connectors::{CaptureConfig, Database, SourceConfig, open_source, source_admin};
use lienthong_contract::retained::LogBound;
use lienthong_contract::source::{RowOp, TableCapture, WhenEmptied};
use lienthong_testkit::eventually;
use lienthong_testkit::private_postgres::PrivatePostgres;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::log_kind::PostgresLog;
use crate::publisher::{Change, Publisher, Reader, Row, capture, row, secret};

type Log = Publisher<PostgresLog>;

const SOON: std::time::Duration = std::time::Duration::from_secs(30);

/// Its bodies are stored out of line.
const LETTER: [&str; 2] = [
    "create table letter (id integer not null, box text not null, rev integer, body text, note text, primary key (id, box))",
    "alter table letter alter column body set storage external, alter column note set storage external",
];
const BODY: usize = 3;

fn letter(look_up: bool) -> Vec<TableCapture> {
    let key = ["box", "id"].map(str::to_owned).to_vec();
    vec![TableCapture { key, look_up, ..capture("letter", &["id", "box", "rev", "body", "note"]) }]
}

/// With rows from 1 to `rows`, prepared.
async fn letters(rows: u32) -> Result<Log> {
    let mut publisher = Log::new(&LETTER, letter(true)).await?;
    let insert = format!(
        "insert into letter select i, 'hộp', 0, repeat('a' || i, 4000) from generate_series(1, {rows}) i"
    );
    publisher.run(&["alter table letter replica identity default", &insert]).await?;
    publisher.admin().prepare().await?;
    Ok(publisher)
}

fn body(of: &str) -> Option<String> {
    Some(of.repeat(4_000))
}

/// What a change tells of the row as it is, else as it was; bodies by their beginning.
fn told(change: &Change) -> (RowOp, Row, &[usize]) {
    let row = change.after.as_ref().or(change.before.as_ref()).cloned().unwrap_or_default();
    let short = |value: Option<String>| value.map(|text| text.chars().take(2).collect());
    (change.op, row.into_iter().map(short).collect(), &change.looked_up)
}

fn cells(values: [&str; 4]) -> Row {
    values
        .into_iter()
        .map(|value| Some(value.to_owned()).filter(|text| !text.is_empty()))
        .chain([None])
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_change_leaves_out_is_read_by_the_key_and_marked() -> Result<()> {
    let mut publisher = letters(6).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    // All of it is in the log before anything is read.
    let transactions: [&[&str]; 6] = [
        &[
            "update letter set rev = 1 where id = 1",
            "update letter set body = repeat('b1', 4000) where id = 1",
        ],
        &[
            "insert into letter values (7, 'hộp', 0, repeat('a7', 4000))",
            "update letter set rev = 1 where id = 7",
        ],
        &["update letter set rev = 1 where id = 2"],
        &["delete from letter where id = 2"],
        &["update letter set id = 30, rev = 1 where id = 3", "update letter set rev = 2 where id = 4"],
        &["update letter set id = 40, rev = 3 where id = 4", "delete from letter where id = 40"],
    ];
    for statements in transactions {
        publisher.run(statements).await?;
    }
    let changes = reader.catch_up(10).await?;
    let none: &[usize] = &[];
    let (looked_up, key) = (&[BODY][..], |id| cells([id, "hộ", "", ""]));
    let expected = [
        (RowOp::Update, cells(["1", "hộ", "1", "b1"]), looked_up),
        (RowOp::Update, cells(["1", "hộ", "1", "b1"]), none),
        (RowOp::Insert, cells(["7", "hộ", "0", "a7"]), none),
        (RowOp::Update, cells(["7", "hộ", "1", "a7"]), looked_up),
        // The change of the second is left out, and its deletion comes.
        (RowOp::Delete, key("2"), none),
        (RowOp::Delete, key("3"), none),
        (RowOp::Insert, cells(["30", "hộ", "1", "a3"]), looked_up),
        // So is the fourth's, and what it came to under its new key.
        (RowOp::Delete, key("4"), none),
        (RowOp::Delete, key("40"), none),
    ];
    assert_eq!(changes.iter().map(told).collect::<Vec<_>>(), expected);
    assert_eq!(changes[0].after.as_ref().map(|row| row[BODY].clone()), Some(body("b1")));
    ensure!(reader.changes.iter().all(|change| change.broken.is_empty()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_position_goes_on_with_the_same_events_and_many_rows_are_looked_up_at_once() -> Result<()> {
    let mut publisher = letters(300).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(1_000).await?;
    let loaded = reader.position();
    publisher.run(&["update letter set rev = 1", "update letter set rev = 2 where id % 2 = 0"]).await?;
    publisher
        .run(&["update letter set body = null where id = 7", "update letter set rev = 3 where id < 9"])
        .await?;
    let changes = reader.catch_up(1_000).await?;
    assert_eq!(changes.len(), 300 + 150 + 1 + 8);
    for change in &changes[..450] {
        let row = change.after.as_ref().context("it is there")?;
        let id = row[0].clone().unwrap_or_default();
        let now = if id == "7" { None } else { body(&format!("a{id}")) };
        ensure!(row[BODY] == now && change.looked_up == [BODY], "row {id}");
    }
    let ids: Vec<&str> = changes.iter().map(|change| change.id.as_str()).collect();
    drop(reader);
    let mut slow = publisher.reader(Some(&loaded)).await?;
    slow.catch_up(37).await?;
    for (position, given) in slow.positions.clone().into_iter().step_by(5) {
        drop(slow);
        slow = publisher.reader(Some(&position)).await?;
        let rest = slow.catch_up(1_000).await?;
        let rest: Vec<&str> = rest.iter().map(|change| change.id.as_str()).collect();
        ensure!(rest == ids[given..], "{given}");
    }
    Ok(())
}

/// Who looks before a transaction is seen finds no row, or the one of before.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_nobody_sees_yet_is_waited_for() -> Result<()> {
    let server = PrivatePostgres::start(&[]).await?;
    server.run(&LETTER).await?;
    let capture = CaptureConfig::Log {
        slot: "held".to_owned(),
        publication: "held".to_owned(),
        bound: LogBound::default(),
        truncate: WhenEmptied::default(),
        load_rate: None,
    };
    let database = Database::Postgres { url: server.url() };
    let config = SourceConfig { name: "test.source".to_owned(), database, capture };
    source_admin(&config, letter(true)).prepare().await?;
    let mut reader = Reader::open(open_source(&config, letter(true), &secret()), None).await?;
    reader.catch_up(10).await?;
    let mut owner = PgConnection::connect(&server.url()).await?;
    server.run(&["alter system set synchronous_standby_names = 'nobody'", "select pg_reload_conf()"]).await?;
    eventually(SOON, async || {
        let shown: String =
            sqlx::query_scalar("show synchronous_standby_names").fetch_one(&mut owner).await?;
        Ok(shown == "nobody")
    })
    .await?;
    let commit = tokio::spawn(async move {
        let insert = "begin; insert into letter values (1, 'hộp', 0, repeat('a1', 4000)); update letter set rev = 1; commit";
        owner.execute(sqlx::raw_sql(insert)).await.map(drop)
    });
    eventually(SOON, async || {
        reader.poll(10).await?;
        Ok(!reader.changes.is_empty())
    })
    .await?;
    for _ in 0..5 {
        ensure!(!reader.poll(10).await?.caught_up, "a change is still to come");
    }
    ensure!(reader.changes.len() == 1 && !commit.is_finished(), "the commit is held");
    server.run(&["alter system reset synchronous_standby_names", "select pg_reload_conf()"]).await?;
    commit.await??;
    reader.catch_up(10).await?;
    assert_eq!(told(&reader.changes[1]), (RowOp::Update, cells(["1", "hộ", "1", "a1"]), &[BODY][..]));
    assert_eq!(reader.changes.len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_looked_up_is_refused_with_what_mends_it() -> Result<()> {
    let cases: [(bool, &str, &[&str]); 3] = [
        (
            false,
            "select 1",
            &["alter table \"public\".\"letter\" replica identity full, or list the table under `look_up`"],
        ),
        (
            true,
            "alter table letter drop constraint letter_pkey, add unique (id, box)",
            &["does not hold the key of rows of public.letter", "no primary key", "replica identity full"],
        ),
        (
            true,
            "drop table letter; create table letter (id integer not null, box text not null, rev integer, body text, note text, primary key (id, box)) partition by list (box); create table letter_a partition of letter for values in ('hộp')",
            &[
                "public.letter cannot be looked up, as they are in partitions",
                "alter table \"public\".\"letter_a\" replica identity full",
            ],
        ),
    ];
    for (look_up, statements, parts) in cases {
        let mut publisher = Log::new(&LETTER, letter(look_up)).await?;
        publisher.run(&["alter table letter replica identity default"]).await?;
        for statement in statements.split("; ") {
            publisher.run(&[statement]).await?;
        }
        let told = publisher.admin().prepare().await.err().context("a refusal")?.to_string();
        ensure!(parts.iter().all(|part| told.contains(part)), "{told}");
    }
    // Where the log holds all, nothing is looked up.
    let mut publisher = letters(1).await?;
    publisher.run(&["alter table letter replica identity full"]).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    publisher.run(&["update letter set rev = 1", "delete from letter"]).await?;
    let changes = reader.catch_up(10).await?;
    ensure!(changes.iter().all(|change| change.looked_up.is_empty()));
    assert_eq!(changes[1].before.as_ref().map(|row| row[BODY].clone()), Some(body("a1")));
    assert_eq!(changes[1].before.as_ref().map(|of| of[..3].to_vec()), row(&["1", "hộp", "1"]));
    Ok(())
}
