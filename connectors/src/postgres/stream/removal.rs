//! Takes away what `prepare` has made for capture from the log.

use std::collections::BTreeMap;

use lienthong_contract::source::SourceError;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _, Row as _};

use super::super::error::source_error;
use super::super::wal::message::{Message, Relation};
use super::setup::LogNames;
use crate::identifier::{literal, quote, safe};
use crate::unpublished;

/// Changes that are counted at most before they are told; a slot may keep a night's.
const COUNTED: i32 = 100_000;

/// Waits for writers, and everybody else waits behind it: not for longer than this.
const BOUNDED: &str = "set local lock_timeout = '10s';\n";

/// All statements for an administrator. Without `lose` they undo themselves where changes wait to be published.
pub(super) fn ddl(names: &LogNames, lose: bool) -> String {
    let guard = if lose { String::new() } else { guard(names) };
    format!("begin;\n{BOUNDED}{}{guard}{}commit;\n", lock(names), rest(names))
}

/// Does the same, unless a connector holds the source: the caller has seen to that.
pub(super) async fn remove(
    conn: &mut PgConnection,
    name: &str,
    names: &LogNames,
    lose: bool,
) -> Result<(), SourceError> {
    let error = |e: sqlx::Error| refused(name, source_error(name, &e));
    let mut transaction = conn.begin().await.map_err(error)?;
    transaction.execute(sqlx::raw_sql(safe(format!("{BOUNDED}{}", lock(names))))).await.map_err(error)?;
    if !lose {
        let waiting = waiting(&mut transaction, names).await.map_err(error)?;
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
                "run it by a role that owns the captured tables and may replicate, or let an administrator run what \
                 `lienthong connect {name} --unprepare --print-ddl` prints"
            ),
        },
        other => other,
    }
}

/// Tables and how many of their changes the slot keeps. Names are those that the log has.
async fn waiting(conn: &mut PgConnection, names: &LogNames) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let sql = format!("select data from {} as kept where {}", peek(names), there(names));
    let Some(sql) = possible(conn, names).await?.then_some(sql) else { return Ok(Vec::new()) };
    let (mut known, mut counts) = (BTreeMap::new(), BTreeMap::new());
    for row in sqlx::query(safe(sql)).fetch_all(conn).await? {
        let changed = match Message::parse(row.try_get("data")?) {
            Ok(Message::Relation(Relation { oid, namespace, name, .. })) => {
                known.insert(oid, format!("{namespace}.{name}"));
                continue;
            }
            Ok(
                Message::Insert { relation, .. }
                | Message::Update { relation, .. }
                | Message::Delete { relation, .. },
            ) => vec![relation],
            Ok(Message::Truncate { relations, .. }) => relations,
            _ => continue,
        };
        for oid in changed {
            let table = known.get(&oid).cloned().unwrap_or_default();
            *counts.entry(table).or_insert(0) += 1;
        }
    }
    Ok(counts.into_iter().collect())
}

async fn possible(conn: &mut PgConnection, names: &LogNames) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(safe(format!("select {}", there(names)))).fetch_one(conn).await
}

/// Whether there is anything to be read by: both, and the slot not lost.
fn there(names: &LogNames) -> String {
    format!(
        "exists (select from pg_catalog.pg_publication where pubname = {}) and exists (select from pg_catalog.pg_replication_slots \
         where slot_name = {} and wal_status is distinct from 'lost')",
        literal(&names.publication),
        literal(&names.slot)
    )
}

fn peek(names: &LogNames) -> String {
    format!(
        "pg_catalog.pg_logical_slot_peek_binary_changes({}, null, {COUNTED}, 'proto_version', '1', 'publication_names', {})",
        literal(&names.slot),
        literal(&quote(&names.publication))
    )
}

/// Nobody writes from here on.
fn lock(names: &LogNames) -> String {
    format!(
        "do $lienthong$\n\
         declare\n  t record;\n\
         begin\n  \
           for t in select r.prrelid::regclass as rel from pg_catalog.pg_publication_rel r\n      \
             join pg_catalog.pg_publication p on p.oid = r.prpubid where p.pubname = {} loop\n    \
             execute format('lock table %s in share row exclusive mode', t.rel);\n  \
           end loop;\n\
         end\n\
         $lienthong$;\n",
        literal(&names.publication)
    )
}

fn guard(names: &LogNames) -> String {
    format!(
        "do $lienthong$\n\
         declare\n  waiting bigint := 0;\n\
         begin\n  \
           if {} then\n    \
             select count(*) into waiting from {} as kept where chr(get_byte(kept.data, 0)) in ('I', 'U', 'D', 'T');\n  \
           end if;\n  \
           if waiting > 0 then\n    \
             raise exception 'changes in the log that have not been published: %', waiting;\n  \
           end if;\n\
         end\n\
         $lienthong$;\n",
        there(names),
        peek(names)
    )
}

/// The slot first: it could not be read without the publication.
fn rest(names: &LogNames) -> String {
    let slot = literal(&names.slot);
    format!(
        "select pg_catalog.pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots where slot_name = {slot};\n\
         drop publication if exists {};\n",
        quote(&names.publication)
    )
}
