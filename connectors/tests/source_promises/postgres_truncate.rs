//! PostgreSQL: tables that are emptied, each time by a connection that has emptied none before.

use anyhow::{Context as _, Result, ensure};
use lienthong_contract::source::SourceError;

use crate::kind::Postgres;
use crate::publisher::{PERSON, Publisher, capture};

const ROWS: &str = "insert into person values (1, 'a', 0), (2, 'b', 0), (3, 'c', 0)";
const CARDS: &str =
    "create table card (id integer primary key not null, name text, rev integer not null references person)";
/// The owner empties and fills from a trigger on a third table.
const YEAR: &str = "create table year (id integer);
    create function year() returns trigger language plpgsql as $$ begin
    truncate card, person; insert into person values (50, 'new', new.id); return null; end $$;
    create trigger year after insert on year for each row execute function year()";

/// Name, what the owner writes in one transaction.
const ARRANGEMENTS: [(&str, &[&str]); 8] = [
    ("first of all", &["truncate person cascade", ROWS]),
    (
        "twice",
        &[
            "truncate person cascade",
            "truncate person cascade",
            ROWS,
            "truncate person cascade",
            "insert into person values (1, 'x', 1)",
        ],
    ),
    (
        "empty tables",
        &[
            "delete from card",
            "delete from person",
            "truncate person cascade",
            "truncate card",
            ROWS,
            "truncate person cascade",
        ],
    ),
    ("several tables, one of them named twice", &[ROWS_AND_CARD, "truncate card, person, card", ROWS]),
    (
        "by a trigger",
        &[
            "insert into year values (7)",
            "update person set rev = rev + 1",
            "insert into year values (8)",
            "truncate person cascade",
        ],
    ),
    (
        "a savepoint that is rolled back",
        &[
            "savepoint a",
            "truncate person cascade",
            "insert into person values (9, 'gone', 0)",
            "rollback to a",
            "update person set rev = 4",
            "truncate person cascade",
            "insert into person values (4, 'd', 0)",
        ],
    ),
    (
        "a savepoint that is kept between others",
        &[
            "truncate person cascade",
            ROWS,
            "savepoint a",
            "truncate person cascade",
            "savepoint b",
            "truncate person cascade",
            "insert into person values (9, 'gone', 0)",
            "rollback to b",
            "release a",
            "insert into person values (5, 'e', 0)",
        ],
    ),
    (
        "a failure that is caught",
        &[
            "do $$ begin begin truncate person cascade; perform 1 / 0; exception when division_by_zero then null; end; \
             update person set rev = 2; truncate person cascade; insert into person values (6, 'f', 0); end $$",
        ],
    ),
];
const ROWS_AND_CARD: &str = "insert into person values (11, 'k', 0); insert into card values (2, 'two', 11)";

async fn publisher() -> Result<Publisher<Postgres>> {
    let tables = ["person", "card"].map(|table| capture(table, &["id", "name", "rev"])).to_vec();
    let mut publisher = Publisher::<Postgres>::new(&[PERSON, CARDS, YEAR], tables).await?;
    publisher.run(&[ROWS, "insert into card values (1, 'one', 1)"]).await?;
    publisher.prepare().await?;
    Ok(publisher)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_emptied_is_told_row_by_row_whatever_surrounds_it() -> Result<()> {
    for (name, statements) in ARRANGEMENTS {
        let mut publisher = publisher().await?;
        let mut reader = publisher.reader(None).await?;
        reader.catch_up(10).await?;
        // The second time the connection has emptied tables before.
        for _ in 0..2 {
            publisher.run(statements).await.context(name)?;
            reader.catch_up(2).await.context(name)?;
            publisher.assert_replays(&reader).await.context(name)?;
            publisher.run(&["truncate person cascade", ROWS]).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_emptied_without_its_trigger_is_told_as_a_gap_also_after_one_with_it() -> Result<()> {
    let unseen = ["alter table person disable trigger lienthong_outbox_truncate", "truncate person cascade"];
    for before in [&[][..], &["truncate person cascade", ROWS]] {
        let mut publisher = publisher().await?;
        let mut reader = publisher.reader(None).await?;
        reader.catch_up(10).await?;
        publisher.run(&[before, &unseen].concat()).await?;
        let told = reader.poll(10).await;
        ensure!(matches!(told, Err(SourceError::Gap { .. })), "after {before:?}: {told:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_leaves_a_note_behind_in_its_transaction() -> Result<()> {
    let piles = "create table left_over as select op, nullif(current_setting(substring(prosrc from 'lienthong.o[0-9a-f]+') \
         || '_' || 'person'::regclass::oid || '_' || op, true), '') as pile \
         from pg_proc, unnest(array['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) op where proname = 'lienthong_outbox_begin'";
    let mut publisher = publisher().await?;
    let written =
        ["truncate person cascade", ROWS, "update person set rev = 1", "delete from person where id = 1"];
    publisher.run(&[&written[..], &["truncate person cascade", piles]].concat()).await?;
    let left = publisher.owner.rows("select op, pile from left_over").await?;
    ensure!(left.len() == 4 && left.iter().all(|row| row[1].is_none()), "{left:?}");
    Ok(())
}
