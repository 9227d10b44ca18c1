//! A consumer's life: partitions come and go, each has at most one transaction under way, and memory is bounded.

mod reports;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lienthong_contract::sink::SinkError;
use lienthong_log::{ConsumeOptions, Consumer, Delivered, LogError, TopicPartition};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backlog::Bounds;
use crate::error::RouterError;
use crate::group::{self, Taken, Terms, Work};
use crate::lane::{Lane, lane_name};
use crate::once::Goal;
use crate::run::{Router, RouterOptions};
use crate::status::Status;
use crate::worker::{Hand, Ran};
use reports::{Outcome, Report};

/// A look at the log lasts so long at most: retries and idle writes are due in between.
pub(crate) const LOOK: Duration = Duration::from_millis(50);
/// So long a small transaction waits for the one under way: what comes meanwhile joins it. It does not wait for one that is stuck.
const COMPANY: Duration = Duration::from_millis(20);
/// Everything under way gets this long at the end.
const FAREWELL: Duration = Duration::from_secs(5);
/// And leaving the group this long.
const LEAVE: Duration = Duration::from_secs(1);
/// A partition that goes away waits this long for its transaction; then the next holder's compare-and-set decides.
const RELEASE: Duration = Duration::from_secs(5);
/// Another router's offset row is read in this time or later.
const GLANCE: Duration = Duration::from_secs(2);
/// Whoever was live stays live for so long although something waits: what has just come is no backlog.
const LIVE: Duration = Duration::from_secs(1);
/// The log had nothing more to give when its answer took this long.
const QUIET: Duration = Duration::from_millis(5);

/// Why a consumer's life ended.
pub(crate) enum Ended {
    /// Something that waiting does not mend, or a wait that was too long.
    Halt(RouterError),
    /// The log failed.
    Log(LogError),
    /// The subscriber's database is away.
    Away(String),
}

impl From<LogError> for Ended {
    fn from(error: LogError) -> Self {
        Self::Log(error)
    }
}

impl From<RouterError> for Ended {
    fn from(error: RouterError) -> Self {
        Self::Halt(error)
    }
}

/// What a session hears.
enum News {
    Task(Result<Report, JoinError>),
    Log(Result<Option<Delivered>, LogError>),
    Overdue,
    Shutdown,
}

/// A consumer's life.
pub(crate) struct Session<'r> {
    router: &'r Router,
    status: &'r watch::Sender<Status>,
    consumer: Option<Box<dyn Consumer>>,
    lanes: BTreeMap<TopicPartition, Lane>,
    serial: u64,
    /// Partitions that went away while a transaction was under way, and until when the next holder waits for them.
    leaving: BTreeMap<u64, Instant>,
    hands: Vec<Hand>,
    tasks: JoinSet<Report>,
    /// Whose turn it was, so that every partition gets its own.
    turn: Option<TopicPartition>,
    /// Since when no partition has got through to the subscriber, and the first cause.
    away: Option<(Instant, String)>,
    /// Why the subscription is about to end, and until when those that failed together with it have the time to get through alone.
    halt: Option<(Instant, RouterError)>,
    /// Batches that have come one after the other since connections last got work.
    gathered: usize,
    /// When the last transaction began.
    begun: Option<Instant>,
    /// When the log had nothing more and nothing waited here.
    drained: Option<Instant>,
    /// The log and its group have answered.
    pub(crate) joined: bool,
}

impl<'r> Session<'r> {
    pub(crate) fn new(router: &'r Router, status: &'r watch::Sender<Status>) -> Self {
        Self {
            router,
            status,
            consumer: None,
            lanes: BTreeMap::new(),
            serial: 0,
            leaving: BTreeMap::new(),
            hands: (0..router.options.parallel.max(1)).map(|_| Hand::new((router.sink)())).collect(),
            tasks: JoinSet::new(),
            turn: None,
            away: None,
            halt: None,
            gathered: 0,
            begun: None,
            drained: None,
            joined: false,
        }
    }

    /// Delivers until `shutdown` or until the goal is met. [`Session::farewell`] must follow.
    pub(crate) async fn work(
        &mut self,
        shutdown: &CancellationToken,
        goal: &mut Option<Goal>,
    ) -> Result<(), Ended> {
        tokio::select! {
            joined = self.join(goal) => joined?,
            () = shutdown.cancelled() => return Ok(()),
        }
        let ended = self.turns(shutdown, goal).await;
        self.halt.take().map_or(ended, |(_, halt)| Err(halt.into()))
    }

    async fn turns(&mut self, shutdown: &CancellationToken, goal: &mut Option<Goal>) -> Result<(), Ended> {
        while !shutdown.is_cancelled() {
            self.patience()?;
            if !self.gathers() {
                self.gathered = 0;
                self.start_tasks(goal.is_some());
                if self.halt_is_due() {
                    return Ok(());
                }
            }
            self.balance().await?;
            if let Some(goal) = goal
                && self.met(goal).await
            {
                return Ok(());
            }
            self.turn(shutdown).await?;
        }
        Ok(())
    }

    /// Whether the log is asked first for more that has come already: what comes together is committed together. One batch that is
    /// enough for a connection does not wait for that.
    fn gathers(&self) -> bool {
        (1..self.lanes.len()).contains(&self.gathered) && !self.hands.is_empty() && self.halt.is_none()
    }

    async fn join(&mut self, goal: &mut Option<Goal>) -> Result<(), Ended> {
        let Router { shared, options, .. } = self.router;
        let subscription = &shared.subscription;
        self.check().await?;
        if options.once && goal.is_none() {
            *goal = Some(Goal::read(shared.log.as_ref(), &subscription.topics).await?);
        }
        let consume = ConsumeOptions {
            group: subscription.group(),
            topics: subscription.topics.clone(),
            fetch_bytes: options.batch_bytes(),
            session: options.session,
        };
        self.consumer = Some(shared.log.consume(&consume).await?);
        self.status.send_modify(|status| status.joined = true);
        Ok(())
    }

    /// The target must fit before the first record is taken.
    async fn check(&mut self) -> Result<(), Ended> {
        let Some(hand) = self.hands.first_mut() else { return Ok(()) };
        match hand.sink.check().await {
            Ok(()) => Ok(()),
            Err(SinkError::Unfit { problem, fix }) => Err(Ended::Halt(RouterError::Halted { problem, fix })),
            Err(error @ (SinkError::Busy { .. } | SinkError::Fenced | SinkError::Refused { .. })) => {
                Err(Ended::Away(error.to_string()))
            }
        }
    }

    /// Waits for a task or for the log, whichever comes first. While a transaction of a partition that has gone away is under way,
    /// the log is not asked: asking gives the partition to its next holder.
    async fn turn(&mut self, shutdown: &CancellationToken) -> Result<(), Ended> {
        let wait = match (self.gathers(), self.waits_for_company()) {
            (true, _) => Duration::ZERO,
            (false, true) => COMPANY,
            (false, false) => LOOK,
        };
        let gathered = std::mem::take(&mut self.gathered);
        let Some(consumer) = &mut self.consumer else { return Ok(()) };
        let asked = Instant::now();
        let release = self.leaving.values().min().copied();
        let news = tokio::select! {
            Some(report) = self.tasks.join_next() => News::Task(report),
            delivered = consumer.next(wait), if release.is_none() => News::Log(delivered),
            () = tokio::time::sleep_until(release.unwrap_or(asked)), if release.is_some() => News::Overdue,
            () = shutdown.cancelled() => News::Shutdown,
        };
        match news {
            News::Task(Ok(report)) => self.finished(report).await?,
            News::Task(Err(_)) => return Err(RouterError::Defect.into()),
            News::Log(delivered) => {
                let delivered = delivered?;
                if asked.elapsed() >= QUIET && self.idle() {
                    self.drained = Some(Instant::now());
                }
                if let Some(delivered) = delivered {
                    self.gathered = if self.is_small(&delivered) { gathered + 1 } else { 0 };
                    self.received(delivered)?;
                }
            }
            News::Overdue => self.leaving.retain(|_, until| *until > Instant::now()),
            News::Shutdown => return Ok(()),
        }
        self.settle();
        Ok(())
    }

    /// Less than a connection's share of one transaction.
    fn is_little(&self, events: usize, bytes: usize) -> bool {
        let RouterOptions { max_rows, max_bytes, parallel, .. } = &self.router.options;
        let share = |whole: &usize| whole / (*parallel).max(1);
        events < share(max_rows) && bytes < share(max_bytes)
    }

    fn is_small(&self, delivered: &Delivered) -> bool {
        matches!(delivered, Delivered::Records(batch) if self.is_little(batch.entries.len(), batch.body.len()))
    }

    /// Whether what waits is better committed together with what comes while a transaction is under way. Side by side, small
    /// transactions cost the subscriber's database more than they gain anybody.
    fn waits_for_company(&self) -> bool {
        let under_way = !self.tasks.is_empty() && self.begun.is_some_and(|begun| begun.elapsed() < COMPANY);
        if !under_way || self.lanes.values().any(|lane| lane.paused) {
            return false;
        }
        let waiting = self.lanes.values().filter(|lane| !lane.busy);
        let (events, bytes) =
            waiting.fold((0, 0), |(events, bytes), lane| (events + lane.waiting(), bytes + lane.bytes()));
        self.is_little(events, bytes)
    }

    fn received(&mut self, delivered: Delivered) -> Result<(), Ended> {
        match delivered {
            Delivered::Assigned(source) => {
                self.joined = true;
                self.serial += 1;
                let lane = Lane::new(&self.router.shared.subscription.name(), source.clone(), self.serial);
                self.lanes.insert(source, lane);
            }
            Delivered::Revoked(source) => {
                if let Some(lane) = self.lanes.remove(&source).filter(|lane| lane.busy) {
                    self.leaving.insert(lane.serial, Instant::now() + RELEASE);
                }
                self.status.send_modify(|status| drop(status.partitions.remove(&source)));
            }
            Delivered::Records(batch) => {
                let meters = &self.router.shared.meters;
                meters.received(&batch.source.topic, batch.entries.len(), batch.ignored);
                if let Some(lane) = self.lanes.get_mut(&batch.source) {
                    lane.push(batch);
                }
            }
            Delivered::Expired { source, wanted, low } => {
                return Err(RouterError::expired(&source, wanted, low).into());
            }
        }
        Ok(())
    }

    /// Gives work to free connections.
    fn start_tasks(&mut self, flush: bool) {
        let options = &self.router.options;
        let bounds = Bounds { rows: options.max_rows, bytes: options.max_bytes };
        let order = self.in_turn();
        let only_alone = self.waits_for_company();
        while let Some(hand) = self.hands.pop() {
            let (free, only_again) = (self.hands.len() + 1, self.halt.is_some());
            let terms = Terms { bounds, free, flush, only_again, only_alone };
            let Taken { work, turn, halt } = group::take(&mut self.lanes, &order, terms);
            self.turn = turn.or(self.turn.take());
            let halted = halt.is_some();
            if let Some(halt) = halt {
                self.halts(halt);
            }
            match work {
                Some(Work::Open { source, serial, name }) => {
                    let log = Arc::clone(&self.router.shared.log);
                    drop(self.tasks.spawn(reports::open(hand, log, source, serial, name)));
                }
                Some(Work::Run(tasks)) => {
                    self.begun = Some(Instant::now());
                    drop(self.tasks.spawn(reports::run(hand, Arc::clone(&self.router.shared), tasks)));
                }
                None => {
                    self.hands.push(hand);
                    if !halted {
                        break;
                    }
                }
            }
        }
    }

    /// A partition cannot go on. Others may have failed only because they were in one transaction with it.
    fn halts(&mut self, halt: RouterError) {
        self.halt.get_or_insert_with(|| (Instant::now() + FAREWELL, halt));
    }

    fn halt_is_due(&self) -> bool {
        let open = !self.tasks.is_empty() || self.lanes.values().any(Lane::tries_again);
        self.halt.as_ref().is_some_and(|(until, _)| !open || Instant::now() >= *until)
    }

    /// Partitions that may have something to do, the one after the last turn first.
    fn in_turn(&self) -> Vec<TopicPartition> {
        if self.hands.is_empty() {
            return Vec::new();
        }
        let later = |source: &&TopicPartition| self.turn.as_ref().is_some_and(|turn| *source > turn);
        let after = self.lanes.keys().filter(later);
        after.chain(self.lanes.keys().filter(|source| !later(source))).cloned().collect()
    }

    /// Partitions take turns, so each alone would be away for long before it has waited twice: their waits are one.
    fn patience(&self) -> Result<(), Ended> {
        let timeout = self.router.options.timeout;
        match &self.away {
            Some((since, cause)) if timeout.is_some_and(|timeout| since.elapsed() >= timeout) => {
                Err(RouterError::Away(cause.clone()).into())
            }
            _ => Ok(()),
        }
    }

    /// Back-pressure: a partition that has its share of the memory is held back until half of it is used up.
    async fn balance(&mut self) -> Result<(), Ended> {
        let share = self.router.options.fetch_bytes / self.lanes.len().max(1);
        let Some(consumer) = &mut self.consumer else { return Ok(()) };
        for lane in self.lanes.values_mut() {
            if !lane.paused && lane.bytes() > share {
                consumer.pause(&lane.source).await?;
                lane.paused = true;
            } else if lane.paused && lane.bytes() <= share / 2 {
                consumer.resume(&lane.source).await?;
                lane.paused = false;
            }
        }
        Ok(())
    }

    /// Whether everything that was asked for once is delivered, by this router or by others.
    async fn met(&mut self, goal: &mut Goal) -> bool {
        for lane in self.lanes.values() {
            if let Some(row) = lane.row() {
                goal.reached(&lane.source, row.next_offset);
            }
        }
        if !goal.others_due(|source| self.lanes.contains_key(source)) {
            return goal.is_met();
        }
        let name = self.router.shared.subscription.name();
        let Some(mut hand) = self.hands.pop() else { return false };
        let glance = async {
            for source in goal.open() {
                if !self.lanes.contains_key(&source) {
                    let row = hand.sink.offset(&lane_name(&name, &source)).await?;
                    goal.reached(&source, row.map_or(0, |row| row.next_offset));
                }
            }
            Ok::<(), SinkError>(())
        };
        let hand = match tokio::time::timeout(GLANCE, glance).await {
            Ok(Ok(())) => hand,
            Ok(Err(error)) => {
                tracing::debug!(%error, "another router's offsets cannot be read");
                hand
            }
            // Given up in the middle of a question: the connection is not used again.
            Err(_) => Hand::new((self.router.sink)()),
        };
        self.hands.push(hand);
        goal.is_met()
    }

    /// Nothing waits and nothing is under way.
    fn idle(&self) -> bool {
        self.lanes.values().all(Lane::idle)
    }

    fn settle(&mut self) {
        if !self.joined {
            return;
        }
        let recent = self.drained.is_some_and(|at| at.elapsed() < LIVE);
        self.drained = match (recent, self.idle()) {
            (true, true) => Some(Instant::now()),
            (true, false) => self.drained,
            (false, _) => None,
        };
        let live = self.drained.is_some();
        self.status.send_if_modified(|status| {
            let before = (status.state.clone(), status.fresh_through);
            for (source, lane) in &self.lanes {
                let known = status.partitions.entry(source.clone()).or_default();
                known.waiting = lane.backoff.cause().cloned();
                if let Some(row) = lane.row() {
                    known.offset = row;
                }
            }
            status.settle(live);
            before != (status.state.clone(), status.fresh_through)
        });
    }

    /// Finishes what is under way and leaves the group, so that others take over at once. After a wait that was too long for a
    /// dependency, what is under way waits for it as well.
    pub(crate) async fn farewell(&mut self, ended: Option<&Ended>) {
        let away = matches!(ended, Some(Ended::Halt(RouterError::Away(_))));
        let until = Instant::now() + if away { LEAVE } else { FAREWELL };
        while let Ok(Some(report)) = tokio::time::timeout_at(until, self.tasks.join_next()).await {
            if let Ok(Report { outcome: Outcome::Ran(Ran { tasks, done: Ok(done), .. }), .. }) = report {
                self.committed(&tasks, &done).await;
            }
        }
        self.tasks.abort_all();
        if let Some(mut consumer) = self.consumer.take() {
            match tokio::time::timeout(LEAVE, consumer.leave()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "the group was not left"),
                Err(_) => tracing::debug!("the group was not left in time"),
            }
        }
    }
}
