//! A kind of database as the promises need it. A new kind implements [`Kind`] and is named in the list of `promises!`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use lienthong_connectors as connectors;
use lienthong_connectors::CaptureConfig;
use lienthong_contract::source::TableCapture;
use lienthong_testkit::database::Database;
use lienthong_testkit::postgres::TestDatabase;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

/// One empty database of a kind, gone when dropped.
pub(crate) trait Kind: Sized + Send + Sync + 'static {
    /// Creates it.
    async fn create() -> Result<Self>;

    /// For [`Database::open`].
    fn url(&self) -> String;

    /// For the connectors.
    fn database(&self) -> connectors::Database;

    /// How it is captured from.
    #[allow(dead_code, reason = "nobody captures from a subscriber")]
    fn capture(&self) -> CaptureConfig {
        CaptureConfig::default()
    }

    /// Makes tables fit to be captured, as their owner does before anything is prepared.
    #[allow(dead_code, reason = "nobody captures from a subscriber")]
    async fn make_fit(&self, _tables: &[TableCapture]) -> Result<()> {
        Ok(())
    }

    /// Runs printed statements as an administrator's tool would: as they stand, outside of any transaction of ours.
    async fn script(&self, sql: &str) -> Result<()>;
}

/// A database in the shared PostgreSQL server.
pub(crate) struct Postgres(pub(crate) TestDatabase);

impl Kind for Postgres {
    async fn create() -> Result<Self> {
        Ok(Self(TestDatabase::create().await?))
    }

    fn url(&self) -> String {
        self.0.url().to_owned()
    }

    fn database(&self) -> connectors::Database {
        connectors::Database::Postgres { url: self.url() }
    }

    async fn script(&self, sql: &str) -> Result<()> {
        PgConnection::connect(&self.url()).await?.execute(AssertSqlSafe(sql.to_owned())).await?;
        Ok(())
    }
}

/// One SQLite file in a folder of its own.
pub(crate) struct Sqlite {
    folder: TempDir,
}

impl Sqlite {
    /// The folder with nothing in it but the file and its companions.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder().join("data.db")
    }
}

impl Kind for Sqlite {
    async fn create() -> Result<Self> {
        let created = Self { folder: tempfile::tempdir()? };
        Database::open(&created.url()).await?;
        Ok(created)
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.path().display())
    }

    fn database(&self) -> connectors::Database {
        connectors::Database::Sqlite { path: self.path() }
    }

    async fn script(&self, sql: &str) -> Result<()> {
        Ok(rusqlite::Connection::open(self.path())?.execute_batch(sql)?)
    }
}

/// Makes a test of each promise for each kind: `promises! { Postgres: module::promise, .. }`.
macro_rules! promises {
    ($name:ident, $kind:ident: $($module:ident::$promise:ident),+ $(,)?) => {
        mod $name {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $promise() -> anyhow::Result<()> {
                    super::$module::$promise::<super::$kind>().await
                }
            )+
        }
    };
}
