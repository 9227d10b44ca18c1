//! What the publication has of the captured tables.

use std::collections::HashMap;

use lienthong_contract::source::TableCapture;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::check::Checked;
use super::setup::LogNames;
use crate::identifier::{TableName, quote};

/// A table of the publication.
pub(super) struct Published {
    /// The number of its membership.
    pub(super) oid: i64,
    /// Only rows that meet a condition are published.
    filtered: bool,
    /// Only these columns are, if not all.
    columns: Option<Vec<String>>,
    /// The server takes no update and no delete of a table with a list of columns whose replica identity is full.
    whole: bool,
}

impl Published {
    /// What is needed and not published, with what mends it. A list of columns that holds all that is captured is welcome: what the
    /// connector need not see does not reach it.
    pub(super) fn lacks(
        &self,
        publication: &str,
        table: &TableName,
        capture: &TableCapture,
    ) -> Option<(String, String)> {
        let name = table.plain();
        let problem = match &self.columns {
            _ if self.filtered => format!("publication {publication} has {name} only in part"),
            Some(_) if self.whole => format!(
                "publication {publication} has only some columns of {name}, and with its replica identity full the server takes no update of it"
            ),
            Some(listed) => {
                let lacking = capture.columns.iter().filter(|column| !listed.contains(column));
                let lacking: Vec<&str> = lacking.map(String::as_str).collect();
                if lacking.is_empty() {
                    return None;
                }
                format!("publication {publication} has {name} without {}", lacking.join(", "))
            }
            None => return None,
        };
        let (publication, table) = (quote(publication), table.sql());
        Some((problem, format!("alter publication {publication} drop table {table}, then prepare again")))
    }
}

/// Gives the tables of the publication by name.
pub(super) async fn read(
    conn: &mut PgConnection,
    names: &LogNames,
    checked: &mut Checked,
) -> Result<HashMap<String, Published>, sqlx::Error> {
    let name = &names.publication;
    let sql = "select pubinsert and pubupdate and pubdelete and pubtruncate as everything, oid::text || '/' || xmin::text as version \
         from pg_catalog.pg_publication where pubname = $1";
    let Some(row) = sqlx::query(sql).bind(name).fetch_optional(&mut *conn).await? else {
        checked.missing.push(format!("publication {name} does not exist"));
        return Ok(HashMap::new());
    };
    checked.publication = row.try_get("version")?;
    if !row.try_get::<bool, _>("everything")? {
        let fix =
            format!("alter publication {} set (publish = 'insert, update, delete, truncate')", quote(name));
        checked.obstacles.push((format!("publication {name} does not publish every kind of change"), fix));
    }
    // Older servers know neither conditions nor lists of columns.
    let sql = "select n.nspname || '.' || c.relname as name, r.oid::bigint as oid, \
         to_jsonb(r) ->> 'prqual' is not null as filtered, c.relreplident = 'f' as whole, \
         case when to_jsonb(r) ->> 'prattrs' is not null then array(select a.attname::text \
             from jsonb_array_elements_text(to_jsonb(r) -> 'prattrs') l(attnum) \
             join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = l.attnum::int2) end as columns \
         from pg_catalog.pg_publication p join pg_catalog.pg_publication_rel r on r.prpubid = p.oid \
         join pg_catalog.pg_class c on c.oid = r.prrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         where p.pubname = $1";
    let mut published = HashMap::new();
    for row in sqlx::query(sql).bind(name).fetch_all(conn).await? {
        let of = Published {
            oid: row.try_get("oid")?,
            filtered: row.try_get("filtered")?,
            columns: row.try_get("columns")?,
            whole: row.try_get("whole")?,
        };
        published.insert(row.try_get("name")?, of);
    }
    Ok(published)
}
