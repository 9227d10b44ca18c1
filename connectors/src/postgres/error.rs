//! Driver errors in words without values: SQLSTATE and names of tables, columns and constraints only. The server's message,
//! detail, hint and context may quote a row, so they are never used. Where a function of the owner raises the error, even its names
//! are whatever the function says.

use lienthong_contract::sink::SinkError;
use lienthong_contract::source::SourceError;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

use crate::text::is_plain_name;

/// What an SQLSTATE means for a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Trying again later may help.
    Busy,
    /// This row can never be applied.
    Refused,
    /// The target does not fit.
    Unfit,
}

/// The one table of SQLSTATEs.
pub(super) fn classify(sqlstate: &str) -> Class {
    match sqlstate {
        // lock_not_available and object_in_use; the rest of class 55 is a matter of set-up.
        "55P03" | "55006" => Class::Busy,
        code => match code.get(..2).unwrap_or_default() {
            // connection, transaction state (read-only after a failover), rollback, resources, operator, system
            "08" | "25" | "40" | "53" | "57" | "58" | "XX" => Class::Busy,
            // data, constraints, check options, limits that a value exceeds, errors raised by the table's own triggers
            "22" | "23" | "44" | "54" | "P0" => Class::Refused,
            _ => Class::Unfit,
        },
    }
}

/// SQLSTATE and names, for a message.
pub(super) fn describe(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => describe_database(error.as_ref()),
        sqlx::Error::Io(error) => match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(error) => handshake(error).to_owned(),
            None => format!("connection: {}", error.kind()),
        },
        sqlx::Error::Tls(_) => "the TLS handshake failed".to_owned(),
        sqlx::Error::Configuration(_) => "the database URL or its options cannot be used".to_owned(),
        sqlx::Error::Protocol(_) => "the connection broke in the middle of a message".to_owned(),
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
            "no connection".to_owned()
        }
        sqlx::Error::ColumnDecode { index, .. } => format!("result column {index} has an unexpected type"),
        sqlx::Error::RowNotFound => "a row that must exist is missing".to_owned(),
        _ => "unexpected answer of the driver".to_owned(),
    }
}

/// Why there is no TLS. The names in a certificate are not repeated.
fn handshake(error: &rustls::Error) -> &'static str {
    use rustls::CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "the server's certificate is for another host; fix: write the host in the URL as the certificate names it, or have the \
             server show one for this host"
        }
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => {
            "the server's certificate is signed by an authority that is not trusted; fix: name that authority's file in sslrootcert"
        }
        rustls::Error::InvalidCertificate(
            Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. },
        ) => "the server's certificate is not valid today",
        rustls::Error::InvalidCertificate(_) => "the server's certificate is not trusted",
        rustls::Error::AlertReceived(_) => {
            "the server does not accept our certificate; fix: give sslcert and sslkey as its administrator tells"
        }
        _ => "the TLS handshake failed",
    }
}

fn describe_database(error: &dyn DatabaseError) -> String {
    let Some(error) = error.try_downcast_ref::<PgDatabaseError>() else {
        return "unknown database error".to_owned();
    };
    let mut text = format!("SQLSTATE {}", error.code());
    if error.code().starts_with("28") {
        text.push_str(" (the server does not let this user in: name, password, or pg_hba.conf)");
    }
    let names = [("table", error.table()), ("column", error.column()), ("constraint", error.constraint())];
    for (kind, name) in names {
        if let Some(name) = name.filter(|name| is_the_servers(error, name)) {
            text.push_str(&format!(", {kind} {name}"));
        }
    }
    text
}

/// Whether a name in an error is one of the schema. `raise .. using table = ..` puts anything there; other languages do it under
/// routines of their own, so the form counts as well.
fn is_the_servers(error: &PgDatabaseError, name: &str) -> bool {
    error.routine() != Some("exec_stmt_raise") && is_plain_name(name)
}

fn table_of(error: &dyn DatabaseError) -> Option<&str> {
    let error = error.try_downcast_ref::<PgDatabaseError>()?;
    error.table().filter(|name| is_the_servers(error, name))
}

/// The sink's error for a driver error that `table`'s write met.
pub(super) fn sink_error(target: &str, table: Option<&str>, error: &sqlx::Error) -> SinkError {
    let reason = describe(error);
    let busy = SinkError::Busy { target: target.to_owned(), reason: reason.clone() };
    let unfit = |problem: String| SinkError::Unfit {
        problem,
        fix: "run `lienthong route --prepare`: it names what does not fit".to_owned(),
    };
    match error {
        sqlx::Error::Database(database) => match classify(database.code().unwrap_or_default().as_ref()) {
            Class::Busy => busy,
            Class::Refused => {
                let table = table
                    .or_else(|| table_of(database.as_ref()))
                    .unwrap_or("the bus's own tables")
                    .to_owned();
                SinkError::Refused { table, reason }
            }
            Class::Unfit => unfit(format!("{target}: {}: {reason}", table.unwrap_or("the bus's own tables"))),
        },
        sqlx::Error::Configuration(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Encode(_) => {
            unfit(format!("{target}: {reason}"))
        }
        _ => busy,
    }
}

/// The source's error for a driver error.
pub(super) fn source_error(name: &str, error: &sqlx::Error) -> SourceError {
    let reason = describe(error);
    if let sqlx::Error::Database(database) = error
        && classify(database.code().unwrap_or_default().as_ref()) == Class::Unfit
        && !matches!(database.code().as_deref(), Some(code) if code.starts_with("28") || code.starts_with("3D"))
    {
        return SourceError::NotPrepared {
            problem: format!("{name}: {reason}"),
            fix: format!("lienthong connect {name} --prepare"),
        };
    }
    SourceError::Unreachable { source_name: name.to_owned(), reason }
}

/// Whether a statement names a column that is not there.
pub(super) fn lacks_column(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    error.code().as_deref() == Some("42703")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_sqlstate_has_its_disposition() {
        let busy = [
            "08006", "08000", "40001", "40P01", "53100", "53200", "53300", "55P03", "57014", "57P01",
            "57P03", "58030", "XX000", "25006", "25P02",
        ];
        for code in busy {
            assert_eq!(classify(code), Class::Busy, "{code}");
        }
        for code in [
            "23505", "23502", "23503", "23514", "22001", "22003", "22P02", "22021", "44000", "54000", "P0001",
        ] {
            assert_eq!(classify(code), Class::Refused, "{code}");
        }
        for code in ["42P01", "42703", "42501", "42804", "3F000", "55000", "0A000", "28P01", "3D000", ""] {
            assert_eq!(classify(code), Class::Unfit, "{code}");
        }
    }
}
