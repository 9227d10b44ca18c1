//! Whether a subscriber's file fits what will be written to it. Lists everything that does not fit, with the statements that mend it.

use lienthong_contract::sink::SinkError;
use lienthong_contract::target::{CellKind, TargetColumn, TargetTable};
use rusqlite::Connection;

use super::catalogue::{self, Column, Table};
use super::error::sink_error;
use super::file::plain;
use crate::fit::{BUS_TABLES, Findings, written};
use crate::identifier::{quote, quote_list};

/// How SQLite treats values of a column, by its declared type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Affinity {
    /// Numbers written as text become integers or floats.
    Integer,
    /// Numbers become text.
    Text,
    /// Everything stays as it is.
    Kept,
    /// Numbers become floats.
    Real,
    /// As [`Affinity::Integer`]; what a type that SQLite does not know gets.
    Numeric,
}

/// The rules of SQLite, in their order.
fn affinity(declared: &str) -> Affinity {
    let declared = declared.to_ascii_uppercase();
    let has = |part: &str| declared.contains(part);
    if has("INT") {
        Affinity::Integer
    } else if has("CHAR") || has("CLOB") || has("TEXT") {
        Affinity::Text
    } else if declared.is_empty() || has("BLOB") {
        Affinity::Kept
    } else if has("REAL") || has("FLOA") || has("DOUB") {
        Affinity::Real
    } else {
        Affinity::Numeric
    }
}

/// Whether values of a kind are kept in the column exactly as they are written.
fn takes(column: &Column, strict: bool, kind: CellKind) -> bool {
    if strict {
        return match (column.declared.to_ascii_uppercase().as_str(), kind) {
            ("ANY", _) | ("BLOB", CellKind::Bytes) => true,
            ("BLOB", _) | ("TEXT", CellKind::Bytes) => false,
            (_, kind) => fits(affinity(&column.declared), kind, false),
        };
    }
    fits(affinity(&column.declared), kind, true)
}

/// `loose`: text may lie in a numeric column when it never looks like a number, so that `DATE` and `UUID` do what people expect.
fn fits(affinity: Affinity, kind: CellKind, loose: bool) -> bool {
    match kind {
        CellKind::Bool | CellKind::Integer => {
            matches!(affinity, Affinity::Integer | Affinity::Numeric | Affinity::Kept)
        }
        CellKind::Float => matches!(affinity, Affinity::Real | Affinity::Numeric | Affinity::Kept),
        // A long decimal in a numeric column would lose digits, a text like 00123 its zeros.
        CellKind::Decimal | CellKind::Text => matches!(affinity, Affinity::Text | Affinity::Kept),
        CellKind::Date | CellKind::Time | CellKind::Timestamp | CellKind::Uuid | CellKind::TextList => {
            matches!(affinity, Affinity::Text | Affinity::Kept) || (loose && affinity == Affinity::Numeric)
        }
        CellKind::Bytes => affinity == Affinity::Kept,
    }
}

/// The type to declare for a kind.
fn type_for(kind: CellKind) -> &'static str {
    match kind {
        CellKind::Bool | CellKind::Integer => "INTEGER",
        CellKind::Float => "REAL",
        CellKind::Bytes => "BLOB",
        CellKind::Decimal
        | CellKind::Text
        | CellKind::Date
        | CellKind::Time
        | CellKind::Timestamp
        | CellKind::Uuid
        | CellKind::TextList => "TEXT",
    }
}

/// Checks the tables of the bus and every target table.
pub(super) fn check(conn: &Connection, target: &str, tables: &[TargetTable]) -> Result<(), SinkError> {
    let error = |e: rusqlite::Error| sink_error(target, None, &e);
    let mut findings = Findings::default();
    if conn.is_readonly("main").map_err(error)? {
        findings.add(
            "the database file is read-only".to_owned(),
            "give the router write access to it".to_owned(),
        );
    }
    bus(conn, &mut findings).map_err(error)?;
    for table in tables {
        let found = catalogue::table(conn, plain(&table.table)).map_err(error)?;
        one(table, found.as_ref(), &mut findings);
    }
    findings.into_result(target)
}

fn bus(conn: &Connection, findings: &mut Findings) -> rusqlite::Result<()> {
    for (name, columns) in BUS_TABLES {
        let fix = "lienthong route --prepare".to_owned();
        match catalogue::table(conn, name)? {
            None => findings.add(format!("table {name} does not exist"), fix),
            Some(table) => {
                for column in columns.iter().filter(|column| table.column(column).is_none()) {
                    let fix = format!("drop or rename the table {name}, then lienthong route --prepare");
                    findings.add(format!("table {name} has no column {column}"), fix);
                }
            }
        }
    }
    Ok(())
}

fn one(table: &TargetTable, found: Option<&Table>, findings: &mut Findings) {
    let name = plain(&table.table);
    let Some(found) = found else {
        findings.add(format!("table {name} does not exist"), create(table));
        return;
    };
    if found.kind != "table" {
        findings
            .add(format!("{name} is a {}, not a table", found.kind), "name the table behind it".to_owned());
        return;
    }
    let key: Vec<&str> = table.key.iter().map(|column| column.name.as_str()).collect();
    for column in written(table) {
        one_column(name, found, &column, findings);
    }
    if !found.unique.iter().any(|unique| unique.is_over(&key)) {
        findings.add(
            format!("{name} has no unique index over exactly ({})", key.join(", ")),
            format!(
                "CREATE UNIQUE INDEX {} ON {} ({})",
                quote(&format!("{name}_lienthong_key")),
                quote(name),
                quote_list("", key)
            ),
        );
    }
}

fn one_column(name: &str, found: &Table, column: &TargetColumn, findings: &mut Findings) {
    let wanted = type_for(column.kind);
    match found.column(&column.name) {
        None => findings.add(
            format!("{name} has no column {}", column.name),
            format!("ALTER TABLE {} ADD COLUMN {} {wanted}", quote(name), quote(&column.name)),
        ),
        Some(there) if there.generated => findings.add(
            format!("column {} of {name} is generated", column.name),
            format!("make {} a plain column of {name}, or leave it out of the agreement", column.name),
        ),
        Some(there) if !takes(there, found.strict, column.kind) => findings.add(
            format!(
                "column {} of {name} is declared {:?}, which does not keep {:?} values as they are",
                column.name, there.declared, column.kind
            ),
            format!("make a new table with {} {wanted}, and copy {name} into it", quote(&column.name)),
        ),
        Some(_) => {}
    }
}

fn create(table: &TargetTable) -> String {
    let key: Vec<&str> = table.key.iter().map(|column| column.name.as_str()).collect();
    let columns: Vec<String> = written(table)
        .iter()
        .map(|column| {
            let required = if key.contains(&column.name.as_str()) { " NOT NULL" } else { "" };
            format!("{} {}{required}", quote(&column.name), type_for(column.kind))
        })
        .collect();
    format!(
        "CREATE TABLE {} ({}, PRIMARY KEY ({}))",
        quote(plain(&table.table)),
        columns.join(", "),
        quote_list("", key)
    )
}
