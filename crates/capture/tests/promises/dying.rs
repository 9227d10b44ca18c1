//! A log that stops answering after so many writes, as if the connector had been killed there: the last one is done, or not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use lienthong_contract::participant::ParticipantId;
use lienthong_contract::sink::OffsetState;
use lienthong_log::embedded::EmbeddedLog;
use lienthong_log::{
    Batch, CheckpointBody, ConsumeOptions, Consumer, ForgetLeave, Log, LogBatch, LogError, Mark, Recovered,
    TopicPartition, TopicSpec, TopicState, Watermarks, Writer, WriterError,
};

/// How many writes are left.
#[derive(Clone)]
pub(crate) struct Life {
    left: Arc<AtomicUsize>,
    /// The write in which it ends is done.
    done: bool,
}

impl Life {
    pub(crate) fn of(writes: usize, done: bool) -> Self {
        Self { left: Arc::new(AtomicUsize::new(writes)), done }
    }

    /// One write, whether it is the last or after it.
    fn write(&self) -> Result<(), bool> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(1) => Err(self.done),
            Ok(_) => Ok(()),
            Err(_) => Err(false),
        }
    }
}

fn dead() -> LogError {
    LogError::Inconsistent("killed".to_owned())
}

pub(crate) struct Dying {
    pub(crate) inner: EmbeddedLog,
    pub(crate) life: Life,
}

struct DyingWriter {
    inner: Box<dyn Writer>,
    life: Life,
}

#[async_trait]
impl Writer for DyingWriter {
    async fn append(&mut self, batch: &Batch) -> Result<(), WriterError> {
        match self.life.write() {
            Ok(()) => self.inner.append(batch).await,
            Err(done) => {
                if done {
                    self.inner.append(batch).await?;
                }
                Err(dead().into())
            }
        }
    }

    async fn heartbeat(&mut self, time: i64) -> Result<(), WriterError> {
        self.inner.heartbeat(time).await
    }

    fn mark(&self) -> Mark {
        self.inner.mark()
    }

    async fn checkpoint_at(
        &mut self,
        body: &CheckpointBody,
        mark: &Mark,
    ) -> Result<ForgetLeave, WriterError> {
        match self.life.write() {
            Ok(()) => self.inner.checkpoint_at(body, mark).await,
            Err(done) => {
                if done {
                    let _leave = self.inner.checkpoint_at(body, mark).await?;
                }
                Err(dead().into())
            }
        }
    }

    async fn fenced(&mut self) -> Result<bool, WriterError> {
        self.inner.fenced().await
    }

    fn epoch(&self) -> i64 {
        self.inner.epoch()
    }
}

#[async_trait]
impl Log for Dying {
    async fn open_writer(
        &self,
        participant: &ParticipantId,
        topics: &[String],
    ) -> Result<(Box<dyn Writer>, Recovered), WriterError> {
        let (inner, recovered) = self.inner.open_writer(participant, topics).await?;
        Ok((Box::new(DyingWriter { inner, life: self.life.clone() }), recovered))
    }

    async fn consume(&self, options: &ConsumeOptions) -> Result<Box<dyn Consumer>, LogError> {
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
        match self.life.write() {
            Ok(()) => self.inner.publish(topic, key, headers, value).await,
            Err(done) => {
                if done {
                    self.inner.publish(topic, key, headers, value).await?;
                }
                Err(dead())
            }
        }
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

    async fn schema(&self, id: u32) -> Result<Arc<str>, LogError> {
        self.inner.schema(id).await
    }

    async fn schema_versions(&self, topic: &str, full_name: &str) -> Result<Vec<Arc<str>>, LogError> {
        self.inner.schema_versions(topic, full_name).await
    }

    async fn register_schema(&self, topic: &str, full_name: &str, schema: &str) -> Result<u32, LogError> {
        self.inner.register_schema(topic, full_name, schema).await
    }
}
