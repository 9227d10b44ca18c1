//! Receipts: one row per committed batch, chained by hash, so that a changed, missing or added receipt shows.

use lienthong_contract::sink::{LanePartition, ReceiptBody};
use sha2::{Digest, Sha256};

use crate::text::hex;

/// One receipt with everything that its hash covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRow {
    /// `<subscriber>/<family>`.
    pub subscription: String,
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// First and last offset.
    pub offsets: (i64, i64),
    /// Events read and events delivered.
    pub events: (u32, u32),
    /// Writer epoch of the last record.
    pub writer_epoch: i64,
    /// First and last event time, microseconds since 1970 UTC.
    pub times: (i64, i64),
    /// When the batch was applied, microseconds since 1970 UTC.
    pub applied_at: i64,
    /// Agreement with its version.
    pub agreement: String,
    /// Names the key of `subjects`.
    pub key_id: String,
    /// The subjects' hashes, 16 bytes each, joined.
    pub subjects: Vec<u8>,
}

impl ReceiptRow {
    /// The receipt of a lane's part in a delivery that is applied at `applied_at`.
    pub(crate) fn new(lane: &LanePartition, body: &ReceiptBody<'_>, applied_at: i64) -> Self {
        Self {
            subscription: lane.subscription.clone(),
            topic: lane.topic.clone(),
            partition: lane.partition,
            offsets: body.offsets,
            events: body.events,
            writer_epoch: body.writer_epoch,
            times: body.times,
            applied_at,
            agreement: body.agreement.to_owned(),
            key_id: body.key_id.to_owned(),
            subjects: body.subjects.iter().flat_map(|subject| subject.0).collect(),
        }
    }

    /// The text that the hash covers: one `name=value` per line, fixed order, hexadecimal subjects.
    #[must_use]
    pub fn canonical(&self) -> String {
        format!(
            "lienthong-receipt/1\nsubscription={}\ntopic={}\npartition={}\nfirst_offset={}\nlast_offset={}\n\
             events_read={}\nevents_delivered={}\nwriter_epoch={}\nfirst_time={}\nlast_time={}\napplied_at={}\n\
             agreement={}\nkey_id={}\nsubjects={}\n",
            self.subscription,
            self.topic,
            self.partition,
            self.offsets.0,
            self.offsets.1,
            self.events.0,
            self.events.1,
            self.writer_epoch,
            self.times.0,
            self.times.1,
            self.applied_at,
            self.agreement,
            self.key_id,
            hex(&self.subjects),
        )
    }
}

/// SHA-256 over the previous receipt's hash (nothing for the first of a chain) and the canonical text.
#[must_use]
pub fn chain_hash(previous: Option<&[u8]>, receipt: &ReceiptRow) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(previous.unwrap_or_default());
    digest.update(receipt.canonical());
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_covers_the_previous_one_and_every_field() {
        let receipt = ReceiptRow {
            subscription: "vss.insurance/civil_status".to_owned(),
            topic: "lt.civil_status.live".to_owned(),
            partition: 3,
            offsets: (10, 19),
            events: (10, 7),
            writer_epoch: 4,
            times: (1, 2),
            applied_at: 3,
            agreement: "vss.insurance/2026-01".to_owned(),
            key_id: "0011aabb".to_owned(),
            subjects: vec![7; 16],
        };
        let first = chain_hash(None, &receipt);
        assert_ne!(first, chain_hash(Some(&first), &receipt));
        let changed = ReceiptRow { events: (10, 8), ..receipt.clone() };
        assert_ne!(first, chain_hash(None, &changed));
        assert_eq!(receipt.canonical().lines().count(), 15);
    }
}
