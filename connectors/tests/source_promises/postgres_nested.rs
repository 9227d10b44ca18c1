//! PostgreSQL: everything that writes a row while a statement on its table is under way.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lienthong_contract::source::SourceError;
use lienthong_testkit::eventually;

use crate::kind::Postgres;
use crate::publisher::{PERSON, Publisher, Replay, Row, capture};

/// Name, what the owner has set up, what the owner then writes.
type Arrangement = (&'static str, &'static [&'static str], &'static [&'static str]);

const ROWS: &str = "insert into person values (1, 'a', 0), (2, 'b', 0), (3, 'c', 0)";

const ARRANGEMENTS: [Arrangement; 10] = [
    (
        "a merge that deletes a key and inserts it again",
        &[],
        &[
            ROWS,
            "merge into person p using (values ('a', 0), ('x', 1)) m (name, id) on p.name = m.name \
             when matched then delete when not matched then insert values (m.id, 'again', 1)",
            "merge into person p using (values ('b', 9), ('x', 2)) m (name, id) on p.name = m.name \
             when matched then update set id = m.id when not matched then insert values (m.id, 'aa', 1)",
            "merge into person p using (values ('c', 0), ('aa', 3)) m (name, id) on p.name = m.name \
             when matched and m.id = 0 then delete when matched then update set id = m.id",
        ],
    ),
    (
        "parts of one statement that delete and insert a key",
        &[],
        &[
            ROWS,
            "with gone as (delete from person where id = 2 returning *) insert into person select id, 'back', rev + 1 from gone",
            "with gone as (delete from person returning *), kept as (insert into person select id, name, 7 from gone where id < 3 returning id) \
             insert into person select id + 10, 'copy', 0 from kept",
        ],
    ),
    (
        "a trigger before the row that deletes its namesake or writes its neighbour",
        &[
            "create function before_row() returns trigger language plpgsql as $$ begin \
             delete from person where id = new.id; update person set rev = rev + 1 where id = new.id - 1; return new; end $$",
            "create trigger before_row before insert on person for each row execute function before_row()",
        ],
        &[ROWS, "insert into person values (2, 'again', 5), (3, 'again', 5), (4, 'new', 0)"],
    ),
    (
        "a trigger before the row that rewrites it or leaves it out",
        &[
            "create function rewrite() returns trigger language plpgsql as $$ begin \
             if new.rev = 13 then return null; end if; new.name := upper(new.name); return new; end $$",
            "create trigger zz_rewrite before insert or update on person for each row execute function rewrite()",
        ],
        &[
            ROWS,
            "update person set name = 'x', rev = case id when 2 then 13 else 1 end",
            "insert into person values (7, 'y', 13)",
        ],
    ),
    (
        "deferred triggers",
        &[
            "create function late() returns trigger language plpgsql as $$ begin \
             update person set name = name || '+', rev = rev + 100 where id = new.id and rev < 300; return null; end $$",
            "create constraint trigger late after insert or update on person deferrable initially deferred \
             for each row execute function late()",
        ],
        &[
            ROWS,
            "update person set rev = rev + 1",
            "set constraints all immediate; update person set rev = rev + 1; set constraints all deferred",
        ],
    ),
    (
        "triggers of statements",
        &[
            "create function every() returns trigger language plpgsql as $$ begin \
             if pg_trigger_depth() < 3 then update person set name = name || '.', rev = rev + 1; end if; return null; end $$",
            "create trigger a_every after insert or update or delete on person for each statement execute function every()",
            "create trigger z_every before insert on person for each statement execute function every()",
        ],
        &[ROWS, "delete from person where id = 2", "insert into person values (9, 'i', 0)"],
    ),
    (
        "foreign keys to the table itself",
        &[
            "alter table person add column boss integer references person on update cascade on delete set null",
            "create function boss() returns trigger language plpgsql as $$ begin \
             update person set name = name || '*' where id = new.id; return null; end $$",
            "create trigger a_boss after update of boss on person for each row execute function boss()",
        ],
        &[
            "insert into person values (1, 'a', 0, null), (2, 'b', 0, 1), (3, 'c', 0, 2), (4, 'd', 0, 1)",
            "update person set id = id * 10, rev = 1",
            "delete from person where id = 10",
            "with moved as (update person set id = 21 where id = 20) insert into person values (5, 'e', 0, 30)",
        ],
    ),
    (
        "a function in the statement that writes the table",
        &["create function touch(which integer) returns integer language plpgsql as $$ begin \
             update person set name = 'touched', rev = rev + 1 where id = which; return which; end $$"],
        &[
            ROWS,
            "update person set rev = touch(id - 1) where id > 1",
            "insert into person select touch(1) + 10, 'x', touch(2)",
        ],
    ),
    (
        "a trigger whose failure is caught",
        &[
            "create function careful() returns trigger language plpgsql as $$ begin \
             begin update person set rev = 5 where id = new.id; insert into person values (new.id, 'twice', 0); \
             exception when unique_violation then update person set name = 'caught' where id = new.id and name <> 'caught'; end; \
             return null; end $$",
            "create trigger a_careful after update on person for each row when (new.rev < 5) execute function careful()",
        ],
        &[ROWS, "update person set rev = 1", "update person set rev = 2 where id = 1"],
    ),
    (
        "a table that is filled again when it is emptied",
        &[
            "create function refill() returns trigger language plpgsql as $$ begin \
             insert into person values (1, 'first', 0), (100, 'default', 1); return null; end $$",
            "create trigger a_refill after truncate on person for each statement execute function refill()",
        ],
        &[ROWS, "truncate person", "update person set rev = 3", "truncate person"],
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn order_per_source_row_holds_in_every_arrangement_of_triggers() -> Result<()> {
    for (name, setup, statements) in ARRANGEMENTS {
        for together in [false, true] {
            let mut publisher = Publisher::<Postgres>::person(0).await?;
            publisher.run(setup).await?;
            let mut reader = publisher.reader(None).await?;
            reader.catch_up(10).await?;
            if together {
                publisher.run(statements).await.context(name)?;
            } else {
                for statement in statements {
                    publisher.run(&[statement]).await.context(name)?;
                }
            }
            reader.catch_up(2).await.context(name)?;
            publisher.assert_replays(&reader).await.context(name)?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_several_parts_and_any_type_are_told_apart_when_triggers_write_their_rows() -> Result<()> {
    let setup = [
        "create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        "create domain code as varchar(8) not null",
        "create table item (\"before\" code, id timestamptz, \"Tên\" text collate loose, n numeric(8,2), rev integer, \
         primary key (id, \"before\", \"Tên\", n))",
        "create function again() returns trigger language plpgsql as $$ begin \
         update item set rev = rev + 10 where id = new.id and n = new.n and \"Tên\" = new.\"Tên\"; return null; end $$",
        "create trigger a_again after insert or update on item for each row when (new.rev < 10) execute function again()",
    ];
    let mut table = capture("item", &["id", "before", "Tên", "n", "rev"]);
    table.key = ["id", "before", "Tên", "n"].map(str::to_owned).to_vec();
    let mut publisher = Publisher::<Postgres>::new(&setup, vec![table]).await?;
    publisher.prepare().await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    publisher
        .run(&[
            "insert into item select 'k' || i, '2026-09-07 03:02:11.000001+07', 'Ân ' || i, i / 4.0, i from generate_series(1, 9) i",
            "update item set rev = 0",
            "update item set n = n + 1, rev = 1 where n < 2",
        ])
        .await?;
    reader.catch_up(4).await?;
    // Decimals and times are shown in another form than the table's, so the rows are counted and their last column compared.
    let mut replay = Replay::default();
    replay.take(&publisher.tables, &reader.changes)?;
    let last = |row: &Row| row.last().cloned().flatten();
    let replayed: Vec<_> = replay.rows.values().map(last).collect();
    let count = |rev: &str| replayed.iter().filter(|found| found.as_deref() == Some(rev)).count();
    assert_eq!((count("10"), count("11"), replayed.len()), (2, 7, 9), "{replayed:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_whose_rows_move_between_partitions_are_refused() -> Result<()> {
    let setup = [
        "create table person (id integer not null, name text, rev integer not null, primary key (id, rev)) partition by range (rev)",
        "create table person_old partition of person for values from (0) to (10)",
        "create table person_new partition of person for values from (10) to (20)",
    ];
    for table in ["person", "person_old"] {
        let mut capture = capture(table, &["id", "name", "rev"]);
        capture.key.push("rev".to_owned());
        let refused = Publisher::<Postgres>::new(&setup, vec![capture]).await?.prepare().await;
        ensure!(refused.as_ref().is_err_and(|error| error.to_string().contains("partition")), "{refused:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_whose_beginning_was_not_noted_is_told_as_a_gap() -> Result<()> {
    let mut publisher =
        Publisher::<Postgres>::new(&[PERSON], vec![capture("person", &["id", "name", "rev"])]).await?;
    publisher.prepare().await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    publisher.run(&["alter table person disable trigger lienthong_outbox_begin"]).await?;
    publisher.run(&[ROWS]).await?;
    assert_eq!(publisher.state().await?.len(), 3, "the owner's write is there");
    let told = reader.poll(10).await;
    ensure!(matches!(told, Err(SourceError::Gap { .. })), "{told:?}");
    drop(reader);
    let mut source = publisher.source();
    let mut refused = None;
    eventually(Duration::from_secs(10), async || {
        refused = source.open().await.err();
        Ok(!matches!(refused, Some(SourceError::Held { .. })))
    })
    .await?;
    ensure!(
        matches!(&refused, Some(SourceError::NotPrepared { problem, .. }) if problem.contains("lienthong_outbox_begin")),
        "{refused:?}"
    );
    Ok(())
}
