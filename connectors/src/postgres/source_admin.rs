//! The administrator's side of an outbox source.

use async_trait::async_trait;
use lienthong_contract::source::{ColumnInfo, Finding, SourceAdmin, SourceError, TableCapture};
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

use super::error::source_error;
use super::outbox_ddl::{OutboxNames, ddl};
use super::{catalogue, clock, outbox_check, outbox_removal, session};
use crate::identifier::safe;

/// Makes and describes the outbox; connects per call.
pub(crate) struct PostgresSourceAdmin {
    name: String,
    url: String,
    names: OutboxNames,
    captures: Vec<TableCapture>,
}

impl PostgresSourceAdmin {
    /// Touches nothing yet.
    pub(crate) fn new(name: &str, (url, outbox): (&str, &str), captures: Vec<TableCapture>) -> Self {
        let names = OutboxNames::new(outbox);
        Self { name: name.to_owned(), url: url.to_owned(), names, captures }
    }

    async fn connect(&self) -> Result<PgConnection, SourceError> {
        session::connect(&self.url, "lienthong prepare").await.map_err(|e| source_error(&self.name, &e))
    }
}

#[async_trait]
impl SourceAdmin for PostgresSourceAdmin {
    async fn ddl(&mut self) -> Result<String, SourceError> {
        Ok(ddl(&self.names, &self.captures))
    }

    async fn prepare(&mut self) -> Result<(), SourceError> {
        let mut conn = self.connect().await?;
        let checked = outbox_check::check(&mut conn, &self.name, &self.names, &self.captures).await?;
        checked.no_obstacle()?;
        // Run even when nothing is missing: the function may be one of an earlier version. Every statement leaves what is right alone.
        let error = |e: sqlx::Error| source_error(&self.name, &e);
        let mut transaction = conn.begin().await.map_err(error)?;
        transaction.execute(sqlx::raw_sql(safe(ddl(&self.names, &self.captures)))).await.map_err(error)?;
        transaction.commit().await.map_err(error)?;
        outbox_check::check(&mut conn, &self.name, &self.names, &self.captures)
            .await?
            .into_tables(&self.name)
            .map(drop)
    }

    async fn removal_ddl(&mut self, lose: bool) -> Result<String, SourceError> {
        Ok(outbox_removal::ddl(&self.names, lose))
    }

    async fn remove(&mut self, lose: bool) -> Result<(), SourceError> {
        let mut conn = self.connect().await?;
        outbox_removal::remove(&mut conn, &self.name, &self.names, lose).await
    }

    async fn findings(&mut self) -> Result<Vec<Finding>, SourceError> {
        let mut conn = self.connect().await?;
        let ahead = clock::measure(&mut conn).await.map_err(|e| source_error(&self.name, &e))?;
        let checked = outbox_check::check(&mut conn, &self.name, &self.names, &self.captures).await?;
        let mut found = checked.findings(&self.name);
        found.extend(clock::finding(ahead));
        Ok(found)
    }

    async fn columns(&mut self, table: &str) -> Result<Vec<ColumnInfo>, SourceError> {
        let mut conn = self.connect().await?;
        catalogue::describe(&mut conn, table).await.map_err(|e| source_error(&self.name, &e))?
    }
}
