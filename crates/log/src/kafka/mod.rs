//! The Kafka engine: the only place that knows the client library.
//!
//! - Writers follow the rules in [`crate::rules`]: claims and checkpoints in `lt.positions` (one partition per participant),
//!   fences in every partition, read-back, an idempotent producer that never gives a record up by itself.
//! - Readers see what [`crate::marks::Intake`] accepts; nobody above sees fences and zombies' late records.
//! - Kafka keeps one time per record, in milliseconds: the event's own. [`crate::record::Entry::append_time`] is that time too.
//! - Calls of the library that wait for brokers run on threads of their own, never on the async runtime.

mod client;
mod config;
mod consumer;
mod consumer_thread;
mod decode;
mod held;
mod membership;
mod positions;
mod read;
mod read_back;
mod registry;
mod sender;
mod side;
mod starts;
mod tls;
mod topics;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use lienthong_contract::participant::ParticipantId;
use lienthong_contract::sink::OffsetState;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::api::{
    ConsumeOptions, Consumer, Log, LogError, Recovered, TopicPartition, Watermarks, Writer, WriterError,
};
use crate::record::LogBatch;
use crate::topic::{TopicSpec, TopicState};
use client::{Shared, Watch, not_created, try_on_thread};
pub use config::{KafkaLogin, KafkaOptions, KafkaSasl, KafkaTls, READER};

/// The log on a Kafka cluster with a schema registry. Clones share it.
#[derive(Clone)]
pub struct KafkaLog {
    shared: Arc<Shared>,
}

impl KafkaLog {
    /// Makes the clients. Nothing is asked yet: brokers and registry may be down.
    ///
    /// # Errors
    /// When a property or file of the options is not usable.
    pub fn connect(options: KafkaOptions) -> Result<Self, LogError> {
        Ok(Self { shared: Arc::new(Shared::new(options)?) })
    }

    /// Does blocking work with the clients on a thread of its own.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared, client::Wanted<'_>) -> Result<T, LogError> + Send + 'static,
    ) -> Result<T, LogError> {
        let shared = Arc::clone(&self.shared);
        try_on_thread(move |wanted| work(&shared, wanted)).await
    }
}

impl std::fmt::Debug for KafkaLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KafkaLog({})", self.shared.options.brokers)
    }
}

#[async_trait]
impl Log for KafkaLog {
    async fn open_writer(
        &self,
        participant: &ParticipantId,
        topics: &[String],
    ) -> Result<(Box<dyn Writer>, Recovered), WriterError> {
        let (writer, recovered) =
            writer::KafkaWriter::open(Arc::clone(&self.shared), participant, topics).await?;
        Ok((Box::new(writer), recovered))
    }

    async fn consume(&self, options: &ConsumeOptions) -> Result<Box<dyn Consumer>, LogError> {
        Ok(Box::new(consumer::KafkaConsumer::join(Arc::clone(&self.shared), options).await?))
    }

    async fn read(
        &self,
        source: &TopicPartition,
        state: OffsetState,
        max_bytes: usize,
    ) -> Result<LogBatch, LogError> {
        let source = source.clone();
        self.run(move |shared, wanted| read::read(shared, &source, &state, max_bytes, wanted)).await
    }

    async fn watermarks(&self, source: &TopicPartition) -> Result<Watermarks, LogError> {
        let source = source.clone();
        self.run(move |shared, _| shared.watermarks(&source)).await
    }

    async fn offset_at(&self, source: &TopicPartition, time: i64) -> Result<Option<i64>, LogError> {
        let source = source.clone();
        self.run(move |shared, _| read::offset_at(shared, &source, time)).await
    }

    async fn start_at(&self, source: &TopicPartition, wanted: i64) -> Result<OffsetState, LogError> {
        let source = source.clone();
        self.run(move |shared, waits| starts::start_at(shared, &source, wanted, waits)).await
    }

    async fn describe_topics(&self, wanted: &[TopicSpec]) -> Result<Vec<TopicState>, LogError> {
        let wanted = wanted.to_vec();
        self.run(move |shared, _| topics::describe(shared, &wanted)).await
    }

    async fn create_topics(&self, wanted: &[TopicSpec]) -> Result<(), LogError> {
        let wanted = wanted.to_vec();
        self.run(move |shared, _| topics::create(shared, &wanted)).await
    }

    async fn put(&self, topic: &str, key: &[u8], value: &[u8]) -> Result<(), LogError> {
        side::publish(&self.shared, topic, key, &[], Some(value)).await
    }

    async fn remove(&self, topic: &str, key: &[u8]) -> Result<(), LogError> {
        side::publish(&self.shared, topic, key, &[], None).await
    }

    async fn table(&self, topic: &str) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LogError> {
        let topic = topic.to_owned();
        self.run(move |shared, wanted| read::table(shared, &topic, wanted)).await
    }

    async fn publish(
        &self,
        topic: &str,
        key: &[u8],
        headers: &[(&str, &[u8])],
        value: &[u8],
    ) -> Result<(), LogError> {
        side::publish(&self.shared, topic, key, headers, Some(value)).await
    }

    async fn group_offsets(
        &self,
        group: &str,
        topics: &[String],
    ) -> Result<BTreeMap<TopicPartition, i64>, LogError> {
        let (group, topics) = (group.to_owned(), topics.to_vec());
        self.run(move |shared, _| group_offsets(shared, &group, &topics)).await
    }

    async fn schema_id(&self, topic: &str, full_name: &str, schema: &str) -> Result<u32, LogError> {
        self.shared.registry.id(topic, full_name, schema).await
    }

    async fn schema(&self, id: u32) -> Result<Arc<str>, LogError> {
        self.shared.registry.text(id).await
    }

    async fn schema_versions(&self, topic: &str, full_name: &str) -> Result<Vec<Arc<str>>, LogError> {
        self.shared.registry.versions(topic, full_name).await
    }

    async fn register_schema(&self, topic: &str, full_name: &str, schema: &str) -> Result<u32, LogError> {
        self.shared.registry.register(topic, full_name, schema).await
    }
}

/// Asks for a group's offsets without joining it.
fn group_offsets(
    shared: &Shared,
    group: &str,
    topics: &[String],
) -> Result<BTreeMap<TopicPartition, i64>, LogError> {
    let mut list = TopicPartitionList::new();
    let mut offsets = BTreeMap::new();
    for topic in topics {
        for partition in 0..shared.partitions(topic)? {
            list.add_partition(&shared.options.physical(topic), partition);
        }
    }
    let config = shared.options.member(group, 0, std::time::Duration::from_secs(10));
    let client: BaseConsumer<Watch> =
        config.create_with_context(Watch::default()).map_err(|error| not_created(&shared.options, &error))?;
    let told = client
        .committed_offsets(list, config::ANSWER)
        .map_err(|error| shared.error(group, &error, Some(client.context())))?;
    for place in told.elements() {
        if let Offset::Offset(offset) = place.offset() {
            let logical = place.topic().strip_prefix(&shared.options.prefix).unwrap_or(place.topic());
            offsets.insert(TopicPartition { topic: logical.into(), partition: place.partition() }, offset);
        }
    }
    Ok(offsets)
}
