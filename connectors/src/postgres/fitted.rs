//! A target table with the types of its columns, and cells in the text form that these types read.

use std::collections::BTreeMap;

use lienthong_contract::Cell;
use lienthong_contract::sink::SinkError;
use lienthong_contract::target::TargetTable;
use sqlx::postgres::PgConnection;

use super::catalogue::{self, Column};
use super::error::sink_error;
use crate::identifier::TableName;
use crate::text::{hex, render};

/// A target table as the database has it.
pub(super) struct Fitted {
    /// What will be written.
    pub(super) table: TargetTable,
    /// The quoted name.
    pub(super) sql: String,
    columns: BTreeMap<String, Column>,
}

impl Fitted {
    /// Reads the table from the server's catalogue.
    pub(super) async fn read(
        conn: &mut PgConnection,
        target: &str,
        table: &TargetTable,
    ) -> Result<Self, SinkError> {
        let name = TableName::parse(&table.table);
        let found = catalogue::table(conn, &name).await.map_err(|error| sink_error(target, None, &error))?;
        let found = found.ok_or_else(|| SinkError::Unfit {
            problem: format!("{target}: table {} does not exist", name.plain()),
            fix: super::sink_check::create(table),
        })?;
        let columns = found.columns.into_iter().map(|column| (column.name.clone(), column)).collect();
        Ok(Self { table: table.clone(), sql: name.sql(), columns })
    }

    /// A table of whose columns nothing is known, so that all are texts.
    #[cfg(test)]
    pub(super) fn untyped(table: TargetTable) -> Self {
        let sql = TableName::parse(&table.table).sql();
        Self { table, sql, columns: BTreeMap::new() }
    }

    /// The column's type, quoted, without a modifier: a cast to it never cuts a value short.
    pub(super) fn cast(&self, column: &str) -> &str {
        self.columns.get(column).map_or("text", |column| column.cast.as_str())
    }

    /// A cell in the text form that the column's type reads; `None` for null.
    pub(super) fn text(&self, column: &str, cell: &Cell<'_>) -> Option<String> {
        let column = self.columns.get(column);
        match cell {
            Cell::Bytes(bytes) if column.is_some_and(|column| column.base == "bytea") => {
                Some(format!("\\x{}", hex(bytes)))
            }
            Cell::List(items) if column.is_some_and(|column| column.element.is_some()) => Some(array(items)),
            Cell::Date(_) | Cell::Timestamp(_) if column.is_some_and(|column| is_dated(&column.base)) => {
                render(cell).map(year_as_digits)
            }
            other => render(other),
        }
    }
}

/// A cell of a column in the text form that the column's type reads; `None` for null.
pub(super) fn literal(cell: &Cell<'_>) -> Option<String> {
    match cell {
        Cell::Bytes(bytes) => Some(format!("\\x{}", hex(bytes))),
        Cell::List(items) => Some(array(items)),
        Cell::Date(_) | Cell::Timestamp(_) => render(cell).map(year_as_digits),
        other => render(other),
    }
}

fn is_dated(base: &str) -> bool {
    matches!(base, "date" | "timestamp" | "timestamptz")
}

/// The server writes a year beyond 9999 with all its digits and takes a sign before it for a time zone.
fn year_as_digits(text: String) -> String {
    match text.strip_prefix('+') {
        Some(digits) => digits.trim_start_matches('0').to_owned(),
        None => text,
    }
}

/// An array literal.
fn array(items: &[Cell<'_>]) -> String {
    let mut text = String::from("{");
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        match render(item) {
            None => text.push_str("NULL"),
            Some(value) => {
                text.push('"');
                for character in value.chars() {
                    if matches!(character, '"' | '\\') {
                        text.push('\\');
                    }
                    text.push(character);
                }
                text.push('"');
            }
        }
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_beyond_9999_has_no_sign_and_others_stay_as_they_are() {
        assert_eq!(year_as_digits("+012345-01-02".to_owned()), "12345-01-02");
        assert_eq!(year_as_digits("0007-01-02".to_owned()), "0007-01-02");
    }

    #[test]
    fn an_array_literal_escapes_quotes_and_backslashes() {
        let items = [Cell::Str("a\"b\\c"), Cell::Null, Cell::Str("NULL"), Cell::Str("")];
        assert_eq!(array(&items), r#"{"a\"b\\c",NULL,"NULL",""}"#);
        assert_eq!(array(&[]), "{}");
    }
}
