//! Whether a subscriber's database fits what will be written to it. Lists everything that does not fit, with the statements that
//! mend it.

use lienthong_contract::sink::SinkError;
use lienthong_contract::target::{CellKind, TargetTable};
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::catalogue::{self, Column, Table};
use super::error::sink_error;
use crate::fit::{BUS_TABLES, Findings, written};
use crate::identifier::{TableName, quote, quote_list};

/// Checks the tables of the bus, every target table, and the role's rights on both.
pub(super) async fn check(
    conn: &mut PgConnection,
    target: &str,
    tables: &[TargetTable],
) -> Result<(), SinkError> {
    let mut findings = Findings::default();
    let done = async {
        let schema: Option<String> =
            sqlx::query_scalar("select current_schema()::text").fetch_one(&mut *conn).await?;
        let schema = schema.unwrap_or_else(|| "public".to_owned());
        for (name, columns) in BUS_TABLES {
            bus(conn, &TableName { schema: schema.clone(), name: name.to_owned() }, columns, &mut findings)
                .await?;
        }
        for table in tables {
            let name = TableName::parse(&table.table);
            match catalogue::table(conn, &name).await? {
                None => findings.add(format!("table {} does not exist", name.plain()), create(table)),
                Some(found) => {
                    one(table, &found, &mut findings);
                    rights(conn, &found, &mut findings).await?;
                }
            }
        }
        Ok(())
    };
    done.await.map_err(|error: sqlx::Error| sink_error(target, None, &error))?;
    findings.into_result(target)
}

async fn bus(
    conn: &mut PgConnection,
    name: &TableName,
    columns: &[&str],
    findings: &mut Findings,
) -> Result<(), sqlx::Error> {
    let Some(table) = catalogue::table(conn, name).await? else {
        findings.add(format!("table {} does not exist", name.name), "lienthong route --prepare".to_owned());
        return Ok(());
    };
    for column in columns.iter().filter(|column| table.column(column).is_none()) {
        findings.add(
            format!("table {} has no column {column}", name.name),
            format!("drop or rename the table {}, then lienthong route --prepare", name.name),
        );
    }
    rights(conn, &table, findings).await
}

async fn rights(conn: &mut PgConnection, table: &Table, findings: &mut Findings) -> Result<(), sqlx::Error> {
    let sql = "select current_user::text as role, array(select privilege from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) privilege \
         where not pg_catalog.has_table_privilege($1::bigint::oid, privilege)) as lacking, \
         pg_catalog.has_schema_privilege($2, 'USAGE') as enters";
    let name = &table.name;
    let row = sqlx::query(sql).bind(table.oid).bind(&name.schema).fetch_one(conn).await?;
    let role: String = row.try_get("role")?;
    if !row.try_get::<bool, _>("enters")? {
        findings.add(
            format!("the role {role} lacks USAGE on schema {}", name.schema),
            format!("grant usage on schema {} to {}", quote(&name.schema), quote(&role)),
        );
    }
    let lacking: Vec<String> = row.try_get("lacking")?;
    if !lacking.is_empty() {
        let rights = lacking.join(", ");
        findings.add(
            format!("the role {role} lacks {rights} on {}", name.plain()),
            format!("grant {} on {} to {}", rights.to_lowercase(), name.sql(), quote(&role)),
        );
    }
    Ok(())
}

fn one(table: &TargetTable, found: &Table, findings: &mut Findings) {
    let (plain, sql) = (found.name.plain(), found.name.sql());
    if !matches!(found.kind.as_str(), "r" | "p") {
        findings.add(format!("{plain} is not a table"), "name the table behind it".to_owned());
        return;
    }
    let key: Vec<&str> = table.key.iter().map(|column| column.name.as_str()).collect();
    for column in written(table) {
        let wanted = type_for(column.kind);
        match found.column(&column.name) {
            None => findings.add(
                format!("{plain} has no column {}", column.name),
                format!("alter table {sql} add column {} {wanted}", quote(&column.name)),
            ),
            Some(there) if there.computed => findings.add(
                format!("column {} of {plain} is computed by the server and cannot be written", column.name),
                "leave the column out of the agreement's columns, or make it a plain column".to_owned(),
            ),
            Some(there) if !takes(there, column.kind) => findings.add(
                format!(
                    "column {} of {plain} is {}, which does not take {:?} values",
                    column.name, there.declared, column.kind
                ),
                format!(
                    "alter table {sql} alter column {0} type {wanted} using {0}::text::{wanted}",
                    quote(&column.name)
                ),
            ),
            Some(_) => {}
        }
    }
    if !found.is_unique(&key) {
        findings.add(
            format!("{plain} has no unique index over exactly ({})", key.join(", ")),
            format!("create unique index on {sql} ({})", quote_list("", key)),
        );
    }
}

/// Whether a column keeps values of a kind as they are.
fn takes(column: &Column, kind: CellKind) -> bool {
    let base = column.base.as_str();
    let text = matches!(base, "text" | "varchar" | "bpchar" | "citext" | "name");
    match kind {
        CellKind::Bool => base == "bool",
        CellKind::Integer => matches!(base, "int2" | "int4" | "int8" | "numeric"),
        CellKind::Float => matches!(base, "float4" | "float8" | "numeric"),
        CellKind::Decimal => base == "numeric",
        CellKind::Text => text || is_enum(column),
        CellKind::Bytes => base == "bytea",
        CellKind::Date => base == "date" || text,
        CellKind::Time => base == "time" || text,
        CellKind::Timestamp => matches!(base, "timestamptz" | "timestamp") || text,
        CellKind::Uuid => base == "uuid" || text,
        CellKind::TextList => column.element.is_some() || matches!(base, "json" | "jsonb") || text,
    }
}

/// A type of the database's own, such as an enum: only the server can say which texts it takes.
fn is_enum(column: &Column) -> bool {
    !column.cast.starts_with("\"pg_catalog\".") && column.element.is_none()
}

/// The type to declare for a kind.
fn type_for(kind: CellKind) -> &'static str {
    match kind {
        CellKind::Bool => "boolean",
        CellKind::Integer => "bigint",
        CellKind::Float => "double precision",
        CellKind::Decimal => "numeric",
        CellKind::Text => "text",
        CellKind::Bytes => "bytea",
        CellKind::Date => "date",
        CellKind::Time => "time",
        CellKind::Timestamp => "timestamptz",
        CellKind::Uuid => "uuid",
        CellKind::TextList => "text[]",
    }
}

/// The statement that makes a target table.
pub(super) fn create(table: &TargetTable) -> String {
    let key: Vec<&str> = table.key.iter().map(|column| column.name.as_str()).collect();
    let columns: Vec<String> = written(table)
        .iter()
        .map(|column| {
            let required = if key.contains(&column.name.as_str()) { " not null" } else { "" };
            format!("{} {}{required}", quote(&column.name), type_for(column.kind))
        })
        .collect();
    format!(
        "create table {} ({}, primary key ({}))",
        TableName::parse(&table.table).sql(),
        columns.join(", "),
        quote_list("", key)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(cast: &str, base: &str, element: Option<&str>) -> Column {
        Column {
            name: "c".to_owned(),
            declared: base.to_owned(),
            nullable: true,
            cast: cast.to_owned(),
            base: base.to_owned(),
            computed: false,
            element: element.map(str::to_owned),
        }
    }

    fn own(base: &str) -> Column {
        column(&format!("\"pg_catalog\".\"{base}\""), base, None)
    }

    #[test]
    fn a_column_takes_only_kinds_that_it_keeps_as_they_are() {
        let fits = [
            (CellKind::Integer, "int2"),
            (CellKind::Integer, "numeric"),
            (CellKind::Decimal, "numeric"),
            (CellKind::Timestamp, "timestamp"),
            (CellKind::Date, "text"),
            (CellKind::TextList, "jsonb"),
        ];
        for (kind, base) in fits {
            assert!(takes(&own(base), kind), "{kind:?} in {base}");
        }
        let spoils = [
            (CellKind::Integer, "text"),
            (CellKind::Decimal, "float8"),
            (CellKind::Timestamp, "date"),
            (CellKind::Text, "int4"),
            (CellKind::Bool, "int4"),
            (CellKind::Bytes, "text"),
        ];
        for (kind, base) in spoils {
            assert!(!takes(&own(base), kind), "{kind:?} in {base}");
        }
        assert!(takes(&column("\"public\".\"mood\"", "mood", None), CellKind::Text), "an enum");
        assert!(takes(&column("\"pg_catalog\".\"_text\"", "_text", Some("text")), CellKind::TextList));
    }
}
