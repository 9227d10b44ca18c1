//! Where a late reader may begin.

use std::collections::BTreeMap;

use lienthong_contract::sink::OffsetState;

use super::PositionRecord;

/// Points of one partition that valid checkpoints vouch for, fed with `lt.positions` in order. Offsets alone are no place to begin:
/// without the highest fence a reader would take a zombie's late records, and without the sequence it would ignore everything.
#[derive(Clone, Debug)]
pub struct Starts {
    topic: String,
    partition: i32,
    claims: BTreeMap<String, i64>,
    points: BTreeMap<i64, OffsetState>,
}

impl Starts {
    /// Before the first record of `lt.positions`.
    #[must_use]
    pub fn new(topic: &str, partition: i32) -> Self {
        Self { topic: topic.to_owned(), partition, claims: BTreeMap::new(), points: BTreeMap::new() }
    }

    /// Takes the record at `offset`, of whatever participant. Offsets must rise.
    pub fn observe(&mut self, offset: i64, record: PositionRecord) {
        match record {
            PositionRecord::Claim(claim) => drop(self.claims.insert(claim.participant, offset)),
            // One that stands behind a newer claim is a zombie's: what it says need not have come about.
            PositionRecord::Checkpoint(made) if self.claims.get(&made.participant) == Some(&made.epoch) => {
                if let Some(point) = made.point(&self.topic, self.partition) {
                    let state = OffsetState {
                        next_offset: point.next_offset,
                        epoch: point.epoch,
                        sequence: point.sequence,
                        fresh_through: 0,
                    };
                    self.points.insert(point.next_offset, state);
                }
            }
            PositionRecord::Checkpoint(_) => {}
        }
    }

    /// The newest place at or below `wanted` of those from which everything up to the end is still there, else the oldest of them.
    /// `low` and `high`: what the log holds. Offset 0 is a place while the log holds it.
    #[must_use]
    pub fn choose(&self, wanted: i64, (low, high): (i64, i64)) -> Option<OffsetState> {
        let zero = (low <= 0).then_some(OffsetState::START);
        if low > high {
            return zero;
        }
        let mut held = self.points.range(low..=high).map(|(_, state)| *state).peekable();
        let oldest = zero.or_else(|| held.peek().copied());
        held.take_while(|state| state.next_offset <= wanted).last().or(oldest)
    }
}
