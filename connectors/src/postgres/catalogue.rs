//! What the server's catalogue says of a table: columns with their types, unique keys, and whether rows live elsewhere.

use lienthong_contract::source::{ColumnInfo, SourceError};
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use crate::identifier::{TableName, quote};

/// One column with its type, domains resolved.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Column name.
    pub(super) name: String,
    /// The type as the server writes it, with its modifier: `character varying(20)`.
    pub(super) declared: String,
    /// Whether null is allowed.
    pub(super) nullable: bool,
    /// Quoted type without modifier, for casts that must not cut a value short.
    pub(super) cast: String,
    /// Name of the type behind any domain: `varchar`, `numeric`.
    pub(super) base: String,
    /// Whether the server computes it, so that nobody may write it.
    pub(super) computed: bool,
    /// Name of the type of its elements when the base is an array, behind domains and what domains are arrays of.
    pub(super) element: Option<String>,
}

/// One table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// Schema and name.
    pub(super) name: TableName,
    /// The table's oid.
    pub(super) oid: i64,
    /// `r` for a plain table, `p` for one whose rows are in partitions.
    pub(super) kind: String,
    /// Whether it is a partition itself.
    pub(super) partition: bool,
    /// Whether it takes part in inheritance or partitioning.
    pub(super) inherits: bool,
    /// Columns in the table's order.
    pub(super) columns: Vec<Column>,
    /// Columns of each unique index that covers all rows at once.
    pub(super) unique: Vec<Vec<String>>,
}

impl Table {
    /// The column of this name.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether a unique index stands over exactly these columns.
    pub(super) fn is_unique(&self, key: &[&str]) -> bool {
        self.unique
            .iter()
            .any(|index| index.len() == key.len() && key.iter().all(|name| index.iter().any(|c| c == name)))
    }
}

const TABLE: &str = "select c.oid::bigint as oid, c.relkind::text as kind, c.relispartition as partition, \
     c.relispartition or exists (select from pg_catalog.pg_inherits i where c.oid in (i.inhrelid, i.inhparent)) as inherits \
     from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
     where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p', 'v', 'm', 'f')";

const COLUMNS: &str = "select a.attname::text as name, not a.attnotnull as nullable, \
     a.attgenerated <> '' or a.attidentity = 'a' as computed, \
     pg_catalog.format_type(a.atttypid, a.atttypmod) as declared, \
     tn.nspname::text as type_schema, t.typname::text as type_name, b.typname::text as base, \
     case when b.typcategory = 'A' then e.typname::text end as element \
     from pg_catalog.pg_attribute a \
     join pg_catalog.pg_type t on t.oid = a.atttypid \
     join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace \
     cross join lateral (with recursive d as ( \
         select t.oid, t.typname, t.typtype, t.typbasetype, t.typcategory, t.typelem \
         union all select p.oid, p.typname, p.typtype, p.typbasetype, p.typcategory, p.typelem \
         from d join pg_catalog.pg_type p on d.typtype = 'd' and p.oid = d.typbasetype) \
         select * from d where d.typtype <> 'd') b \
     left join lateral (with recursive d as ( \
         select p.oid, p.typname, p.typtype, p.typbasetype, p.typcategory, p.typelem from pg_catalog.pg_type p where p.oid = b.typelem \
         union all select p.oid, p.typname, p.typtype, p.typbasetype, p.typcategory, p.typelem \
         from d join pg_catalog.pg_type p \
         on p.oid = case when d.typtype = 'd' then d.typbasetype when d.typcategory = 'A' then d.typelem end) \
         select * from d where d.typtype <> 'd' and d.typcategory <> 'A') e on true \
     where a.attrelid = $1::bigint::oid and a.attnum > 0 and not a.attisdropped order by a.attnum";

const UNIQUE: &str = "select array(select a.attname::text from unnest(i.indkey::int2[]) with ordinality k(attnum, place) \
         join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum \
         where k.place <= i.indnkeyatts order by k.place) as columns \
     from pg_catalog.pg_index i \
     where i.indrelid = $1::bigint::oid and i.indisunique and i.indimmediate and i.indisvalid \
     and i.indpred is null and i.indexprs is null";

/// Reads a table; `None` when there is none of this name or the role may not see it.
pub(super) async fn table(conn: &mut PgConnection, name: &TableName) -> Result<Option<Table>, sqlx::Error> {
    let found = sqlx::query(TABLE).bind(&name.schema).bind(&name.name).fetch_optional(&mut *conn).await?;
    let Some(found) = found else { return Ok(None) };
    let oid: i64 = found.try_get("oid")?;
    let mut columns = Vec::new();
    for row in sqlx::query(COLUMNS).bind(oid).fetch_all(&mut *conn).await? {
        let schema: String = row.try_get("type_schema")?;
        let type_name: String = row.try_get("type_name")?;
        columns.push(Column {
            name: row.try_get("name")?,
            declared: row.try_get("declared")?,
            nullable: row.try_get("nullable")?,
            computed: row.try_get("computed")?,
            cast: format!("{}.{}", quote(&schema), quote(&type_name)),
            base: row.try_get("base")?,
            element: row.try_get("element")?,
        });
    }
    let mut unique = Vec::new();
    for row in sqlx::query(UNIQUE).bind(oid).fetch_all(&mut *conn).await? {
        unique.push(row.try_get("columns")?);
    }
    Ok(Some(Table {
        name: name.clone(),
        oid,
        kind: found.try_get("kind")?,
        partition: found.try_get("partition")?,
        inherits: found.try_get("inherits")?,
        columns,
        unique,
    }))
}

/// A table's columns for whoever checks names and types.
pub(super) async fn describe(
    conn: &mut PgConnection,
    table: &str,
) -> Result<Result<Vec<ColumnInfo>, SourceError>, sqlx::Error> {
    let name = TableName::parse(table);
    let Some(found) = self::table(conn, &name).await? else {
        return Ok(Err(SourceError::NotPrepared {
            problem: format!("table {} does not exist", name.plain()),
            fix: "correct the table's name in the participant's file".to_owned(),
        }));
    };
    let column = |column: Column| ColumnInfo {
        name: column.name,
        type_name: column.declared,
        nullable: column.nullable,
    };
    Ok(Ok(found.columns.into_iter().map(column).collect()))
}
