//! The owner's own triggers write the rows that are captured. Order per source row holds all the same: every change begins where
//! the one before it ended, whoever fired first.

use anyhow::Result;
use lienthong_contract::source::RowOp;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::kind::{Kind, Postgres, Sqlite};
use crate::log_kind::PostgresLog;
use crate::owner::change;
use crate::publisher::{PERSON, Publisher, Reader, capture, row};

/// A trigger of the owner after each row: name, event and table, condition, statement.
type Trigger = (&'static str, &'static str, &'static str, &'static str);

/// For kinds of publishing databases.
pub(crate) trait OwnerTriggers: Kind {
    /// Statements that create the trigger.
    fn statements(trigger: &Trigger) -> Vec<String>;
}

impl OwnerTriggers for Postgres {
    fn statements((name, event, condition, statement): &Trigger) -> Vec<String> {
        vec![
            format!(
                "create function {name}_function() returns trigger language plpgsql as $$ begin {statement}; return null; end $$"
            ),
            format!(
                "create trigger {name} after {event} for each row when ({condition}) execute function {name}_function()"
            ),
        ]
    }
}

impl OwnerTriggers for PostgresLog {
    fn statements(trigger: &Trigger) -> Vec<String> {
        Postgres::statements(trigger)
    }
}

impl OwnerTriggers for Sqlite {
    fn statements((name, event, condition, statement): &Trigger) -> Vec<String> {
        vec![format!(
            "create trigger {name} after {event} for each row when {condition} begin {statement}; end"
        )]
    }
}

/// What the owner wants of a name.
const LOUD: [Trigger; 2] = [
    (
        "a_loud",
        "insert on person",
        "new.name not like '%!'",
        "update person set name = name || '!' where id = new.id",
    ),
    (
        "z_loud",
        "update on person",
        "new.name not like '%!'",
        "update person set name = name || '!' where id = new.id",
    ),
];

async fn install<K: OwnerTriggers>(publisher: &mut Publisher<K>, triggers: &[Trigger]) -> Result<()> {
    let statements: Vec<String> = triggers.iter().flat_map(K::statements).collect();
    publisher.owner.run(&statements).await
}

/// Two tables; the triggers are older than ours or younger.
async fn publisher<K: OwnerTriggers>(triggers: &[Trigger], older: bool) -> Result<(Publisher<K>, Reader)> {
    let visit = "create table visit (id integer primary key not null, n integer not null)";
    let tables = vec![capture("person", &["id", "name", "rev"]), capture("visit", &["id", "n"])];
    let mut publisher = Publisher::<K>::new(&[PERSON, visit], tables).await?;
    if older {
        install(&mut publisher, triggers).await?;
    }
    publisher.prepare().await?;
    if !older {
        install(&mut publisher, triggers).await?;
    }
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(100).await?;
    Ok((publisher, reader))
}

/// Runs the statements, each in a transaction of its own and then again, all in one; every change must fit what came before.
async fn replays<K: OwnerTriggers>(triggers: &[Trigger], statements: &[&str]) -> Result<()> {
    for older in [true, false] {
        let (mut publisher, mut reader) = publisher::<K>(triggers, older).await?;
        for statement in statements {
            publisher.run(&[statement]).await?;
        }
        publisher.run(&["delete from visit", "delete from person", "delete from person"]).await?;
        publisher.run(statements).await?;
        reader.catch_up(3).await?;
        publisher.assert_replays(&reader).await?;
    }
    Ok(())
}

pub(crate) async fn order_per_source_row_holds_when_the_owners_trigger_writes_the_same_row<
    K: OwnerTriggers,
>() -> Result<()> {
    for older in [true, false] {
        let (mut publisher, mut reader) = publisher::<K>(&LOUD, older).await?;
        publisher.run(&["insert into person values (1, 'a', 0)"]).await?;
        publisher.run(&["update person set name = 'b'"]).await?;
        let changes = reader.catch_up(100).await?;
        assert_eq!(changes.first().map(|change| change.op), Some(RowOp::Insert));
        assert_eq!(changes.last().and_then(|change| change.after.clone()), row(&["1", "b!", "0"]));
        publisher.assert_replays(&reader).await?;
    }
    Ok(())
}

pub(crate) async fn order_holds_for_every_row_of_a_statement<K: OwnerTriggers>() -> Result<()> {
    replays::<K>(
        &LOUD,
        &[
            "insert into person values (1, 'a', 0), (2, 'b', 0), (3, 'c', 0), (4, 'quiet!', 0)",
            "update person set name = 'd', rev = 1 where id < 4",
            "insert into person values (2, 'e', 0), (9, 'f', 0) on conflict (id) do update set name = 'g'",
            "update person set id = id + 100, name = 'h' where id <> 9",
            "update person set rev = 7",
        ],
    )
    .await
}

pub(crate) async fn order_holds_when_a_trigger_writes_other_rows_of_the_statement<K: OwnerTriggers>()
-> Result<()> {
    let next = (
        "a_next",
        "update on person",
        "new.rev < 50",
        "update person set rev = rev + 10, name = 'after ' || new.id where id in (new.id + 1, new.id - 1) and rev < 40",
    );
    replays::<K>(
        &[next],
        &[
            "insert into person values (1, 'a', 0), (2, 'b', 0), (3, 'c', 0), (4, 'd', 0)",
            "update person set rev = rev + 1",
            "update person set rev = rev + 1 where id in (2, 3)",
        ],
    )
    .await
}

pub(crate) async fn order_holds_when_a_trigger_of_another_table_writes_back<K: OwnerTriggers>() -> Result<()>
{
    let back_and_forth = [
        ("a_visit", "insert on person", "new.rev >= 0", "insert into visit values (new.id, 1)"),
        ("b_visit", "update on person", "new.rev < 100", "update visit set n = n + 1 where id = new.id"),
        (
            "c_person",
            "update on visit",
            "new.n < 100",
            "update person set rev = rev + 100, name = 'visited' where id = new.id",
        ),
        ("d_visit", "update on person", "new.rev > 100", "update visit set n = n + 100 where id = new.id"),
    ];
    replays::<K>(
        &back_and_forth,
        &[
            "insert into person values (1, 'a', 0), (2, 'b', 0)",
            "update person set rev = 5 where id = 1",
            "update person set rev = 6",
            "update visit set n = 0",
        ],
    )
    .await
}

pub(crate) async fn a_row_that_its_own_trigger_brings_back_or_takes_away_ends_right<K: OwnerTriggers>()
-> Result<()> {
    let triggers = [
        ("a_undead", "delete on person", "old.rev >= 0", "insert into person values (old.id, 'undead', -1)"),
        ("b_gone", "insert on person", "new.name = 'gone'", "delete from person where id = new.id"),
        (
            "c_moved",
            "update on person",
            "new.name = 'moved' and new.id < 1000",
            "update person set id = id + 1000 where id = new.id",
        ),
    ];
    replays::<K>(
        &triggers,
        &[
            "insert into person values (1, 'a', 0), (2, 'gone', -5), (3, 'c', 0)",
            "delete from person where id in (1, 2)",
            "update person set name = 'moved' where id = 3",
            "delete from person where id = 1",
            "insert into person values (4, 'gone', -5)",
        ],
    )
    .await
}

pub(crate) async fn random_changes_beside_the_owners_triggers_replay_to_the_tables_rows<K: OwnerTriggers>()
-> Result<()> {
    let seed = lienthong_testkit::seed();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let triggers = [
        LOUD[1],
        (
            "a_thrice",
            "update on person",
            "new.rev % 3 = 0",
            "update person set rev = rev + 1 where id = new.id",
        ),
        (
            "z_undead",
            "delete on person",
            "old.id % 5 = 0 and old.rev >= 0",
            "insert into person values (old.id, 'undead', -1)",
        ),
        (
            "m_next",
            "update on person",
            "new.id % 7 = 0 and new.rev % 3 = 2",
            "update person set name = 'seen', rev = rev + 1 where id in (new.id + 7, new.id + 1) and rev < 50",
        ),
    ];
    for older in [true, false] {
        let (mut publisher, mut reader) = publisher::<K>(&triggers, older).await?;
        for _ in 0..60 {
            change(&mut publisher.owner, &mut random, 30).await?;
            reader.poll(4).await?;
        }
        reader.catch_up(50).await?;
        publisher.assert_replays(&reader).await?;
    }
    Ok(())
}
