//! Whether what `prepare` makes is there, and whether server, role and tables allow capture from the log at all.

use std::collections::HashMap;

use lienthong_contract::source::{SourceError, TableCapture};
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::super::catalogue::{self, Table};
use super::super::error::source_error;
use super::super::outbox_check::{obstacles, rights};
use super::super::wal::types::{DESCRIBE, Described, Types};
use super::position::Member;
use super::setup::LogNames;
use crate::identifier::{TableName, quote};

/// Everything that a check of one database found.
pub(super) struct Checked {
    /// The captured tables, in the order of the captures; those that exist.
    pub(super) tables: Vec<Table>,
    /// Those of them that the publication has.
    pub(super) members: Vec<Member>,
    /// The publication's number and the transaction that wrote it last.
    pub(super) publication: Option<String>,
    /// The types of the captured columns.
    pub(super) types: Vec<Described>,
    /// What keeps a table from being captured whatever `prepare` does, with what mends it.
    pub(super) obstacles: Vec<(String, String)>,
    /// What `prepare` has to make.
    pub(super) missing: Vec<String>,
    /// The one that is named, if it is there.
    pub(super) slot: Option<Slot>,
    /// Whether the server could make another.
    free_slot: bool,
}

/// The slot as the server has it.
pub(super) struct Slot {
    /// Who reads it.
    pub(super) holder: Option<String>,
    /// Its log has been thrown away.
    pub(super) lost: bool,
    /// It keeps the log from here on.
    pub(super) confirmed: u64,
}

impl Checked {
    /// The error that names what `prepare` cannot mend.
    pub(super) fn no_obstacle(&self) -> Result<(), SourceError> {
        if self.obstacles.is_empty() {
            return Ok(());
        }
        let (problems, mut fixes): (Vec<String>, Vec<String>) = self.obstacles.iter().cloned().unzip();
        fixes.dedup();
        Err(SourceError::NotPrepared { problem: problems.join("; "), fix: fixes.join("; ") })
    }

    /// The error that says that the slot cannot be made.
    pub(super) fn room(&self) -> Result<(), SourceError> {
        if self.slot.is_some() || self.free_slot {
            return Ok(());
        }
        Err(SourceError::NotPrepared {
            problem: "all replication slots of the server are taken".to_owned(),
            fix: "an administrator drops one that nobody needs, or raises max_replication_slots and starts the server again".to_owned(),
        })
    }

    /// The error that names everything that is not as it should be.
    pub(super) fn complete(&self, source: &str) -> Result<(), SourceError> {
        self.no_obstacle()?;
        if self.missing.is_empty() {
            return Ok(());
        }
        let fix = format!(
            "lienthong connect {source} --prepare, run by a role that owns the tables and may replicate"
        );
        Err(SourceError::NotPrepared { problem: self.missing.join("; "), fix })
    }
}

/// Checks server, role, publication, slot and every captured table.
pub(super) async fn check(
    conn: &mut PgConnection,
    source: &str,
    names: &LogNames,
    captures: &[TableCapture],
) -> Result<Checked, SourceError> {
    let error = |error: sqlx::Error| source_error(source, &error);
    let mut checked = Checked {
        tables: Vec::new(),
        members: Vec::new(),
        publication: None,
        types: Vec::new(),
        obstacles: Vec::new(),
        missing: Vec::new(),
        slot: None,
        free_slot: true,
    };
    let role = server(conn, &mut checked).await.map_err(error)?;
    slot(conn, names, &mut checked).await.map_err(error)?;
    let published = publication(conn, names, &mut checked).await.map_err(error)?;
    for capture in captures {
        let name = TableName::parse(&capture.table);
        let Some(table) = catalogue::table(conn, &name).await.map_err(error)? else {
            let fix = "correct the table's name in the participant's file".to_owned();
            checked.obstacles.push((format!("table {} does not exist", name.plain()), fix));
            continue;
        };
        let fix = "change the participant's tables and keys, or the tables themselves".to_owned();
        checked
            .obstacles
            .extend(obstacles(&table, capture).into_iter().map(|problem| (problem, fix.clone())));
        let (may_select, sees_all) = rights(conn, &table).await.map_err(error)?;
        if !may_select {
            checked.missing.push(format!("the right to select from {}", name.plain()));
        }
        if !sees_all {
            // Whether a policy lets every row through cannot be told from its text.
            let problem = format!(
                "row-level security applies to the role {role} on {}: rows would be missing without a word",
                name.plain()
            );
            checked
                .obstacles
                .push((problem, format!("an administrator runs: alter role {} bypassrls", quote(&role))));
        }
        columns(conn, &table, capture, &mut checked).await.map_err(error)?;
        identity(conn, &table, capture, &mut checked).await.map_err(error)?;
        match published.get(&name.plain()) {
            Some(oid) => checked.members.push(Member { table: name.plain(), oid: *oid }),
            None => checked.missing.push(format!(
                "publication {} does not have {}",
                names.publication,
                name.plain()
            )),
        }
        checked.tables.push(table);
    }
    Ok(checked)
}

/// Gives the role.
async fn server(conn: &mut PgConnection, checked: &mut Checked) -> Result<String, sqlx::Error> {
    let sql = "select current_setting('wal_level') as wal_level, pg_catalog.pg_is_in_recovery() as standby, \
         r.rolreplication or r.rolsuper as replicates, r.rolname::text as role, \
         current_setting('max_replication_slots')::bigint \
             > (select count(*) from pg_catalog.pg_replication_slots) as free_slot \
         from pg_catalog.pg_roles r where r.rolname = current_user";
    let row = sqlx::query(sql).fetch_one(conn).await?;
    let (level, role): (String, String) = (row.try_get("wal_level")?, row.try_get("role")?);
    let mut obstacle = |problem: String, fix: String| checked.obstacles.push((problem, fix));
    if row.try_get("standby")? {
        obstacle(
            "this server is a standby".to_owned(),
            "name the primary in the participant's url".to_owned(),
        );
    }
    if level != "logical" {
        obstacle(
            format!("wal_level is {level}, and capture from the log needs logical"),
            "an administrator runs: alter system set wal_level = logical, and starts the server again"
                .to_owned(),
        );
    }
    if !row.try_get::<bool, _>("replicates")? {
        obstacle(
            format!("the role {role} may not replicate"),
            format!("an administrator runs: alter role {} replication", quote(&role)),
        );
    }
    checked.free_slot = row.try_get("free_slot")?;
    Ok(role)
}

async fn slot(conn: &mut PgConnection, names: &LogNames, checked: &mut Checked) -> Result<(), sqlx::Error> {
    let sql = "select s.plugin::text as plugin, s.database = current_database() as here, s.wal_status::text as wal_status, \
         s.active_pid, a.application_name::text as application, \
         (s.confirmed_flush_lsn - '0/0'::pg_lsn)::bigint as confirmed \
         from pg_catalog.pg_replication_slots s left join pg_catalog.pg_stat_activity a on a.pid = s.active_pid \
         where s.slot_name = $1";
    let Some(row) = sqlx::query(sql).bind(&names.slot).fetch_optional(conn).await? else {
        checked.missing.push(format!("replication slot {} does not exist", names.slot));
        return Ok(());
    };
    let plugin: Option<String> = row.try_get("plugin")?;
    if plugin.as_deref() != Some("pgoutput") || row.try_get::<Option<bool>, _>("here")? != Some(true) {
        checked.obstacles.push((
            format!("replication slot {} is not one of this database for pgoutput", names.slot),
            "name another slot in the participant's file".to_owned(),
        ));
        return Ok(());
    }
    let holder = row.try_get::<Option<i32>, _>("active_pid")?;
    let application = row.try_get::<Option<String>, _>("application")?.unwrap_or_default();
    checked.slot = Some(Slot {
        holder: holder.map(|pid| format!("{application}, server process {pid}")),
        lost: row.try_get::<Option<String>, _>("wal_status")?.as_deref() == Some("lost"),
        confirmed: row.try_get::<Option<i64>, _>("confirmed")?.unwrap_or_default().unsigned_abs(),
    });
    Ok(())
}

/// Gives the tables of the publication with their numbers.
async fn publication(
    conn: &mut PgConnection,
    names: &LogNames,
    checked: &mut Checked,
) -> Result<HashMap<String, i64>, sqlx::Error> {
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
         coalesce(to_jsonb(r) ->> 'prqual', to_jsonb(r) ->> 'prattrs') is not null as partly \
         from pg_catalog.pg_publication p join pg_catalog.pg_publication_rel r on r.prpubid = p.oid \
         join pg_catalog.pg_class c on c.oid = r.prrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         where p.pubname = $1";
    let mut published = HashMap::new();
    for row in sqlx::query(sql).bind(name).fetch_all(conn).await? {
        let table: String = row.try_get("name")?;
        if row.try_get("partly")? {
            let fix = format!("alter publication {} drop table {table}, then prepare again", quote(name));
            checked.obstacles.push((format!("publication {name} has {table} only in part"), fix));
        }
        published.insert(table, row.try_get("oid")?);
    }
    Ok(published)
}

/// Captured columns must be in the log, with a type that is read from it as the outbox records it.
async fn columns(
    conn: &mut PgConnection,
    table: &Table,
    capture: &TableCapture,
    checked: &mut Checked,
) -> Result<(), sqlx::Error> {
    let sql = "select attname::text as name, atttypid::bigint as type, attgenerated <> '' as computed \
         from pg_catalog.pg_attribute where attrelid = $1::bigint::oid and attnum > 0 and not attisdropped \
         and attname = any ($2)";
    let rows = sqlx::query(sql).bind(table.oid).bind(&capture.columns).fetch_all(&mut *conn).await?;
    let oids: Vec<i64> = rows.iter().map(|row| row.try_get("type")).collect::<Result<_, _>>()?;
    let described = describe(conn, &oids).await?;
    let types = Types::new(&described);
    let fix = "leave the column out, or capture by an outbox".to_owned();
    for (row, oid) in rows.iter().zip(oids) {
        let column: String = row.try_get("name")?;
        let name = table.name.plain();
        if row.try_get("computed")? {
            let problem = format!("column {column} of {name} is computed and not in the log");
            checked.obstacles.push((problem, fix.clone()));
        }
        let known = u32::try_from(oid).ok().and_then(|oid| types.get(oid));
        if known.and_then(|of| of.reading()).is_none() {
            let problem = format!("column {column} of {name} has a type that is not read from the log");
            checked.obstacles.push((problem, fix.clone()));
        }
    }
    checked.types.extend(described);
    Ok(())
}

/// What the catalogue says of types and those behind them.
pub(super) async fn describe(conn: &mut PgConnection, oids: &[i64]) -> Result<Vec<Described>, sqlx::Error> {
    let number = |number: i64| u32::try_from(number).unwrap_or_default();
    let mut described = Vec::new();
    for row in sqlx::query(DESCRIBE).bind(oids).fetch_all(conn).await? {
        let delimiter: String = row.try_get("delimiter")?;
        described.push(Described {
            oid: number(row.try_get("oid")?),
            name: row.try_get("name")?,
            kind: row.try_get("kind")?,
            base: number(row.try_get("base")?),
            element: number(row.try_get("element")?),
            delimiter: delimiter.bytes().next().unwrap_or(b','),
            unreadable: row.try_get("unreadable")?,
        });
    }
    Ok(described)
}

/// A change must come with the row as it was: conditions and subjects are read from it, and what is stored out of line.
async fn identity(
    conn: &mut PgConnection,
    table: &Table,
    capture: &TableCapture,
    checked: &mut Checked,
) -> Result<(), sqlx::Error> {
    let sql = "select c.relreplident = 'f' as whole, array(select a.attname::text from pg_catalog.pg_index i \
         join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey) \
         where i.indrelid = c.oid and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident else false end) \
         as columns from pg_catalog.pg_class c where c.oid = $1::bigint::oid";
    let row = sqlx::query(sql).bind(table.oid).fetch_one(conn).await?;
    let held: Vec<String> = row.try_get("columns")?;
    if !row.try_get::<bool, _>("whole")? && !capture.columns.iter().all(|column| held.contains(column)) {
        let (name, sql) = (table.name.plain(), table.name.sql());
        checked.obstacles.push((
            format!("the log does not hold rows of {name} as they were before a change"),
            format!("alter table {sql} replica identity full"),
        ));
    }
    Ok(())
}
