//! The end of a fleet's work: everything that is committed is captured and delivered, and whoever waits sees for what.

use std::time::Duration;

use lienthong_connectors::source_admin;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::LOOK;
use super::fleet::{Fleet, HEARTBEAT, participants};
use super::view::View;
use crate::commands::{Context, connect, route};
use crate::exit::{Code, Failure};
use crate::progress::Counts;

/// What is left is bounded, because life has ended; so only standing still needs a bound.
const STILL: Duration = Duration::from_secs(60);
/// Names of those who are waited for, in a line.
const NAMED: usize = 4;

/// One side of the bus, each part running until it has done all that was there at its start.
struct Draining {
    what: &'static str,
    parts: JoinSet<(String, Result<(), Failure>)>,
    all: usize,
    open: Vec<(String, Box<dyn Fn() -> u64 + Send>)>,
    /// Events of the parts that are done.
    done: u64,
}

impl Fleet {
    /// Captures all that was committed and delivers all that the log holds. Participants that were not filled have never begun.
    pub(super) async fn drain(
        &self,
        context: &Context,
        filled: &[&str],
        view: &mut View,
    ) -> Result<(), Failure> {
        let keys = context.keys()?;
        let mut publishing = Draining::new("publishing");
        for participant in participants(context) {
            let name = participant.participant.to_string();
            if !filled.contains(&name.as_str()) {
                continue;
            }
            let mut admin = source_admin(&participant.source, participant.tables.clone());
            let connector = connect::connector(participant, keys, &self.log);
            let options = connect::capture(context, true, HEARTBEAT, &name, &self.observer);
            let (sender, receiver) = watch::channel(lienthong_capture::Status::default());
            publishing.add(name, receiver, async move {
                admin.prepare().await?;
                Ok(lienthong_capture::run(connector, options, sender, CancellationToken::new()).await?)
            });
        }
        publishing.end(context, view).await?;
        let mut delivering = Draining::new("delivering");
        for subscriber in context.site.subscribers() {
            for subscription in subscriber.subscriptions(keys) {
                let name = subscription.name();
                let router =
                    route::router(context, true, subscriber, subscription, &self.log, &self.observer);
                let (sender, receiver) = watch::channel(lienthong_router::Status::default());
                delivering.add(name, receiver, async move {
                    Ok(router.run(CancellationToken::new(), sender).await?)
                });
            }
        }
        delivering.end(context, view).await
    }
}

impl Draining {
    fn new(what: &'static str) -> Self {
        Self { what, parts: JoinSet::new(), all: 0, open: Vec::new(), done: 0 }
    }

    fn add<C: Counts>(
        &mut self,
        name: String,
        status: watch::Receiver<C>,
        work: impl Future<Output = Result<(), Failure>> + Send + 'static,
    ) {
        self.all += 1;
        self.open.push((name.clone(), Box::new(move || status.borrow().done())));
        self.parts.spawn(async move {
            let ended = work.await.map_err(|failure| failure.about(&name));
            (name, ended)
        });
    }

    /// Waits for all of them; the first failure ends it.
    async fn end(mut self, context: &Context, view: &mut View) -> Result<(), Failure> {
        let still = context.timeout.unwrap_or(STILL);
        let mut moved = (Instant::now(), (0, 0));
        loop {
            tokio::select! {
                part = self.parts.join_next() => match part {
                    Some(part) => self.close(part?)?,
                    None => return Ok(()),
                },
                () = tokio::time::sleep(LOOK) => {}
            }
            let at = (self.open.len(), self.events());
            if at != moved.1 {
                moved = (Instant::now(), at);
            } else if moved.0.elapsed() >= still {
                let line = format!(
                    "{}: nothing has moved for {} s; the check was not done; waited for {}",
                    self.what,
                    still.as_secs(),
                    self.names(usize::MAX)
                );
                return Err(Failure::new(Code::Unreachable, line));
            }
            view.phase(self.what, &self.words());
        }
    }

    fn close(&mut self, (name, ended): (String, Result<(), Failure>)) -> Result<(), Failure> {
        if let Some(at) = self.open.iter().position(|(open, _)| *open == name) {
            self.done += self.open.swap_remove(at).1();
        }
        ended
    }

    fn events(&self) -> u64 {
        self.done + self.open.iter().map(|(_, events)| events()).sum::<u64>()
    }

    fn words(&self) -> String {
        let (all, open) = (self.all, self.open.len());
        format!("{} of {all} done, {} events; waiting for {}", all - open, self.events(), self.names(NAMED))
    }

    fn names(&self, most: usize) -> String {
        let mut names: Vec<&str> = self.open.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        match names.len().checked_sub(most) {
            None | Some(0) => names.join(", "),
            Some(more) => format!("{} and {more} more", names[..most].join(", ")),
        }
    }
}
