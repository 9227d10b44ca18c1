//! The administrator's side of an outbox source.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use lienthong_contract::source::{ColumnInfo, Finding, SourceAdmin, SourceError, TableCapture};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::source_error;
use super::file::plain;
use super::prepare::plan;
use super::source::{connect, lock};
use super::triggers::OutboxNames;
use super::{catalogue, outbox_removal};
use crate::blocking;

/// Makes and describes the outbox; opens the file per call.
pub(crate) struct SqliteSourceAdmin {
    name: String,
    path: PathBuf,
    names: OutboxNames,
    captures: Vec<TableCapture>,
}

impl SqliteSourceAdmin {
    /// Touches nothing yet.
    pub(crate) fn new(name: &str, (path, outbox): (&Path, &str), captures: Vec<TableCapture>) -> Self {
        let names = OutboxNames::new(outbox);
        Self { name: name.to_owned(), path: path.to_owned(), names, captures }
    }

    fn connect(&self) -> Result<Connection, SourceError> {
        connect(&self.name, &self.path).map(|(conn, _)| conn)
    }

    fn error(&self, error: &rusqlite::Error) -> SourceError {
        source_error(&self.name, error)
    }

    fn make(&self) -> Result<(), SourceError> {
        let conn = self.connect()?;
        let error = |e: rusqlite::Error| self.error(&e);
        let transaction = Transaction::new_unchecked(&conn, TransactionBehavior::Immediate).map_err(error)?;
        let before = plan(&transaction, &self.names, &self.captures).map_err(error)?;
        before.no_obstacle()?;
        for remark in &before.remarks {
            tracing::warn!(source = self.name, "{remark}");
        }
        transaction.execute_batch(&before.sql()).map_err(error)?;
        plan(&transaction, &self.names, &self.captures).map_err(error)?.complete(&self.name)?;
        transaction.commit().map_err(error)
    }

    fn take_away(&self, lose: bool) -> Result<(), SourceError> {
        let conn = self.connect()?;
        let _lock = lock(&self.name, &self.path, &self.names)?;
        let error = |e: rusqlite::Error| self.error(&e);
        let transaction = Transaction::new_unchecked(&conn, TransactionBehavior::Immediate).map_err(error)?;
        let sql = outbox_removal::statements(&transaction, &self.name, &self.names, lose)?;
        transaction.execute_batch(&sql).map_err(error)?;
        transaction.commit().map_err(error)
    }
}

#[async_trait]
impl SourceAdmin for SqliteSourceAdmin {
    async fn ddl(&mut self) -> Result<String, SourceError> {
        blocking::run(|| {
            let plan = plan(&self.connect()?, &self.names, &self.captures).map_err(|e| self.error(&e))?;
            plan.no_obstacle()?;
            Ok(format!("BEGIN IMMEDIATE;\n{}COMMIT;\n", plan.sql()))
        })
    }

    async fn prepare(&mut self) -> Result<(), SourceError> {
        blocking::run(|| self.make())
    }

    async fn removal_ddl(&mut self, lose: bool) -> Result<String, SourceError> {
        blocking::run(|| {
            let sql = outbox_removal::statements(&self.connect()?, &self.name, &self.names, lose)?;
            Ok(format!("BEGIN IMMEDIATE;\n{sql}COMMIT;\n"))
        })
    }

    async fn remove(&mut self, lose: bool) -> Result<(), SourceError> {
        blocking::run(|| self.take_away(lose))
    }

    async fn findings(&mut self) -> Result<Vec<Finding>, SourceError> {
        blocking::run(|| {
            let found = plan(&self.connect()?, &self.names, &self.captures).map_err(|e| self.error(&e))?;
            Ok(found.findings(&self.name))
        })
    }

    async fn columns(&mut self, table: &str) -> Result<Vec<ColumnInfo>, SourceError> {
        let name = plain(table);
        blocking::run(|| {
            let found = catalogue::table(&self.connect()?, name).map_err(|e| self.error(&e))?;
            let found = found.ok_or_else(|| SourceError::NotPrepared {
                problem: format!("table {name} does not exist"),
                fix: "correct the table's name in the participant's file".to_owned(),
            })?;
            let column = |column: catalogue::Column| ColumnInfo {
                name: column.name,
                type_name: column.declared,
                nullable: column.nullable,
            };
            Ok(found.columns.into_iter().map(column).collect())
        })
    }
}
