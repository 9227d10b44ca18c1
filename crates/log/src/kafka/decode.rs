//! From the client library's message to a record in the log's body layout.

use chrono::DateTime;
use lienthong_contract::event::header;
use rdkafka::message::{Headers as _, Message};

use crate::api::LogError;
use crate::marks::{Intake, Place, mark_of};
use crate::record::encode_parts;
use crate::rules::{MarkKind, RecordMark};

/// The rule's view of a message; `None` for one that no writer of the bus made, or that does not fit the layout.
pub(super) fn mark(message: &impl Message) -> Option<RecordMark> {
    if !fits(message) {
        return None;
    }
    mark_of(headers(message))
}

/// The first header of that name.
pub(super) fn header<'a>(message: &'a impl Message, name: &str) -> Option<&'a [u8]> {
    headers(message).find(|(known, _)| *known == name).map(|(_, value)| value)
}

fn headers(message: &impl Message) -> impl Iterator<Item = (&str, &[u8])> {
    let all = message.headers().into_iter().flat_map(|headers| headers.iter());
    all.map(|header| (header.key, header.value.unwrap_or_default()))
}

fn fits(message: &impl Message) -> bool {
    let short = |bytes: &[u8]| bytes.len() <= usize::from(u16::MAX);
    short(message.key().unwrap_or_default())
        && headers(message).all(|(name, value)| name.len() <= usize::from(u8::MAX) && short(value))
}

/// Bytes that the message's record takes in a batch, at most.
pub(super) fn size(message: &impl Message) -> usize {
    let headers: usize = headers(message).map(|(name, value)| 3 + name.len() + value.len()).sum();
    16 + headers + message.key().map_or(0, <[u8]>::len) + message.payload().map_or(0, <[u8]>::len)
}

/// Judges a message and keeps its body when it counts.
pub(super) fn take(intake: &mut Intake, body: &mut Vec<u8>, message: &impl Message) -> Result<(), LogError> {
    let mark = mark(message);
    // Kafka keeps one time per record, in milliseconds: the event's own.
    let stamp = message.timestamp().to_millis().unwrap_or_default().saturating_mul(1000);
    let time = match mark {
        Some(RecordMark { kind: MarkKind::Heartbeat, .. }) => exact_time(message).unwrap_or(stamp),
        _ => stamp,
    };
    let place = Place { offset: message.offset(), append_time: stamp, at: body.len() };
    if !intake.take(mark, time, place) {
        return Ok(());
    }
    // Epoch and sequence stand in the entry, as with the embedded engine.
    let kept: Vec<(&str, &[u8])> = headers(message)
        .filter(|(name, _)| !matches!(*name, header::WRITER_EPOCH | header::PARTITION_SEQUENCE))
        .collect();
    encode_parts(body, time, message.key().unwrap_or_default(), &kept, message.payload().unwrap_or_default())
        .map_err(|_| {
            LogError::Inconsistent(format!(
                "the record at offset {} of {}/{} has a key or header that is too long",
                message.offset(),
                message.topic(),
                message.partition()
            ))
        })
}

fn exact_time(message: &impl Message) -> Option<i64> {
    let text = std::str::from_utf8(header(message, header::TIME)?).ok()?;
    Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::TopicPartition;
    use crate::record::RecordRef;
    use lienthong_contract::sink::OffsetState;
    use rdkafka::Timestamp;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

    fn message(headers: &[(&str, &[u8])], offset: i64) -> OwnedMessage {
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(*value) }));
        let (key, value) = (Some(b"k".to_vec()), Some(b"v".to_vec()));
        OwnedMessage::new(value, key, "t".into(), Timestamp::CreateTime(7), 0, offset, Some(headers))
    }

    #[test]
    fn a_record_that_counts_is_kept_without_the_writers_headers() {
        let source = TopicPartition { topic: "lt.a.live".into(), partition: 0 };
        let mut intake = Intake::new(source, &OffsetState::START);
        let mut body = Vec::new();
        let long = vec![b'x'; 70_000];
        let messages = [
            message(&[("ce_writerepoch", b"3"), ("ce_partitionsequence", b"1"), ("ce_id", b"a")], 4),
            message(&[("ce_id", b"of nobody")], 5),
            message(&[("ce_writerepoch", b"3"), ("ce_partitionsequence", b"2"), ("ce_id", &long)], 6),
            message(&[("ce_writerepoch", b"2"), ("ce_partitionsequence", b"2"), ("ce_id", b"late")], 7),
        ];
        for message in &messages {
            take(&mut intake, &mut body, message).expect("taken");
        }
        let batch = intake.finish(body.into());
        assert_eq!((batch.entries.len(), batch.ignored, batch.next_offset), (1, 3, 8));
        let record = batch.record(&batch.entries[0]).expect("record");
        assert_eq!((record.time, record.key, record.value), (7000, b"k".as_slice(), b"v".as_slice()));
        assert_eq!(record.headers().collect::<Vec<_>>(), [("ce_id", b"a".as_slice())]);
        assert!(RecordRef::read(&batch.body, 0).is_ok());
        assert!(size(&messages[0]) >= batch.body.len());
    }
}
