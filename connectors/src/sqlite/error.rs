//! Driver errors in words without values: codes, and names of tables, columns and constraints. SQLite's own text is used only where it
//! is made of such names: that of a check without a name is its expression, and a `raise` of the owner says anything.

use lienthong_contract::sink::SinkError;
use lienthong_contract::source::SourceError;
use rusqlite::{Error, ErrorCode, ffi};

use crate::text::is_plain_name;

/// What an error means for the work at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Trying again later may help.
    Busy,
    /// This row can never be written as it is.
    Refused,
    /// The database is not as it must be.
    Unfit,
}

/// The one table of SQLite's codes.
fn classify(code: ErrorCode) -> Class {
    match code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::OutOfMemory
        | ErrorCode::OperationInterrupted
        | ErrorCode::OperationAborted
        | ErrorCode::SystemIoFailure
        | ErrorCode::DiskFull
        | ErrorCode::CannotOpen
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::SchemaChanged
        | ErrorCode::NoLargeFileSupport => Class::Busy,
        ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig => Class::Refused,
        // The rest is a matter of set-up: rights, a table or column that is not there, a damaged file.
        _ => Class::Unfit,
    }
}

/// Code and names, for a message.
pub(super) fn describe(error: &Error) -> String {
    match error {
        Error::SqliteFailure(failure, message) => {
            let code = failure.extended_code;
            let safe = message.as_deref().filter(|message| names_only(code, message));
            format!("SQLite {code}: {}", safe.unwrap_or_else(|| meaning(code)))
        }
        Error::SqlInputError { error, .. } => {
            format!("SQLite {}: {}", error.extended_code, ffi::code_to_str(error.extended_code))
        }
        Error::QueryReturnedNoRows => "a row that must exist is missing".to_owned(),
        Error::InvalidColumnType(..) | Error::FromSqlConversionFailure(..) | Error::Utf8Error(..) => {
            "a stored value has an unexpected type".to_owned()
        }
        _ => "unexpected answer of SQLite".to_owned(),
    }
}

/// What a code means, where SQLite's own text cannot be shown.
fn meaning(code: i32) -> &'static str {
    match code {
        ffi::SQLITE_CONSTRAINT_CHECK => "a CHECK constraint without a name failed",
        ffi::SQLITE_CONSTRAINT_TRIGGER => "a trigger of the table has refused the row",
        code => ffi::code_to_str(code),
    }
}

/// Whether SQLite's own text holds names from the schema only. A `raise` in a trigger of the owner can say anything.
fn names_only(code: i32, message: &str) -> bool {
    match code {
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID
        | ffi::SQLITE_CONSTRAINT_NOTNULL
        | ffi::SQLITE_CONSTRAINT_DATATYPE
        | ffi::SQLITE_CONSTRAINT_FOREIGNKEY => true,
        // Without a name of its own a check is named by its expression; a text in double quotes counts as a column.
        ffi::SQLITE_CONSTRAINT_CHECK => named(message, &["CHECK constraint failed: "]),
        ffi::SQLITE_ERROR => named(message, &["no such table: ", "no such column: "]),
        _ => false,
    }
}

/// Whether nothing but one name, perhaps with those of its table and schema, stands behind one of these words.
fn named(message: &str, words: &[&str]) -> bool {
    let rest = words.iter().find_map(|words| message.strip_prefix(words));
    rest.is_some_and(|name| name.split('.').all(is_plain_name))
}

/// The source's error for a driver error.
pub(super) fn source_error(name: &str, error: &Error) -> SourceError {
    let reason = describe(error);
    match error.sqlite_error_code().map(classify) {
        Some(Class::Unfit) => {
            SourceError::NotPrepared { problem: format!("{name}: {reason}"), fix: prepare(name) }
        }
        Some(Class::Busy | Class::Refused) | None => {
            SourceError::Unreachable { source_name: name.to_owned(), reason }
        }
    }
}

/// The command that makes what a source needs.
pub(super) fn prepare(source: &str) -> String {
    format!("lienthong connect {source} --prepare")
}

/// The sink's error for a driver error that a write to `table` met.
pub(super) fn sink_error(target: &str, table: Option<&str>, error: &Error) -> SinkError {
    let reason = describe(error);
    let table = table.unwrap_or("the bus's own tables");
    match error.sqlite_error_code().map(classify) {
        Some(Class::Refused) => SinkError::Refused { table: table.to_owned(), reason },
        Some(Class::Unfit) => SinkError::Unfit {
            problem: format!("{target}: {table}: {reason}"),
            fix: "run `lienthong route --prepare`: it names what does not fit".to_owned(),
        },
        Some(Class::Busy) | None => SinkError::Busy { target: target.to_owned(), reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32, message: &str) -> Error {
        Error::SqliteFailure(ffi::Error::new(code), Some(message.to_owned()))
    }

    #[test]
    fn a_message_of_the_owners_trigger_never_gets_out() {
        let error = failure(ffi::SQLITE_CONSTRAINT_TRIGGER, "079095001234 is wrong");
        assert!(!describe(&error).contains("0790"));
        assert!(matches!(sink_error("vss", Some("t"), &error), SinkError::Refused { .. }));
        let error = failure(ffi::SQLITE_CONSTRAINT_UNIQUE, "UNIQUE constraint failed: t.pin");
        assert!(describe(&error).ends_with("UNIQUE constraint failed: t.pin"));
    }

    /// The texts are SQLite's own, for schemas of owners who wrote values into them.
    #[test]
    fn what_an_owner_wrote_into_a_schema_never_gets_out() {
        let owner = rusqlite::Connection::open_in_memory().expect("a database");
        let schema = "create table t (id, name, born, age,
                check (name <> 'Khuyểuh'), check (\"born\" <> \"001085730194\"), constraint is_adult check (age > 17));
            create trigger r before update on t begin select raise(abort, 'refused ' || new.name); end;
            create table u (n as (json_extract(name, '$.Khuyểuh[')), name);
            create table v (a); create trigger w before insert on v begin select new.\"079188907415\"; end;";
        let told = |statement: &str| describe(&owner.execute_batch(statement).expect_err(statement));
        let whole = owner.execute_batch(schema);
        assert!(whole.is_ok() || !describe(&whole.expect_err("checked")).contains("0791"));
        owner.execute_batch("insert into t (id, age) values (1, 20)").expect("it fits");
        for statement in [
            "insert into t (name, age) values ('Khuyểuh', 20)",
            "insert into t (born, age) values ('001085730194', 20)",
            "update t set name = 'Khuyểuh'",
            "insert into u (name) values ('Khuyểuh'); select n from u",
            "insert into v values (1)",
            "select \"t\".\"Khuyểuh Văn\" from t",
            "select * from \"001085730194\"",
            "select Khuyểuh(1)",
        ] {
            let told = told(statement);
            for value in ["Khuy", "001085", "0791889"] {
                assert!(!told.contains(value), "{statement}: {told}");
            }
        }
        assert!(told("update t set age = 30").ends_with("a trigger of the table has refused the row"));
        assert!(
            told("insert into t (name, age) values ('Khuyểuh', 20)")
                .ends_with("CHECK constraint without a name failed")
        );
        assert!(told("insert into t (age) values (1)").ends_with("CHECK constraint failed: is_adult"));
        assert!(told("select * from nowhere").ends_with("no such table: nowhere"));
    }

    #[test]
    fn every_class_of_code_has_its_disposition() {
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_LOCKED, ffi::SQLITE_FULL, ffi::SQLITE_IOERR] {
            assert!(matches!(sink_error("s", None, &failure(code, "")), SinkError::Busy { .. }));
            assert!(matches!(source_error("s", &failure(code, "")), SourceError::Unreachable { .. }));
        }
        for code in [ffi::SQLITE_ERROR, ffi::SQLITE_READONLY, ffi::SQLITE_NOTADB, ffi::SQLITE_CORRUPT] {
            assert!(matches!(sink_error("s", None, &failure(code, "")), SinkError::Unfit { .. }));
            assert!(matches!(source_error("s", &failure(code, "")), SourceError::NotPrepared { .. }));
        }
    }
}
