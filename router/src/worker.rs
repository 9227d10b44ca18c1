//! One transaction: prepared, applied, and after a doubt looked up before it is tried again.

use std::sync::Arc;

use bumpalo::Bump;
use lienthong_contract::sink::{Applied, Delivery, LanePartition, OffsetState, Sink, SinkError};
use lienthong_log::{Log, TopicPartition};
use lienthong_telemetry::{SubscriptionMeters, Traces};

use crate::backlog::Unit;
use crate::deliver::{heads, prepare};
use crate::error::{RouterError, transient};
use crate::head::{Head, Routes};
use crate::observe::{self, Times};
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

/// What a transaction begins with.
pub(crate) struct Task {
    pub(crate) source: TopicPartition,
    pub(crate) lane: LanePartition,
    /// The offset row as this process knows it.
    pub(crate) expected: Option<OffsetState>,
    pub(crate) unit: Unit,
    /// An earlier attempt may have been committed.
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
    /// Another worker has moved the offset row.
    Fenced,
    /// Waiting does not help.
    Halt(RouterError),
    /// An event of the unit cannot be delivered; the error is as exact as the unit is small.
    Event(RouterError),
}

impl Hand {
    /// Runs one task to its commit.
    pub(crate) async fn run(&mut self, shared: &Shared, task: &Task) -> Result<Done, Fault> {
        if task.doubtful {
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
        let done = self.transaction(shared, task).await;
        self.arena.reset();
        done
    }

    async fn transaction(&mut self, shared: &Shared, task: &Task) -> Result<Done, Fault> {
        let Self { sink, plans, arena } = self;
        let subscription = &*shared.subscription;
        let begun = (shared.clock)();
        let heads = heads(&task.unit, &shared.routes, &task.source).map_err(Fault::Event)?;
        load_plans(plans, shared, &heads, &task.source).await?;
        let prepared = prepare(subscription, plans, &heads, arena, &task.source).map_err(Fault::Event)?;
        let receipt = prepared.tallied.body(&subscription.agreement, &shared.key_id);
        let delivery = Delivery {
            lane: &task.lane,
            expected: task.expected,
            next: task.unit.next,
            rounds: &prepared.rounds,
            receipt: receipt.as_ref(),
        };
        let applying = (shared.clock)();
        let applied = sink.apply(&delivery).await.map_err(|error| sink_fault(error, task))?;
        let times = Times { begun, prepared: applying, committed: (shared.clock)() };
        observe::committed(shared, &task.source, &heads, &prepared.traced, times, &applied);
        let last_time = receipt.as_ref().map(|receipt| receipt.times.1);
        Ok(Done { events: prepared.tallied.events, last_time, applied })
    }
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

/// Disposition of a sink's failure.
fn sink_fault(error: SinkError, task: &Task) -> Fault {
    match error {
        SinkError::Busy { .. } => Fault::Away(error.to_string()),
        SinkError::Fenced => Fault::Fenced,
        SinkError::Refused { table, reason } => {
            let TopicPartition { topic, partition } = &task.source;
            let offsets = task.unit.offsets().map_or_else(
                || "control records".to_owned(),
                |(first, last)| {
                    if first == last {
                        format!("offset {first}")
                    } else {
                        format!("offsets {first} to {last}")
                    }
                },
            );
            Fault::Event(RouterError::halted(
                format!("{topic}/{partition} {offsets} cannot be applied to {table}: {reason}"),
                format!("mend the constraint or the rows of {table}, then start again: the offset is kept"),
            ))
        }
        SinkError::Unfit { problem, fix } => Fault::Halt(RouterError::Halted { problem, fix }),
    }
}
