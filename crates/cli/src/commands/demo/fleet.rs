//! Every connector and router of the demo's site, in this process.

use std::sync::Arc;
use std::time::Duration;

use lienthong_connectors::{sink_admin, source_admin};
use lienthong_log::Log;
use lienthong_site::{Participant, Subscriber};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::commands::{Context, connect, route};
use crate::exit::Failure;
use crate::observe::Observer;
use crate::observe_connector;
use crate::observe_subscription::{self, Ends};
use crate::reporter::report;

/// Shorter than a service's, so that freshness is seen to move.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Gauges of a connector.
pub(super) type Connecting = (String, watch::Receiver<lienthong_capture::Status>);
/// Gauges of a subscription: subscriber, subscription.
pub(super) type Routing = (String, String, watch::Receiver<lienthong_router::Status>);

/// What runs.
pub(super) struct Fleet {
    log: Arc<dyn Log>,
    observer: Observer,
    ends: Ends,
    running: JoinSet<Result<(), Failure>>,
    reporting: JoinSet<()>,
    stopping: CancellationToken,
    pub(super) connectors: Vec<Connecting>,
    pub(super) routers: Vec<Routing>,
}

impl Fleet {
    /// Outboxes, triggers, and the tables of the bus.
    pub(super) async fn prepare(context: &Context) -> Result<Self, Failure> {
        for participant in participants(context) {
            source_admin(&participant.source, participant.tables.clone()).prepare().await?;
        }
        for subscriber in context.site.subscribers() {
            sink_admin(&subscriber.target).prepare().await?;
        }
        Ok(Self {
            log: context.checked_log()?,
            observer: Observer::start(context, "lienthong-demo", None).await?,
            ends: Ends::default(),
            running: JoinSet::new(),
            reporting: JoinSet::new(),
            stopping: CancellationToken::new(),
            connectors: Vec::new(),
            routers: Vec::new(),
        })
    }

    /// Starts everything.
    pub(super) fn start(&mut self, context: &Context) -> Result<(), Failure> {
        let keys = context.keys()?;
        for participant in participants(context) {
            let name = participant.participant.to_string();
            let (sender, receiver) = watch::channel(lienthong_capture::Status::default());
            self.reporting.spawn(report(Arc::clone(&self.log), name.clone(), receiver.clone()));
            observe_connector::watch(&self.observer, &name, receiver.clone());
            self.connectors.push((name.clone(), receiver));
            let connector = connect::connector(participant, keys, &self.log);
            let options = connect::capture(context, false, HEARTBEAT, &name, &self.observer);
            let stopping = self.stopping.clone();
            self.running.spawn(async move {
                let ended = lienthong_capture::run(connector, options, sender, stopping).await;
                ended.map_err(|error| Failure::from(error).about(&name))
            });
        }
        for subscriber in context.site.subscribers() {
            self.route(context, subscriber)?;
        }
        Ok(())
    }

    fn route(&mut self, context: &Context, subscriber: &Subscriber) -> Result<(), Failure> {
        for subscription in subscriber.subscriptions(context.keys()?) {
            let name = subscription.name();
            let (sender, receiver) = watch::channel(lienthong_router::Status::default());
            self.reporting.spawn(report(Arc::clone(&self.log), name.clone(), receiver.clone()));
            observe_subscription::watch(&self.observer, &subscription, &self.ends, receiver.clone());
            self.routers.push((subscriber.id.clone(), name.clone(), receiver));
            let router = route::router(context, false, subscriber, subscription, &self.log, &self.observer);
            let stopping = self.stopping.clone();
            self.running.spawn(async move {
                router.run(stopping, sender).await.map_err(|error| Failure::from(error).about(&name))
            });
        }
        Ok(())
    }

    /// Returns when a part has ended with an error.
    pub(super) async fn failure(&mut self) -> Failure {
        loop {
            match self.running.join_next().await {
                Some(Ok(Err(failure))) => return failure,
                Some(Err(error)) => return error.into(),
                Some(Ok(Ok(()))) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Stops everything in order.
    pub(super) async fn stop(&mut self) -> Result<(), Failure> {
        self.stopping.cancel();
        let mut failures = Vec::new();
        while let Some(ended) = self.running.join_next().await {
            if let Err(failure) = ended? {
                failures.push(failure);
            }
        }
        while self.reporting.join_next().await.is_some() {}
        if failures.is_empty() { Ok(()) } else { Err(Failure::several(failures.into_iter())) }
    }

    /// Sends the last traces.
    pub(super) async fn finish(self) {
        self.observer.finish().await;
    }

    /// Captures all that was committed and delivers all that the log holds.
    pub(super) async fn drain(&self, context: &Context) -> Result<(), Failure> {
        let keys = context.keys()?;
        for participant in participants(context) {
            let connector = connect::connector(participant, keys, &self.log);
            let options =
                connect::capture(context, true, HEARTBEAT, participant.participant.as_str(), &self.observer);
            let (sender, _receiver) = watch::channel(lienthong_capture::Status::default());
            lienthong_capture::run(connector, options, sender, CancellationToken::new()).await?;
        }
        for subscriber in context.site.subscribers() {
            for subscription in subscriber.subscriptions(keys) {
                let name = subscription.name();
                let router =
                    route::router(context, true, subscriber, subscription, &self.log, &self.observer);
                let (sender, _receiver) = watch::channel(lienthong_router::Status::default());
                let ended = router.run(CancellationToken::new(), sender).await;
                ended.map_err(|error| Failure::from(error).about(&name))?;
            }
        }
        Ok(())
    }
}

fn participants(context: &Context) -> impl Iterator<Item = &Participant> {
    lienthong_demo::PARTICIPANTS.into_iter().filter_map(|id| context.site.participant(id))
}
