//! The administrator's side of a source that reads the log.

use async_trait::async_trait;
use lienthong_contract::source::{ColumnInfo, Finding, SourceAdmin, SourceError, TableCapture};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

use super::super::error::source_error;
use super::super::{catalogue, clock, session, source};
use super::check::check;
use super::removal;
use super::setup::{self, LogNames};
use crate::identifier::safe;

/// Makes and describes publication and slot; connects per call.
pub(crate) struct LogSourceAdmin {
    name: String,
    url: String,
    names: LogNames,
    captures: Vec<TableCapture>,
}

impl LogSourceAdmin {
    /// Touches nothing yet.
    pub(crate) fn new(
        name: &str,
        url: &str,
        (slot, publication): (&str, &str),
        captures: Vec<TableCapture>,
    ) -> Self {
        let names = LogNames { slot: slot.to_owned(), publication: publication.to_owned() };
        Self { name: name.to_owned(), url: url.to_owned(), names, captures }
    }

    async fn connect(&self) -> Result<PgConnection, SourceError> {
        session::connect(&self.url, "lienthong prepare").await.map_err(|e| source_error(&self.name, &e))
    }

    async fn fails_over(&self, conn: &mut PgConnection) -> Result<bool, SourceError> {
        let asking = sqlx::query_scalar(setup::FAILS_OVER).fetch_one(conn);
        asking.await.map_err(|e| source_error(&self.name, &e))
    }

    /// `prepare` that is refused is not mended by `prepare`.
    fn refused(&self, error: &sqlx::Error) -> SourceError {
        match source_error(&self.name, error) {
            SourceError::NotPrepared { problem, .. } => SourceError::NotPrepared {
                problem,
                fix: format!(
                    "run it by a role that owns the captured tables, may create in the database and may replicate, or let an \
                     administrator run what `lienthong connect {} --print-ddl` prints",
                    self.name
                ),
            },
            other => other,
        }
    }
}

#[async_trait]
impl SourceAdmin for LogSourceAdmin {
    async fn ddl(&mut self) -> Result<String, SourceError> {
        // For an administrator who may be where the database is not to be reached.
        let asked = async {
            let mut conn = self.connect().await?;
            self.fails_over(&mut conn).await
        };
        let fails_over = asked.await.inspect_err(|error| tracing::debug!(%error, "the version is not known"));
        Ok(setup::ddl(&self.names, &self.captures, fails_over.ok()))
    }

    async fn prepare(&mut self) -> Result<(), SourceError> {
        let mut conn = self.connect().await?;
        let checked = check(&mut conn, &self.name, &self.names, &self.captures).await?;
        checked.no_obstacle()?;
        checked.room()?;
        let mut transaction = conn.begin().await.map_err(|e| self.refused(&e))?;
        let publication = safe(setup::publication(&self.names, &self.captures));
        transaction.execute(sqlx::raw_sql(publication)).await.map_err(|e| self.refused(&e))?;
        transaction.commit().await.map_err(|e| self.refused(&e))?;
        let slot = safe(setup::slot(&self.names, self.fails_over(&mut conn).await?));
        conn.execute(sqlx::raw_sql(slot)).await.map_err(|e| self.refused(&e))?;
        check(&mut conn, &self.name, &self.names, &self.captures).await?.complete(&self.name)
    }

    async fn removal_ddl(&mut self, lose: bool) -> Result<String, SourceError> {
        Ok(removal::ddl(&self.names, lose))
    }

    async fn remove(&mut self, lose: bool) -> Result<(), SourceError> {
        let mut conn = self.connect().await?;
        let error = |e: sqlx::Error| source_error(&self.name, &e);
        source::lock(&mut conn, &self.names.lock()).await.map_err(error)??;
        let removed = removal::remove(&mut conn, &self.name, &self.names, lose).await;
        // The server ends a session, and its lock, only some time after it was left.
        if sqlx::query("select pg_catalog.pg_advisory_unlock_all()").execute(&mut conn).await.is_err() {
            tracing::debug!("a connection was gone before its lock was given back");
        }
        removed
    }

    async fn findings(&mut self) -> Result<Vec<Finding>, SourceError> {
        let mut conn = self.connect().await?;
        let ahead = clock::measure(&mut conn).await.map_err(|e| source_error(&self.name, &e))?;
        let mut found = check(&mut conn, &self.name, &self.names, &self.captures).await?.findings(&self.name);
        found.extend(clock::finding(ahead));
        Ok(found)
    }

    async fn columns(&mut self, table: &str) -> Result<Vec<ColumnInfo>, SourceError> {
        let mut conn = self.connect().await?;
        catalogue::describe(&mut conn, table).await.map_err(|e| source_error(&self.name, &e))?
    }
}
