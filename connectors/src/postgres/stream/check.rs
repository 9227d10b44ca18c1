//! Whether what `prepare` makes is there, and whether server, role and tables allow capture from the log at all.

use std::collections::HashMap;

use lienthong_contract::source::{Finding, SourceError, TableCapture};
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::super::catalogue::{self, Table};
use super::super::error::source_error;
use super::super::joins::{self, Joined};
use super::super::outbox_check::{Rights, elsewhere, obstacles, rights};
use super::super::wal::types::{DESCRIBE, Described, Type, Types};
use super::partitions;
use super::position::Member;
use super::published::{self, Published};
use super::setup::LogNames;
use crate::identifier::{TableName, quote, quote_list};

/// Everything that a check of one database found.
pub(super) struct Checked {
    /// The captured tables, in the order of the captures; those that exist.
    pub(super) tables: Vec<Table>,
    /// What the rows of each take from other tables.
    pub(super) joins: Vec<Vec<Joined>>,
    /// Those of them that the publication has.
    pub(super) members: Vec<Member>,
    /// The publication's number and the transaction that wrote it last.
    pub(super) publication: Option<String>,
    /// The types of the captured columns.
    pub(super) types: Vec<Described>,
    /// Every value of the tables can come in binary form, and every captured one is read from it.
    pub(super) binary: bool,
    /// What keeps a table from being captured whatever `prepare` does, with what mends it.
    pub(super) obstacles: Vec<(String, String)>,
    /// What keeps a table from being captured since its columns are others than those in the participant's file. Where it was
    /// captured before, its log tells from where on.
    pub(super) unfit: Vec<Unfit>,
    /// What `prepare` has to make.
    pub(super) missing: Vec<String>,
    /// The one that is named, if it is there.
    pub(super) slot: Option<Slot>,
    /// Whether the server could make another.
    free_slot: bool,
}

/// A captured table whose columns are others than those in the participant's file.
#[derive(Clone, Debug)]
pub(super) struct Unfit {
    /// Which of the captures.
    pub(super) table: usize,
    /// What is wrong.
    pub(super) problem: String,
    /// What mends it.
    pub(super) fix: String,
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
        let unfit = self.unfit.iter().map(|unfit| (unfit.problem.clone(), unfit.fix.clone()));
        told(self.obstacles.iter().cloned().chain(unfit))
    }

    /// The error that names what keeps a connector from starting, whatever its log holds.
    pub(super) fn starts(&self, source: &str) -> Result<(), SourceError> {
        told(self.obstacles.iter().cloned())?;
        self.lacks_nothing(source)
    }

    fn lacks_nothing(&self, source: &str) -> Result<(), SourceError> {
        if self.missing.is_empty() {
            return Ok(());
        }
        Err(SourceError::NotPrepared { problem: self.missing.join("; "), fix: prepare(source) })
    }

    /// Everything that a connector would refuse, each by itself.
    pub(super) fn findings(&self, source: &str) -> Vec<Finding> {
        let halts = true;
        let obstacles = self.obstacles.iter().cloned();
        let mut found: Vec<Finding> =
            obstacles.map(|(problem, fix)| Finding { problem, fix, halts }).collect();
        // A table that was captured before is set aside, and the connector goes on.
        let waits = self.slot.is_some() && self.missing.is_empty();
        found.extend(self.unfit.iter().map(|Unfit { problem, fix, .. }| match waits {
            true => Finding {
                problem: format!(
                    "{problem}: its changes are set aside as soon as the log has one without it"
                ),
                fix: super::session::aside::fix(source),
                halts: false,
            },
            false => Finding { problem: problem.clone(), fix: fix.clone(), halts },
        }));
        let fix = prepare(source);
        found.extend(self.missing.iter().map(|problem| Finding {
            problem: problem.clone(),
            fix: fix.clone(),
            halts,
        }));
        if let Err(SourceError::NotPrepared { problem, fix }) = self.room() {
            found.push(Finding { problem, fix, halts });
        }
        if self.slot.as_ref().is_some_and(|slot| slot.lost) {
            let problem =
                "the server has thrown away the log that the slot kept: changes are missing".to_owned();
            let fix = format!("raise max_slot_wal_keep_size, and {}", crate::NEW_LINEAGE);
            found.push(Finding { problem, fix, halts });
        }
        found
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

    /// Whether nothing is wrong but that there is no slot. Where there was one, changes are missing.
    pub(super) fn lacks_only_the_slot(&self) -> bool {
        self.obstacles.is_empty() && self.slot.is_none() && self.missing.len() == 1
    }

    /// The error that names everything that is not as it should be.
    pub(super) fn complete(&self, source: &str) -> Result<(), SourceError> {
        self.no_obstacle()?;
        self.lacks_nothing(source)
    }
}

/// The error that names all of these, each with what mends it.
fn told(all: impl Iterator<Item = (String, String)>) -> Result<(), SourceError> {
    let (problems, mut fixes): (Vec<String>, Vec<String>) = all.unzip();
    if problems.is_empty() {
        return Ok(());
    }
    fixes.dedup();
    Err(SourceError::NotPrepared { problem: problems.join("; "), fix: fixes.join("; ") })
}

fn prepare(source: &str) -> String {
    format!("lienthong connect {source} --prepare, run by a role that owns the tables and may replicate")
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
        joins: Vec::new(),
        members: Vec::new(),
        publication: None,
        types: Vec::new(),
        binary: true,
        obstacles: Vec::new(),
        unfit: Vec::new(),
        missing: Vec::new(),
        slot: None,
        free_slot: true,
    };
    let role = server(conn, &mut checked).await.map_err(error)?;
    slot(conn, names, &mut checked).await.map_err(error)?;
    let published = published::read(conn, names, &mut checked).await.map_err(error)?;
    for capture in captures.iter().enumerate() {
        one(conn, (names, &role, &published), capture, &mut checked).await.map_err(error)?;
    }
    Ok(checked)
}

/// Checks one captured table.
async fn one(
    conn: &mut PgConnection,
    (names, role, published): (&LogNames, &str, &HashMap<String, Published>),
    (index, capture): (usize, &TableCapture),
    checked: &mut Checked,
) -> Result<(), sqlx::Error> {
    let name = TableName::parse(&capture.table);
    let Some(table) = catalogue::table(conn, &name).await? else {
        let fix = "correct the table's name in the participant's file".to_owned();
        checked.obstacles.push((format!("table {} does not exist", name.plain()), fix));
        return Ok(());
    };
    let fix = "change the participant's tables and keys, or the tables themselves".to_owned();
    if !partitions::is_root(&table) {
        checked.obstacles.extend(elsewhere(&table).map(|problem| (problem, fix.clone())));
    }
    let rights = rights(conn, &table, capture).await?;
    checked.obstacles.extend(grants(role, &name, &rights));
    let lacking = capture.columns.iter().any(|column| table.column(column).is_none());
    let mut found: Vec<(String, String)> =
        obstacles(&table, capture).into_iter().map(|problem| (problem, fix.clone())).collect();
    let unread = columns(conn, &table, capture, checked).await?;
    let unfit = lacking || !unread.is_empty();
    found.extend(unread);
    partitions::check(conn, (&table, capture), &names.publication, &mut found).await?;
    match published.get(&name.plain()) {
        Some(member) => {
            found.extend(member.lacks(&names.publication, &name, capture));
            checked.members.push(Member { table: name.plain(), oid: member.oid });
        }
        None => {
            checked.missing.push(format!("publication {} does not have {}", names.publication, name.plain()))
        }
    }
    if unfit {
        let told = found.into_iter();
        checked.unfit.extend(told.map(|(problem, fix)| Unfit { table: index, problem, fix }));
    } else {
        checked.obstacles.extend(found);
    }
    let (joins, lacking) = joins::check(conn, (&table, capture), role).await?;
    checked.obstacles.extend(lacking);
    checked.joins.push(joins);
    checked.tables.push(table);
    Ok(())
}

/// Each missing right with the statement that gives it.
fn grants(role: &str, table: &TableName, rights: &Rights) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if !rights.schema {
        found.push((
            format!("the role {role} may not use the schema {}", table.schema),
            format!("grant usage on schema {} to {}", quote(&table.schema), quote(role)),
        ));
    }
    if !rights.hidden.is_empty() {
        let columns = quote_list("", rights.hidden.iter().map(String::as_str));
        found.push((
            format!("the role {role} may not select {} of {}", rights.hidden.join(", "), table.plain()),
            format!("grant select ({columns}) on table {} to {}", table.sql(), quote(role)),
        ));
    }
    if !rights.all_rows {
        // Whether a policy lets every row through cannot be told from its text.
        let name = table.plain();
        found.push((
            format!(
                "row-level security applies to the role {role} on {name}: rows would be missing without a word"
            ),
            format!("an administrator runs: alter role {} bypassrls", quote(role)),
        ));
    }
    found
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

/// Captured columns must be in the log, with a type that is read from it as the outbox records it. Gives what is wrong, with what mends it.
async fn columns(
    conn: &mut PgConnection,
    table: &Table,
    capture: &TableCapture,
    checked: &mut Checked,
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let mut found = Vec::new();
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
            found.push((problem, fix.clone()));
        }
        let known = u32::try_from(oid).ok().and_then(|oid| types.get(oid));
        checked.binary &= known.as_ref().is_some_and(Type::binary_fits);
        if known.and_then(|of| of.reading()).is_none() {
            let problem = format!("column {column} of {name} has a type that is not read from the log");
            found.push((problem, fix.clone()));
        }
    }
    checked.types.extend(described);
    checked.binary &= sendable(conn, table.oid).await?;
    Ok(found)
}

/// Whether the server can send a table in binary form, with the columns that are not captured. It sends a type without such a form as
/// text, but fails at an array, a range or a row of one.
async fn sendable(conn: &mut PgConnection, table: i64) -> Result<bool, sqlx::Error> {
    let sql = "with recursive need (oid, inner_type) as ( \
         select atttypid, false from pg_catalog.pg_attribute where attrelid = $1::bigint::oid and attnum > 0 and not attisdropped \
         union select part.oid, true from need join pg_catalog.pg_type t on t.oid = need.oid cross join lateral ( \
             values (t.typbasetype), (t.typelem) \
             union all select r.rngsubtype from pg_catalog.pg_range r where r.rngtypid = t.oid or r.rngmultitypid = t.oid \
             union all select a.atttypid from pg_catalog.pg_attribute a where t.typrelid <> 0 and a.attrelid = t.typrelid \
                 and a.attnum > 0 and not a.attisdropped) part (oid) where part.oid <> 0) \
         select coalesce(bool_and(t.typsend <> 0), true) from need join pg_catalog.pg_type t using (oid) where inner_type";
    sqlx::query_scalar(sql).bind(table).fetch_one(conn).await
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
