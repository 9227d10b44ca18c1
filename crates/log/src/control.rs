//! Control records in family topics: well-formed CloudEvents with a registered schema of their own, so that other people's
//! clients can skip them by type and never fail on them.

use chrono::{DateTime, SecondsFormat, Utc};
use lienthong_contract::event::header;
use lienthong_contract::participant::ParticipantId;

use crate::record::NewRecord;

/// Full name of a fence's schema.
pub const FENCE_NAME: &str = "lienthong.Fence";
/// Full name of a heartbeat's schema.
pub const HEARTBEAT_NAME: &str = "lienthong.Heartbeat";
/// Schema of a fence's value.
pub const FENCE_SCHEMA: &str = r#"{"type":"record","name":"Fence","namespace":"lienthong","doc":"A new writer begins: records of lower epochs behind this one do not count.","fields":[{"name":"participant","type":"string"},{"name":"epoch","type":"long"},{"name":"time","type":{"type":"long","logicalType":"timestamp-micros"}}]}"#;
/// Schema of a heartbeat's value.
pub const HEARTBEAT_SCHEMA: &str = r#"{"type":"record","name":"Heartbeat","namespace":"lienthong","doc":"Everything committed at the source up to this time stands before this record.","fields":[{"name":"participant","type":"string"},{"name":"epoch","type":"long"},{"name":"time","type":{"type":"long","logicalType":"timestamp-micros"}}]}"#;

/// Full name and text of every control record's schema, for registration.
#[must_use]
pub fn schemas() -> [(&'static str, &'static str); 2] {
    [(FENCE_NAME, FENCE_SCHEMA), (HEARTBEAT_NAME, HEARTBEAT_SCHEMA)]
}

/// A control record, ready to be borrowed as a [`NewRecord`] or sent with all its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlRecord {
    /// All headers, `ce_writerepoch` and (heartbeat) `ce_partitionsequence` last.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// Framed Avro.
    pub value: Vec<u8>,
    /// Microseconds.
    pub time: i64,
}

/// What a control record says.
#[derive(Clone, Copy, Debug)]
pub struct ControlFacts<'a> {
    /// Whose writer.
    pub participant: &'a ParticipantId,
    /// Its epoch.
    pub epoch: i64,
    /// Partition it goes to: part of the id.
    pub partition: i32,
    /// Microseconds since 1970 UTC.
    pub time: i64,
    /// Id of the registered schema.
    pub schema_id: u32,
}

impl ControlRecord {
    /// Opens an epoch in one partition.
    #[must_use]
    pub fn fence(facts: &ControlFacts<'_>) -> Self {
        Self::new(header::FENCE, facts, None)
    }

    /// Keeps a quiet partition fresh; in sequence like an event.
    #[must_use]
    pub fn heartbeat(facts: &ControlFacts<'_>, sequence: u64) -> Self {
        Self::new(header::HEARTBEAT, facts, Some(sequence))
    }

    fn new(kind: &'static str, facts: &ControlFacts<'_>, sequence: Option<u64>) -> Self {
        let ControlFacts { participant, epoch, partition, time, schema_id } = *facts;
        let id = match sequence {
            Some(sequence) => format!("{kind}-{epoch}-{partition}-{sequence}"),
            None => format!("{kind}-{epoch}-{partition}"),
        };
        let mut headers = vec![
            (header::SPEC_VERSION, b"1.0".to_vec()),
            (header::ID, id.into_bytes()),
            (header::SOURCE, participant.urn().into_bytes()),
            (header::TYPE, kind.as_bytes().to_vec()),
            (header::TIME, rfc3339(time).into_bytes()),
            (header::CONTENT_TYPE, header::AVRO.as_bytes().to_vec()),
            (header::WRITER_EPOCH, epoch.to_string().into_bytes()),
        ];
        if let Some(sequence) = sequence {
            headers.push((header::PARTITION_SEQUENCE, sequence.to_string().into_bytes()));
        }
        Self { headers, value: frame(schema_id, participant.as_str(), epoch, time), time }
    }

    /// Borrows the headers for [`ControlRecord::as_new`].
    #[must_use]
    pub fn header_refs(&self) -> Vec<(&'static str, &[u8])> {
        self.headers.iter().map(|(name, value)| (*name, value.as_slice())).collect()
    }

    /// As a record to encode.
    #[must_use]
    pub fn as_new<'a>(&'a self, headers: &'a [(&'static str, &'a [u8])]) -> NewRecord<'a> {
        NewRecord { key: header::CONTROL_KEY.as_bytes(), headers, value: &self.value, time: self.time }
    }
}

/// UTC, RFC 3339, microseconds.
#[must_use]
pub fn rfc3339(time: i64) -> String {
    DateTime::<Utc>::from_timestamp_micros(time)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Confluent framing and Avro by hand: three fields do not need a codec.
fn frame(schema_id: u32, participant: &str, epoch: i64, time: i64) -> Vec<u8> {
    let mut value = vec![0];
    value.extend_from_slice(&schema_id.to_be_bytes());
    long(&mut value, participant.len() as i64);
    value.extend_from_slice(participant.as_bytes());
    long(&mut value, epoch);
    long(&mut value, time);
    value
}

fn long(to: &mut Vec<u8>, number: i64) {
    let mut zigzag = ((number << 1) ^ (number >> 63)) as u64;
    while zigzag >= 0x80 {
        to.push(zigzag as u8 | 0x80);
        zigzag >>= 7;
    }
    to.push(zigzag as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::mark_of;
    use crate::rules::{MarkKind, RecordMark};

    fn facts(participant: &ParticipantId) -> ControlFacts<'_> {
        ControlFacts { participant, epoch: 300, partition: 2, time: 1_767_225_600_000_001, schema_id: 7 }
    }

    #[test]
    fn a_control_record_is_a_cloud_event_that_the_reading_rule_understands() {
        let participant = ParticipantId::new("moj.civil-status").expect("id");
        let fence = ControlRecord::fence(&facts(&participant));
        assert_eq!(
            mark_of(fence.header_refs().iter().copied()),
            Some(RecordMark { kind: MarkKind::Fence, epoch: 300, sequence: 0 })
        );
        let heartbeat = ControlRecord::heartbeat(&facts(&participant), 9);
        let refs = heartbeat.header_refs();
        assert_eq!(
            mark_of(refs.iter().copied()),
            Some(RecordMark { kind: MarkKind::Heartbeat, epoch: 300, sequence: 9 })
        );
        for name in ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "content-type"] {
            assert!(refs.iter().any(|(known, _)| *known == name), "{name}");
        }
        assert!(refs.contains(&("ce_time", b"2026-01-01T00:00:00.000001Z".as_slice())));
        assert_eq!(heartbeat.as_new(&refs).key, b"lienthong");
    }

    #[test]
    fn the_value_is_framed_avro() {
        let participant = ParticipantId::new("a.b").expect("id");
        let value = ControlRecord::fence(&facts(&participant)).value;
        assert_eq!(&value[..9], [0, 0, 0, 0, 7, 6, b'a', b'.', b'b']);
        assert_eq!(&value[9..11], [0xd8, 0x04]);
        let mut small = Vec::new();
        for number in [0, -1, 1, -64, 64] {
            long(&mut small, number);
        }
        assert_eq!(small, [0, 1, 2, 127, 0x80, 1]);
    }
}
