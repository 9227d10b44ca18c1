//! A log whose topics are held against their contracts before anybody writes or consumes them: a topic that differs is reported, and
//! one whose difference endangers a promise is not used.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use lienthong_contract::participant::ParticipantId;
use lienthong_contract::sink::OffsetState;

use crate::api::{
    ConsumeOptions, Consumer, Log, LogError, Recovered, TopicPartition, Watermarks, Writer, WriterError,
};
use crate::record::LogBatch;
use crate::topic::{TopicSpec, TopicState, judge};

/// Topics that every process uses besides those that it asks for.
const COMMON: [&str; 2] = ["lt.positions", "lt.status"];

/// See the module. Everything but the opening of writers and consumers passes through.
pub struct CheckedLog {
    inner: Arc<dyn Log>,
    specs: BTreeMap<String, TopicSpec>,
    /// Harmless differences that were told already.
    told: Mutex<BTreeSet<String>>,
}

impl CheckedLog {
    /// `specs`: every topic of the site, as contracts want it.
    #[must_use]
    pub fn new(inner: Arc<dyn Log>, specs: Vec<TopicSpec>) -> Self {
        let specs = specs.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        Self { inner, specs, told: Mutex::default() }
    }

    async fn check(&self, names: &[String], own: Option<&str>) -> Result<(), LogError> {
        let mut wanted = Vec::new();
        for name in names {
            let spec = self.specs.get(name).ok_or_else(|| LogError::Topic {
                problem: format!("no contract says how {name} should be"),
                fix: "name its family in the catalogue".into(),
            })?;
            wanted.push(spec.clone());
        }
        wanted.extend(COMMON.into_iter().chain(own).filter_map(|name| self.specs.get(name)).cloned());
        for difference in judge(self.inner.describe_topics(&wanted).await?)? {
            let text = difference.to_string();
            if self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(text.clone()) {
                tracing::warn!(difference = text, "a topic is not as its contract says; no promise suffers");
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Log for CheckedLog {
    async fn open_writer(
        &self,
        participant: &ParticipantId,
        topics: &[String],
    ) -> Result<(Box<dyn Writer>, Recovered), WriterError> {
        self.check(topics, Some(&format!("lt.quarantine.{participant}"))).await?;
        self.inner.open_writer(participant, topics).await
    }

    async fn consume(&self, options: &ConsumeOptions) -> Result<Box<dyn Consumer>, LogError> {
        self.check(&options.topics, None).await?;
        self.inner.consume(options).await
    }

    async fn read(
        &self,
        source: &TopicPartition,
        state: OffsetState,
        max_bytes: usize,
    ) -> Result<LogBatch, LogError> {
        self.inner.read(source, state, max_bytes).await
    }

    async fn watermarks(&self, source: &TopicPartition) -> Result<Watermarks, LogError> {
        self.inner.watermarks(source).await
    }

    async fn offset_at(&self, source: &TopicPartition, time: i64) -> Result<Option<i64>, LogError> {
        self.inner.offset_at(source, time).await
    }

    async fn start_at(&self, source: &TopicPartition, wanted: i64) -> Result<OffsetState, LogError> {
        self.inner.start_at(source, wanted).await
    }

    async fn describe_topics(&self, wanted: &[TopicSpec]) -> Result<Vec<TopicState>, LogError> {
        self.inner.describe_topics(wanted).await
    }

    async fn create_topics(&self, wanted: &[TopicSpec]) -> Result<(), LogError> {
        self.inner.create_topics(wanted).await
    }

    async fn put(&self, topic: &str, key: &[u8], value: &[u8]) -> Result<(), LogError> {
        self.inner.put(topic, key, value).await
    }

    async fn remove(&self, topic: &str, key: &[u8]) -> Result<(), LogError> {
        self.inner.remove(topic, key).await
    }

    async fn table(&self, topic: &str) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LogError> {
        self.inner.table(topic).await
    }

    async fn publish(
        &self,
        topic: &str,
        key: &[u8],
        headers: &[(&str, &[u8])],
        value: &[u8],
    ) -> Result<(), LogError> {
        self.inner.publish(topic, key, headers, value).await
    }

    async fn group_offsets(
        &self,
        group: &str,
        topics: &[String],
    ) -> Result<BTreeMap<TopicPartition, i64>, LogError> {
        self.inner.group_offsets(group, topics).await
    }

    async fn schema_id(&self, topic: &str, full_name: &str, schema: &str) -> Result<u32, LogError> {
        self.inner.schema_id(topic, full_name, schema).await
    }

    async fn schema_versions(&self, topic: &str, full_name: &str) -> Result<Vec<Arc<str>>, LogError> {
        self.inner.schema_versions(topic, full_name).await
    }

    async fn schema(&self, id: u32) -> Result<Arc<str>, LogError> {
        self.inner.schema(id).await
    }

    async fn register_schema(&self, topic: &str, full_name: &str, schema: &str) -> Result<u32, LogError> {
        self.inner.register_schema(topic, full_name, schema).await
    }
}
