//! Connections with the settings on which reading and writing text depend.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

/// A server that does not even greet within this time is as good as down.
const GREETING: Duration = Duration::from_secs(10);

/// How long one call may take. More than the server gives a statement of a sink, so that it speaks first unless it is silent.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// Planning costs more than a poll or a batch that holds little. Tables grow by orders of magnitude within one session, so the plan that
/// is kept must be right for any size: from an index, never by reading the whole of a table.
const KEPT_PLANS: [(&str, &str); 3] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    // What is switched off counts as dear, and what is dear would be compiled.
    ("jit", "off"),
];

/// Options for a connection that shows as `application` in the server's lists.
pub(super) fn options(url: &str, application: &str) -> Result<PgConnectOptions, sqlx::Error> {
    let settings = [
        ("timezone", "UTC"),
        ("datestyle", "ISO"),
        ("intervalstyle", "iso_8601"),
        ("bytea_output", "hex"),
        ("standard_conforming_strings", "on"),
        // Notices and warnings of an owner's functions may quote rows; the driver would log them.
        ("client_min_messages", "error"),
        ("default_transaction_isolation", "read committed"),
        // A client whose host is gone says no goodbye; its locks must not outlive it for hours.
        ("tcp_keepalives_idle", "30"),
        ("tcp_keepalives_interval", "10"),
        ("tcp_keepalives_count", "3"),
    ];
    Ok(PgConnectOptions::from_str(url)?.application_name(application).extra_float_digits(1).options(settings))
}

/// Connects.
pub(super) async fn connect(url: &str, application: &str) -> Result<PgConnection, sqlx::Error> {
    greeted(options(url, application)?).await
}

/// Connects for reading what is published. A row that row-level security would hide is an error then, and no gap.
pub(super) async fn connect_reader(url: &str, application: &str) -> Result<PgConnection, sqlx::Error> {
    let settings = [
        ("row_security", "off"),
        // In the index's order, without sorting a backlog.
        ("enable_bitmapscan", "off"),
    ];
    greeted(options(url, application)?.options(KEPT_PLANS).options(settings)).await
}

async fn greeted(options: PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    within(GREETING, PgConnection::connect_with(&options)).await
}

/// Ends the wait for a server that has fallen silent with the connection still open, as when a firewall drops its packets. The
/// connection must not be used again.
pub(super) async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let silent = |_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
    tokio::time::timeout(patience, answer).await.unwrap_or_else(silent)
}

/// Connects for writing. A router that is frozen in the middle of a transaction must not hold its locks for ever: the server ends its
/// session, and whoever has taken over goes on.
pub(super) async fn connect_writer(url: &str, application: &str) -> Result<PgConnection, sqlx::Error> {
    let settings = [
        ("idle_in_transaction_session_timeout", "5s"),
        ("lock_timeout", "10s"),
        ("statement_timeout", "120s"),
        // Key by key.
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
    ];
    greeted(options(url, application)?.options(KEPT_PLANS).options(settings)).await
}
