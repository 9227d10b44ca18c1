//! One module per command. What they share: the site, the log, the way to stop.

mod accept;
mod acls;
mod audit;
mod check;
mod check_online;
pub(crate) mod connect;
mod demo;
mod keys;
mod quarantine;
pub(crate) mod route;
mod schema;
mod snapshot;
mod snapshot_keys;
mod status;
mod tail;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use clap::CommandFactory as _;
use lienthong_log::{CheckedLog, Log};
use lienthong_schemas::{nearest, shown};
use lienthong_site::{Overrides, Site, Subscriber};
use tokio_util::sync::CancellationToken;

use crate::args::{Cli, Command, Global, Keys, Quarantine};
use crate::exit::{Code, Failure};
use crate::output::{self, Output};
use crate::signals::Stop;
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
    /// Cancelled some seconds after it.
    late: CancellationToken,
}

impl Context {
    pub(crate) fn load(global: &Global, stop: Stop) -> Result<Self, Failure> {
        let output = Output::new(global.output, global.color);
        let site = Site::load(&global.site, &Overrides { log: global.log.clone() })
            .map_err(|problems| output::mistakes(output, &problems))?;
        Ok(Self { site, output, timeout: global.timeout, shutdown: stop.asked, late: stop.late })
    }

    /// Runs a service's work. What still waits for a silent dependency some seconds after the signal is dropped: for everything that
    /// is under way that is the same as a kill, which is safe at any instant.
    async fn in_time(&self, work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
        tokio::select! {
            biased;
            ended = work => ended,
            () = self.late.cancelled() => {
                tracing::warn!("a dependency is silent; what was under way is dropped");
                Err(Failure::interrupted())
            }
        }
    }

    /// The site's keys, which `keys new` makes.
    pub(crate) fn keys(&self) -> Result<&lienthong_site::Keys, Failure> {
        self.site.keys().map_err(|problem| Failure::problems(vec![problem.to_string()]))
    }

    /// A subscriber by its id.
    pub(crate) fn subscriber(&self, id: &str) -> Result<&Subscriber, Failure> {
        self.site.subscriber(id).ok_or_else(|| {
            let near = nearest(id, self.site.subscribers().map(|known| known.id.as_str()));
            let hint = near.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
            Failure::new(Code::Configuration, format!("this site has no subscriber {}{hint}", shown(id)))
        })
    }

    /// Opens the log that the site names.
    pub(crate) fn log(&self) -> Result<Arc<dyn Log>, Failure> {
        engine::open(&self.site.log)
    }

    /// As [`Context::log`], for processes that write or deliver: they use no topic whose difference from its contract endangers a
    /// promise.
    pub(crate) fn checked_log(&self) -> Result<Arc<dyn Log>, Failure> {
        let specs = topics::wanted(&self.site.catalogue, self.site.participants());
        Ok(Arc::new(CheckedLog::new(self.log()?, specs)))
    }
}

/// Runs the command.
pub(crate) async fn run(cli: Cli) -> Result<(), Failure> {
    let global = &cli.global;
    let stop = signals::stop()?;
    match &cli.command {
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Cli::command(), "lienthong", &mut std::io::stdout());
            Ok(())
        }
        Command::Keys { action: Keys::New } => keys::new(global),
        Command::Keys { action: Keys::Pseudonym { subscriber } } => {
            keys::pseudonym(&Context::load(global, stop)?, subscriber)
        }
        Command::Check { online: true, .. } => check_online::run(&Context::load(global, stop)?).await,
        Command::Check { paths, .. } => check::run(global, paths),
        Command::Demo(options) => demo::run(global, options, stop).await,
        Command::Connect(options) => {
            let context = Context::load(global, stop)?;
            context.in_time(connect::run(&context, options)).await
        }
        Command::Route(options) => {
            let context = Context::load(global, stop)?;
            context.in_time(route::run(&context, options)).await
        }
        Command::Snapshot(options) => {
            let context = Context::load(global, stop)?;
            context.in_time(snapshot::run(&context, options)).await
        }
        Command::Quarantine { action: Quarantine::Retry(options) } => {
            let context = Context::load(global, stop)?;
            context.in_time(quarantine::retry(&context, options)).await
        }
        Command::Status(options) => status::run(&Context::load(global, stop)?, options.watch).await,
        Command::Topics { action } => topics::run(&Context::load(global, stop)?, action).await,
        Command::Tail(options) => tail::run(&Context::load(global, stop)?, options).await,
        Command::Schema { action } => schema::run(global, action, stop).await,
    }
}
