//! Every connector and router of the demo's site, in this process.

use std::sync::Arc;
use std::time::Duration;

use lienthong_connectors::{sink_admin, source_admin};
use lienthong_log::Log;
use lienthong_site::{Participant, Subscriber};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::LOOK;
use super::told::Told;
use super::view::View;
use crate::commands::{Context, connect, route};
use crate::exit::Failure;
use crate::observe::Observer;
use crate::observe_connector;
use crate::observe_subscription::{self, Ends};
use crate::reporter::report;

/// Shorter than a service's, so that freshness is seen to move.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(2);

/// Gauges of a connector.
pub(super) type Connecting = (String, watch::Receiver<lienthong_capture::Status>);
/// Gauges of a subscription: subscriber, subscription.
pub(super) type Routing = (String, String, watch::Receiver<lienthong_router::Status>);

/// What runs.
pub(super) struct Fleet {
    pub(super) log: Arc<dyn Log>,
    pub(super) observer: Observer,
    ends: Ends,
    running: JoinSet<Result<(), Failure>>,
    reporting: JoinSet<()>,
    stopping: CancellationToken,
    pub(super) connectors: Vec<Connecting>,
    pub(super) routers: Vec<Routing>,
}

impl Fleet {
    /// The tables of the bus at the subscribers. Outboxes and triggers wait until a ministry has its first day.
    pub(super) async fn prepare(context: &Context) -> Result<Self, Failure> {
        let prepared = context.site.subscribers().map(|subscriber| {
            let mut admin = sink_admin(&subscriber.target);
            async move { admin.prepare().await }
        });
        futures::future::try_join_all(prepared).await?;
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

    /// Starts everything; a connector waits until its ministry has its first day, and loads that.
    pub(super) fn start(&mut self, context: &Context, told: &watch::Receiver<Told>) -> Result<(), Failure> {
        let keys = context.keys()?;
        for participant in participants(context) {
            let name = participant.participant.to_string();
            let (sender, receiver) = watch::channel(lienthong_capture::Status::default());
            self.reporting.spawn(report(Arc::clone(&self.log), name.clone(), receiver.clone()));
            observe_connector::watch(&self.observer, &name, receiver.clone());
            self.connectors.push((name.clone(), receiver));
            let connector = connect::connector(participant, keys, &self.log);
            let options = connect::capture(context, false, HEARTBEAT, &name, &self.observer);
            let mut admin = source_admin(&participant.source, participant.tables.clone());
            let (stopping, mut told) = (self.stopping.clone(), told.clone());
            self.running.spawn(async move {
                let filled = told.wait_for(|told| told.filled.contains(&name.as_str()));
                tokio::select! {
                    // Nobody tells any more: the nation is not made to its end.
                    filled = filled => if filled.is_err() { return Ok(()) },
                    () = stopping.cancelled() => return Ok(()),
                }
                let work = async {
                    admin.prepare().await?;
                    Ok(lienthong_capture::run(connector, options, sender, stopping).await?)
                };
                work.await.map_err(|failure: Failure| failure.about(&name))
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
    pub(super) async fn stop(&mut self, view: &mut View) -> Result<(), Failure> {
        self.stopping.cancel();
        let mut failures = Vec::new();
        loop {
            tokio::select! {
                ended = self.running.join_next() => match ended {
                    Some(ended) => failures.extend(ended?.err()),
                    None => break,
                },
                () = tokio::time::sleep(LOOK) => {}
            }
            let left = self.running.len();
            view.phase("stopping", &format!("{left} connectors and routers finish what is under way"));
        }
        while self.reporting.join_next().await.is_some() {}
        if failures.is_empty() { Ok(()) } else { Err(Failure::several(failures.into_iter())) }
    }

    /// Sends the last traces.
    pub(super) async fn finish(self) {
        self.observer.finish().await;
    }
}

pub(super) fn participants(context: &Context) -> impl Iterator<Item = &Participant> {
    lienthong_demo::PARTICIPANTS.into_iter().filter_map(|id| context.site.participant(id))
}
