//! A consumer's life: partitions come and go, each has at most one transaction under way, and memory is bounded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lienthong_contract::sink::{LanePartition, SinkError};
use lienthong_log::{ConsumeOptions, Consumer, Delivered, Log, LogError, TopicPartition};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backlog::{Bounds, Unit};
use crate::error::RouterError;
use crate::lane::{Lane, Wish, away_since, lane_name};
use crate::once::Goal;
use crate::opening::{self, OpenFault, Opened};
use crate::run::Router;
use crate::status::Status;
use crate::worker::{Done, Fault, Hand, Shared, Task};

/// A look at the log lasts so long at most: retries and idle writes are due in between.
pub(crate) const LOOK: Duration = Duration::from_millis(50);
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

/// What a task came to, with the connection that it used.
struct Report {
    hand: Hand,
    source: TopicPartition,
    serial: u64,
    begun: Instant,
    outcome: Outcome,
}

enum Outcome {
    Opened(Result<Opened, OpenFault>),
    Ran(Unit, Result<Done, Fault>),
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
        while !shutdown.is_cancelled() {
            self.patience()?;
            self.start_tasks(goal.is_some())?;
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
        let Some(consumer) = &mut self.consumer else { return Ok(()) };
        let asked = Instant::now();
        let release = self.leaving.values().min().copied();
        let news = tokio::select! {
            Some(report) = self.tasks.join_next() => News::Task(report),
            delivered = consumer.next(LOOK), if release.is_none() => News::Log(delivered),
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
                    self.received(delivered)?;
                }
            }
            News::Overdue => self.leaving.retain(|_, until| *until > Instant::now()),
            News::Shutdown => return Ok(()),
        }
        self.settle();
        Ok(())
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

    /// Gives work to free connections, partition after partition.
    fn start_tasks(&mut self, flush: bool) -> Result<(), Ended> {
        let options = &self.router.options;
        let bounds = Bounds { rows: options.max_rows, bytes: options.max_bytes };
        for source in self.in_turn() {
            if self.hands.is_empty() {
                break;
            }
            let Some(lane) = self.lanes.get_mut(&source) else { continue };
            let Some(wish) = lane.wish(bounds, flush)? else { continue };
            let Some(hand) = self.hands.pop() else { break };
            lane.busy = true;
            let serial = lane.serial;
            self.turn = Some(source.clone());
            match wish {
                Wish::Open(name) => {
                    let log = Arc::clone(&self.router.shared.log);
                    drop(self.tasks.spawn(open(hand, log, source, serial, name)));
                }
                Wish::Run(task) => {
                    drop(self.tasks.spawn(run(hand, Arc::clone(&self.router.shared), serial, task)));
                }
            }
        }
        Ok(())
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

    /// Whether an attempt has got through.
    fn answered(&mut self, begun: Instant, outcome: &Outcome) {
        let cause = match outcome {
            Outcome::Opened(Err(OpenFault::Sink(error @ SinkError::Busy { .. }))) => error.to_string(),
            Outcome::Ran(_, Err(Fault::Away(cause))) => cause.clone(),
            Outcome::Opened(_) | Outcome::Ran(..) => {
                self.away = None;
                return;
            }
        };
        self.away.get_or_insert_with(|| (away_since(begun), cause));
    }

    async fn finished(&mut self, report: Report) -> Result<(), Ended> {
        let Report { hand, source, serial, begun, outcome } = report;
        self.hands.push(hand);
        self.answered(begun, &outcome);
        let Some(lane) = self.lanes.get_mut(&source).filter(|lane| lane.serial == serial) else {
            // Of a partition that went away; what was committed stands, all else is its next holder's.
            self.leaving.remove(&serial);
            return Ok(());
        };
        lane.busy = false;
        match outcome {
            Outcome::Opened(Ok(Opened { row, start })) => {
                let state = lane.open(row, start);
                lane.paused = false;
                opening::tell(self.status, &source, row, start);
                if let Some(consumer) = &mut self.consumer {
                    consumer.start(&source, state).await?;
                    consumer.resume(&source).await?;
                }
            }
            Outcome::Opened(Err(OpenFault::Log(error))) => return Err(error.into()),
            Outcome::Opened(Err(OpenFault::Sink(SinkError::Unfit { problem, fix }))) => {
                return Err(RouterError::Halted { problem, fix }.into());
            }
            Outcome::Opened(Err(OpenFault::Sink(
                error @ (SinkError::Busy { .. } | SinkError::Fenced | SinkError::Refused { .. }),
            ))) => lane.backoff.wait(error.to_string(), begun),
            Outcome::Ran(unit, Ok(done)) => self.committed(&source, &unit, &done).await,
            Outcome::Ran(unit, Err(fault)) => failed(lane, unit, fault, begun)?,
        }
        let timeout = self.router.options.timeout;
        match self.lanes.get(&source).filter(|lane| lane.backoff.exhausted(timeout)) {
            Some(lane) => Err(RouterError::Away(lane.backoff.cause().cloned().unwrap_or_default()).into()),
            None => Ok(()),
        }
    }

    async fn committed(&mut self, source: &TopicPartition, unit: &Unit, done: &Done) {
        if let Some(lane) = self.lanes.get_mut(source) {
            lane.committed(unit);
        }
        self.status.send_modify(|status| {
            status.events += u64::from(done.events.0);
            status.delivered += u64::from(done.events.1);
            status.changed += done.applied.changed;
            status.batches += 1;
            status.last_event_time = status.last_event_time.max(done.last_time);
            status.partitions.entry(source.clone()).or_default().offset = unit.next;
        });
        if let Some(consumer) = &mut self.consumer
            && let Err(error) = consumer.commit(source, unit.next.next_offset).await
        {
            tracing::debug!(%error, "lag tools were not told");
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
            if let Ok(Report { source, serial, outcome: Outcome::Ran(unit, Ok(done)), .. }) = report
                && self.lanes.get(&source).is_some_and(|lane| lane.serial == serial)
            {
                self.committed(&source, &unit, &done).await;
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

/// Disposition of a transaction that did not commit, or may not have.
fn failed(lane: &mut Lane, unit: Unit, fault: Fault, begun: Instant) -> Result<(), RouterError> {
    match fault {
        Fault::Away(cause) => lane.postpone(unit, cause, begun),
        Fault::Fenced => {
            let TopicPartition { topic, partition } = &lane.source;
            tracing::warn!(%topic, partition, "fenced: another router has written");
            lane.fenced();
        }
        Fault::Halt(halt) => return Err(halt),
        Fault::Event(halt) => {
            if !lane.divide(unit) {
                return Err(halt);
            }
        }
    }
    Ok(())
}

async fn open(
    mut hand: Hand,
    log: Arc<dyn Log>,
    source: TopicPartition,
    serial: u64,
    name: LanePartition,
) -> Report {
    let begun = Instant::now();
    let opened = opening::look(hand.sink.as_mut(), log.as_ref(), &source, &name).await;
    Report { hand, source, serial, begun, outcome: Outcome::Opened(opened) }
}

async fn run(mut hand: Hand, shared: Arc<Shared>, serial: u64, task: Task) -> Report {
    let begun = Instant::now();
    let done = hand.run(&shared, &task).await;
    Report { hand, source: task.source, serial, begun, outcome: Outcome::Ran(task.unit, done) }
}
