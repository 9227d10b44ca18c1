//! A database of a test or an example by its URL, spoken to in plain statements.

use anyhow::{Context as _, Result, bail};
use rusqlite::types::ValueRef;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

/// A connection of either kind.
pub enum Database {
    /// `sqlite:PATH`.
    Sqlite(rusqlite::Connection),
    /// `postgres://..`.
    Postgres(Box<PgConnection>),
}

impl Database {
    /// Connects; an SQLite file is created when it is missing.
    ///
    /// # Errors
    /// When the URL is of another kind or the database does not answer.
    pub async fn open(url: &str) -> Result<Self> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let connection = rusqlite::Connection::open(path).with_context(|| path.to_owned())?;
            connection.busy_timeout(std::time::Duration::from_secs(30))?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            Ok(Self::Sqlite(connection))
        } else if url.starts_with("postgres") {
            Ok(Self::Postgres(Box::new(PgConnection::connect(url).await?)))
        } else {
            bail!("a database is sqlite:PATH or postgres://..")
        }
    }

    /// Runs statements in one transaction.
    ///
    /// # Errors
    /// The first statement that fails; nothing has happened then.
    pub async fn run(&mut self, statements: &[String]) -> Result<()> {
        match self {
            Self::Sqlite(connection) => {
                let transaction = connection.transaction()?;
                for statement in statements {
                    transaction.execute_batch(statement)?;
                }
                transaction.commit()?;
            }
            Self::Postgres(connection) => {
                let mut transaction = connection.begin().await?;
                for some in statements.chunks(500) {
                    transaction.execute(AssertSqlSafe(some.join(";\n"))).await?;
                }
                transaction.commit().await?;
            }
        }
        Ok(())
    }

    /// Rows of a query as texts.
    ///
    /// # Errors
    /// When the query fails or a PostgreSQL column is no text (cast it).
    pub async fn rows(&mut self, query: &str) -> Result<Vec<Vec<Option<String>>>> {
        self.rows_with(query, &[]).await
    }

    /// Rows of a query with texts in the places of `$1`, `$2`, ..
    ///
    /// # Errors
    /// As [`Self::rows`].
    pub async fn rows_with(&mut self, query: &str, texts: &[&str]) -> Result<Vec<Vec<Option<String>>>> {
        match self {
            Self::Sqlite(connection) => {
                let mut statement = connection.prepare(query)?;
                let width = statement.column_count();
                let rows = statement.query_map(rusqlite::params_from_iter(texts), |row| {
                    (0..width)
                        .map(|column| row.get_ref(column).map(text))
                        .collect::<rusqlite::Result<Vec<_>>>()
                })?;
                Ok(rows.collect::<rusqlite::Result<_>>()?)
            }
            Self::Postgres(connection) => {
                let query = sqlx::query(AssertSqlSafe(query.to_owned()));
                let query = texts.iter().fold(query, |query, text| query.bind(*text));
                let rows = query.fetch_all(&mut **connection).await?;
                rows.iter()
                    .map(|row| (0..row.len()).map(|column| Ok(row.try_get(column)?)).collect())
                    .collect()
            }
        }
    }
}

fn text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(value) => Some(value.to_string()),
        ValueRef::Real(value) => Some(value.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
    }
}

/// Whether nobody holds the write lock of an SQLite file now.
///
/// # Errors
/// When the file cannot be opened.
pub fn is_free(file: &std::path::Path) -> Result<bool> {
    let connection = rusqlite::Connection::open(file).with_context(|| file.display().to_string())?;
    connection.busy_timeout(std::time::Duration::from_millis(20))?;
    match connection.execute_batch("begin immediate; rollback") {
        Ok(()) => Ok(true),
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
