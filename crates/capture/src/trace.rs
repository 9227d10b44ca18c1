//! The first half of an event's trace: from its commit to the log.

use lienthong_contract::keys::HashKey;
use lienthong_log::TopicPartition;
use lienthong_telemetry::{Label, Name, Origin, Span, Stage, System, TraceContext, Traces};

/// Decides which events are traced and names their traces.
#[derive(Debug)]
pub(crate) struct Tracer {
    traces: Traces,
    ids: HashKey,
    subjects: HashKey,
}

/// An event that is traced, on its way into the log.
#[derive(Debug)]
pub struct Traced {
    pub(crate) origin: Origin,
    /// Commit time at the source, microseconds.
    pub(crate) committed: i64,
    pub(crate) event: String,
    pub(crate) subject: [u8; 16],
    pub(crate) target: TopicPartition,
}

impl Tracer {
    /// Keys of their own: what a collector sees cannot be joined with ledgers or receipts.
    pub(crate) fn new(traces: Traces, site: &HashKey) -> Self {
        Self { traces, ids: site.derive("trace/id"), subjects: site.derive("trace/subject") }
    }

    /// Where an event's trace begins; `None` when it is not traced.
    pub(crate) fn origin(&self, id: &str) -> Option<Origin> {
        let hash = |part: &str| self.ids.hash(&[part.as_bytes(), id.as_bytes()]).0;
        self.traces.samples(id).then(|| Origin::new(hash("trace"), hash("spans")))
    }

    /// What stands for a subject in a trace.
    pub(crate) fn subject(&self, subject: &str) -> [u8; 16] {
        self.subjects.hash(&[subject.as_bytes()]).0
    }
}

/// Times of a batch, microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// When the connector asked for the rows.
    pub(crate) asked: i64,
    /// Begin and end of the append.
    pub(crate) append: (i64, i64),
}

/// Tells of events that are durable in the log.
pub(crate) fn tell(traces: &Traces, system: System, participant: &str, traced: &[Traced], times: Times) {
    for event in traced {
        let Traced { origin, committed, event, subject, target } = event;
        let participant = Label::Participant(Name::new(participant));
        let of = |span| TraceContext { trace: origin.trace, span };
        traces.record(Span {
            stage: Stage::Capture,
            context: of(origin.capture),
            parent: None,
            times: (*committed, times.asked),
            labels: vec![participant.clone(), Label::Event(Name::new(event)), Label::Subject(*subject)],
        });
        traces.record(Span {
            stage: Stage::Publish,
            context: of(origin.publish),
            parent: Some(origin.capture),
            times: times.append,
            labels: vec![
                participant,
                Label::MessagingSystem(system),
                Label::MessagingOperation("send"),
                Label::MessagingDestination(Name::new(&target.topic)),
                Label::MessagingPartition(target.partition),
            ],
        });
    }
}
