//! What a group decides about its members, kept until the member's thread looks.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::client::{Watch, log_line};

/// Keeps what the group decides until the thread looks.
#[derive(Default)]
pub(super) struct Group {
    pub(super) watch: Watch,
    changes: Mutex<VecDeque<Change>>,
    closing: AtomicBool,
}

/// A decision of the group; topics as the cluster names them.
pub(super) enum Change {
    Assigned(Vec<(String, i32)>),
    Revoked(Vec<(String, i32)>),
}

impl Group {
    /// What was decided since the last look.
    pub(super) fn take_changes(&self) -> VecDeque<Change> {
        std::mem::take(&mut *self.changes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From here on what is revoked is given back at once: its owner has left.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }
}

impl ClientContext for Group {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ConsumerContext for Group {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let places =
            list.elements().iter().map(|place| (place.topic().to_owned(), place.partition())).collect();
        let change = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // Says that the assignment was seen; the partitions themselves follow when they are started.
            if let Err(error) = consumer.incremental_assign(&TopicPartitionList::new()) {
                tracing::debug!(%error, "an assignment could not be taken");
            }
            Change::Assigned(places)
        } else {
            if self.closing.load(Ordering::SeqCst) {
                give_back(consumer, &started_of(consumer, &places));
            }
            Change::Revoked(places)
        };
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).push_back(change);
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        // For lag tools only: the subscriber's database decides where to go on.
        if let Err(error) = result {
            tracing::debug!(%error, "the group's offsets were not taken");
        }
    }
}

/// Those of `places` that the library reads.
pub(super) fn started_of(consumer: &BaseConsumer<Group>, places: &[(String, i32)]) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    if let Ok(assigned) = consumer.assignment() {
        for (topic, partition) in places {
            if assigned.find_partition(topic, *partition).is_some() {
                list.add_partition(topic, *partition);
            }
        }
    }
    list
}

/// Gives partitions back to the group.
pub(super) fn give_back(consumer: &BaseConsumer<Group>, list: &TopicPartitionList) {
    if let Err(error) = consumer.incremental_unassign(list) {
        tracing::debug!(%error, "a partition could not be given back");
    }
}
