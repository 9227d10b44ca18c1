//! Takes away what `prepare` has made in a publishing file. What the owner has made is left alone.

use lienthong_contract::source::SourceError;
use rusqlite::Connection;

use super::catalogue;
use super::error::source_error;
use super::prepare::present_triggers;
use super::triggers::{OutboxNames, VOID};
use crate::identifier::quote;
use crate::unpublished;

/// All statements, to be run in one transaction. An error without `lose` where changes wait to be published.
pub(super) fn statements(
    conn: &Connection,
    name: &str,
    names: &OutboxNames,
    lose: bool,
) -> Result<String, SourceError> {
    let error = |e: rusqlite::Error| source_error(name, &e);
    if !lose {
        unpublished::none(name, &waiting(conn, names).map_err(error)?)?;
    }
    // Also those on tables that are no longer captured.
    let triggers = present_triggers(conn, names).map_err(error)?;
    let mut sql: String = triggers
        .iter()
        .map(|trigger| format!("DROP TRIGGER IF EXISTS {};\n", quote(&trigger.name)))
        .collect();
    for table in [&names.outbox, &names.replaced, &names.layout, &names.meta] {
        sql.push_str(&format!("DROP TABLE IF EXISTS {};\n", quote(table)));
    }
    Ok(sql)
}

/// Tables and how many of their changes are in the outbox.
fn waiting(conn: &Connection, names: &OutboxNames) -> rusqlite::Result<Vec<(String, i64)>> {
    for table in [&names.outbox, &names.layout] {
        if catalogue::table(conn, table)?.is_none() {
            return Ok(Vec::new());
        }
    }
    let sql = format!(
        "select coalesce(l.table_name, 'an unknown table'), count(*) from {} o left join {} l on l.id = o.layout \
         where o.op is not ?1 group by 1 order by 1",
        quote(&names.outbox),
        quote(&names.layout)
    );
    conn.prepare(&sql)?.query_map([VOID], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}
