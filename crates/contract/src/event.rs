//! What an event carries beside its data: CloudEvents attributes as Kafka headers, in binary mode.

use lienthong_schemas::digits;

/// Header names, as CloudEvents' Kafka binding and its extensions spell them.
pub mod header {
    /// Always `1.0`.
    pub const SPEC_VERSION: &str = "ce_specversion";
    /// Pure function of lineage, source position and `publishes` entry.
    pub const ID: &str = "ce_id";
    /// `urn:lienthong:<participant>`.
    pub const SOURCE: &str = "ce_source";
    /// The event's name.
    pub const TYPE: &str = "ce_type";
    /// The subject key.
    pub const SUBJECT: &str = "ce_subject";
    /// Commit time at the source, RFC 3339 UTC, microseconds.
    pub const TIME: &str = "ce_time";
    /// Time of capture.
    pub const RECORDED_TIME: &str = "ce_recordedtime";
    /// insert, update, delete, snapshot, rekey.
    pub const OPERATION: &str = "ce_operation";
    /// The order that every guard uses; sorts as text.
    pub const SEQUENCE: &str = "ce_sequence";
    /// Dense per participant, topic and partition over accepted records.
    pub const PARTITION_SEQUENCE: &str = "ce_partitionsequence";
    /// The offset of the writer's claim.
    pub const WRITER_EPOCH: &str = "ce_writerepoch";
    /// Dossier.
    pub const CORRELATION_ID: &str = "ce_correlationid";
    /// The event that led to this one.
    pub const CAUSATION_ID: &str = "ce_causationid";
    /// The transaction that the change was made in, where the source knows its place: its events have one and the same.
    pub const TRANSACTION_ID: &str = "ce_transactionid";
    /// Which of the transaction's events it is, from 1 on, over all topics.
    pub const TRANSACTION_ORDER: &str = "ce_transactionorder";
    /// How many events the transaction has; the last one alone says it.
    pub const TRANSACTION_COUNT: &str = "ce_transactioncount";
    /// What the source checks found odd: `rule@field`, joined by commas; absent when nothing was. Never a value.
    pub const QUALITY_FLAGS: &str = "ce_qualityflags";
    /// Fields whose values were looked up, joined by commas: they are of a later position than the event's; absent when none was.
    pub const LOOKUP: &str = "lt_lookup";
    /// Media type of the value.
    pub const CONTENT_TYPE: &str = "content-type";
    /// W3C trace context.
    pub const TRACE_PARENT: &str = "traceparent";
    /// Value of [`CONTENT_TYPE`].
    pub const AVRO: &str = "application/avro";
    /// Type of the control record that fences a partition.
    pub const FENCE: &str = "lienthong.fence";
    /// Type of the control record that keeps a quiet partition fresh.
    pub const HEARTBEAT: &str = "lienthong.heartbeat";
    /// Key of every control record.
    pub const CONTROL_KEY: &str = "lienthong";
}

/// `ce_operation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The record came into being.
    Insert,
    /// The record changed.
    Update,
    /// The record is gone; the event carries its last known row.
    Delete,
    /// The record was there already at first load. Procedures ignore it.
    Snapshot,
    /// The record goes on under another subject.
    Rekey,
}

impl Operation {
    /// The header's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Snapshot => "snapshot",
            Self::Rekey => "rekey",
        }
    }

    /// Reads the header's text.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        [Self::Insert, Self::Update, Self::Delete, Self::Snapshot, Self::Rekey]
            .into_iter()
            .find(|operation| operation.as_str().as_bytes() == text)
    }
}

/// The two roads of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// What happens now.
    Live,
    /// First load, digitisation, recodes.
    Bulk,
}

impl Lane {
    /// The last part of the topic's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Bulk => "bulk",
        }
    }

    /// `lt.<stem>.<lane>`; the stem is a family, or a family and a publisher where each has topics of its own.
    #[must_use]
    pub fn topic(self, stem: &str) -> String {
        format!("lt.{stem}.{}", self.as_str())
    }
}

/// Appends `ce_sequence` of an outbox event: writer epoch and a counter kept in the checkpoint, zero-padded.
pub fn outbox_sequence(lineage_epoch: u32, writer_epoch: i64, counter: u64, out: &mut String) {
    digits::decimal(u64::from(lineage_epoch), 6, out);
    // An epoch is an offset, which is never negative.
    for part in [writer_epoch.unsigned_abs(), counter] {
        out.push('-');
        digits::decimal(part, 16, out);
    }
}

/// Appends `ce_transactionid`: lineage and the place of the commit in its database's log.
pub fn transaction_id(lineage_epoch: u32, lsn: u64, out: &mut String) {
    digits::decimal(u64::from(lineage_epoch), 6, out);
    out.push('-');
    digits::hex(lsn, 16, out);
}

/// Appends `ce_sequence` of an event whose source knows the place of a change in its database's log. Sorts among its own kind only: a source
/// that changes from one kind of sequence to the other is another lineage.
pub fn log_sequence(lineage_epoch: u32, lsn: u64, index: u32, out: &mut String) {
    transaction_id(lineage_epoch, lsn, out);
    out.push('-');
    digits::decimal(u64::from(index), 10, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_of_places_sorts_as_text_by_lineage_then_place_then_change() {
        let places =
            [(1, 9, 10), (1, 0xa, 2), (1, 0xa, 10), (1, 0x10, 0), (1, u64::MAX, u32::MAX), (2, 0, 0)];
        let order = places.map(|(lineage, lsn, index)| {
            let mut out = String::new();
            log_sequence(lineage, lsn, index, &mut out);
            out
        });
        let mut sorted = order.clone();
        sorted.sort();
        assert_eq!(order, sorted);
    }

    fn outbox(lineage: u32, writer: i64, counter: u64) -> String {
        let mut out = String::new();
        outbox_sequence(lineage, writer, counter, &mut out);
        out
    }

    #[test]
    fn a_sequence_sorts_as_text_by_lineage_then_writer_then_counter() {
        let mut order = vec![outbox(2, 1, 1), outbox(1, 10, 1), outbox(1, 9, 10), outbox(1, 9, 9)];
        order.sort();
        assert_eq!(order, [outbox(1, 9, 9), outbox(1, 9, 10), outbox(1, 10, 1), outbox(2, 1, 1)]);
    }
}
