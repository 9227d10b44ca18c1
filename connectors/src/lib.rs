//! Databases as sources and sinks, one folder per kind. This is the registry: the one place that knows which kinds there are.
//!
//! **Invariant:** nothing here knows the log, topics or agreements; values never reach an error text or a log line.

mod asked;
mod blocking;
mod decimal;
mod fit;
mod identifier;
mod judge;
mod postgres;
mod receipt;
mod sqlite;
mod text;
mod unpublished;

use std::fmt;
use std::path::PathBuf;

use lienthong_contract::keys::HashKey;
use lienthong_contract::position::Position;
use lienthong_contract::retained::LogBound;
use lienthong_contract::sink::{Sink, SinkAdmin};
use lienthong_contract::source::{Source, SourceAdmin, TableCapture, WhenEmptied};
use lienthong_contract::target::TargetTable;

pub use receipt::{ReceiptRow, chain_hash};
pub use text::render;

/// What to do about a source that cannot go on from its stored position. Whoever tells it puts the participant in.
pub(crate) const NEW_LINEAGE: &str =
    "put the database of before in its place, or run `lienthong connect PARTICIPANT --accept-lineage REASON`";

/// Name of the outbox table when the participant's YAML names none.
pub const DEFAULT_OUTBOX: &str = "lienthong_outbox";

/// Which database, and of which kind.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// PostgreSQL 14 or later.
    Postgres {
        /// `postgres://user@host:port/database`; may hold a password.
        url: String,
    },
    /// One SQLite file.
    Sqlite {
        /// The file; it must exist.
        path: PathBuf,
    },
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres { .. } => f.write_str("Postgres(***)"),
            Self::Sqlite { path } => write!(f, "Sqlite({})", path.display()),
        }
    }
}

/// A publishing database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    /// The participant's id, for messages and for the name under which the connector shows in the database.
    pub name: String,
    /// Where it is.
    pub database: Database,
    /// How changes are captured.
    pub capture: CaptureConfig,
}

/// How changes of a publishing database are captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaptureConfig {
    /// Triggers write them into a table.
    Outbox {
        /// The table, with schema where the kind has schemas.
        table: String,
    },
    /// They are read from the write-ahead log. PostgreSQL only; another kind has its outbox of the usual name instead.
    Log {
        /// The replication slot, a name of the whole server.
        slot: String,
        /// The publication, a name of the database.
        publication: String,
        /// How much of its log the server may keep for it.
        bound: LogBound,
        /// What happens when a table is emptied by `truncate`.
        truncate: WhenEmptied,
        /// At most so many rows per second of a first load; `None`: as fast as the bus takes them.
        load_rate: Option<u32>,
    },
}

impl CaptureConfig {
    fn outbox(&self) -> &str {
        match self {
            Self::Outbox { table } => table,
            Self::Log { .. } => DEFAULT_OUTBOX,
        }
    }
}

impl Default for CaptureConfig {
    fn default() -> Self {
        Self::Outbox { table: DEFAULT_OUTBOX.to_owned() }
    }
}

/// A subscribing database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetConfig {
    /// The subscriber's id, for messages.
    pub name: String,
    /// Where it is.
    pub database: Database,
}

/// A source over `tables`; nothing is touched before `open`. `secret` keys the digests by which snapshot rows are named where the
/// database has no secret of ours; another one names them anew.
#[must_use]
pub fn open_source(config: &SourceConfig, tables: Vec<TableCapture>, secret: &HashKey) -> Box<dyn Source> {
    let (name, outbox) = (&config.name, config.capture.outbox());
    match (&config.database, &config.capture) {
        (
            Database::Postgres { url },
            CaptureConfig::Log { slot, publication, bound, truncate, load_rate },
        ) => {
            let names = (slot.as_str(), publication.as_str());
            let source = postgres::LogSource::new(name, url, names, tables, secret);
            Box::new(source.bounded(*bound).when_emptied(*truncate).at_rate(*load_rate))
        }
        (Database::Postgres { url }, CaptureConfig::Outbox { .. }) => {
            Box::new(postgres::PostgresSource::new(name, (url, outbox), tables))
        }
        (Database::Sqlite { path }, _) => Box::new(sqlite::SqliteSource::new(name, (path, outbox), tables)),
    }
}

/// Whether rows of a source can be asked for while it is captured.
#[must_use]
pub fn can_be_asked(config: &SourceConfig) -> bool {
    matches!((&config.database, &config.capture), (Database::Postgres { .. }, CaptureConfig::Log { .. }))
}

/// A table's name as sources that set tables aside tell it: with its schema.
#[must_use]
pub fn whole_name(table: &str) -> String {
    identifier::TableName::parse(table).plain()
}

/// Whether a text is a position of one of the kinds here, in the outbox or the log of `lineage`.
#[must_use]
pub fn is_position(position: &Position, lineage: &str) -> bool {
    postgres::is_position(position, lineage) || sqlite::is_position(position, lineage)
}

/// Whether bytes are a message of PostgreSQL's logical replication (`pgoutput`); its values are read as every type. For fuzzers.
#[must_use]
pub fn is_stream_message(bytes: &[u8]) -> bool {
    postgres::is_stream_message(bytes)
}

/// Whether bytes are a change that was set aside. For fuzzers.
#[must_use]
pub fn is_set_aside(bytes: &[u8]) -> bool {
    postgres::is_set_aside(bytes)
}

/// The administrator's side of a source.
#[must_use]
pub fn source_admin(config: &SourceConfig, tables: Vec<TableCapture>) -> Box<dyn SourceAdmin> {
    let (name, outbox) = (&config.name, config.capture.outbox());
    match (&config.database, &config.capture) {
        (Database::Postgres { url }, CaptureConfig::Log { slot, publication, .. }) => {
            Box::new(postgres::LogSourceAdmin::new(name, url, (slot, publication), tables))
        }
        (Database::Postgres { url }, CaptureConfig::Outbox { .. }) => {
            Box::new(postgres::PostgresSourceAdmin::new(name, (url, outbox), tables))
        }
        (Database::Sqlite { path }, _) => {
            Box::new(sqlite::SqliteSourceAdmin::new(name, (path, outbox), tables))
        }
    }
}

/// A sink that writes `tables`; it connects at the first call.
#[must_use]
pub fn open_sink(config: &TargetConfig, tables: Vec<TargetTable>) -> Box<dyn Sink> {
    match &config.database {
        Database::Postgres { url } => Box::new(postgres::PostgresSink::new(config, url, tables)),
        Database::Sqlite { path } => Box::new(sqlite::SqliteSink::new(config, path, tables)),
    }
}

/// The administrator's side of a sink.
#[must_use]
pub fn sink_admin(config: &TargetConfig) -> Box<dyn SinkAdmin> {
    match &config.database {
        Database::Postgres { url } => Box::new(postgres::PostgresSinkAdmin::new(config, url)),
        Database::Sqlite { path } => Box::new(sqlite::SqliteSinkAdmin::new(config, path)),
    }
}
