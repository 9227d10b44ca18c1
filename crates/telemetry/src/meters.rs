//! What a connector and a subscription count while they work: handles that are looked up once, and cost an addition per batch.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::histogram::{Histogram, Tally};
use crate::label::{Label, Name, System};
use crate::metrics::{Counter, Metrics};
use crate::names;

/// A connector's. The default counts into nowhere.
#[derive(Clone, Debug)]
pub struct ConnectorMeters {
    metrics: Metrics,
    system: System,
    batches: Histogram,
    capture: Histogram,
    publish: Histogram,
    duration: Histogram,
    sent: Arc<Mutex<BTreeMap<Arc<str>, Counter>>>,
}

/// A batch that has become durable.
#[derive(Debug)]
pub struct Published<'a> {
    /// Topic and number of its events, repeated where there are several partitions.
    pub topics: &'a [(Arc<str>, u32)],
    /// How long each event took until the connector asked for it.
    pub captured: &'a Tally,
    /// When the connector asked for the batch, microseconds.
    pub asked: i64,
    /// Begin and end of the append, microseconds.
    pub append: (i64, i64),
}

impl ConnectorMeters {
    /// Of a participant whose events go to this engine.
    #[must_use]
    pub fn new(metrics: &Metrics, participant: &str, system: System) -> Self {
        let labels = || vec![Label::Participant(Name::new(participant))];
        let operation = vec![Label::MessagingSystem(system), Label::MessagingOperation("send")];
        Self {
            metrics: metrics.clone(),
            system,
            batches: metrics.histogram(&names::CONNECTOR_BATCH_EVENTS, labels()),
            capture: metrics.histogram(&names::CAPTURE, labels()),
            publish: metrics.histogram(&names::PUBLISH, labels()),
            duration: metrics.histogram(&names::OPERATION_DURATION, operation),
            sent: Arc::default(),
        }
    }

    /// The log's engine.
    #[must_use]
    pub fn system(&self) -> System {
        self.system
    }

    /// A batch has become durable.
    pub fn published(&self, batch: &Published<'_>) {
        let events: u32 = batch.topics.iter().map(|(_, count)| count).sum();
        self.batches.observe(f64::from(events));
        self.capture.add(batch.captured);
        let mut publish = Tally::default();
        publish.seconds(seconds((batch.asked, batch.append.1)), events);
        self.publish.add(&publish);
        self.duration.observe(seconds(batch.append));
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        for (topic, count) in batch.topics {
            let counter = sent.entry(Arc::clone(topic)).or_insert_with(|| {
                let labels = vec![
                    Label::MessagingSystem(self.system),
                    Label::MessagingOperation("send"),
                    Label::MessagingDestination(Name::new(topic)),
                ];
                self.metrics.counter(&names::SENT, labels)
            });
            counter.add((*count).into());
        }
    }
}

impl Default for ConnectorMeters {
    fn default() -> Self {
        Self::new(&Metrics::default(), "none", System::default())
    }
}

/// A subscription's. The default counts into nowhere.
#[derive(Clone, Debug)]
pub struct SubscriptionMeters {
    metrics: Metrics,
    system: System,
    group: Name,
    batches: Histogram,
    ignored: Counter,
    rows: [Counter; 3],
    whole: Histogram,
    queue: Histogram,
    apply: Histogram,
    topics: Arc<Mutex<BTreeMap<Arc<str>, Topic>>>,
}

/// One topic's.
#[derive(Clone, Debug)]
struct Topic {
    consumed: Counter,
    duration: Histogram,
}

/// A transaction that was committed in the subscriber's database.
#[derive(Debug)]
pub struct Transaction<'a> {
    /// Where its events come from, each topic once.
    pub topics: &'a [Arc<str>],
    /// How many.
    pub events: u32,
    /// From the source's commit to this one's, per event.
    pub whole: &'a Tally,
    /// From capture to the transaction's begin, per event.
    pub queue: &'a Tally,
    /// Begin and end, microseconds.
    pub times: (i64, i64),
    /// Rows changed, unchanged, older.
    pub rows: [u64; 3],
}

impl SubscriptionMeters {
    /// Of a subscriber's part in one family, read by this group from this engine.
    #[must_use]
    pub fn new(metrics: &Metrics, (subscriber, family): (&str, &str), group: &str, system: System) -> Self {
        let labels = || vec![Label::Subscriber(Name::new(subscriber)), Label::Family(Name::new(family))];
        let outcome = |word| {
            let outcome = labels().into_iter().chain([Label::Outcome(word)]).collect();
            metrics.counter(&names::SUBSCRIPTION_ROWS, outcome)
        };
        Self {
            metrics: metrics.clone(),
            system,
            group: Name::new(group),
            batches: metrics.histogram(&names::SUBSCRIPTION_BATCH_EVENTS, labels()),
            ignored: metrics.counter(&names::SUBSCRIPTION_IGNORED, labels()),
            rows: ["changed", "unchanged", "older"].map(outcome),
            whole: metrics.histogram(&names::COMMIT_TO_APPLY, labels()),
            queue: metrics.histogram(&names::QUEUE, labels()),
            apply: metrics.histogram(&names::APPLY, labels()),
            topics: Arc::default(),
        }
    }

    /// The log's engine.
    #[must_use]
    pub fn system(&self) -> System {
        self.system
    }

    /// The consumer group.
    #[must_use]
    pub fn group(&self) -> &Name {
        &self.group
    }

    /// The log has handed out records of a topic; `ignored` did not count.
    pub fn received(&self, topic: &Arc<str>, events: usize, ignored: u64) {
        self.topic(topic).consumed.add(events as u64);
        self.ignored.add(ignored);
    }

    /// A transaction was committed.
    pub fn committed(&self, transaction: &Transaction<'_>) {
        let Transaction { topics, events, whole, queue, times, rows } = transaction;
        self.batches.observe(f64::from(*events));
        self.whole.add(whole);
        self.queue.add(queue);
        let took = seconds(*times);
        let mut apply = Tally::default();
        apply.seconds(took, *events);
        self.apply.add(&apply);
        for topic in *topics {
            self.topic(topic).duration.observe(took);
        }
        for (counter, count) in self.rows.iter().zip(rows) {
            counter.add(*count);
        }
    }

    fn topic(&self, topic: &Arc<str>) -> Topic {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let made = || {
            let labels = |operation| {
                vec![
                    Label::MessagingSystem(self.system),
                    Label::MessagingOperation(operation),
                    Label::MessagingDestination(Name::new(topic)),
                    Label::MessagingGroup(self.group.clone()),
                ]
            };
            let consumed = self.metrics.counter(&names::CONSUMED, labels("poll"));
            let duration = self.metrics.histogram(&names::PROCESS_DURATION, labels("process"));
            Topic { consumed, duration }
        };
        topics.entry(Arc::clone(topic)).or_insert_with(made).clone()
    }
}

impl Default for SubscriptionMeters {
    fn default() -> Self {
        Self::new(&Metrics::default(), ("none", "none"), "none", System::default())
    }
}

fn seconds((from, to): (i64, i64)) -> f64 {
    to.saturating_sub(from).max(0) as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_the_way_and_the_engines_names_are_counted_per_batch() {
        let metrics = Metrics::default();
        let mut captured = Tally::default();
        captured.between(0, 20_000);
        captured.between(0, 30_000);
        let topics = [(Arc::from("lt.a.live"), 1), (Arc::from("lt.a.live"), 1)];
        let meters = ConnectorMeters::new(&metrics, "moj.civil-status", System::Kafka);
        meters.published(&Published {
            topics: &topics,
            captured: &captured,
            asked: 0,
            append: (1_000, 3_000),
        });
        let meters =
            SubscriptionMeters::new(&metrics, ("nso.statistics", "a"), "lienthong.nso.a", System::Embedded);
        meters.received(&topics[0].0, 2, 5);
        let (whole, queue) = (captured, Tally::default());
        let times = (0, 100_000);
        meters.committed(&Transaction {
            topics: &[Arc::clone(&topics[0].0)],
            events: 2,
            whole: &whole,
            queue: &queue,
            times,
            rows: [2, 1, 0],
        });
        let text = metrics.text();
        for line in [
            "lienthong_capture_seconds_count{participant=\"moj.civil-status\"} 2",
            "lienthong_publish_seconds_count{participant=\"moj.civil-status\"} 2",
            "messaging_client_sent_messages_total{messaging_system=\"kafka\",messaging_operation_name=\"send\",messaging_destination_name=\"lt.a.live\"} 2",
            "lienthong_subscription_ignored_records_total{subscriber=\"nso.statistics\",family=\"a\"} 5",
            "lienthong_subscription_rows_total{subscriber=\"nso.statistics\",family=\"a\",outcome=\"unchanged\"} 1",
            "lienthong_commit_to_apply_seconds_sum{subscriber=\"nso.statistics\",family=\"a\"} 0.05",
            "lienthong_apply_seconds_sum{subscriber=\"nso.statistics\",family=\"a\"} 0.2",
            "messaging_process_duration_seconds_count{messaging_system=\"lienthong_embedded\",messaging_operation_name=\"process\",messaging_destination_name=\"lt.a.live\",messaging_consumer_group_name=\"lienthong.nso.a\"} 1",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\nis not in\n{text}");
        }
    }
}
