//! What `prepare` makes: a publication of exactly the captured tables, and a slot. As statements that leave what is right alone.

use std::collections::BTreeSet;

use lienthong_contract::source::TableCapture;

use super::super::joins;
use crate::identifier::{TableName, literal, quote, quote_list};

/// Names of what `prepare` makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogNames {
    /// The slot, one of the whole server.
    pub(super) slot: String,
    /// The publication, one of the database.
    pub(super) publication: String,
}

impl LogNames {
    /// What names the advisory lock that a connector holds.
    pub(super) fn lock(&self) -> String {
        format!("lienthong:slot:{}", self.slot)
    }
}

/// Locks that writers hold would be waited for without end otherwise, and everybody else would wait behind.
const BOUNDED: &str = "set local lock_timeout = '10s';\n";

/// All statements for an administrator. The slot comes last: it keeps the log from its making on, and what it gives of a table
/// begins when the publication has it. `fails_over` is what the server says of itself, if it could be asked.
pub(super) fn ddl(names: &LogNames, captures: &[TableCapture], fails_over: Option<bool>) -> String {
    let unknown = match fails_over {
        Some(_) => "",
        None => {
            "-- The server did not answer. From PostgreSQL 17 on write 'pgoutput', failover => true: the slot may fail over with a standby.\n"
        }
    };
    format!(
        "begin;\n{BOUNDED}{}commit;\n{unknown}{};\n\
         -- The connector's role needs no more than this:\n\
         -- alter role <connector> replication;\n{}",
        publication(names, captures),
        slot(names, fails_over.unwrap_or_default()),
        reading(captures)
    )
}

/// The rights to read the captured columns, as comments: which role that is, the administrator knows.
fn reading(captures: &[TableCapture]) -> String {
    let tables: Vec<TableName> = captures.iter().map(|capture| TableName::parse(&capture.table)).collect();
    let schemas: BTreeSet<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
    let schemas = schemas.into_iter().filter(|schema| *schema != "public");
    let usage = schemas.map(|schema| format!("grant usage on schema {}", quote(schema)));
    let columns = |capture: &TableCapture| quote_list("", capture.columns.iter().map(String::as_str));
    let select = captures.iter().zip(&tables);
    let select =
        select.map(|(capture, table)| format!("grant select ({}) on {}", columns(capture), table.sql()));
    // A name must not end its comment.
    let lines =
        usage.chain(select).chain(joins::grants(captures)).filter(|line| !line.contains(char::is_control));
    lines.map(|line| format!("-- {line} to <connector>;\n")).collect()
}

/// A table is added while nobody writes to it: what a transaction has written before would be missing from the log, and its rows
/// from the first load.
pub(super) fn publication(names: &LogNames, captures: &[TableCapture]) -> String {
    let (quoted, name) = (quote(&names.publication), literal(&names.publication));
    let tables: Vec<TableName> = captures.iter().map(|capture| TableName::parse(&capture.table)).collect();
    let add: String = tables
        .iter()
        .map(|table| {
            let (sql, regclass) = (table.sql(), literal(&table.sql()));
            format!(
                "  if not exists (select from pg_catalog.pg_publication_rel r join pg_catalog.pg_publication p on p.oid = r.prpubid\n      \
                 where p.pubname = {name} and r.prrelid = {regclass}::regclass) then\n    \
                 lock table {sql} in share row exclusive mode;\n    \
                 alter publication {quoted} add table only {sql};\n  end if;\n"
            )
        })
        .collect();
    let captured: Vec<String> =
        tables.iter().map(|table| format!("{}::regclass", literal(&table.sql()))).collect();
    format!(
        "do $lienthong$\n\
         declare\n  t record;\n\
         begin\n  \
           if not exists (select from pg_catalog.pg_publication where pubname = {name}) then\n    \
             create publication {quoted} with (publish = 'insert, update, delete, truncate', publish_via_partition_root = true);\n  \
           end if;\n\
           {add}  \
           for t in select r.prrelid::regclass as rel from pg_catalog.pg_publication_rel r\n      \
             join pg_catalog.pg_publication p on p.oid = r.prpubid\n      \
             where p.pubname = {name} and r.prrelid <> all (array[{}]::oid[]) loop\n    \
             execute format('alter publication %I drop table only %s', {name}, t.rel);\n  \
           end loop;\n\
         end\n\
         $lienthong$;\n",
        captured.join(", ")
    )
}

/// Whether the server makes slots that a standby may keep in step (`sync_replication_slots`), so that they are there when it is promoted: from
/// PostgreSQL 17 on, and only as a primary.
pub(super) const FAILS_OVER: &str = "select pg_catalog.current_setting('server_version_num')::integer >= 170000 \
     and not pg_catalog.pg_is_in_recovery()";

/// Not to be run in a transaction that has written, nor in a function: decoding would lose what that holds. A slot whose log the server has
/// thrown away is made anew: nothing can be read from it, and a connector that has published from it will say what is missing.
pub(super) fn slot(names: &LogNames, fails_over: bool) -> String {
    let slot = literal(&names.slot);
    let failover = if fails_over { ", failover => true" } else { "" };
    format!(
        "select pg_catalog.pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots\n\
         where slot_name = {slot} and wal_status = 'lost' and not active;\n\
         select pg_catalog.pg_create_logical_replication_slot({slot}, 'pgoutput'{failover})\n\
         where not exists (select from pg_catalog.pg_replication_slots where slot_name = {slot})"
    )
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, Result};
    use lienthong_testkit::postgres::TestDatabase;
    use sqlx::{Connection as _, Executor as _, PgConnection};

    use super::*;
    use crate::identifier::safe;

    /// What a server of this version does, by functions in the place of its own that write down how they were called.
    async fn made(version: u32, standby: bool) -> Result<Vec<String>> {
        let database = TestDatabase::create().await?;
        let mut conn = PgConnection::connect(database.url()).await?;
        let parameters = match version {
            // As the servers declare it.
            170_000.. => {
                "slot name, plugin name, temporary boolean default false, twophase boolean default false, failover boolean default false"
            }
            _ => "slot name, plugin name, temporary boolean default false, twophase boolean default false",
        };
        let failover = if version >= 170_000 { "failover" } else { "null::boolean" };
        let server = format!(
            "create schema server; create table server.calls (told text);
             create function server.current_setting(name text) returns text language sql as $$ select '{version}' $$;
             create function server.pg_is_in_recovery() returns boolean language sql as $$ select {standby} $$;
             create view server.pg_replication_slots as select slot as slot_name, 'lost'::text as wal_status, false as active
               from (values ('another'::name)) as slots (slot);
             create function server.pg_drop_replication_slot(slot name) returns void language sql as $$ select null::void $$;
             create function server.pg_create_logical_replication_slot({parameters}) returns void language sql as $$
               insert into server.calls values (slot || ' ' || plugin || ' ' || coalesce({failover}::text, 'plain')) $$"
        );
        conn.execute(sqlx::raw_sql(safe(server))).await.context("the server's functions")?;
        let names = LogNames { slot: "s'1".to_owned(), publication: "p".to_owned() };
        let there = |sql: &str| safe(sql.replace("pg_catalog.", "server."));
        let fails_over: bool = sqlx::query_scalar(there(FAILS_OVER)).fetch_one(&mut conn).await?;
        conn.execute(sqlx::raw_sql(there(&slot(&names, fails_over)))).await?;
        Ok(sqlx::query_scalar("select told from server.calls").fetch_all(&mut conn).await?)
    }

    #[test]
    fn statements_for_a_server_that_cannot_be_asked_say_what_a_newer_one_takes() {
        let names = LogNames { slot: "s".to_owned(), publication: "p".to_owned() };
        let (unknown, known) = (ddl(&names, &[], None), ddl(&names, &[], Some(true)));
        assert!(unknown.contains("-- The server did not answer.") && unknown.contains("('s', 'pgoutput')"));
        assert!(!known.contains("did not answer") && known.contains("('s', 'pgoutput', failover => true)"));
    }

    #[tokio::test]
    async fn a_slot_fails_over_with_a_standby_where_the_server_can() -> Result<()> {
        for version in [140_012, 150_018, 160_004] {
            assert_eq!(made(version, false).await?, ["s'1 pgoutput plain"], "{version}");
        }
        for version in [170_000, 180_001] {
            assert_eq!(made(version, false).await?, ["s'1 pgoutput true"], "{version}");
            assert_eq!(made(version, true).await?, ["s'1 pgoutput false"], "{version} on a standby");
        }
        Ok(())
    }
}
