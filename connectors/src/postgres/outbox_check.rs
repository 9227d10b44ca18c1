//! Whether what `prepare` makes is there, and whether the captured tables can be captured at all.

use lienthong_contract::source::{Finding, SourceError, TableCapture};
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::catalogue::{self, Table};
use super::error::source_error;
use super::joins::{self, Joined};
use super::outbox_ddl::{OutboxNames, trigger_arguments};
use crate::identifier::{TableName, quote};

/// Everything that a check of one database found.
pub(super) struct Checked {
    /// The captured tables, in the order of the captures; those that exist.
    pub(super) tables: Vec<Table>,
    /// What the rows of each take from other tables.
    pub(super) joins: Vec<Vec<Joined>>,
    /// What keeps a table from being captured whatever `prepare` does.
    pub(super) obstacles: Vec<String>,
    /// Tables of which row-level security may hide rows from the role.
    pub(super) hidden: Vec<String>,
    /// The role.
    role: String,
    /// What `prepare` has to make.
    pub(super) missing: Vec<String>,
}

const FIX: &str = "change the participant's tables and keys, or the tables themselves";

impl Checked {
    /// Everything that a connector would refuse, each by itself.
    pub(super) fn findings(&self, source: &str) -> Vec<Finding> {
        let finding = |problem: &String, fix: &str| Finding {
            problem: problem.clone(),
            fix: fix.to_owned(),
            halts: true,
        };
        let mut found: Vec<Finding> = self.obstacles.iter().map(|problem| finding(problem, FIX)).collect();
        found.extend(self.missing.iter().map(|problem| finding(problem, &prepare(source))));
        found
            .extend(self.hidden.iter().map(|table| finding(&hidden(&self.role, table), &bypass(&self.role))));
        found
    }

    /// The error that names what `prepare` cannot mend.
    pub(super) fn no_obstacle(&self) -> Result<(), SourceError> {
        if !self.obstacles.is_empty() {
            let fix = FIX.to_owned();
            let problem = [&self.obstacles[..], &self.missing].concat().join("; ");
            return Err(SourceError::NotPrepared { problem, fix });
        }
        if !self.hidden.is_empty() {
            // Whether a policy lets every row through cannot be told from its text.
            return Err(SourceError::NotPrepared {
                problem: hidden(&self.role, &self.hidden.join(", ")),
                fix: bypass(&self.role),
            });
        }
        Ok(())
    }

    /// The error that names everything, or the tables.
    pub(super) fn into_tables(self, source: &str) -> Result<(Vec<Table>, Vec<Vec<Joined>>), SourceError> {
        self.no_obstacle()?;
        if self.missing.is_empty() {
            return Ok((self.tables, self.joins));
        }
        Err(SourceError::NotPrepared { problem: self.missing.join("; "), fix: prepare(source) })
    }
}

fn prepare(source: &str) -> String {
    format!("lienthong connect {source} --prepare, run by a role that owns the tables")
}

fn hidden(role: &str, tables: &str) -> String {
    format!("row-level security applies to the role {role} on {tables}: rows would be missing without a word")
}

fn bypass(role: &str) -> String {
    format!("an administrator runs: alter role {} bypassrls", quote(role))
}

/// Checks the outbox and every captured table.
pub(super) async fn check(
    conn: &mut PgConnection,
    source: &str,
    names: &OutboxNames,
    captures: &[TableCapture],
) -> Result<Checked, SourceError> {
    let error = |error: sqlx::Error| source_error(source, &error);
    let role = sqlx::query_scalar("select current_user::text").fetch_one(&mut *conn).await.map_err(error)?;
    let missing = outbox(conn, names).await.map_err(error)?;
    let mut checked = Checked {
        tables: Vec::new(),
        joins: Vec::new(),
        obstacles: Vec::new(),
        hidden: Vec::new(),
        role,
        missing,
    };
    for capture in captures {
        let name = TableName::parse(&capture.table);
        let Some(table) = catalogue::table(conn, &name).await.map_err(error)? else {
            checked.obstacles.push(format!("table {} does not exist", name.plain()));
            continue;
        };
        checked.obstacles.extend(elsewhere(&table));
        checked.obstacles.extend(obstacles(&table, capture));
        let rights = rights(conn, &table, capture).await.map_err(error)?;
        if !rights.schema || !rights.hidden.is_empty() {
            checked.missing.push(format!("the right to select from {}", name.plain()));
        }
        if !rights.all_rows {
            checked.hidden.push(name.plain());
        }
        checked.missing.extend(triggers(conn, names, &table, capture).await.map_err(error)?);
        let (joins, lacking) = joins::check(conn, (&table, capture), &checked.role).await.map_err(error)?;
        checked.obstacles.extend(lacking.into_iter().map(|(problem, fix)| format!("{problem} ({fix})")));
        checked.joins.push(joins);
        checked.tables.push(table);
    }
    Ok(checked)
}

async fn outbox(conn: &mut PgConnection, names: &OutboxNames) -> Result<Vec<String>, sqlx::Error> {
    let sql = "select pg_catalog.to_regclass($1) is not null as there, \
         case when pg_catalog.to_regclass($1) is null then false \
              when $2 = 'sequence' then pg_catalog.has_sequence_privilege($1, 'select') \
              else (select bool_and(pg_catalog.has_table_privilege($1, p)) from unnest(string_to_array($2, ',')) p) \
         end as allowed";
    let mut missing = Vec::new();
    let needed = [(&names.outbox, "select,delete"), (&names.meta, "select"), (&names.lost, "sequence")];
    for (name, rights) in needed {
        let row = sqlx::query(sql).bind(name.sql()).bind(rights).fetch_one(&mut *conn).await?;
        if !row.try_get::<bool, _>("there")? {
            missing.push(format!("{} does not exist", name.plain()));
        } else if !row.try_get::<bool, _>("allowed")? {
            missing.push(format!("the right ({}) on {}", rights.replace("sequence", "select"), name.plain()));
        }
    }
    Ok(missing)
}

/// What the role may do with a table.
pub(super) struct Rights {
    /// Whether it may use the schema.
    pub(super) schema: bool,
    /// Captured columns that it may not read.
    pub(super) hidden: Vec<String>,
    /// Whether it sees every row.
    pub(super) all_rows: bool,
}

/// Rights on single columns do as well as one on the whole table.
pub(super) async fn rights(
    conn: &mut PgConnection,
    table: &Table,
    capture: &TableCapture,
) -> Result<Rights, sqlx::Error> {
    let sql = "select pg_catalog.has_schema_privilege(c.relnamespace, 'usage') as schema, \
         not pg_catalog.row_security_active(c.oid) as all_rows, \
         array(select a.attname::text from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attname = any ($2) \
             and not a.attisdropped and not pg_catalog.has_column_privilege(c.oid, a.attnum, 'select') order by a.attnum) as hidden \
         from pg_catalog.pg_class c where c.oid = $1::bigint::oid";
    let row = sqlx::query(sql).bind(table.oid).bind(&capture.columns).fetch_one(conn).await?;
    Ok(Rights {
        schema: row.try_get("schema")?,
        hidden: row.try_get("hidden")?,
        all_rows: row.try_get("all_rows")?,
    })
}

/// Why the table's own triggers would not see all of its rows, if so.
pub(super) fn elsewhere(table: &Table) -> Option<String> {
    let name = table.name.plain();
    if table.kind != "r" {
        Some(format!("{name} is not a plain table; capture its partitions or the table behind it"))
    } else if table.inherits {
        Some(format!("{name} takes part in inheritance or partitioning"))
    } else {
        None
    }
}

/// What makes the table unfit for being read in chunks by key.
pub(super) fn obstacles(table: &Table, capture: &TableCapture) -> Vec<String> {
    let name = table.name.plain();
    let mut found = Vec::new();
    for column in capture.columns.iter().chain(&capture.key) {
        if table.column(column).is_none() {
            found.push(format!("{name} has no column {column}"));
        }
    }
    let key: Vec<&str> = capture.key.iter().map(String::as_str).collect();
    if key.is_empty() || !table.is_unique(&key) {
        found.push(format!(
            "{name} needs a unique index over exactly ({}) that is not deferrable",
            key.join(", ")
        ));
    }
    for column in &capture.key {
        if table.column(column).is_some_and(|column| column.nullable) {
            found.push(format!("key column {column} of {name} must be not null"));
        }
        if !capture.columns.contains(column) {
            found.push(format!("key column {column} of {name} must be among the captured columns"));
        }
    }
    found
}

/// Triggers that are not there, switched off, or made for another key.
async fn triggers(
    conn: &mut PgConnection,
    names: &OutboxNames,
    table: &Table,
    capture: &TableCapture,
) -> Result<Vec<String>, sqlx::Error> {
    let sql = "select t.tgname::text as name, t.tgargs as arguments from pg_catalog.pg_trigger t \
         join pg_catalog.pg_proc p on p.oid = t.tgfoid join pg_catalog.pg_namespace n on n.oid = p.pronamespace \
         where t.tgrelid = $1::bigint::oid and not t.tgisinternal and t.tgenabled in ('O', 'A') \
         and n.nspname = $2 and p.proname in ($3, $4)";
    let rows = sqlx::query(sql)
        .bind(table.oid)
        .bind(&names.capture.schema)
        .bind(&names.capture.name)
        .bind(&names.begin.name)
        .fetch_all(conn)
        .await?;
    let expected: Vec<u8> =
        trigger_arguments(capture).iter().flat_map(|argument| [argument.as_bytes(), &[0]].concat()).collect();
    let mut right = Vec::new();
    for row in &rows {
        if row.try_get::<&[u8], _>("arguments")? == expected {
            right.push(row.try_get::<String, _>("name")?);
        }
    }
    let wanted = names.triggers().into_iter().filter(|trigger| !right.contains(trigger));
    Ok(wanted
        .map(|trigger| format!("{} lacks a trigger {trigger} for its key", table.name.plain()))
        .collect())
}
