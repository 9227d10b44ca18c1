//! Labels of metrics and attributes of spans: a closed set, so that nothing else can become one.

use std::fmt;
use std::sync::Arc;

/// A name out of configuration or contracts: participant, family, topic, group. Anything that has not the form of such a name becomes
/// `invalid`: capitals, blanks, letters with marks, or a long run of digits, as a number of a person has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Identification numbers have 9 or 12 digits, telephone numbers 10; a year and a serial number fit below.
const LONGEST_NUMBER: usize = 8;

impl Name {
    /// Takes what has the form of a name.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(if is_name(text) { text.into() } else { "invalid".into() })
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_name(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/".contains(&b);
    let numbers = text.split(|c: char| !c.is_ascii_digit());
    text.len() <= 200
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.contains(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(known)
        && numbers.map(str::len).max().unwrap_or(0) <= LONGEST_NUMBER
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The engine of the log, as `messaging.system` names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum System {
    /// Apache Kafka.
    Kafka,
    /// The embedded engine.
    #[default]
    Embedded,
}

/// One label with its value. Texts are names of configuration or constants of the program, never data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// Publishing participant.
    Participant(Name),
    /// Subscriber.
    Subscriber(Name),
    /// Family of events.
    Family(Name),
    /// Event type.
    Event(Name),
    /// The site, as Kafka's dashboards call a cluster.
    Cluster(Name),
    /// Consumer group.
    Group(Name),
    /// Topic.
    Topic(Name),
    /// Partition.
    Partition(i32),
    /// One of a closed set of states.
    State(&'static str),
    /// One of a closed set of outcomes.
    Outcome(&'static str),
    /// The program's version.
    Version(&'static str),
    /// Engine, by OpenTelemetry's name.
    MessagingSystem(System),
    /// Operation on the engine, by OpenTelemetry's name.
    MessagingOperation(&'static str),
    /// Topic, by OpenTelemetry's name.
    MessagingDestination(Name),
    /// Partition, by OpenTelemetry's name.
    MessagingPartition(i32),
    /// Consumer group, by OpenTelemetry's name.
    MessagingGroup(Name),
    /// Offset of a record. Spans only.
    MessagingOffset(i64),
    /// A subject's hash under a key that only the site holds. Spans only.
    Subject([u8; 16]),
}

impl Label {
    /// The attribute's name in a span.
    #[must_use]
    pub fn attribute(&self) -> &'static str {
        match self {
            Self::Participant(_) => "lienthong.participant",
            Self::Subscriber(_) => "lienthong.subscriber",
            Self::Family(_) => "lienthong.family",
            Self::Event(_) => "lienthong.event",
            Self::Cluster(_) => "lienthong.site",
            Self::State(_) => "lienthong.state",
            Self::Outcome(_) => "lienthong.outcome",
            Self::Version(_) => "lienthong.version",
            Self::Subject(_) => "lienthong.subject_hash",
            Self::MessagingSystem(_) => "messaging.system",
            Self::MessagingOperation(_) => "messaging.operation.name",
            Self::Topic(_) | Self::MessagingDestination(_) => "messaging.destination.name",
            Self::Partition(_) | Self::MessagingPartition(_) => "messaging.destination.partition.id",
            Self::Group(_) | Self::MessagingGroup(_) => "messaging.consumer.group.name",
            Self::MessagingOffset(_) => "messaging.kafka.offset",
        }
    }

    /// The label's name in a metric.
    #[must_use]
    pub fn key(&self) -> &'static str {
        match self {
            Self::Participant(_) => "participant",
            Self::Subscriber(_) => "subscriber",
            Self::Family(_) => "family",
            Self::Event(_) => "event",
            Self::Cluster(_) => "cluster_name",
            Self::Group(_) => "group",
            Self::Topic(_) => "topic",
            Self::Partition(_) => "partition",
            Self::State(_) => "state",
            Self::Outcome(_) => "outcome",
            Self::Version(_) => "version",
            Self::Subject(_) => "subject_hash",
            Self::MessagingSystem(_) => "messaging_system",
            Self::MessagingOperation(_) => "messaging_operation_name",
            Self::MessagingDestination(_) => "messaging_destination_name",
            Self::MessagingPartition(_) => "messaging_destination_partition_id",
            Self::MessagingGroup(_) => "messaging_consumer_group_name",
            Self::MessagingOffset(_) => "messaging_kafka_offset",
        }
    }

    /// The value as text.
    #[must_use]
    pub fn value(&self) -> String {
        match self {
            Self::Participant(name)
            | Self::Subscriber(name)
            | Self::Family(name)
            | Self::Event(name)
            | Self::Cluster(name)
            | Self::Group(name)
            | Self::Topic(name)
            | Self::MessagingDestination(name)
            | Self::MessagingGroup(name) => name.as_str().to_owned(),
            Self::Partition(number) | Self::MessagingPartition(number) => number.to_string(),
            Self::MessagingOffset(number) => number.to_string(),
            Self::State(word)
            | Self::Outcome(word)
            | Self::Version(word)
            | Self::MessagingOperation(word) => (*word).to_owned(),
            Self::MessagingSystem(System::Kafka) => "kafka".to_owned(),
            Self::MessagingSystem(System::Embedded) => "lienthong_embedded".to_owned(),
            Self::Subject(hash) => hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_configuration_pass_and_values_of_people_do_not() {
        for name in [
            "moj.civil-status",
            "lt.case.hanoi.live",
            "lienthong.nso.statistics.admin_unit",
            "site-2026",
            "01.hanoi",
        ] {
            assert_eq!(Name::new(name).as_str(), name);
        }
        for value in
            ["Nguyễn Văn A", "nguyễn", "001090012345", "pin:001090012345", "so-0912345678", "a b", "", "A"]
        {
            assert_eq!(Name::new(value).as_str(), "invalid", "{value}");
        }
    }
}
