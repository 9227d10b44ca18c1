//! Databases that are made anew under their old name.

use anyhow::Result;
use lienthong_testkit::database::Database;
use lienthong_testkit::postgres::drop_slots;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::kind::{Kind as _, Postgres, Sqlite};
use crate::log_kind::PostgresLog;

/// For kinds of publishing databases.
pub(crate) trait Recreate {
    /// Removes the database and creates an empty one of the same name in the same place.
    async fn recreate(&mut self) -> Result<()>;
}

impl Recreate for Postgres {
    async fn recreate(&mut self) -> Result<()> {
        let mut admin = PgConnection::connect(self.0.admin_url()).await?;
        admin.execute(AssertSqlSafe(drop_slots(self.0.name()))).await?;
        for statement in ["drop database {} with (force)", "create database {} template template0"] {
            admin.execute(AssertSqlSafe(statement.replace("{}", self.0.name()))).await?;
        }
        Ok(())
    }
}

impl Recreate for PostgresLog {
    async fn recreate(&mut self) -> Result<()> {
        self.0.recreate().await
    }
}

impl Recreate for Sqlite {
    async fn recreate(&mut self) -> Result<()> {
        for entry in std::fs::read_dir(self.folder())? {
            std::fs::remove_file(entry?.path())?;
        }
        Database::open(&self.url()).await?;
        Ok(())
    }
}
