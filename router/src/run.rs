//! One subscription's whole life: sessions, and a new one when a dependency was away. Subscriptions share nothing, so none waits
//! for another.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use lienthong_contract::sink::Sink;
use lienthong_log::Log;
use lienthong_telemetry::{SubscriptionMeters, Traces};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::error::{RouterError, transient};
use crate::head::Routes;
use crate::lane::Backoff;
use crate::session::{Ended, LOOK, Session};
use crate::status::{State, Status};
use crate::subscription::Subscription;
use crate::worker::Shared;

/// Makes a connection to the subscriber's database.
pub type SinkFactory = Arc<dyn Fn() -> Box<dyn Sink> + Send + Sync>;

/// How to run.
#[derive(Clone, Debug)]
pub struct RouterOptions {
    /// Stop when everything that the log held at the start is delivered.
    pub once: bool,
    /// Events per transaction.
    pub max_rows: usize,
    /// Bytes of records per transaction.
    pub max_bytes: usize,
    /// Bytes of records that wait. Above its even share a partition is held back; what it had been given by then is at most a
    /// sixteenth of this.
    pub fetch_bytes: usize,
    /// Transactions under way at once: connections to the subscriber's database.
    pub parallel: usize,
    /// How long a router may be silent before others take its partitions.
    pub session: Duration,
    /// How long a dependency may be away before giving up; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// Microseconds since 1970 UTC; agreements are judged by it.
    pub clock: fn() -> i64,
    /// What is counted on the way.
    pub meters: SubscriptionMeters,
    /// Where traces go.
    pub traces: Traces,
}

impl Default for RouterOptions {
    fn default() -> Self {
        Self {
            once: false,
            max_rows: 2_000,
            max_bytes: 1 << 20,
            fetch_bytes: 4 << 20,
            parallel: 4,
            session: Duration::from_secs(8),
            timeout: None,
            clock: || chrono::Utc::now().timestamp_micros(),
            meters: SubscriptionMeters::default(),
            traces: Traces::default(),
        }
    }
}

impl RouterOptions {
    /// Bytes of one batch of the log: every partition may have one more than its share.
    pub(crate) fn batch_bytes(&self) -> usize {
        (self.fetch_bytes / 16).max(1)
    }
}

/// One subscription, ready to run.
pub struct Router {
    pub(crate) shared: Arc<Shared>,
    pub(crate) sink: SinkFactory,
    pub(crate) options: RouterOptions,
}

impl Router {
    /// Touches nothing yet.
    #[must_use]
    pub fn new(
        log: Arc<dyn Log>,
        subscription: Arc<Subscription>,
        sink: SinkFactory,
        options: RouterOptions,
    ) -> Self {
        let routes = Routes::new(&subscription);
        let key_id = subscription.keys.receipt.id();
        let (meters, traces) = (options.meters.clone(), options.traces.clone());
        let clock = options.clock;
        let shared = Arc::new(Shared { subscription, routes, log, key_id, clock, meters, traces });
        Self { shared, sink, options }
    }

    /// Delivers until `shutdown`, or with `once` until everything that the log held at the start is delivered. Dependencies that
    /// are away are waited for, at most the time-out.
    ///
    /// # Errors
    /// What ended the subscription: a halt, which keeps the offset, a dependency away for too long, or a defect.
    pub async fn run(
        self,
        shutdown: CancellationToken,
        status: watch::Sender<Status>,
    ) -> Result<(), RouterError> {
        // Alone: the other subscriptions of the process go on.
        let sessions = AssertUnwindSafe(self.sessions(&shutdown, &status)).catch_unwind();
        let ended = sessions.await.unwrap_or(Err(RouterError::Defect));
        status.send_modify(|status| {
            status.state = match &ended {
                Err(
                    RouterError::Halted { .. }
                    | RouterError::Refused(_)
                    | RouterError::Options(_)
                    | RouterError::Defect,
                ) => State::Halted(ended.as_ref().err().map(ToString::to_string).unwrap_or_default()),
                Err(RouterError::Away(_)) | Ok(()) => State::Stopped,
            };
        });
        ended
    }

    /// One consumer after the other: the log may be away in between.
    async fn sessions(
        &self,
        shutdown: &CancellationToken,
        status: &watch::Sender<Status>,
    ) -> Result<(), RouterError> {
        self.shared.subscription.validate().map_err(|what| {
            RouterError::halted(what, "this is a defect of the site's compiler: report it")
        })?;
        let mut goal = None;
        let mut backoff = Backoff::default();
        loop {
            let begun = Instant::now();
            let mut session = Session::new(self, status);
            let ended = session.work(shutdown, &mut goal).await;
            session.farewell(ended.as_ref().err()).await;
            let text = match ended {
                Ok(()) => return Ok(()),
                Err(Ended::Halt(halt)) => return Err(halt),
                Err(Ended::Log(error)) => transient(error)?,
                Err(Ended::Away(text)) => text,
            };
            let mut begun = begun;
            if session.joined {
                // What is away now was there before.
                backoff.clear();
                begun = Instant::now();
            }
            status.send_modify(|status| status.state = State::Waiting(text.clone()));
            backoff.wait(text.clone(), begun);
            while !backoff.due() {
                if shutdown.is_cancelled() {
                    return Ok(());
                }
                tokio::time::sleep(LOOK).await;
            }
            if backoff.exhausted(self.options.timeout) {
                return Err(RouterError::Away(text));
            }
        }
    }
}
