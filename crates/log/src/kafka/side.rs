//! Side topics: newest value per key, and records without order promises.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};

use super::client::{Shared, Watch, drop_on_thread, fatal_refusal, missing, not_created, try_on_thread};
use crate::api::LogError;
use crate::marks::is_family_topic;

/// One producer for all side topics, made at the first use.
#[derive(Default)]
pub(super) struct SideProducer {
    producer: Mutex<Option<(FutureProducer<Watch>, Watch)>>,
    /// Topics that were there: a producer would wait half a minute for a missing one.
    known: Mutex<BTreeSet<String>>,
}

impl SideProducer {
    fn get(&self, shared: &Shared) -> Result<(FutureProducer<Watch>, Watch), LogError> {
        let mut held = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*held {
            return Ok(made.clone());
        }
        let watch = Watch::default();
        let producer = shared
            .options
            .side_producer()
            .create_with_context(watch.clone())
            .map_err(|error| not_created(&shared.options, &error))?;
        Ok(held.insert((producer, watch)).clone())
    }

    /// After an error that this producer cannot get over; the next use makes another one.
    fn give_up(&self) {
        let gone = self.producer.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop_on_thread(gone);
    }
}

/// The topic must exist.
async fn check(shared: &Arc<Shared>, topic: &str) -> Result<(), LogError> {
    if shared.side.known.lock().unwrap_or_else(PoisonError::into_inner).contains(topic) {
        return Ok(());
    }
    let (log, name) = (Arc::clone(shared), topic.to_owned());
    try_on_thread(move |_| log.partitions(&name)).await?;
    shared.side.known.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.to_owned());
    Ok(())
}

/// Sends one record and waits until it is durable. Without a value it takes the key out of a compacted topic.
pub(super) async fn publish(
    shared: &Arc<Shared>,
    topic: &str,
    key: &[u8],
    headers: &[(&str, &[u8])],
    value: Option<&[u8]>,
) -> Result<(), LogError> {
    if is_family_topic(topic) {
        return Err(LogError::Refused(format!(
            "{topic} is a family topic: only its owner's writer may write it"
        )));
    }
    check(shared, topic).await?;
    let (producer, watch) = shared.side.get(shared)?;
    let physical = shared.options.physical(topic);
    let mut all = OwnedHeaders::new_with_capacity(headers.len());
    for (key, value) in headers {
        all = all.insert(Header { key, value: Some(*value) });
    }
    let mut record = FutureRecord::to(&physical).key(key).headers(all);
    record.payload = value;
    // The record comes back with the error; it is dropped, never shown.
    let Err((error, _record)) = producer.send(record, Duration::from_secs(20)).await else { return Ok(()) };
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
            Err(missing(topic))
        }
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
            Err(LogError::Inconsistent(format!("a record for {topic} is larger than the brokers take")))
        }
        code => {
            if let Some(reason) = fatal_refusal(producer.client()) {
                shared.side.give_up();
                return Err(LogError::Refused(format!("{topic}: {reason}")));
            }
            if code == Some(RDKafkaErrorCode::Fatal) {
                shared.side.give_up();
            }
            Err(shared.error(topic, &error, Some(&watch)))
        }
    }
}
