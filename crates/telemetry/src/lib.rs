//! Logging start-up. Personal data cannot reach it: the types that carry values have redacted `Debug` and no `Display`.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging to standard error: warnings, `-v` what happens, `-vv` details. `LIENTHONG_LOG_LEVEL` overrides.
/// A second call changes nothing.
pub fn init(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info,rdkafka=warn,librdkafka=warn",
        _ => "debug,sqlx=info,rdkafka=info",
    };
    let filter = EnvFilter::try_from_env("LIENTHONG_LOG_LEVEL").unwrap_or_else(|_| EnvFilter::new(level));
    let format = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    // Fails only when a subscriber is installed already, in tests.
    let _ = tracing_subscriber::registry().with(filter).with(format).try_init();
}
