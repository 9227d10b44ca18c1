//! What a batch's receipt says. The chain's hash and the applied time are the sink's.

use std::collections::BTreeSet;

use lienthong_contract::keys::{HashKey, KeyHash};
use lienthong_contract::sink::ReceiptBody;

/// Counts a batch's events.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    offsets: Option<(i64, i64)>,
    writer_epoch: i64,
    events: (u32, u32),
    times: Option<(i64, i64)>,
    subjects: BTreeSet<KeyHash>,
}

impl Tally {
    /// An event was read.
    pub(crate) fn read(&mut self, offset: i64, writer_epoch: i64, time: i64) {
        self.offsets = Some((self.offsets.map_or(offset, |known| known.0), offset));
        self.writer_epoch = writer_epoch;
        self.events.0 += 1;
        self.times = Some(self.times.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
    }

    /// It passed the filter of at least one rule: its subject goes into the receipt, as a keyed hash.
    pub(crate) fn delivered(&mut self, key: &HashKey, subject: &[u8]) {
        self.events.1 += 1;
        self.subjects.insert(key.hash(&[subject]));
    }

    /// Ends counting.
    #[must_use]
    pub(crate) fn finish(self) -> Tallied {
        Tallied {
            offsets: self.offsets,
            writer_epoch: self.writer_epoch,
            events: self.events,
            times: self.times.unwrap_or_default(),
            subjects: self.subjects.into_iter().collect(),
        }
    }
}

/// A batch's counts.
#[derive(Debug)]
pub(crate) struct Tallied {
    offsets: Option<(i64, i64)>,
    writer_epoch: i64,
    /// Events read, and of them those that a filter let pass.
    pub(crate) events: (u32, u32),
    /// First and last event time.
    pub(crate) times: (i64, i64),
    subjects: Vec<KeyHash>,
}

impl Tallied {
    /// The receipt; `None` when no event was read. A batch of which the filter let nothing pass leaves one too: it shows that
    /// these offsets were looked at.
    #[must_use]
    pub(crate) fn body<'a>(&'a self, agreement: &'a str, key_id: &'a str) -> Option<ReceiptBody<'a>> {
        Some(ReceiptBody {
            offsets: self.offsets?,
            writer_epoch: self.writer_epoch,
            events: self.events,
            times: self.times,
            agreement,
            key_id,
            subjects: &self.subjects,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_counts_events_and_distinct_subjects() {
        let key = HashKey::new([1; 32]);
        let mut tally = Tally::default();
        assert!(Tally::default().finish().body("a/1", "k").is_none());
        for (offset, time, subject) in
            [(3, 50, Some("x")), (4, 20, None), (6, 30, Some("x")), (7, 40, Some("y"))]
        {
            tally.read(offset, 2, time);
            if let Some(subject) = subject {
                tally.delivered(&key, subject.as_bytes());
            }
        }
        let tallied = tally.finish();
        let body = tallied.body("a/1", "k").expect("receipt");
        assert_eq!((body.offsets, body.writer_epoch, body.events, body.times), ((3, 7), 2, (4, 3), (20, 50)));
        assert_eq!(body.subjects.len(), 2);
    }
}
