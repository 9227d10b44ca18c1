//! One partition's part of a transaction: from entries to writes. Pure.

use bumpalo::Bump;
use lienthong_contract::event::Operation;
use lienthong_contract::sink::KeyWrite;
use lienthong_log::TopicPartition;
use lienthong_schemas::Cell;

use crate::backlog::Unit;
use crate::compact::Compactor;
use crate::effect::Maker;
use crate::error::{EventFault, RouterError};
use crate::filter::Sieve;
use crate::head::{Head, Routes};
use crate::observe::TracedEvent;
use crate::plans::Plans;
use crate::project::Projector;
use crate::receipt::{Tallied, Tally};
use crate::subscription::Subscription;

/// What a partition's part of a transaction writes.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    /// Rounds of writes.
    pub(crate) rounds: Vec<Vec<KeyWrite<'a>>>,
    /// Counts for the receipt.
    pub(crate) tallied: Tallied,
    /// Events that are traced.
    pub(crate) traced: Vec<TracedEvent>,
}

/// Reads the heads of a unit's events.
///
/// # Errors
/// When a record is not one of the bus.
pub(crate) fn heads<'a>(
    unit: &'a Unit,
    routes: &'a Routes,
    source: &TopicPartition,
) -> Result<Vec<Head<'a>>, RouterError> {
    let mut heads = Vec::with_capacity(unit.len());
    for (batch, entries) in &unit.parts {
        for entry in entries {
            let head = batch
                .record(entry)
                .map_err(|error| {
                    EventFault::new(error.to_string(), "look at it with `lienthong tail <family>`")
                })
                .and_then(|record| Head::read(*entry, &record, routes));
            heads.push(head.map_err(|fault| fault.at(source, entry.offset))?);
        }
    }
    Ok(heads)
}

/// Filters, projects and compacts. Every plan needed must be in `plans`.
///
/// # Errors
/// When an event cannot be delivered: it halts the subscription and is never skipped.
pub(crate) fn prepare<'a>(
    subscription: &'a Subscription,
    plans: &'a Plans,
    heads: &[Head<'a>],
    arena: &'a Bump,
    source: &TopicPartition,
) -> Result<Prepared<'a>, RouterError> {
    let mut work = Work {
        maker: Maker { subscription, projector: Projector { keys: &subscription.keys, arena } },
        plans,
        arena,
        row: Vec::new(),
        sieve: Sieve::default(),
        compactor: Compactor::default(),
    };
    let mut tally = Tally::default();
    let mut traced = Vec::new();
    for (index, head) in heads.iter().enumerate() {
        tally.read(head.entry.offset, head.entry.epoch, head.time);
        let mut delivered = false;
        for rule in head.rules {
            delivered |= work.apply(*rule, head).map_err(|fault| fault.at(source, head.entry.offset))?;
        }
        if delivered {
            tally.delivered(&subscription.keys.receipt, head.subject);
        }
        // What is not agreed is nobody's business here, its trace neither.
        if head.trace.is_some() && !head.rules.is_empty() {
            traced.push((index, delivered));
        }
    }
    Ok(Prepared { rounds: work.compactor.finish(), tallied: tally.finish(), traced })
}

struct Work<'a> {
    maker: Maker<'a>,
    plans: &'a Plans,
    arena: &'a Bump,
    row: Vec<Cell<'a>>,
    sieve: Sieve<'a>,
    compactor: Compactor<'a>,
}

impl<'a> Work<'a> {
    /// Whether the rule took the event.
    fn apply(&mut self, rule: usize, head: &Head<'a>) -> Result<bool, EventFault> {
        let subscription = self.maker.subscription;
        self.row.clear();
        let plan = self.plans.get(head.schema_id, rule).ok_or_else(|| {
            EventFault::new(format!("its schema {} was not fetched", head.schema_id), "start again")
        })?;
        plan.decode_exact(head.datum, self.arena, &mut self.row).map_err(|error| {
            EventFault::new(
                format!("its data do not fit schema {}: {error}", head.schema_id),
                "the publisher must publish the record again; then move the subscription past the damaged one",
            )
        })?;
        let Some(delivery) = subscription.rules.get(rule) else {
            let revocation = &subscription.revocations[rule - subscription.rules.len()];
            return self.maker.revoke(revocation, head, &self.row, &mut self.compactor);
        };
        let passes = self.sieve.passes(delivery.filter.as_ref(), &self.row).map_err(|fault| {
            EventFault::new(
                format!("`where` of agreement {} has no answer: {fault}", subscription.agreement),
                "correct `where` in the agreement",
            )
        })?;
        if passes {
            self.maker.deliver(delivery, head, &self.row, &mut self.compactor)?;
        } else if head.operation == Operation::Delete {
            self.maker.gone(delivery, head, &self.row, &mut self.compactor);
        }
        Ok(passes)
    }
}
