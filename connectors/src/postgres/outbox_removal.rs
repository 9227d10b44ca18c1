//! Takes away what `prepare` has made in a publishing database. What the owner has made is left alone.

use lienthong_contract::source::SourceError;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

use super::error::source_error;
use super::outbox_ddl::OutboxNames;
use super::source;
use crate::identifier::{literal, safe};
use crate::unpublished;

/// Dropping a trigger waits for everybody who uses the table, and everybody else waits behind it: not for longer than this.
const BOUNDED: &str = "set local lock_timeout = '10s';\n";

/// All statements for an administrator. Without `lose` they undo themselves where changes wait to be published.
pub(super) fn ddl(names: &OutboxNames, lose: bool) -> String {
    let guard = if lose { String::new() } else { guard(names) };
    format!("begin;\n{BOUNDED}{}{guard}{}commit;\n", triggers(names), rest(names))
}

/// Does the same, unless a connector holds the source.
pub(super) async fn remove(
    conn: &mut PgConnection,
    name: &str,
    names: &OutboxNames,
    lose: bool,
) -> Result<(), SourceError> {
    let error = |e: sqlx::Error| refused(name, source_error(name, &e));
    source::lock(conn, &names.lock()).await.map_err(error)??;
    let removed = take_away(conn, name, names, lose).await;
    // The server ends a session, and its lock, only some time after it was left.
    if sqlx::query("select pg_catalog.pg_advisory_unlock_all()").execute(conn).await.is_err() {
        tracing::debug!("a connection was gone before its lock was given back");
    }
    removed
}

async fn take_away(
    conn: &mut PgConnection,
    name: &str,
    names: &OutboxNames,
    lose: bool,
) -> Result<(), SourceError> {
    let error = |e: sqlx::Error| refused(name, source_error(name, &e));
    let mut transaction = conn.begin().await.map_err(error)?;
    let run = safe(format!("{BOUNDED}{}", triggers(names)));
    transaction.execute(sqlx::raw_sql(run)).await.map_err(error)?;
    // Nobody can record any more.
    let waiting = waiting(&mut transaction, names).await.map_err(error)?;
    if !lose {
        unpublished::none(name, &waiting)?;
    }
    transaction.execute(sqlx::raw_sql(safe(rest(names)))).await.map_err(error)?;
    transaction.commit().await.map_err(error)
}

/// `prepare` mends nothing here.
fn refused(name: &str, error: SourceError) -> SourceError {
    match error {
        SourceError::NotPrepared { problem, .. } => SourceError::NotPrepared {
            problem,
            fix: format!(
                "run it by a role that owns the captured tables and the outbox, or let an administrator run what \
                 `lienthong connect {name} --unprepare --print-ddl` prints"
            ),
        },
        other => other,
    }
}

/// Tables and how many of their changes are in the outbox.
async fn waiting(conn: &mut PgConnection, names: &OutboxNames) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let there = "select pg_catalog.to_regclass($1) is not null";
    if !sqlx::query_scalar(there).bind(names.outbox.sql()).fetch_one(&mut *conn).await? {
        return Ok(Vec::new());
    }
    let sql = format!("select rel, count(*) from {} group by rel order by rel", names.outbox.sql());
    sqlx::query_as(safe(sql)).fetch_all(conn).await
}

/// Also those on tables that are no longer captured.
fn triggers(names: &OutboxNames) -> String {
    let function = |name: String| format!("to_regprocedure({})", literal(&format!("{name}()")));
    format!(
        "do $lienthong$\n\
         declare\n  t record;\n\
         begin\n  \
           for t in select tgname, tgrelid::regclass as rel from pg_catalog.pg_trigger\n    \
             where not tgisinternal and tgfoid in ({}, {}) loop\n    \
             execute format('drop trigger %I on %s', t.tgname, t.rel);\n  \
           end loop;\n\
         end\n\
         $lienthong$;\n",
        function(names.capture.sql()),
        function(names.begin.sql()),
    )
}

fn guard(names: &OutboxNames) -> String {
    format!(
        "do $lienthong$\n\
         declare\n  waiting bigint := 0;\n\
         begin\n  \
           if to_regclass({outbox}) is not null then\n    \
             execute {count} into waiting;\n  \
           end if;\n  \
           if waiting > 0 then\n    \
             raise exception 'changes in % that have not been published: %', {outbox}, waiting;\n  \
           end if;\n\
         end\n\
         $lienthong$;\n",
        outbox = literal(&names.outbox.sql()),
        count = literal(&format!("select count(*) from {}", names.outbox.sql())),
    )
}

fn rest(names: &OutboxNames) -> String {
    format!(
        "drop function if exists {}();\ndrop function if exists {}();\ndrop table if exists {};\n\
         drop table if exists {};\ndrop sequence if exists {};\n",
        names.capture.sql(),
        names.begin.sql(),
        names.outbox.sql(),
        names.meta.sql(),
        names.lost.sql(),
    )
}
