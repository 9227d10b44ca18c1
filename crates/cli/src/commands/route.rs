//! `route`: one router per subscription; none waits for another.

use std::sync::Arc;
use std::time::Duration;

use lienthong_connectors::{Database, open_sink, sink_admin};
use lienthong_log::Log;
use lienthong_router::subscription::Subscription;
use lienthong_router::{Router, RouterError, RouterOptions, State, Status};
use lienthong_site::Subscriber;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Context;
use crate::args::Route;
use crate::exit::Failure;
use crate::observe::Observer;
use crate::observe_subscription::{self, Ends};
use crate::output;
use crate::progress::{Counts, Progress, Title};
use crate::reporter::{Reports, report};
use crate::status_record::{StatusRecord, instance, now};

/// `--once` gives up on a dependency after this, unless told otherwise.
const ONCE_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) async fn run(context: &Context, options: &Route) -> Result<(), Failure> {
    let subscribers = subscribers(context, &options.subscribers)?;
    if options.prepare || options.print_ddl {
        return prepare(context, &subscribers, options.print_ddl).await;
    }
    let observer = Observer::start(context, "lienthong-route", options.metrics).await?;
    let done = serve(context, options, subscribers, &observer).await;
    observer.finish().await;
    done
}

async fn serve(
    context: &Context,
    options: &Route,
    subscribers: Vec<&Subscriber>,
    observer: &Observer,
) -> Result<(), Failure> {
    let keys = context.keys()?;
    let log = context.checked_log()?;
    let ends = Ends::default();
    let mut routers = JoinSet::new();
    let mut running = Vec::new();
    for subscriber in subscribers {
        for subscription in subscriber.subscriptions(keys) {
            let (sender, receiver) = watch::channel(Status::default());
            let name = subscription.name();
            let reporter = tokio::spawn(report(Arc::clone(&log), name.clone(), receiver.clone()));
            let title = Title { kind: "subscription", name: name.clone() };
            let progress = Progress::start(title, receiver.clone());
            observe_subscription::watch(observer, &subscription, &ends, receiver.clone());
            running.push((name.clone(), receiver, reporter, progress));
            let router = router(context, options.once, subscriber, subscription, &log, observer);
            let shutdown = context.shutdown.clone();
            routers.spawn(async move { (name, router.run(shutdown, sender).await) });
        }
    }
    if observer.served() {
        ends.ask(log, running.iter().map(|(_, status, ..)| status.clone()).collect());
    }
    let mut failures = Vec::new();
    while let Some(ended) = routers.join_next().await {
        let (name, outcome) = ended?;
        if let Err(error) = outcome {
            // Told at once when other subscriptions go on, perhaps for months; the last one's end is the command's.
            if !routers.is_empty() {
                tracing::error!(subscription = name, %error, "subscription ended");
            }
            failures.push((name, error));
        }
    }
    let mut rows = Vec::new();
    for (name, receiver, reporter, progress) in running {
        progress.finish().await;
        reporter.await?;
        let status = receiver.borrow();
        rows.push(vec![json!(name), json!(status.events), json!(status.delivered), json!(status.changed)]);
    }
    output::rows(context.output, &["subscription", "events", "delivered", "rows_changed"], &rows);
    finish(context, failures)
}

fn finish(context: &Context, failures: Vec<(String, RouterError)>) -> Result<(), Failure> {
    if failures.is_empty() {
        return if context.shutdown.is_cancelled() { Err(Failure::interrupted()) } else { Ok(()) };
    }
    Err(Failure::several(failures.into_iter().map(|(name, error)| Failure::from(error).about(&name))))
}

/// A subscription's router, ready to run.
pub(super) fn router(
    context: &Context,
    once: bool,
    subscriber: &Subscriber,
    subscription: Arc<Subscription>,
    log: &Arc<dyn Log>,
    observer: &Observer,
) -> Router {
    let (target, tables) = (subscriber.target.clone(), subscriber.tables.clone());
    let sink = Arc::new(move || open_sink(&target, tables.clone()));
    // An SQLite file has one writer at a time: while it writes, one more transaction is prepared.
    let parallel = match subscriber.target.database {
        Database::Sqlite { .. } => 2,
        Database::Postgres { .. } => RouterOptions::default().parallel,
    };
    let whose = (subscription.subscriber.as_str(), subscription.family.as_str());
    let otherwise = RouterOptions::default();
    let options = RouterOptions {
        parallel,
        session: context.site.route.session.unwrap_or(otherwise.session),
        meters: observer.subscription_meters(whose, &subscription.group()),
        traces: observer.traces.clone(),
        once,
        timeout: context.timeout.or(once.then_some(ONCE_TIMEOUT)),
        ..otherwise
    };
    Router::new(Arc::clone(log), subscription, sink, options)
}

async fn prepare(context: &Context, subscribers: &[&Subscriber], print: bool) -> Result<(), Failure> {
    for subscriber in subscribers {
        let mut admin = sink_admin(&subscriber.target);
        let id = &subscriber.id;
        if print {
            let ddl = admin.ddl().await?;
            output::done(context.output, &format!("-- {id}\n{ddl}"), &json!({"subscriber": id, "ddl": ddl}));
            continue;
        }
        admin.prepare().await?;
        open_sink(&subscriber.target, subscriber.tables.clone()).check().await?;
        let sentence = format!("{id}: the tables of the bus are in place, the target tables fit");
        output::done(context.output, &sentence, &json!({"subscriber": id, "prepared": true}));
    }
    Ok(())
}

fn subscribers<'a>(context: &'a Context, named: &[String]) -> Result<Vec<&'a Subscriber>, Failure> {
    if named.is_empty() {
        return Ok(context.site.subscribers().collect());
    }
    named.iter().map(|id| context.subscriber(id)).collect()
}

impl Counts for Status {
    fn done(&self) -> u64 {
        self.events
    }

    fn state(&self) -> (&'static str, Option<&str>) {
        words(&self.state)
    }
}

impl Reports for Status {
    fn record(&self, name: &str) -> StatusRecord {
        let (state, cause) = words(&self.state);
        StatusRecord {
            kind: "subscription".into(),
            name: name.into(),
            state: state.into(),
            cause: cause.map(str::to_owned).or_else(|| self.notice()),
            events: self.events,
            last_event_time: self.last_event_time,
            fresh_through: self.fresh_through,
            quarantined: 0,
            set_aside: Vec::new(),
            retained: None,
            retained_log: None,
            retained_log_growth: None,
            days_to_loss: None,
            partitions: Some(self.live_partitions()),
            loads: Vec::new(),
            served: None,
            first_load: None,
            instance: instance(),
            at: now(),
        }
    }
}

/// A state in a word, and why.
pub(crate) fn words(state: &State) -> (&'static str, Option<&str>) {
    match state {
        State::Starting => ("starting", None),
        State::CatchingUp => ("catching-up", None),
        State::Live => ("live", None),
        State::Waiting(cause) => ("waiting", Some(cause)),
        State::Halted(cause) => ("halted", Some(cause)),
        State::Stopped => ("stopped", None),
    }
}
