//! What a transaction is counted and traced by, once it is committed.

use std::collections::BTreeSet;
use std::sync::Arc;

use lienthong_contract::sink::Applied;
use lienthong_log::TopicPartition;
use lienthong_schemas::date;
use lienthong_telemetry::{Label, Name, Span, Stage, Tally, TraceContext, Transaction};

use crate::head::Head;
use crate::worker::Shared;

/// When a transaction's parts began and ended, microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// Its events were read.
    pub(crate) begun: i64,
    /// They were filtered, projected and compacted.
    pub(crate) prepared: i64,
    /// The subscriber's database has committed them.
    pub(crate) committed: i64,
}

/// An event that is traced: its index among the unit's, and whether a filter let it pass.
pub(crate) type TracedEvent = (usize, bool);

/// One partition's events in a transaction.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    /// Where they come from.
    pub(crate) source: &'a TopicPartition,
    /// All of them.
    pub(crate) heads: &'a [Head<'a>],
    /// Those that are traced.
    pub(crate) traced: &'a [TracedEvent],
}

/// Counts a committed transaction, once for all its partitions, and tells of those of its events that are traced.
pub(crate) fn committed(shared: &Shared, seen: &[Seen<'_>], times: Times, applied: &Applied) {
    let (mut whole, mut queue) = (Tally::default(), Tally::default());
    for head in seen.iter().flat_map(|seen| seen.heads) {
        whole.between(head.time, times.committed);
        if let Some(recorded) = head.recorded.and_then(date::parse_timestamp) {
            queue.between(recorded, times.begun);
        }
    }
    let topics: BTreeSet<Arc<str>> = seen.iter().map(|seen| Arc::clone(&seen.source.topic)).collect();
    shared.meters.committed(&Transaction {
        topics: &Vec::from_iter(topics),
        events: seen.iter().map(|seen| seen.heads.len() as u32).sum(),
        whole: &whole,
        queue: &queue,
        times: (times.begun, times.committed),
        rows: [applied.changed, applied.unchanged, applied.older],
    });
    if !shared.traces.on() {
        return;
    }
    for Seen { source, heads, traced } in seen {
        for (index, delivered) in *traced {
            if let Some((head, parent)) = heads.get(*index).and_then(|head| Some((head, head.trace?))) {
                tell(shared, source, head, parent, *delivered, times);
            }
        }
    }
}

fn tell(
    shared: &Shared,
    source: &TopicPartition,
    head: &Head<'_>,
    parent: TraceContext,
    delivered: bool,
    times: Times,
) {
    let whose = [
        Label::Subscriber(Name::new(&shared.subscription.subscriber)),
        Label::Family(Name::new(&shared.subscription.family)),
    ];
    let route = shared.traces.child(parent);
    let mut labels = whose.to_vec();
    labels.extend([
        Label::Outcome(if delivered { "delivered" } else { "filtered" }),
        Label::MessagingSystem(shared.meters.system()),
        Label::MessagingOperation("process"),
        Label::MessagingDestination(Name::new(&source.topic)),
        Label::MessagingPartition(source.partition),
        Label::MessagingGroup(shared.meters.group().clone()),
        Label::MessagingOffset(head.entry.offset),
    ]);
    let parent = Some(parent.span);
    let times_of_route = (times.begun, times.prepared);
    shared.traces.record(Span { stage: Stage::Route, context: route, parent, times: times_of_route, labels });
    if delivered {
        shared.traces.record(Span {
            stage: Stage::Apply,
            context: shared.traces.child(route),
            parent: Some(route.span),
            times: (times.prepared, times.committed),
            labels: whose.to_vec(),
        });
    }
}
