//! Log lines on standard error: for people, or one JSON object each.

use std::io::IsTerminal as _;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

/// Target of the lines that a service always writes: changes of state, and counts every ten seconds.
pub const SERVICE: &str = "service";

/// Libraries that are never let say more than this, whatever the operator asks for: they know addresses and requests, and what they
/// say in detail is not ours to promise. The first that fits counts.
const BOUNDED: [(&str, Option<Level>); 10] = [
    ("rdkafka", Some(Level::INFO)),
    ("librdkafka", Some(Level::INFO)),
    // Slow statements, which hold names and parameters' places. Of the rest, notices are what functions of a database's owner say,
    // with rows in it, and an address with a mistake is told with its parts.
    ("sqlx::query", Some(Level::INFO)),
    ("sqlx", None),
    // Tells how a stream ended in the server's own words.
    ("pgwire_replication", None),
    ("reqwest", Some(Level::INFO)),
    ("hyper", Some(Level::INFO)),
    ("h2", Some(Level::INFO)),
    ("rustls", Some(Level::INFO)),
    // Whether spans get through is told by our own exporter.
    ("opentelemetry", None),
];

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object per line.
    Json,
}

/// How to log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Logging {
    /// 0: warnings and what a service always says; 1: what happens; 2: details.
    pub verbose: u8,
    /// How lines look.
    pub format: LogFormat,
}

/// Starts logging to `writer`. `LIENTHONG_LOG_LEVEL` overrides `verbose`. A second call changes nothing.
pub fn init<W>(logging: Logging, writer: W)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let level = match logging.verbose {
        0 => "warn,service=info",
        1 => "info,rdkafka=warn,librdkafka=warn",
        _ => "debug",
    };
    let filter = EnvFilter::try_from_env("LIENTHONG_LOG_LEVEL").unwrap_or_else(|_| EnvFilter::new(level));
    let format = tracing_subscriber::fmt::layer().with_writer(writer);
    let format = match logging.format {
        LogFormat::Text => format.with_target(false).with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => {
            format.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    };
    // Fails only when a subscriber is installed already, in tests.
    let _ =
        tracing_subscriber::registry().with(filter).with(filter_fn(within_bounds)).with(format).try_init();
}

fn within_bounds(metadata: &Metadata<'_>) -> bool {
    bound(metadata.target()).is_none_or(|most| most.is_some_and(|most| *metadata.level() <= most))
}

/// The most that a library may say, where it is bounded.
fn bound(target: &str) -> Option<Option<Level>> {
    BOUNDED.iter().find(|(name, _)| target.starts_with(name)).map(|(_, most)| *most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_in_its_own_words_is_never_written() {
        for target in [
            "sqlx::postgres::notice",
            "sqlx_postgres::options::parse",
            "pgwire_replication::client",
            "opentelemetry_sdk",
        ] {
            assert_eq!(bound(target), Some(None), "{target}");
        }
        assert_eq!(bound("sqlx::query"), Some(Some(Level::INFO)));
        assert_eq!(bound("lienthong_router"), None);
    }
}
