//! Partitions that come to a captured root with their rows, or go from it with them. The log does not say that: the catalogue is asked
//! when a source is sought, and every few seconds. The rows of a partition that came are loaded, as those of a table that is captured
//! later are; those of one that went stay with the subscribers, and somebody has to know.

use std::time::Duration;

use lienthong_contract::keys::HashKey;
use lienthong_contract::source::SourceError;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::postgres::PgConnection;
use tokio::time::Instant;

use super::super::error::source_error;
use super::super::session::{PATIENCE, within};
use super::position::{FirstLoad, LogPosition, Member};
use super::session::Session;
use super::tables::Tables;
use crate::identifier::TableName;

/// How often the catalogue is asked.
const EVERY: Duration = Duration::from_secs(2);

/// A partition that holds rows of a captured root, as it is attached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    /// The captured table.
    pub(super) root: String,
    /// The partition.
    pub(super) name: String,
    /// Its number and those of what it is in, each with the transaction that attached it: one that is detached and attached again is
    /// another.
    link: String,
}

/// What a position knows of partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parts {
    /// Those that the captured roots had at the last look.
    known: Vec<Part>,
    /// Those of them that came with rows which have not been loaded.
    waiting: Vec<Part>,
}

/// What a look came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Met {
    came: Vec<Part>,
    went: Vec<Part>,
}

impl LogPosition {
    /// Takes what the catalogue says. A partition that came is loaded where its root is, or is being loaded and may be past its rows.
    pub(super) fn meet(&mut self, found: Vec<Part>, members: &[Member], secret: &HashKey) -> Met {
        let Some(parts) = &mut self.parts else {
            self.parts = Some(Parts { known: found, waiting: Vec::new() });
            return Met::default();
        };
        let went: Vec<Part> = parts.known.iter().filter(|part| !found.contains(part)).cloned().collect();
        let loaded = |part: &Part| {
            let begun = self.snap.iter().filter(|snap| snap.part.is_none() && snap.after.is_some());
            self.loaded.iter().chain(begun.map(|snap| &snap.table)).any(|table| table.table == part.root)
        };
        let came = found.iter().filter(|part| !parts.known.contains(part) && loaded(part));
        let came: Vec<Part> = came.cloned().collect();
        parts.waiting.retain(|part| !went.contains(part));
        parts.waiting.extend(came.iter().cloned());
        parts.known = found;
        if self.snap.as_ref().is_some_and(|snap| snap.part.as_ref().is_some_and(|part| went.contains(part))) {
            self.snap = None;
        }
        if self.snap.is_none() {
            self.next_part(members, secret);
        }
        Met { came, went }
    }

    /// Begins to load the next partition that waits. It is a run of its own: a row that moved away and came back with another partition is
    /// another row of a first load.
    pub(super) fn next_part(&mut self, members: &[Member], secret: &HashKey) {
        let waiting = self.parts.iter().flat_map(|parts| &parts.waiting);
        let next = waiting.filter_map(|part| {
            let due = |member: &&Member| member.table == part.root && self.aside_of(&part.root).is_none();
            let table = members.iter().find(due)?;
            let run = secret.derive("partition").hash(&[part.name.as_bytes(), part.link.as_bytes()]).hex();
            Some(FirstLoad {
                run: format!("p{}", &run[..12]),
                table: table.clone(),
                after: None,
                rows: 0,
                part: Some(part.clone()),
            })
        });
        self.snap = next.into_iter().next();
    }

    /// A partition's rows have been loaded.
    pub(super) fn part_loaded(&mut self, part: &Part) {
        if let Some(parts) = &mut self.parts {
            parts.waiting.retain(|waiting| waiting != part);
        }
    }
}

impl Session {
    /// Looks what partitions there are, if it is time: between two transactions.
    pub(super) async fn meet_partitions(&mut self) -> Result<(), SourceError> {
        if self.met.is_some_and(|at| at.elapsed() < EVERY) {
            return Ok(());
        }
        let Some(position) = &mut self.position else { return Ok(()) };
        let looking = read(&mut self.conn, &self.tables);
        let found = within(PATIENCE, looking).await.map_err(|error| source_error(&self.name, &error))?;
        self.met = Some(Instant::now());
        let Some(found) = found else { return Ok(()) };
        let Met { came, went } = position.meet(found, &self.members, &self.secret);
        for part in &came {
            let (partition, table) = (&part.name, &part.root);
            tracing::info!(partition, table, "a partition was attached: its rows are loaded");
        }
        for part in &went {
            let (partition, table) = (&part.name, &part.root);
            tracing::warn!(
                partition,
                table,
                "a partition was detached or dropped: its rows stay with the subscribers, and changes of them are no longer published"
            );
        }
        // It may be of one that went.
        let going_on = position.snap.as_ref().and_then(|snap| snap.part.as_ref());
        if !went.is_empty() && self.chunk.as_ref().is_some_and(|chunk| chunk.part.as_ref() != going_on) {
            self.chunk = None;
        }
        Ok(())
    }

    /// The condition that holds for the rows of the partition that is being loaded and for no others of its root. The partition itself is
    /// not read: the connector has rights on the root alone.
    pub(super) async fn only_part(&mut self) -> Result<Option<String>, SourceError> {
        let part = |session: &Self| {
            session.position.as_ref().and_then(|position| position.snap.as_ref()?.part.clone())
        };
        let mut looked_again = false;
        while let Some(part) = part(self) {
            let sql = "select pg_catalog.pg_get_partition_constraintdef(c.oid) from pg_catalog.pg_class c \
                 join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
                 where n.nspname = $1 and c.relname = $2 and c.relispartition";
            let name = TableName::parse(&part.name);
            let asking = sqlx::query_scalar::<_, Option<String>>(sql)
                .bind(&name.schema)
                .bind(&name.name)
                .fetch_optional(&mut self.conn);
            let found = within(PATIENCE, asking).await.map_err(|error| source_error(&self.name, &error))?;
            if let Some(condition) = found {
                // The only partition may have no bounds.
                return Ok(Some(condition.unwrap_or_else(|| "true".to_owned())));
            }
            if std::mem::replace(&mut looked_again, true) {
                let reason = "a partition is being detached".to_owned();
                return Err(SourceError::Unreachable { source_name: self.name.clone(), reason });
            }
            // It has just gone.
            self.met = None;
            self.meet_partitions().await?;
        }
        Ok(None)
    }
}

/// The partitions that hold rows of captured roots; `None` where none is captured.
async fn read(conn: &mut PgConnection, tables: &Tables) -> Result<Option<Vec<Part>>, sqlx::Error> {
    let roots = tables.all.iter().filter(|table| table.partitions.is_some());
    let roots: Vec<(&str, i64)> =
        roots.map(|table| (table.captured.name.as_str(), i64::from(table.number()))).collect();
    if roots.is_empty() {
        return Ok(None);
    }
    let sql = "with recursive up (root, leaf, at, link) as ( \
         select r.root, t.relid::oid, t.relid::oid, ''::text from unnest($1::bigint[]) r (root) \
         cross join lateral pg_catalog.pg_partition_tree(r.root::oid::regclass) t where t.isleaf and t.level > 0 \
         union all select u.root, u.leaf, i.inhparent, u.link || i.inhrelid::text || '/' || i.xmin::text || ' ' \
         from up u join pg_catalog.pg_inherits i on i.inhrelid = u.at where u.at <> u.root::oid) \
         select u.root, n.nspname::text as schema, c.relname::text as name, u.link from up u \
         join pg_catalog.pg_class c on c.oid = u.leaf join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         where u.at = u.root::oid order by 1, 2, 3";
    let numbers: Vec<i64> = roots.iter().map(|(_, number)| *number).collect();
    let mut found = Vec::new();
    for row in sqlx::query(sql).bind(numbers).fetch_all(conn).await? {
        let number: i64 = row.try_get("root")?;
        let Some((root, _)) = roots.iter().find(|(_, root)| *root == number) else { continue };
        let name = TableName { schema: row.try_get("schema")?, name: row.try_get("name")? };
        found.push(Part { root: (*root).to_owned(), name: name.plain(), link: row.try_get("link")? });
    }
    Ok(Some(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, link: &str) -> Part {
        Part { root: "public.birth".to_owned(), name: name.to_owned(), link: link.to_owned() }
    }

    #[test]
    fn what_came_is_loaded_behind_its_root_and_what_went_is_not() {
        let (secret, members) =
            (HashKey::new([3; 32]), [Member { table: "public.birth".to_owned(), oid: 7 }]);
        let mut position = LogPosition::start("l", 0);
        let [a, b, c] = ["a", "b", "c"].map(|name| part(name, "1"));
        position.plan_first_load(&members, "r");
        assert_eq!(
            position.meet(vec![a.clone()], &members, &secret),
            Met::default(),
            "they come with the root"
        );
        assert_eq!(
            position.meet(vec![a.clone(), b.clone()], &members, &secret),
            Met::default(),
            "so do these"
        );
        if let Some(snap) = &mut position.snap {
            snap.after = Some(vec!["1".to_owned()]);
        }
        let met = position.meet(vec![a.clone(), b.clone(), c.clone()], &members, &secret);
        assert_eq!((met.came, met.went), (vec![c.clone()], Vec::new()), "the load may be past its rows");
        position.table_loaded(&members, &secret);
        let loading = |position: &LogPosition| position.snap.as_ref().and_then(|snap| snap.part.clone());
        assert_eq!(loading(&position), Some(c.clone()));
        // Detached and attached again between two looks.
        let again = part("a", "2");
        let met = position.meet(vec![again.clone(), c.clone()], &members, &secret);
        assert_eq!((met.came, met.went), (vec![again.clone()], vec![a, b]));
        assert_eq!(loading(&position), Some(c.clone()));
        let met = position.meet(vec![again.clone()], &members, &secret);
        assert_eq!((met.went, loading(&position)), (vec![c], Some(again)));
        position.table_loaded(&members, &secret);
        assert_eq!((loading(&position), position.loaded.len()), (None, 1));
    }
}
