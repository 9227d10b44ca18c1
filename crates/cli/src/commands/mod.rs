//! One module per command. What they share: the site, the log, the way to stop.

mod acls;
mod check;
pub(crate) mod connect;
mod keys;
pub(crate) mod route;
mod schema;
mod status;
mod tail;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use clap::CommandFactory as _;
use lienthong_log::Log;
use lienthong_site::{Overrides, Site};
use tokio_util::sync::CancellationToken;

use crate::args::{Cli, Command, Global, Keys};
use crate::exit::Failure;
use crate::output::Output;
use crate::{engine, signals};

/// What every command is given.
pub(crate) struct Context {
    /// The site, read and checked as a whole: nothing starts on a site with a mistake.
    pub(crate) site: Site,
    /// `--output` and `--color`.
    pub(crate) output: Output,
    /// `--timeout`.
    pub(crate) timeout: Option<Duration>,
    /// Cancelled at the first signal.
    pub(crate) shutdown: CancellationToken,
}

impl Context {
    fn load(global: &Global, shutdown: CancellationToken) -> Result<Self, Failure> {
        let site = load(global)?;
        Ok(Self { site, output: Output::new(global.output, global.color), timeout: global.timeout, shutdown })
    }

    /// The site's keys, which `keys new` makes.
    pub(crate) fn keys(&self) -> Result<&lienthong_site::Keys, Failure> {
        self.site.keys().map_err(|problem| Failure::problems(vec![problem.to_string()]))
    }

    /// Opens the log that the site names.
    pub(crate) fn log(&self) -> Result<Arc<dyn Log>, Failure> {
        engine::open(&self.site.log)
    }
}

fn load(global: &Global) -> Result<Site, Failure> {
    Site::load(&global.site, &Overrides { log: global.log.clone() })
        .map_err(|problems| Failure::problems(problems.iter().map(ToString::to_string).collect()))
}

/// Runs the command.
pub(crate) async fn run(cli: Cli) -> Result<(), Failure> {
    let global = &cli.global;
    let shutdown = signals::shutdown()?;
    match &cli.command {
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "lienthong", &mut std::io::stdout());
            Ok(())
        }
        Command::Keys { action: Keys::New } => keys::new(&global.site),
        Command::Check { paths } => check::run(global, paths),
        Command::Connect(options) => connect::run(&Context::load(global, shutdown)?, options).await,
        Command::Route(options) => route::run(&Context::load(global, shutdown)?, options).await,
        Command::Status(options) => status::run(&Context::load(global, shutdown)?, options.watch).await,
        Command::Topics { action } => topics::run(&Context::load(global, shutdown)?, action).await,
        Command::Tail(options) => tail::run(&Context::load(global, shutdown)?, options).await,
        Command::Schema { action } => schema::run(&Context::load(global, shutdown)?, action).await,
    }
}
