//! Tables whose captured columns go, change their names or their types while the log is read: each change is read as the table was when it
//! was made; from the first that cannot be read on those of the table are set aside in order, and those of others come.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lienthong_connectors::open_source;
use lienthong_contract::aside::{Absent, Mending, Renamed};
use lienthong_contract::load::{LoadRequest, Wanted};
use lienthong_contract::position::Position;
use lienthong_contract::source::{RowOp, SourceError, TableCapture};
use lienthong_testkit::eventually;

use crate::log_kind::PostgresLog;
use crate::publisher::{Change, Collector, Kept, PERSON, Publisher, Reader, Row, capture, ops, row, secret};

type Log = Publisher<PostgresLog>;

const THING: &str = "create table thing (id integer primary key, note text)";
const TABLE: &str = "public.person";

fn tables(columns: &[&str]) -> Vec<TableCapture> {
    vec![capture("person", columns), capture("thing", &["id", "note"])]
}

async fn publisher(people: u32) -> Result<Log> {
    let rows = format!("insert into person select i, 'name ' || i, 0 from generate_series(1, {people}) i");
    let publisher = Log::new(&[PERSON, THING, &rows], tables(&["id", "name", "rev"])).await?;
    publisher.prepare().await?;
    Ok(publisher)
}

/// Goes on from a position with these columns of the first table.
async fn from(publisher: &Log, columns: &[&str], position: &Position) -> Result<Reader> {
    let source = open_source(&publisher.config, tables(columns), &secret());
    Reader::open(source, Some(position)).await
}

/// Reads to the end; a source that had to leave the server is opened again where it was.
async fn rest(reader: &mut Reader, begin: &Position, rows: usize) -> Result<()> {
    let mut from = begin.clone();
    for _ in 0..1_000 {
        match reader.poll(rows).await {
            Ok(polled) if polled.caught_up => return Ok(()),
            Ok(polled) => from = polled.position,
            Err(SourceError::Unreachable { .. }) => {
                reader.source.open().await?;
                reader.source.seek(Some(&from)).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    bail!("it never catches up")
}

/// What was set aside, as the mapping of the reader has it.
async fn again(reader: &mut Reader, kept: &[Kept], mending: &Mending) -> Result<Vec<Change>, SourceError> {
    reader.source.decide(mending)?;
    let mut collector = Collector::default();
    for change in kept {
        reader.source.again(&change.table, &change.content, &mut collector).await?;
    }
    Ok(collector.0)
}

/// One way in which a table breaks.
struct Case {
    ddl: &'static str,
    insert: &'static str,
    rule: &'static str,
    /// The mapping that mends it, and what is said of the rows.
    columns: &'static [&'static str],
    mending: fn() -> Mending,
    /// The new row as the mapping has it.
    new: Option<Row>,
}

fn renamed() -> Mending {
    let renamed =
        |old: &str, new: &str| Renamed { table: TABLE.to_owned(), old: old.to_owned(), new: new.to_owned() };
    Mending { renames: vec![renamed("ho_ten", "name"), renamed("nothing", "rev")], absent: Vec::new() }
}

fn absent() -> Mending {
    let absent = Absent { table: TABLE.to_owned(), column: "name".to_owned() };
    Mending { renames: Vec::new(), absent: vec![absent] }
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            ddl: "alter table person drop column name",
            insert: "insert into person values (9, 5)",
            rule: "column-missing",
            columns: &["id", "name", "rev"],
            mending: absent,
            new: Some(vec![Some("9".to_owned()), None, Some("5".to_owned())]),
        },
        Case {
            ddl: "alter table person rename column name to ho_ten",
            insert: "insert into person values (9, 'Chín', 5)",
            rule: "column-missing",
            columns: &["id", "name", "rev"],
            mending: renamed,
            new: row(&["9", "Chín", "5"]),
        },
        Case {
            ddl: "alter table person rename column name to ho_ten",
            insert: "insert into person values (9, 'Chín', 5)",
            rule: "column-missing",
            columns: &["id", "ho_ten", "rev"],
            mending: Mending::default,
            new: row(&["9", "Chín", "5"]),
        },
        Case {
            ddl: "alter table person alter column name type int4range using '[1,2]'",
            insert: "insert into person values (9, '[3,4]', 5)",
            rule: "",
            columns: &["id", "name", "rev"],
            mending: Mending::default,
            new: None,
        },
        Case {
            ddl: "alter table person alter column name type place using row(1, 2)::place",
            insert: "insert into person values (9, row(3, 4)::place, 5)",
            rule: "type-not-read",
            columns: &["id", "rev"],
            mending: Mending::default,
            new: row(&["9", "5"]),
        },
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_change_that_cannot_be_read_on_a_table_is_set_aside_and_the_others_go_on() -> Result<()> {
    for case in cases() {
        one(&case).await.with_context(|| format!("{} {:?}", case.ddl, case.columns))?;
    }
    Ok(())
}

async fn one(case: &Case) -> Result<()> {
    let mut publisher = publisher(2).await?;
    publisher.run(&["create type place as (x integer, y integer)"]).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    let begin = reader.position();
    drop(reader);
    // All of it before anybody reads on: what comes first was written as the table was then.
    publisher
        .run(&["update person set rev = 1 where id = 1", "insert into thing values (1, 'before')"])
        .await?;
    publisher.run(&["insert into person values (8, 'old', 0)", case.ddl, case.insert]).await?;
    publisher
        .run(&["update person set rev = 6 where id = 9", "insert into thing values (2, 'after')"])
        .await?;
    publisher.run(&["update person set id = 10 where id = 9", "delete from person where id = 8"]).await?;

    let mut reader = publisher.reader(Some(&begin)).await?;
    rest(&mut reader, &begin, 2).await?;
    let of = |changes: &[Change], table| -> Vec<RowOp> {
        ops(&changes.iter().filter(|change| change.table == table).cloned().collect::<Vec<_>>())
    };
    ensure!(of(&reader.changes, 1) == [RowOp::Insert; 2], "the other table goes on");
    if case.rule.is_empty() {
        ensure!(reader.kept.is_empty() && reader.source.aside().is_empty(), "it can be read");
        return Ok(());
    }
    ensure!(of(&reader.changes, 0) == [RowOp::Update, RowOp::Insert], "{:?}", reader.changes);
    let kept = reader.kept.clone();
    let rules: Vec<&str> = kept.iter().map(|change| change.rule.as_str()).collect();
    ensure!(rules == [case.rule; 4], "{rules:?}");
    ensure!(kept.windows(2).all(|pair| pair[0].place < pair[1].place), "in order");
    let keys: Vec<_> = kept.iter().map(|change| change.key[0].as_deref()).collect();
    ensure!(keys == ["9", "9", "10", "8"].map(Some), "{keys:?}");
    let aside = reader.source.aside();
    ensure!((aside.len(), aside[0].rows, aside[0].rule.as_str()) == (1, 4, case.rule), "{aside:?}");
    ensure!(aside[0].last == Some(kept[3].place) && aside[0].from == kept[0].place, "{aside:?}");
    ensure!(aside[0].fix.contains("lienthong quarantine retry test.source"), "{aside:?}");
    // Whatever was given out before, the rest comes as it came.
    let (changes, positions) = (reader.changes.clone(), reader.positions.clone());
    let end = reader.position();
    drop(reader);
    for (position, given) in &positions {
        let mut reader = publisher.reader(Some(position)).await?;
        rest(&mut reader, position, 100).await?;
        let before = kept.len() - reader.kept.len();
        ensure!(reader.changes == changes[*given..] && reader.kept == kept[before..], "from {given} on");
    }
    // A change that was taken back does not bring back what must come behind what waits.
    mended(&mut publisher, case, &kept, &end).await
}

async fn mended(publisher: &mut Log, case: &Case, kept: &[Kept], end: &Position) -> Result<()> {
    let mut reader = from(publisher, case.columns, end).await?;
    if (case.mending)() != Mending::default() {
        let told = again(&mut reader, kept, &Mending::default()).await;
        let Err(error @ SourceError::Aside { .. }) = told else { bail!("{told:?}") };
        ensure!(error.to_string().contains("without the captured column name"), "{error}");
        ensure!(error.to_string().contains("--absent TABLE.COLUMN"), "{error}");
    }
    let given = again(&mut reader, kept, &(case.mending)()).await?;
    let expected = [RowOp::Insert, RowOp::Update, RowOp::Delete, RowOp::Insert, RowOp::Delete];
    ensure!(ops(&given) == expected, "{given:?}");
    ensure!(given[0].after == case.new && given.iter().all(|change| change.broken.is_empty()), "{given:?}");
    // As they would have been named.
    let ids: Vec<&str> = given.iter().map(|change| change.id.as_str()).collect();
    let [a, b, c, d] = [0, 1, 2, 3].map(|at| kept[at].id.as_str());
    ensure!(ids == [a, b, c, &format!("{c}.1"), d], "{ids:?}");
    let place = given[1].place.context("a place")?;
    ensure!((place.lsn, place.index) == (kept[1].place.lsn, 2 * kept[1].place.index), "{place:?}");
    // Decided: whoever goes on has to end it.
    let decided = reader.source.decide(&(case.mending)())?.context("it is set aside")?;
    drop(reader);
    let mut reader = from(publisher, case.columns, &decided).await?;
    ensure!(reader.source.aside()[0].decided, "it is in the position");
    reader.source.mended(TABLE)?;
    publisher.run(&["insert into thing values (3, 'later')"]).await?;
    rest(&mut reader, &decided, 10).await?;
    ensure!(reader.changes.len() == 1 && reader.kept.is_empty(), "{:?}", reader.changes);
    // By the mapping that suits the table its changes come again, by the other one they are set aside anew.
    publisher.run(&["delete from person where id = 1"]).await?;
    let now = reader.position();
    rest(&mut reader, &now, 10).await?;
    let suits = !case.columns.contains(&"name");
    ensure!(reader.kept.len() == usize::from(!suits), "{:?}", reader.kept);
    ensure!(reader.changes.len() == 1 + usize::from(suits), "{:?}", reader.changes);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_come_are_ignored_and_a_change_that_is_taken_back_does_not_let_later_ones_overtake()
-> Result<()> {
    let mut publisher = publisher(1).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    publisher
        .run(&["alter table person add column more text", "insert into person values (2, 'b', 0, 'x')"])
        .await?;
    publisher.run(&["alter table person add column most integer not null default 7"]).await?;
    publisher.run(&["update person set rev = 1"]).await?;
    let came = reader.catch_up(10).await?;
    ensure!(ops(&came) == [RowOp::Insert, RowOp::Update, RowOp::Update], "{came:?}");
    ensure!(came[0].after == row(&["2", "b", "0"]), "{came:?}");
    publisher
        .run(&["alter table person rename name to ten", "update person set rev = 2 where id = 1"])
        .await?;
    publisher
        .run(&["alter table person rename ten to name", "update person set rev = 3 where id = 1"])
        .await?;
    let now = reader.position();
    rest(&mut reader, &now, 10).await?;
    ensure!(reader.kept.len() == 2, "what can be read again waits behind what cannot");
    let kept = reader.kept.clone();
    let renamed = Renamed { table: TABLE.to_owned(), old: "ten".to_owned(), new: "name".to_owned() };
    let end = reader.position();
    drop(reader);
    let mut reader = publisher.reader(Some(&end)).await?;
    let given = again(&mut reader, &kept, &Mending { renames: vec![renamed], absent: Vec::new() }).await?;
    ensure!(
        given.iter().map(|change| change.after.clone()).collect::<Vec<_>>()
            == [row(&["1", "name 1", "2"]), row(&["1", "name 1", "3"])]
    );
    let told = reader.source.again(TABLE, &kept[0].content[1..], &mut Collector::default()).await;
    ensure!(matches!(told, Err(SourceError::Aside { .. })), "{told:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_changes_are_set_aside_as_may_be_and_none_that_is_too_long() -> Result<()> {
    let mut publisher = publisher(0).await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    publisher.run(&["alter table person rename name to ten"]).await?;
    publisher
        .run(&[
            "insert into thing values (1, 'x')",
            "insert into person select i, 'n', 0 from generate_series(1, 10003) i",
        ])
        .await?;
    let mut from = reader.position();
    let told = loop {
        match reader.poll(4_000).await {
            Ok(polled) => from = polled.position,
            Err(SourceError::Unreachable { .. }) => {
                reader.source.open().await?;
                reader.source.seek(Some(&from)).await?;
            }
            Err(error) => break error,
        }
    };
    ensure!(told.to_string().contains("10000 changes of it are set aside"), "{told}");
    ensure!(told.to_string().contains("lienthong quarantine retry"), "{told}");
    ensure!(reader.kept.len() == 10_000 && reader.changes.len() == 1, "{}", reader.kept.len());
    drop(reader);
    let mut again = publisher.reader(Some(&from)).await?;
    ensure!(again.source.full().is_some() && again.poll(10).await.is_err(), "again and again");
    drop(again);
    // Mended, it goes on in the middle of the transaction.
    let columns = ["id", "ten", "rev"];
    let source = open_source(&publisher.config, tables(&columns), &secret());
    let mut reader = Reader::open(source, Some(&from)).await?;
    reader.source.decide(&Mending::default())?;
    reader.source.mended(TABLE)?;
    rest(&mut reader, &from, 4_000).await?;
    let ids: Vec<_> =
        reader.changes.iter().filter_map(|change| change.after.as_ref()?[0].as_deref()).collect();
    ensure!(ids == ["10001", "10002", "10003"], "{ids:?}");
    let now = reader.position();
    publisher.run(&["alter table person rename ten to name"]).await?;
    publisher
        .run(&[
            "insert into person select 0, string_agg(md5(i::text), ''), 0 from generate_series(1, 33000) i",
        ])
        .await?;
    let told = rest(&mut reader, &now, 10).await.err().context("it is too long")?;
    ensure!(told.to_string().contains("longer than 1 MiB"), "{told}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_load_of_a_table_that_is_set_aside_waits_and_the_others_go_on() -> Result<()> {
    let mut publisher = publisher(20).await?;
    publisher.run(&["insert into thing select i, 'x' from generate_series(1, 5) i"]).await?;
    let mut reader = publisher.reader(None).await?;
    let people = |reader: &Reader| reader.changes.iter().filter(|change| change.table == 0).count();
    while people(&reader) == 0 {
        reader.poll(5).await?;
    }
    let loaded = people(&reader);
    ensure!(loaded < 20, "it is under way");
    let middle = reader.position();
    publisher.run(&["alter table person rename name to ten"]).await?;
    // Also where nobody reads meanwhile.
    let mut later = None;
    drop(reader);
    for _ in 0..2 {
        let mut reader = publisher.reader(Some(&middle)).await?;
        rest(&mut reader, &middle, 5).await?;
        ensure!(people(&reader) == 0 && reader.changes.len() == 5);
        let aside = reader.source.aside();
        ensure!((aside.len(), aside[0].rows) == (1, 0), "{aside:?}");
        let asked = LoadRequest {
            id: "r".to_owned(),
            event: "e".to_owned(),
            table: 0,
            rows: Wanted::Range { from: None, to: None },
            rate: 100,
        };
        reader.source.load(1, Ok(asked)).await?;
        let told = reader.source.load_progress().and_then(|told| told.refused).context("a refusal")?;
        ensure!(told.contains("public.person is set aside"), "{told}");
        later = Some(reader.position());
    }
    publisher.run(&["insert into person values (21, 'new', 0)"]).await?;
    let later = later.context("a position")?;
    let mut reader = publisher.reader(Some(&later)).await?;
    rest(&mut reader, &later, 5).await?;
    let (kept, end) = (reader.kept.clone(), reader.position());
    ensure!(kept.len() == 1, "{kept:?}");
    drop(reader);
    let source = open_source(&publisher.config, tables(&["id", "ten", "rev"]), &secret());
    let mut reader = Reader::open(source, Some(&end)).await?;
    ensure!(ops(&again(&mut reader, &kept, &Mending::default()).await?) == [RowOp::Insert]);
    reader.source.mended(TABLE)?;
    eventually(Duration::from_secs(20), async || Ok(reader.poll(5).await?.caught_up)).await?;
    ensure!(people(&reader) == 21 - loaded, "it goes on where it was: {}", people(&reader));
    Ok(())
}
