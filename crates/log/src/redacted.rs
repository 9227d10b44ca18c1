//! `Debug` of what holds records or a source's position: places and lengths, so that no error, assertion or panic can show a value.

use std::fmt;

use crate::api::CheckpointBody;
use crate::record::{LogBatch, PartitionBody};

impl fmt::Debug for PartitionBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionBody({:?}, {} records of {} bytes)", self.target, self.count, self.body.len())
    }
}

impl fmt::Debug for LogBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (records, bytes) = (self.entries.len(), self.body.len());
        write!(
            f,
            "LogBatch({:?} from {} to {}, {records} records of {bytes} bytes, {} ignored, epoch {}, sequence {})",
            self.source, self.from_offset, self.next_offset, self.ignored, self.epoch, self.sequence
        )
    }
}

/// A position may hold the key of a row.
impl fmt::Debug for CheckpointBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointBody")
            .field("position", &self.position())
            .field("lineage_epoch", &self.lineage_epoch)
            .field("counter", &self.counter)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use lienthong_contract::position::Lineage;

    use super::*;
    use crate::api::{Delivered, Recovered, TopicPartition};
    use crate::record::{Batch, NewRecord};

    #[test]
    fn nothing_that_holds_records_or_a_position_shows_what_is_in_it() {
        let key = b"001085730194";
        let target = TopicPartition { topic: "lt.population.live".into(), partition: 3 };
        let mut batch = Batch::default();
        let record = NewRecord { key, headers: &[("ce_subject", key)], value: key, time: 1 };
        batch.push(&target, &record).expect("it is short");
        let read = LogBatch {
            source: target,
            body: batch.parts[0].body.clone().into(),
            entries: Vec::new(),
            from_offset: 1,
            next_offset: 2,
            epoch: 5,
            sequence: 7,
            ignored: 0,
            heartbeat: None,
        };
        let checkpoint = CheckpointBody {
            position: r#"{"after":["001085730194"]}"#.to_owned(),
            lineage: Lineage { parts: Vec::new() },
            lineage_epoch: 1,
            counter: 9,
        };
        let recovered = Recovered {
            epoch: 1,
            checkpoint: Some(checkpoint),
            collected: HashSet::new(),
            mark: crate::Mark::default(),
            partitions: BTreeMap::new(),
        };
        let shown = format!("{batch:?} {:?} {recovered:?}", Delivered::Records(read));
        assert!(shown.contains("lt.population.live"), "{shown}");
        for value in ["001085730194", "48, 48, 49, 48, 56"] {
            assert!(!shown.contains(value), "{shown}");
        }
    }
}
