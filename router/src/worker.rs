//! One transaction: prepared, applied, and after a doubt looked up before it is tried again.

use std::sync::Arc;

use bumpalo::Bump;
use lienthong_contract::sink::{
    Applied, Delivery, LaneMove, LanePartition, OffsetState, ReceiptBody, Sink, SinkError,
};
use lienthong_log::{Log, TopicPartition};
use lienthong_telemetry::{SubscriptionMeters, Traces};

use crate::backlog::Unit;
use crate::deliver::{Prepared, heads, prepare};
use crate::error::{RouterError, transient};
use crate::head::{Head, Routes};
use crate::merge::merge;
use crate::observe::{self, Seen, Times};
use crate::plans::{PlanFault, Plans};
use crate::subscription::Subscription;

/// What every transaction of a subscription needs.
pub(crate) struct Shared {
    pub(crate) subscription: Arc<Subscription>,
    pub(crate) routes: Routes,
    pub(crate) log: Arc<dyn Log>,
    /// Names the key behind a receipt's subjects.
    pub(crate) key_id: String,
    /// Microseconds since 1970 UTC.
    pub(crate) clock: fn() -> i64,
    pub(crate) meters: SubscriptionMeters,
    pub(crate) traces: Traces,
}

/// A connection with its buffers; as many as may be in use at once.
pub(crate) struct Hand {
    pub(crate) sink: Box<dyn Sink>,
    plans: Plans,
    arena: Bump,
}

impl Hand {
    pub(crate) fn new(sink: Box<dyn Sink>) -> Self {
        Self { sink, plans: Plans::default(), arena: Bump::new() }
    }
}

/// One partition's part in a transaction.
pub(crate) struct Task {
    pub(crate) source: TopicPartition,
    pub(crate) lane: LanePartition,
    /// Which holding of the partition.
    pub(crate) serial: u64,
    /// The offset row as this process knows it.
    pub(crate) expected: Option<OffsetState>,
    pub(crate) unit: Unit,
    /// An earlier attempt may have been committed. Such a task is alone in its transaction.
    pub(crate) doubtful: bool,
}

/// Counts of a committed transaction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    pub(crate) events: (u32, u32),
    pub(crate) last_time: Option<i64>,
    pub(crate) applied: Applied,
}

/// Why a transaction did not commit, or may not have.
pub(crate) enum Fault {
    /// A dependency is away; whether the transaction was committed is unknown.
    Away(String),
    /// Another worker has moved an offset row.
    Fenced,
    /// Waiting does not help.
    Halt(RouterError),
    /// An event of the unit cannot be delivered; the error is as exact as the unit is small.
    Event(RouterError),
}

/// What became of tasks that were to be one transaction.
pub(crate) struct Ran {
    /// Tasks that took no part in it, each for a reason of its own.
    pub(crate) unfit: Vec<(Task, Fault)>,
    /// Those that did.
    pub(crate) tasks: Vec<Task>,
    /// How it ended for all of them. Of several it is not known whose fault a fault is.
    pub(crate) done: Result<Done, Fault>,
}

impl Ran {
    /// The partitions that had a part in it.
    pub(crate) fn sources(&self) -> Vec<TopicPartition> {
        let unfit = self.unfit.iter().map(|(task, _)| task);
        self.tasks.iter().chain(unfit).map(|task| task.source.clone()).collect()
    }

    /// The first cause, when all of it failed because a dependency is away.
    pub(crate) fn away(&self) -> Option<&String> {
        let done = (!self.tasks.is_empty()).then(|| self.done.as_ref().err());
        let ends = done.into_iter().chain(self.unfit.iter().map(|(_, fault)| Some(fault)));
        let mut first = None;
        for end in ends {
            let Some(Fault::Away(cause)) = end else { return None };
            first.get_or_insert(cause);
        }
        first
    }
}

/// A task that can be delivered.
struct Part<'a> {
    task: &'a Task,
    heads: Vec<Head<'a>>,
    prepared: Prepared<'a>,
}

impl Part<'_> {
    fn step<'s>(&'s self, receipt: Option<&'s ReceiptBody<'s>>) -> LaneMove<'s> {
        let Task { lane, expected, unit, .. } = self.task;
        LaneMove { lane, expected: *expected, next: unit.next, receipt }
    }

    fn seen(&self) -> Seen<'_> {
        Seen { source: &self.task.source, heads: &self.heads, traced: &self.prepared.traced }
    }
}

impl Hand {
    /// Runs tasks, of which each is of another partition, to their commit.
    pub(crate) async fn run(&mut self, shared: &Shared, mut tasks: Vec<Task>) -> Ran {
        let mut unfit = Vec::new();
        let done = self.attempt(shared, &tasks, &mut unfit).await;
        self.arena.reset();
        let mut left_out = Vec::new();
        // From the end, so that the places of the others stay.
        unfit.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        for (at, fault) in unfit {
            left_out.push((tasks.remove(at), fault));
        }
        Ran { unfit: left_out, tasks, done }
    }

    /// `unfit` takes the places of tasks that are left out.
    async fn attempt(
        &mut self,
        shared: &Shared,
        tasks: &[Task],
        unfit: &mut Vec<(usize, Fault)>,
    ) -> Result<Done, Fault> {
        // Who is in doubt is alone. Were it not, the offset rows would tell: what has been committed is fenced then.
        if let [task] = tasks
            && task.doubtful
        {
            let found = self.sink.offset(&task.lane).await.map_err(|error| sink_fault(error, task))?;
            if found == Some(task.unit.next) {
                return Ok(Done::default());
            }
            if found != task.expected {
                return Err(Fault::Fenced);
            }
        }
        let Subscription { valid, agreement, .. } = &*shared.subscription;
        if let Some(halt) = RouterError::outside(valid, (shared.clock)(), agreement) {
            return Err(Fault::Halt(halt));
        }
        self.transaction(shared, tasks, unfit).await
    }

    async fn transaction(
        &mut self,
        shared: &Shared,
        tasks: &[Task],
        unfit: &mut Vec<(usize, Fault)>,
    ) -> Result<Done, Fault> {
        let Self { sink, plans, arena } = self;
        let subscription = &*shared.subscription;
        let begun = (shared.clock)();
        let mut read = Vec::with_capacity(tasks.len());
        for (at, task) in tasks.iter().enumerate() {
            match heads_with_plans(plans, shared, task).await {
                Ok(heads) => read.push((at, heads)),
                Err(fault) => unfit.push((at, fault)),
            }
        }
        let mut parts = parts(subscription, plans, arena, tasks, read, unfit);
        let Some(task) = parts.first().map(|part| part.task) else { return Ok(Done::default()) };
        let rounds = merge(parts.iter_mut().map(|part| std::mem::take(&mut part.prepared.rounds)).collect());
        let receipts: Vec<_> = parts
            .iter()
            .map(|part| part.prepared.tallied.body(&subscription.agreement, &shared.key_id))
            .collect();
        let lanes: Vec<LaneMove<'_>> =
            parts.iter().zip(&receipts).map(|(part, receipt)| part.step(receipt.as_ref())).collect();
        let applying = (shared.clock)();
        let delivery = Delivery { lanes: &lanes, rounds: &rounds };
        let applied = sink.apply(&delivery).await.map_err(|error| sink_fault(error, task))?;
        let times = Times { begun, prepared: applying, committed: (shared.clock)() };
        let seen: Vec<Seen<'_>> = parts.iter().map(Part::seen).collect();
        observe::committed(shared, &seen, times, &applied);
        let last_time = receipts.iter().flatten().map(|receipt| receipt.times.1).max();
        let counts = parts.iter().map(|part| part.prepared.tallied.events);
        let events = counts.fold((0, 0), |sum, events| (sum.0 + events.0, sum.1 + events.1));
        Ok(Done { events, last_time, applied })
    }
}

/// What the arena holds is not shared between threads, so nothing here waits.
fn parts<'a>(
    subscription: &'a Subscription,
    plans: &'a Plans,
    arena: &'a Bump,
    tasks: &'a [Task],
    read: Vec<(usize, Vec<Head<'a>>)>,
    unfit: &mut Vec<(usize, Fault)>,
) -> Vec<Part<'a>> {
    let mut parts = Vec::with_capacity(read.len());
    for (at, heads) in read {
        let task = &tasks[at];
        match prepare(subscription, plans, &heads, arena, &task.source) {
            Ok(prepared) => parts.push(Part { task, heads, prepared }),
            Err(halt) => unfit.push((at, Fault::Event(halt))),
        }
    }
    parts
}

/// A unit's heads, when all that their data are decoded with is there.
async fn heads_with_plans<'a>(
    plans: &mut Plans,
    shared: &'a Shared,
    task: &'a Task,
) -> Result<Vec<Head<'a>>, Fault> {
    let heads = heads(&task.unit, &shared.routes, &task.source).map_err(Fault::Event)?;
    load_plans(plans, shared, &heads, &task.source).await?;
    Ok(heads)
}

async fn load_plans(
    plans: &mut Plans,
    shared: &Shared,
    heads: &[Head<'_>],
    source: &TopicPartition,
) -> Result<(), Fault> {
    for head in heads {
        for rule in head.rules {
            if plans.get(head.schema_id, *rule).is_some() {
                continue;
            }
            let loaded = plans.load(shared.log.as_ref(), &shared.subscription, head.schema_id, *rule).await;
            loaded.map_err(|fault| match fault {
                PlanFault::Log(error) => log_fault(error),
                PlanFault::Event(fault) => Fault::Event(fault.at(source, head.entry.offset)),
            })?;
        }
    }
    Ok(())
}

fn log_fault(error: lienthong_log::LogError) -> Fault {
    match transient(error) {
        Ok(text) => Fault::Away(text),
        Err(halt) => Fault::Halt(halt),
    }
}

/// Disposition of a sink's failure. In a transaction of several tasks, `task` is only one of those whose fault it may be.
fn sink_fault(error: SinkError, task: &Task) -> Fault {
    match error {
        SinkError::Busy { .. } => Fault::Away(error.to_string()),
        SinkError::Fenced => Fault::Fenced,
        SinkError::Refused { table, reason } => {
            let place = place(task);
            Fault::Event(RouterError::halted(
                format!("{place} cannot be applied to {table}: {reason}"),
                format!("mend the constraint or the rows of {table}, then start again: the offset is kept"),
            ))
        }
        SinkError::Unfit { problem, fix } => Fault::Halt(RouterError::Halted { problem, fix }),
    }
}

fn place(task: &Task) -> String {
    let TopicPartition { topic, partition } = &task.source;
    let offsets = match task.unit.offsets() {
        None => "control records".to_owned(),
        Some((first, last)) if first == last => format!("offset {first}"),
        Some((first, last)) => format!("offsets {first} to {last}"),
    };
    format!("{topic}/{partition} {offsets}")
}
