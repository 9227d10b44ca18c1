//! Faults around the real sink and the real consumer: what is wrapped still does all the work.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lienthong_contract::participant::ParticipantId;
use lienthong_contract::sink::{Applied, Delivery, LanePartition, OffsetState, Sink, SinkError};
use lienthong_log::{
    ConsumeOptions, Consumer, Delivered, Log, LogBatch, LogError, Recovered, TopicPartition, TopicSpec,
    TopicState, Watermarks, Writer, WriterError,
};
use lienthong_router::SinkFactory;

/// What goes wrong in all sinks of one factory.
#[derive(Default)]
pub struct SinkFaults {
    /// So many calls fail before anything is done.
    pub busy_before: AtomicUsize,
    /// So many transactions are committed, but the answer is lost.
    pub busy_after: AtomicUsize,
    /// Every call fails until this is taken back.
    pub down: AtomicBool,
    /// Transactions are held back for so many milliseconds before they begin.
    pub delay: AtomicUsize,
    /// The next transaction holds its thread for so many milliseconds before it begins, as a frozen process would.
    pub freeze: AtomicUsize,
    /// Transactions are held back before they begin until this is taken back.
    pub hold: AtomicBool,
    /// Transactions that are held back.
    pub held: AtomicUsize,
    /// Most partitions that one transaction was to move.
    pub together: AtomicUsize,
    /// Transactions that the database has committed.
    pub committed: AtomicUsize,
    /// Transactions that found another worker's offset row.
    pub fenced: AtomicUsize,
}

pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_one(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn busy(reason: &str) -> SinkError {
    SinkError::Busy { target: "vss.insurance".into(), reason: reason.into() }
}

impl SinkFaults {
    /// Sinks with these faults around those of `inner`.
    pub fn around(self: &Arc<Self>, inner: SinkFactory) -> SinkFactory {
        let faults = Arc::clone(self);
        Arc::new(move || Box::new(FaultySink { inner: inner(), faults: Arc::clone(&faults) }))
    }

    fn before(&self) -> Result<(), SinkError> {
        if self.down.load(Ordering::SeqCst) || take_one(&self.busy_before) {
            return Err(busy("connection refused"));
        }
        Ok(())
    }
}

struct FaultySink {
    inner: Box<dyn Sink>,
    faults: Arc<SinkFaults>,
}

#[async_trait]
impl Sink for FaultySink {
    async fn check(&mut self) -> Result<(), SinkError> {
        self.inner.check().await
    }

    async fn offset(&mut self, lane: &LanePartition) -> Result<Option<OffsetState>, SinkError> {
        self.faults.before()?;
        self.inner.offset(lane).await
    }

    async fn apply(&mut self, delivery: &Delivery<'_>) -> Result<Applied, SinkError> {
        self.faults.before()?;
        let delay = self.faults.delay.load(Ordering::SeqCst);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay as u64)).await;
        }
        let freeze = self.faults.freeze.swap(0, Ordering::SeqCst);
        if freeze > 0 {
            std::thread::sleep(Duration::from_millis(freeze as u64));
        }
        self.faults.held.fetch_add(1, Ordering::SeqCst);
        while self.faults.hold.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.faults.held.fetch_sub(1, Ordering::SeqCst);
        self.faults.together.fetch_max(delivery.lanes.len(), Ordering::SeqCst);
        let applied = self.inner.apply(delivery).await;
        if matches!(applied, Err(SinkError::Fenced)) {
            self.faults.fenced.fetch_add(1, Ordering::SeqCst);
        }
        let applied = applied?;
        self.faults.committed.fetch_add(1, Ordering::SeqCst);
        if take_one(&self.faults.busy_after) {
            return Err(busy("connection reset after commit"));
        }
        Ok(applied)
    }
}

/// What a consumer hands out, and what goes wrong with it.
#[derive(Default)]
pub struct LogFaults {
    /// Bytes handed out.
    pub handed: AtomicI64,
    /// Events handed out.
    pub events: AtomicUsize,
    /// Times that a partition was held back.
    pub pauses: AtomicUsize,
    /// So many questions for the next thing fail.
    pub unreachable: AtomicUsize,
    /// Retention passes the next partition that is started.
    pub expire: AtomicBool,
    /// Changes every batch before it is handed out.
    pub spoil: Mutex<Option<fn(&mut LogBatch)>>,
}

/// The real log with [`LogFaults`] in its consumers.
pub struct FaultyLog {
    pub inner: Arc<dyn Log>,
    pub faults: Arc<LogFaults>,
}

struct FaultyConsumer {
    inner: Box<dyn Consumer>,
    faults: Arc<LogFaults>,
    expired: Option<TopicPartition>,
}

#[async_trait]
impl Consumer for FaultyConsumer {
    async fn next(&mut self, at_most: Duration) -> Result<Option<Delivered>, LogError> {
        if take_one(&self.faults.unreachable) {
            return Err(LogError::Unreachable { address: "broker".into(), reason: "no answer".into() });
        }
        if let Some(source) = self.expired.take() {
            return Ok(Some(Delivered::Expired { source, wanted: 0, low: 5 }));
        }
        let mut next = self.inner.next(at_most).await?;
        if let Some(Delivered::Records(batch)) = &mut next {
            self.faults.handed.fetch_add(batch.body.len() as i64, Ordering::SeqCst);
            self.faults.events.fetch_add(batch.entries.len(), Ordering::SeqCst);
            if let Some(spoil) = *locked(&self.faults.spoil) {
                spoil(batch);
            }
        }
        Ok(next)
    }

    async fn start(&mut self, source: &TopicPartition, state: OffsetState) -> Result<(), LogError> {
        if self.faults.expire.swap(false, Ordering::SeqCst) {
            self.expired = Some(source.clone());
            return Ok(());
        }
        self.inner.start(source, state).await
    }

    async fn pause(&mut self, source: &TopicPartition) -> Result<(), LogError> {
        self.faults.pauses.fetch_add(1, Ordering::SeqCst);
        self.inner.pause(source).await
    }

    async fn resume(&mut self, source: &TopicPartition) -> Result<(), LogError> {
        self.inner.resume(source).await
    }

    async fn commit(&mut self, source: &TopicPartition, next_offset: i64) -> Result<(), LogError> {
        self.inner.commit(source, next_offset).await
    }

    async fn leave(&mut self) -> Result<(), LogError> {
        self.inner.leave().await
    }
}

#[async_trait]
impl Log for FaultyLog {
    async fn open_writer(
        &self,
        participant: &ParticipantId,
        topics: &[String],
    ) -> Result<(Box<dyn Writer>, Recovered), WriterError> {
        self.inner.open_writer(participant, topics).await
    }

    async fn consume(&self, options: &ConsumeOptions) -> Result<Box<dyn Consumer>, LogError> {
        let inner = self.inner.consume(options).await?;
        Ok(Box::new(FaultyConsumer { inner, faults: Arc::clone(&self.faults), expired: None }))
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
