//! Rows on their way into a statement: arrays for few, a temporary table filled by COPY BINARY for many. Either way the statement
//! reads them as `s(c0, c1, ..)`, all text, and casts them to the columns' own types.

use lienthong_contract::sink::SinkError;
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::query::Query;
use sqlx::{Executor as _, Postgres};

use super::sink::Place;
use crate::identifier::safe;

/// From so many rows on COPY is cheaper than arrays.
pub(super) const COPY_FROM: usize = 500;
/// Sent to the server in pieces of about this size.
const PIECE: usize = 1 << 20;

/// Rows of one statement.
pub(super) struct Rows {
    width: usize,
    /// Row after row.
    cells: Vec<Option<String>>,
    staged: bool,
}

impl Rows {
    /// Rows of `width` cells.
    pub(super) fn new(width: usize) -> Self {
        Self { width, cells: Vec::new(), staged: false }
    }

    /// Adds a cell to the row under way.
    pub(super) fn push(&mut self, cell: Option<String>) {
        self.cells.push(cell);
    }

    /// Complete rows.
    pub(super) fn len(&self) -> usize {
        self.cells.len() / self.width.max(1)
    }

    /// Brings many rows into a temporary table, where that is allowed.
    pub(super) async fn stage(&mut self, place: &mut Place<'_>) -> Result<(), SinkError> {
        if self.len() < COPY_FROM || !place.temporary {
            return Ok(());
        }
        let done = self.copy(place.conn).await;
        done.map_err(|error| place.error(&error))?;
        self.staged = true;
        Ok(())
    }

    async fn copy(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let name = self.name();
        let columns: Vec<String> = (0..self.width).map(|at| format!("c{at} text")).collect();
        // A table of this width stays for the session; its rows go with the statement that uses them.
        let table = format!(
            "create temporary table if not exists {name} ({}) on commit delete rows; truncate pg_temp.{name}",
            columns.join(", ")
        );
        conn.execute(sqlx::raw_sql(safe(table))).await?;
        let mut copy =
            conn.copy_in_raw(&format!("copy pg_temp.{name} from stdin with (format binary)")).await?;
        let mut piece = Vec::with_capacity(PIECE + 4096);
        piece.extend_from_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
        for row in self.cells.chunks(self.width) {
            piece.extend_from_slice(&(self.width as i16).to_be_bytes());
            for cell in row {
                match cell {
                    None => piece.extend_from_slice(&(-1_i32).to_be_bytes()),
                    Some(text) => {
                        piece.extend_from_slice(&(text.len() as i32).to_be_bytes());
                        piece.extend_from_slice(text.as_bytes());
                    }
                }
            }
            if piece.len() >= PIECE {
                copy.send(std::mem::take(&mut piece)).await?;
            }
        }
        piece.extend_from_slice(&(-1_i16).to_be_bytes());
        copy.send(piece).await?;
        copy.finish().await?;
        Ok(())
    }

    fn name(&self) -> String {
        format!("lienthong_stage_{}", self.width)
    }

    /// What stands behind `from`; arrays are parameters `$1..`.
    pub(super) fn source(&self) -> String {
        if self.staged {
            return format!("pg_temp.{} s", self.name());
        }
        let arrays: Vec<String> = (1..=self.width).map(|at| format!("${at}::text[]")).collect();
        let columns: Vec<String> = (0..self.width).map(|at| format!("c{at}")).collect();
        format!("unnest({}) s({})", arrays.join(", "), columns.join(", "))
    }

    /// The statement with its arrays.
    pub(super) fn bind<'q>(&self, sql: String) -> Query<'q, Postgres, PgArguments> {
        let mut query = sqlx::query(safe(sql));
        if !self.staged {
            for at in 0..self.width {
                let column: Vec<Option<String>> =
                    self.cells.iter().skip(at).step_by(self.width).cloned().collect();
                query = query.bind(column);
            }
        }
        query
    }
}
