//! PostgreSQL captured from its log, as a kind of its own, and what it has in common with the other one.

use anyhow::Result;
use lienthong_connectors as connectors;
use lienthong_connectors::CaptureConfig;
use lienthong_contract::source::TableCapture;
use lienthong_testkit::postgres::TestDatabase;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::kind::{Kind, Postgres};

/// A database in the shared PostgreSQL server, captured from its log.
pub(crate) struct PostgresLog(pub(crate) Postgres);

impl Kind for PostgresLog {
    async fn create() -> Result<Self> {
        Ok(Self(Postgres::create().await?))
    }

    fn url(&self) -> String {
        self.0.url()
    }

    fn database(&self) -> connectors::Database {
        self.0.database()
    }

    fn capture(&self) -> CaptureConfig {
        let slot = self.0.0.name().to_owned();
        let bound = lienthong_contract::retained::LogBound::default();
        CaptureConfig::Log {
            slot,
            publication: "Lên mạng".to_owned(),
            bound,
            truncate: lienthong_contract::source::WhenEmptied::default(),
            load_rate: None,
        }
    }

    async fn make_fit(&self, tables: &[TableCapture]) -> Result<()> {
        let mut owner = PgConnection::connect(&self.url()).await?;
        for table in tables {
            let (schema, name) = table.table.split_once('.').unwrap_or(("public", &table.table));
            let quoted = format!("\"{}\".\"{}\"", schema.replace('"', "\"\""), name.replace('"', "\"\""));
            let sql = format!("alter table if exists {quoted} replica identity full");
            owner.execute(AssertSqlSafe(sql)).await?;
        }
        Ok(())
    }

    async fn script(&self, sql: &str) -> Result<()> {
        self.0.script(sql).await
    }
}

/// For kinds in the shared PostgreSQL server.
pub(crate) trait OnServer: Kind {
    /// The database there.
    fn there(&self) -> &TestDatabase;
}

impl OnServer for Postgres {
    fn there(&self) -> &TestDatabase {
        &self.0
    }
}

impl OnServer for PostgresLog {
    fn there(&self) -> &TestDatabase {
        &self.0.0
    }
}
