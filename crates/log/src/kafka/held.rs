//! The partitions of a group's member: their states, records that are not handed out yet, and how many bytes those take.

use lienthong_contract::sink::OffsetState;
use rdkafka::message::Message;

use super::decode;
use crate::api::{LogError, TopicPartition};
use crate::marks::{Intake, state_after};
use crate::record::LogBatch;

/// A partition of this member.
pub(super) struct Held {
    pub(super) source: TopicPartition,
    /// Topic as the cluster names it.
    pub(super) physical: String,
    /// Behind the records that were handed out; `None` until the owner has said where to start.
    state: Option<OffsetState>,
    pub(super) paused: bool,
    /// Read, but not handed out yet.
    ready: Option<(Intake, Vec<u8>)>,
}

impl Held {
    /// State behind the records that were handed out; `None` until the owner has said where to start.
    pub(super) fn state(&self) -> Option<OffsetState> {
        self.state
    }

    /// Offset that is fetched next.
    pub(super) fn next_offset(&self) -> Option<i64> {
        let handed_out = self.state?.next_offset;
        Some(self.ready.as_ref().map_or(handed_out, |(intake, _)| intake.next_offset()))
    }

    fn ready_bytes(&self) -> usize {
        self.ready.as_ref().map_or(0, |(_, body)| body.len())
    }
}

/// All partitions of a member. The only place where records that stand ready come and go, so that their bytes are counted right.
#[derive(Default)]
pub(super) struct Holding {
    all: Vec<Held>,
    /// Sum of the bodies that stand ready.
    ready_bytes: usize,
    turn: usize,
}

impl Holding {
    /// A partition is this member's now.
    pub(super) fn add(&mut self, source: TopicPartition, physical: String) {
        self.all.push(Held { source, physical, state: None, paused: false, ready: None });
    }

    /// A partition goes, and with it what stood ready.
    pub(super) fn remove(&mut self, physical: &str, partition: i32) -> Option<TopicPartition> {
        let index = self.position(physical, partition)?;
        self.clear(index);
        Some(self.all.remove(index).source)
    }

    /// Index of a partition by its name above the log.
    pub(super) fn find(&self, source: &TopicPartition) -> Option<usize> {
        self.all.iter().position(|held| held.source == *source)
    }

    pub(super) fn get(&self, index: usize) -> Option<&Held> {
        self.all.get(index)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.all.iter()
    }

    pub(super) fn set_paused(&mut self, index: usize, paused: bool) {
        if let Some(held) = self.all.get_mut(index) {
            held.paused = paused;
        }
    }

    /// What stood ready goes; records count again from `state` on, with `None` not before the next start.
    pub(super) fn restart(&mut self, index: usize, state: Option<OffsetState>) {
        self.clear(index);
        if let Some(held) = self.all.get_mut(index) {
            held.state = state;
        }
    }

    /// Takes a message of any partition; of one that is not held or not started nothing is kept.
    pub(super) fn take(&mut self, message: &impl Message) -> Result<(), LogError> {
        let Some(index) = self.position(message.topic(), message.partition()) else { return Ok(()) };
        let held = &mut self.all[index];
        let Some(state) = held.state else { return Ok(()) };
        let (intake, body) =
            held.ready.get_or_insert_with(|| (Intake::new(held.source.clone(), &state), Vec::new()));
        // Fetched before a pause, and now again.
        if message.offset() < intake.next_offset() {
            return Ok(());
        }
        let before = body.len();
        let taken = decode::take(intake, body, message);
        self.ready_bytes += body.len() - before;
        taken
    }

    /// The next batch that stands ready; each partition has its turn.
    pub(super) fn hand_out(&mut self) -> Option<LogBatch> {
        let count = self.all.len();
        let index = (0..count).map(|step| (self.turn + step) % count).find(|index| {
            let held = &self.all[*index];
            held.ready.is_some() && !held.paused
        })?;
        self.turn = index + 1;
        let held = &mut self.all[index];
        self.ready_bytes -= held.ready_bytes();
        let (intake, body) = held.ready.take()?;
        let batch = intake.finish(body.into());
        held.state = held.state.map(|state| state_after(&state, &batch));
        Some(batch)
    }

    /// Bytes of what is read but not handed out.
    pub(super) fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    fn position(&self, physical: &str, partition: i32) -> Option<usize> {
        self.all.iter().position(|held| held.source.partition == partition && held.physical == physical)
    }

    fn clear(&mut self, index: usize) {
        if let Some(held) = self.all.get_mut(index) {
            self.ready_bytes -= held.ready_bytes();
            held.ready = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::Timestamp;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

    fn message(partition: i32, offset: i64, kind: &str, sequence: u64) -> OwnedMessage {
        let sequence = sequence.to_string();
        let named = [
            ("ce_type", kind.as_bytes()),
            ("ce_writerepoch", b"3".as_slice()),
            ("ce_partitionsequence", sequence.as_bytes()),
        ];
        let headers = named
            .into_iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }));
        let (key, value) = (Some(b"k".to_vec()), Some(vec![7; 40]));
        OwnedMessage::new(
            value,
            key,
            "p.lt.a.live".into(),
            Timestamp::CreateTime(7),
            partition,
            offset,
            Some(headers),
        )
    }

    fn place(partition: i32) -> TopicPartition {
        TopicPartition { topic: "lt.a.live".into(), partition }
    }

    /// Two partitions, both started, with `each` events, a heartbeat and an ignored record each.
    fn filled(each: i64) -> Holding {
        let mut holding = Holding::default();
        for partition in 0..2 {
            holding.add(place(partition), "p.lt.a.live".into());
            holding.restart(partition as usize, Some(OffsetState::START));
            for offset in 0..each {
                holding.take(&message(partition, offset, "test.happened", offset as u64 + 1)).expect("taken");
            }
            holding.take(&message(partition, each, "lienthong.heartbeat", each as u64 + 1)).expect("taken");
            holding.take(&message(partition, each + 1, "test.happened", 900)).expect("a hole");
        }
        holding
    }

    #[test]
    fn what_was_handed_out_stands_ready_no_more_whatever_kind_it_was() {
        let mut holding = filled(100);
        let bodies: usize = {
            let mut copy = filled(100);
            std::iter::from_fn(|| copy.hand_out()).map(|batch| batch.body.len()).sum()
        };
        assert!(bodies > 0);
        assert_eq!(holding.ready_bytes(), bodies);
        while holding.hand_out().is_some() {}
        assert_eq!(holding.ready_bytes(), 0);
        holding.take(&message(0, 102, "lienthong.heartbeat", 102)).expect("taken");
        assert_eq!(holding.ready_bytes(), 0, "no body");
        assert!(holding.hand_out().is_some_and(|batch| batch.heartbeat.is_some()));
    }

    #[test]
    fn a_partition_that_goes_or_starts_anew_takes_its_bytes_along() {
        let mut holding = filled(10);
        let half = holding.ready_bytes() / 2;
        assert_eq!(holding.remove("p.lt.a.live", 0), Some(place(0)));
        assert_eq!(holding.ready_bytes(), half);
        // Retention has passed: nothing counts until the next start.
        holding.restart(0, None);
        assert_eq!(holding.ready_bytes(), 0);
        holding.take(&message(1, 50, "test.happened", 1)).expect("not started");
        assert_eq!((holding.ready_bytes(), holding.get(0).and_then(Held::next_offset)), (0, None));
    }
}
