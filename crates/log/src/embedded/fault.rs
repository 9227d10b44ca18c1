//! Failures inside the engine, and what they are called outside. Only codes leave, never SQLite's texts with values in them.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::api::{LogError, WriterError};
use crate::rules::Broken;

/// A failure before it is known whether a reader or a writer is told.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite's.
    Sql(rusqlite::Error),
    /// The log's own.
    Log(LogError),
    /// The writer's own.
    Writer(WriterError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<LogError> for Fault {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl From<WriterError> for Fault {
    fn from(error: WriterError) -> Self {
        Self::Writer(error)
    }
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::Writer(broken.into())
    }
}

impl Fault {
    /// As a reader or an administrator is told.
    pub(super) fn into_log(self, path: &Path) -> LogError {
        match self {
            Self::Sql(error) => log_error(path, &error),
            Self::Log(error) | Self::Writer(WriterError::Log(error)) => error,
            Self::Writer(error) => LogError::Inconsistent(error.to_string()),
        }
    }

    /// As a writer is told.
    pub(super) fn into_writer(self, path: &Path) -> WriterError {
        match self {
            Self::Writer(error) => error,
            other => WriterError::Log(other.into_log(path)),
        }
    }
}

/// The file does not hold what was written into it.
pub(super) fn damaged(path: &Path, what: &str) -> LogError {
    LogError::File {
        problem: format!("{} is damaged: {what}", path.display()),
        fix:
            "stop everything that uses it, keep a copy, restore the file (with its -wal file) from a backup, \
              then let the connectors read back"
                .into(),
    }
}

fn log_error(path: &Path, error: &rusqlite::Error) -> LogError {
    let address = || path.display().to_string();
    let Some(code) = error.sqlite_error() else {
        return LogError::Inconsistent(format!("{}: {}", address(), plain(error)));
    };
    let numbered = |what: &str| format!("{what} (SQLite code {})", code.extended_code);
    match code.code {
        ErrorCode::DatabaseCorrupt => damaged(path, &numbered("a page is not what SQLite wrote")),
        ErrorCode::NotADatabase => {
            damaged(path, &numbered("it is not an SQLite file, or its head is destroyed"))
        }
        ErrorCode::DiskFull => LogError::DiskFull(address()),
        ErrorCode::ReadOnly => {
            LogError::Refused(numbered(&format!("{} cannot be written to: it is read-only", address())))
        }
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            LogError::Refused(numbered(&address()))
        }
        ErrorCode::CannotOpen => LogError::Refused(numbered(&format!(
            "{} or its -wal file cannot be opened; check the folder and its rights",
            address()
        ))),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => LogError::Unreachable {
            address: address(),
            reason: numbered("another process has held the file's write lock for too long"),
        },
        // The shared memory beside the file lies on the same disk.
        ErrorCode::SystemIoFailure if code.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE => {
            LogError::DiskFull(address())
        }
        ErrorCode::SystemIoFailure => {
            LogError::Unreachable { address: address(), reason: numbered("reading or writing failed") }
        }
        _ => LogError::Inconsistent(numbered(&address())),
    }
}

/// Kinds of errors that are not SQLite's: their texts name columns and types only.
fn plain(error: &rusqlite::Error) -> &'static str {
    match error {
        rusqlite::Error::QueryReturnedNoRows => "a row that must be there is missing",
        rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..) => {
            "a column has another type than was written"
        }
        _ => "the engine used SQLite wrongly",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(extended: i32) -> LogError {
        let error =
            rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(extended), Some("secret".into()));
        Fault::Sql(error).into_log(Path::new("/x/log.db"))
    }

    #[test]
    fn every_class_of_failure_has_its_own_name_and_no_text_of_sqlite() {
        use rusqlite::ffi;
        assert!(matches!(told(ffi::SQLITE_CORRUPT), LogError::File { .. }));
        assert!(matches!(told(ffi::SQLITE_NOTADB), LogError::File { .. }));
        assert!(matches!(told(ffi::SQLITE_FULL), LogError::DiskFull(_)));
        assert!(matches!(told(ffi::SQLITE_IOERR_SHMSIZE), LogError::DiskFull(_)));
        assert!(matches!(told(ffi::SQLITE_READONLY), LogError::Refused(_)));
        assert!(matches!(told(ffi::SQLITE_CANTOPEN), LogError::Refused(_)));
        assert!(matches!(told(ffi::SQLITE_BUSY), LogError::Unreachable { .. }));
        assert!(matches!(told(ffi::SQLITE_IOERR), LogError::Unreachable { .. }));
        assert!(matches!(told(ffi::SQLITE_CONSTRAINT), LogError::Inconsistent(_)));
        assert!(!told(ffi::SQLITE_CONSTRAINT).to_string().contains("secret"));
    }
}
