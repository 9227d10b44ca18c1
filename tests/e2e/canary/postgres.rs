//! The civil status register and one subscriber in PostgreSQL, whose own functions, types and constraints put rows into all that a
//! server can say: message, detail, hint, context, names, notices.

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::database::Database;
use lienthong_testkit::postgres::TestDatabase;

use super::CIVIL_STATUS;
use super::nationwide::{Nationwide, Run};

/// Stands in the address of a database, and nowhere else.
pub(super) const PASSWORD: &str = "Hoẵuynh-matkhau-38617402";
const LOG: &str = "sqlite:var/postgres.db";
const SUBSCRIBER: &str = "mps.population";
/// The variable in which addresses with a password stand.
const ADDRESS: &str = "CANARY_DATABASE";
/// What a function raises: the row in every part of an error that a function can fill.
const EVERYWHERE: &str = "message = 'refused ' || new.given_name, detail = new::text, hint = coalesce(new.mother_pin, '001085730194'),
    column = new.given_name, constraint = '001085730194', datatype = new.family_name, table = new.given_name, schema = '001085730194'";

/// What a subscriber's table is made to do, what undoes it, and the exit code and words that come of it.
struct Trouble {
    make: String,
    undo: &'static str,
    code: i32,
    told: &'static str,
}

fn trouble(make: impl Into<String>, undo: &'static str, code: i32, told: &'static str) -> Trouble {
    Trouble { make: make.into(), undo, code, told }
}

/// A trigger of the subscriber's own on every row that comes.
fn trigger(body: &str, code: i32, told: &'static str) -> Trouble {
    let make = format!(
        "create function canary() returns trigger language plpgsql as $$ begin {body}; return new; end $$;
         create trigger canary before insert or update on birth for each row execute function canary()"
    );
    trouble(make, "drop function canary cascade", code, told)
}

fn raised(sqlstate: &str, code: i32, told: &'static str) -> Trouble {
    trigger(&format!("raise exception using errcode = '{sqlstate}', {EVERYWHERE}"), code, told)
}

fn troubles() -> Vec<Trouble> {
    vec![
        trouble(
            "create unique index canary_unique on birth (family_name)",
            "drop index canary_unique",
            3,
            "SQLSTATE 23505, table birth, constraint canary_unique",
        ),
        trouble(
            "alter table birth add constraint canary_check check (given_name <> 'Khuyểuh' and given_name <> 'Thoẵngh')",
            "alter table birth drop constraint canary_check",
            3,
            "SQLSTATE 23514, table birth, constraint canary_check",
        ),
        trouble(
            "alter table birth add constraint \"Khuyểuh 001085730194\" check (given_name <> 'Khuyểuh' and given_name <> 'Thoẵngh')",
            "alter table birth drop constraint \"Khuyểuh 001085730194\"",
            3,
            "SQLSTATE 23514",
        ),
        trouble(
            "alter table birth add canary text not null",
            "alter table birth drop canary",
            3,
            "SQLSTATE 23502, table birth, column canary",
        ),
        trouble(
            "alter table birth alter family_name type varchar(3)",
            "alter table birth alter family_name type text",
            3,
            "SQLSTATE 22001",
        ),
        trouble(
            "create domain canary_text as text check (value !~ 'uểuh|oẵngh'); alter table birth alter given_name type canary_text",
            "alter table birth alter given_name type text; drop domain canary_text",
            3,
            "SQLSTATE 23514",
        ),
        trigger("perform new.given_name::integer", 3, "SQLSTATE 22P02"),
        trigger("execute 'select ' || quote_ident(new.given_name)", 3, "SQLSTATE 42703"),
        raised("P0001", 3, "SQLSTATE P0001"),
        raised("23505", 3, "SQLSTATE 23505"),
        raised("42P01", 3, "SQLSTATE 42P01"),
        // As if the server were busy: waited for, and told as the cause of the wait.
        raised("40001", 4, "SQLSTATE 40001"),
        raised("57P01", 4, "SQLSTATE 57P01"),
        // All goes well, and the server talks.
        trigger(
            "raise warning 'seen %', new; raise notice 'seen %', new.given_name; raise info 'seen %', new.mother_pin; raise log 'seen %', new",
            0,
            "",
        ),
    ]
}

/// Makes the tables of an SQLite file again, with their rows when asked.
async fn copy(nation: &Nationwide, name: &str, to: &TestDatabase, with_rows: bool) -> Result<()> {
    let mut from = nation.database(name).await?;
    let tables = from
        .rows(
            "select name, sql from sqlite_master where type = 'table'
             and name not like 'lienthong%' and name not like 'demo%' and name not like 'sqlite%'",
        )
        .await?;
    let mut statements = Vec::new();
    for table in tables {
        let [Some(table), Some(sql)] = table.as_slice() else { continue };
        statements.push(sql.clone());
        let rows = if with_rows { from.rows(&format!("select * from {table}")).await? } else { Vec::new() };
        for row in rows {
            let literal = |value: Option<String>| {
                value.map_or("null".to_owned(), |value| format!("'{}'", value.replace('\'', "''")))
            };
            let values: Vec<String> = row.into_iter().map(literal).collect();
            statements.push(format!("insert into {table} values ({})", values.join(", ")));
        }
    }
    Database::open(to.url()).await?.run(&statements).await
}

async fn change(database: &TestDatabase, statement: &str) -> Result<()> {
    Database::open(database.url()).await?.run(&[statement.to_owned()]).await.context("what a test changes")
}

/// Names another database in a file of the site.
fn move_to(nation: &Nationwide, file: &str, url: &str) -> Result<()> {
    let path = nation.path().join(file);
    let text = std::fs::read_to_string(&path)?;
    let (before, rest) = text.split_once("{kind: ").context("the database stands on one line")?;
    let (_, rest) = rest.split_once("url: \"").context("an address")?;
    let (_, after) = rest.split_once('"').context("an address ends")?;
    Ok(std::fs::write(path, format!("{before}{{kind: postgres, url: \"{url}\"{after}"))?)
}

const MINISTRY: &str = "connectors/ministries/moj.civil-status.yaml";
const AGREEMENT: &str = "router/agreements/mps.population.yaml";

/// Every stage at which a server of PostgreSQL can speak.
pub(super) async fn over_postgres(nation: &mut Nationwide) -> Result<()> {
    let (owner, subscriber) = (TestDatabase::create().await?, TestDatabase::create().await?);
    copy(nation, CIVIL_STATUS, &owner, true).await?;
    copy(nation, "subscriber.mps.population", &subscriber, false).await?;
    move_to(nation, MINISTRY, owner.url())?;
    move_to(nation, AGREEMENT, subscriber.url())?;
    for arguments in [["topics", "create"], ["schema", "register"]] {
        nation.run(0, "", &["--log", LOG, arguments[0], arguments[1]])?;
    }
    prepare(nation, &owner, &["connect", CIVIL_STATUS, "--prepare"], 4).await?;
    prepare(nation, &subscriber, &["route", SUBSCRIBER, "--prepare"], 3).await?;
    capture(nation, &owner).await?;
    deliver(nation, &subscriber).await?;
    lose_the_way(nation)
}

/// An administrator's trigger refuses what `--prepare` makes; then it lets it pass and talks.
async fn prepare(
    nation: &mut Nationwide,
    database: &TestDatabase,
    arguments: &[&str],
    code: i32,
) -> Result<()> {
    for (raise, code, told) in [("exception", code, "SQLSTATE P0001"), ("warning", 0, "in place")] {
        let watch = format!(
            "create function watch() returns event_trigger language plpgsql as $$ begin raise {raise} 'Khuyểuh 001085730194'
               using detail = 'Thoẵngh', hint = '001191482937', table = 'Khuyểuh', constraint = 'c001085730194'; end $$;
             create event trigger watch on ddl_command_end execute function watch()"
        );
        change(database, &watch).await?;
        nation.run(code, told, &[&["--log", LOG, "--timeout", "3"], arguments].concat())?;
        change(database, "drop event trigger watch; drop function watch").await?;
    }
    Ok(())
}

/// The owner's rows, some of them bad, then an outbox that refuses to be emptied and one that somebody has damaged.
async fn capture(nation: &mut Nationwide, owner: &TestDatabase) -> Result<()> {
    let once = ["--log", LOG, "--timeout", "3", "connect", CIVIL_STATUS, "--once"];
    nation.run(5, "rows broke the contract", &once)?;
    let keep = "create function keep() returns trigger language plpgsql as $$ begin
           raise exception 'not this one: %', old using detail = old::text, table = old::text; end $$;
         create trigger keep before delete on lienthong_outbox for each row execute function keep()";
    change(owner, keep).await?;
    change(owner, "update birth_registration set child_given_name = 'Khuyểuh', child_sex = 'Lểuyn'").await?;
    let before = nation.looks();
    nation.watched(4, "SQLSTATE P0001", &once).await?;
    ensure!(nation.looks() > before, "whoever waits shows itself");
    change(owner, "drop function keep cascade").await?;
    change(owner, "update birth_registration set child_given_name = 'Thoẵngh', child_sex = 'female'").await?;
    nation.told("events published", &once)?;
    change(owner, "alter table birth_registration rename child_given_name to \"Khuyểuh\"").await?;
    nation.run(3, "has no column child_given_name", &once)?;
    change(owner, "alter table birth_registration rename \"Khuyểuh\" to child_given_name").await?;
    change(owner, "update birth_registration set child_given_name = 'Khuyểuh'").await?;
    change(owner, "update lienthong_outbox set after = 'Khuyểuh 001085730194', rel = '001085730194'").await?;
    nation.told("moj.civil-status", &once)?;
    Ok(())
}

async fn deliver(nation: &mut Nationwide, subscriber: &TestDatabase) -> Result<()> {
    let once = ["--log", LOG, "--timeout", "3", "route", SUBSCRIBER, "--once"];
    let before = nation.looks();
    for trouble in troubles() {
        // Every time everything comes again.
        change(subscriber, "delete from birth; delete from death; delete from marriage; delete from lienthong_offset; delete from lienthong_version").await?;
        change(subscriber, &trouble.make).await?;
        let ended = nation.watched(trouble.code, trouble.told, &once).await;
        ended.with_context(|| trouble.make.clone())?;
        let status = ["--log", LOG, "status"];
        nation.run(0, SUBSCRIBER, &status)?;
        change(subscriber, trouble.undo).await?;
    }
    ensure!(nation.looks() > before, "whoever waits shows itself");
    let mut database = Database::open(subscriber.url()).await?;
    let born = database.rows("select given_name from birth where given_name = 'Thoẵngh'").await?;
    ensure!(!born.is_empty(), "the canaries have arrived");
    Ok(())
}

/// Addresses with a password that lead nowhere.
fn lose_the_way(nation: &mut Nationwide) -> Result<()> {
    let reference = format!("${{env:{ADDRESS}}}");
    move_to(nation, MINISTRY, &reference)?;
    move_to(nation, AGREEMENT, &reference)?;
    let server = lienthong_testkit::env::postgres();
    let place = server.rsplit_once('@').map_or(server.as_str(), |(_, place)| place);
    for url in [
        format!("postgres://lienthong:{PASSWORD}@127.0.0.1:1/d"),
        format!("postgres://lienthong:{PASSWORD}@127.0.0.1:{PASSWORD}/d"),
        format!("postgres://{PASSWORD}:{PASSWORD}@{place}"),
        format!("postgres://lienthong@127.0.0.1:1/d?sslmode={PASSWORD}"),
        format!("postgres://lienthong:{PASSWORD}@{PASSWORD}.invalid/d?{PASSWORD}={PASSWORD}"),
        format!("mysql://lienthong:{PASSWORD}@h/d"),
        PASSWORD.to_owned(),
    ] {
        let rows = [
            &["connect", CIVIL_STATUS, "--once", "--metrics", "off"][..],
            &["connect", CIVIL_STATUS, "--prepare"],
            &["route", SUBSCRIBER, "--once", "--metrics", "off"],
            &["route", SUBSCRIBER, "--prepare"],
        ]
        .map(|command| {
            let arguments = [&["--log", LOG, "--timeout", "1"], command].concat();
            let run = Run::with(2..=4, "lienthong: ", &arguments);
            vec![Run { variable: Some((ADDRESS, url.clone())), ..run }]
        });
        nation.at_once(&rows)?;
    }
    Ok(())
}
