//! The binary `lienthong`: the only place where databases, log, capture and router meet.
//!
//! Everything fallible and synchronous happens before the runtime starts; the exit code is made in one place.

mod args;
mod commands;
#[cfg(test)]
mod containers;
mod crash;
#[cfg(test)]
mod dashboards;
mod engine;
mod exit;
mod memory;
#[cfg(test)]
mod named_commands;
mod observe;
mod observe_connector;
mod observe_subscription;
mod output;
mod progress;
mod reporter;
mod signals;
mod status_merge;
mod status_record;
mod usage;

use std::process::ExitCode;

use lienthong_telemetry::{LogFormat, Logging};

use crate::args::Lines;
use crate::exit::Failure;

fn main() -> ExitCode {
    memory::bound_arenas();
    crash::tell(LogFormat::Text);
    let cli = match usage::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let format = match cli.global.log_format {
        Lines::Text => LogFormat::Text,
        Lines::Json => LogFormat::Json,
    };
    lienthong_telemetry::init(Logging { verbose: cli.global.verbose, format }, || progress::Lines);
    crash::tell(format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::unexpected(&anyhow::Error::new(error)).report(format),
    };
    let outcome = crash::caught(|| runtime.block_on(commands::run(cli)));
    // Blocking threads of the engines end by themselves; a process that is done must not wait for them.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(format),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        crate::args::Cli::command().debug_assert();
    }
}
