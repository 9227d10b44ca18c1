//! What the road needs of a record before its data are decoded.

use std::collections::HashMap;

use lienthong_contract::event::{Operation, header};
use lienthong_log::RecordRef;
use lienthong_log::record::Entry;
use lienthong_schemas::frame;
use lienthong_telemetry::TraceContext;

use crate::error::EventFault;
use crate::subscription::Subscription;

const FOREIGN: &str = "only connectors of this bus may write family topics: check the ACLs";

/// Index of a rule: `rules` first, then `revocations`.
pub(crate) type RuleIndex = usize;

/// Which rules an event type concerns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routes(HashMap<String, Vec<RuleIndex>>);

impl Routes {
    /// Of a subscription.
    #[must_use]
    pub(crate) fn new(subscription: &Subscription) -> Self {
        let mut routes: HashMap<String, Vec<RuleIndex>> = HashMap::new();
        let deliveries = subscription.rules.iter().map(|rule| &rule.event);
        let revocations = subscription.revocations.iter().map(|rule| &rule.event);
        for (index, event) in deliveries.chain(revocations).enumerate() {
            routes.entry(event.clone()).or_default().push(index);
        }
        Self(routes)
    }

    /// The rules for an event type; none for a type that is not agreed.
    #[must_use]
    pub(crate) fn of(&self, event: &[u8]) -> &[RuleIndex] {
        std::str::from_utf8(event).ok().and_then(|event| self.0.get(event)).map_or(&[], Vec::as_slice)
    }
}

/// One event on its way.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    /// Its place.
    pub(crate) entry: Entry,
    /// Event time, microseconds.
    pub(crate) time: i64,
    /// What it concerns. Empty: nothing that is agreed; the fields below are then not read.
    pub(crate) rules: &'a [RuleIndex],
    /// `ce_operation`.
    pub(crate) operation: Operation,
    /// `ce_sequence`.
    pub(crate) version: &'a str,
    /// `ce_subject`, or the record's key.
    pub(crate) subject: &'a [u8],
    /// Id of the writer's schema.
    pub(crate) schema_id: u32,
    /// Avro.
    pub(crate) datum: &'a [u8],
    /// `ce_recordedtime`.
    pub(crate) recorded: Option<&'a str>,
    /// The span that published it, when it is traced.
    pub(crate) trace: Option<TraceContext>,
}

impl<'a> Head<'a> {
    /// Reads a record's headers and frame.
    ///
    /// # Errors
    /// When an agreed event lacks what every event of the bus has.
    pub(crate) fn read(entry: Entry, record: &RecordRef<'a>, routes: &'a Routes) -> Result<Self, EventFault> {
        let (mut event, mut operation, mut version, mut subject) = (None, None, None, None);
        let (mut recorded, mut trace) = (None, None);
        for (name, value) in record.headers() {
            match name {
                header::TYPE => event = Some(value),
                header::OPERATION => operation = Some(value),
                header::SEQUENCE => version = Some(value),
                header::SUBJECT => subject = Some(value),
                header::RECORDED_TIME => recorded = std::str::from_utf8(value).ok(),
                header::TRACE_PARENT => trace = TraceContext::parse(value),
                _ => {}
            }
        }
        let rules = routes.of(event.ok_or_else(|| missing(header::TYPE))?);
        let mut head = Self {
            entry,
            time: record.time,
            rules,
            operation: Operation::Insert,
            version: "",
            subject: subject.unwrap_or(record.key),
            schema_id: 0,
            datum: &[],
            recorded,
            trace,
        };
        if rules.is_empty() {
            return Ok(head);
        }
        head.operation = operation.and_then(Operation::parse).ok_or_else(|| missing(header::OPERATION))?;
        head.version = version
            .and_then(|version| std::str::from_utf8(version).ok())
            .filter(|version| !version.is_empty())
            .ok_or_else(|| missing(header::SEQUENCE))?;
        (head.schema_id, head.datum) = frame::read(record.value)
            .map_err(|error| EventFault::new(format!("its value is not framed: {error}"), FOREIGN))?;
        Ok(head)
    }
}

fn missing(name: &str) -> EventFault {
    EventFault::new(format!("it has no valid header {name}"), FOREIGN)
}
