//! Where the rows of a captured table are: in itself, or in partitions that are captured under the name of their root. What the log
//! holds of a row as it was, each partition says for itself.

use std::collections::BTreeMap;

use lienthong_contract::source::{SourceError, TableCapture};
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::super::catalogue::Table;
use super::super::wal::message::{Message, Relation};
use crate::identifier::{TableName, quote};

/// Whether the table's rows are in partitions, of which it is the root.
pub(super) fn is_root(table: &Table) -> bool {
    table.kind == "p" && !table.partition
}

/// A change must come with the row as it was: conditions and subjects are read from it, and what is stored out of line. So it is for
/// the table and each of its partitions. A root says how rows are shown, a partition what of them is written.
pub(super) async fn check(
    conn: &mut PgConnection,
    (table, capture): (&Table, &TableCapture),
    publication: &str,
    obstacles: &mut Vec<(String, String)>,
) -> Result<(), sqlx::Error> {
    let sql = "select n.nspname::text as schema, c.relname::text as name, c.relkind in ('r', 'p') and c.relpersistence = 'p' as logged, \
         c.relreplident = 'f' as whole, array(select a.attname::text from pg_catalog.pg_index i \
         join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey) \
         where i.indrelid = c.oid and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident else false end) \
         as columns, c.relreplident = 'd' and not exists (select from pg_catalog.pg_index i where i.indrelid = c.oid and i.indisprimary) \
         as keyless from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         where c.oid = $1::bigint::oid or c.oid in (select t.relid from pg_catalog.pg_partition_tree($1::bigint::oid::regclass) t \
         where t.isleaf) order by c.oid <> $1::bigint::oid, 1, 2";
    for row in sqlx::query(sql).bind(table.oid).fetch_all(&mut *conn).await? {
        let place = TableName { schema: row.try_get("schema")?, name: row.try_get("name")? };
        let held: Vec<String> = row.try_get("columns")?;
        let (whole, keyless) = (row.try_get::<bool, _>("whole")?, row.try_get::<bool, _>("keyless")?);
        if !whole {
            obstacles.extend(identity(&place, is_root(table), capture, (&held, keyless)));
        }
        if is_root(table) && !row.try_get::<bool, _>("logged")? {
            obstacles.push((
                format!(
                    "changes of {}, a partition of {}, are not in the log",
                    place.plain(),
                    table.name.plain()
                ),
                "keep its rows in a partition of this server that is logged".to_owned(),
            ));
        }
    }
    if is_root(table) {
        let sql = "select pubviaroot from pg_catalog.pg_publication where pubname = $1";
        let by_root = sqlx::query_scalar::<_, bool>(sql).bind(publication).fetch_optional(conn).await?;
        if by_root == Some(false) {
            obstacles.push((
                format!("publication {publication} shows partitions under their own names"),
                format!("alter publication {} set (publish_via_partition_root = true)", quote(publication)),
            ));
        }
    }
    Ok(())
}

/// What is lacking of a replica identity that holds the columns `held`.
fn identity(
    place: &TableName,
    root: bool,
    capture: &TableCapture,
    (held, keyless): (&[String], bool),
) -> Option<(String, String)> {
    let name = place.plain();
    let holds = |columns: &[String]| columns.iter().all(|column| held.contains(column));
    if holds(&capture.columns) || (capture.look_up && !root && holds(&capture.key)) {
        return None;
    }
    let keyless = if keyless { ", as it has no primary key" } else { "" };
    Some(match (capture.look_up, root) {
        (false, false) if holds(&capture.key) => (
            format!("the log does not hold rows of {name} as they were before a change"),
            format!("{}, or list the table under `look_up` of the participant's `capture`", full(place)),
        ),
        (false, _) => (
            format!("the log does not hold rows of {name} as they were before a change{keyless}"),
            full(place),
        ),
        // With a partition that is detached rows go without a word, and a look-up could not tell that from a deletion.
        (true, true) => (
            format!("rows of {name} cannot be looked up, as they are in partitions"),
            format!("{}, and take the table out of `look_up`", full(place)),
        ),
        (true, false) => (
            format!("the log does not hold the key of rows of {name} as it was before a change{keyless}"),
            full(place),
        ),
    })
}

fn full(place: &TableName) -> String {
    format!("alter table {} replica identity full", place.sql())
}

/// What the stream has said of the partitions of one root.
#[derive(Default)]
pub(super) struct Partitions {
    /// Those of which the log does not hold rows as they were.
    unfit: BTreeMap<u32, TableName>,
}

impl Partitions {
    /// Takes a partition's own description. Its rows come under the root's number, so nothing tells later which are its.
    pub(super) fn describe(&mut self, capture: &TableCapture, relation: &Relation<'_>) {
        let held =
            |name: &String| relation.columns.iter().any(|column| column.identity && column.name == name);
        if capture.columns.iter().all(held) {
            self.unfit.remove(&relation.oid);
            return;
        }
        let place = TableName { schema: relation.namespace.to_owned(), name: relation.name.to_owned() };
        let (partition, fix) = (place.plain(), full(&place));
        tracing::warn!(
            partition,
            fix,
            "the log will not hold rows of this partition as they were before a change"
        );
        self.unfit.insert(relation.oid, place);
    }

    /// Whether a row can be read. Of one that has changed in an unfit partition the message says that it is whole, and it is not.
    pub(super) fn tell(&self, root: &str, message: &Message<'_>) -> Result<(), SourceError> {
        match self.unfit.values().next() {
            Some(place) if !matches!(message, Message::Insert { .. }) => Err(SourceError::Gap {
                gap: format!(
                    "the log has a change of {root} that may be of {} without the row as it was",
                    place.plain()
                ),
                fix: format!("{}, and start anew under another participant", full(place)),
            }),
            _ => Ok(()),
        }
    }
}

/// The error of a table that is none of the captured ones but a partition of one, and comes under its own name.
pub(super) async fn by_itself(
    conn: &mut PgConnection,
    roots: &[i64],
    relation: &Relation<'_>,
) -> Result<Result<(), SourceError>, sqlx::Error> {
    let sql = "select exists (select from pg_catalog.pg_partition_ancestors($1::bigint::oid::regclass) a \
         where a.relid::bigint = any ($2))";
    if roots.is_empty()
        || !sqlx::query_scalar::<_, bool>(sql)
            .bind(i64::from(relation.oid))
            .bind(roots)
            .fetch_one(conn)
            .await?
    {
        return Ok(Ok(()));
    }
    Ok(Err(SourceError::Gap {
        gap: format!(
            "rows of the partition {}.{} are in the log under its own name",
            relation.namespace, relation.name
        ),
        fix: format!("set publish_via_partition_root of the publication to true, and {}", crate::NEW_LINEAGE),
    }))
}
