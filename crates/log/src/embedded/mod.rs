//! The embedded engine: one durable SQLite file, used by several processes of one machine at once.
//!
//! - Rows of `batch` hold whole record batches, one per partition and append, as the bytes of [`crate::record`] with a CRC-32C.
//! - **Fences are implicit.** A claim raises the epoch of every partition of its topics in its own transaction, and an append
//!   under a lower epoch is refused in the transaction that would have written it. So neither fences nor zombies' records ever
//!   stand in the file, and sequences have no holes. Readers still keep epoch and sequence, by the same rule as with Kafka.
//! - Heartbeats have no body; epoch, sequence and time stand in their row. Records carry no `ce_writerepoch` and
//!   `ce_partitionsequence` headers: [`crate::record::Entry`] has both.
//! - Family topics end in `.live` or `.bulk`; all others are side topics, read in order of arrival without epoch and sequence.
//! - Every append is one transaction with `synchronous=full`. Readers hold no transaction between polls.
//! - Work on the file blocks for the length of a disk write; on a multi-threaded runtime it moves other tasks away first.

mod append;
mod clock;
mod consumer;
mod fault;
mod file;
mod group;
mod place;
mod positions;
mod read;
mod retention;
mod schemas;
mod side;
mod topics;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use lienthong_contract::participant::ParticipantId;
use lienthong_contract::sink::OffsetState;
use rusqlite::Connection;
use tokio::sync::Notify;

use crate::api::{
    ConsumeOptions, Consumer, Log, LogError, Recovered, TopicPartition, Watermarks, Writer, WriterError,
};
use crate::record::LogBatch;
use crate::topic::{TopicSpec, TopicState};
use fault::Fault;
use file::Durability;

/// How to open the file. Everything has a default.
#[derive(Clone, Debug, Default)]
pub struct EmbeddedOptions {
    /// When the events of all topics take more bytes than this, the oldest go first. `None`: age alone decides.
    pub retention_bytes: Option<u64>,
    /// Pages that the file may grow to: a quota, and the tests' full disk.
    pub max_pages: Option<u32>,
}

/// The log in one file. Clones share it.
#[derive(Clone)]
pub struct EmbeddedLog {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    options: EmbeddedOptions,
    /// Connections for everything that is neither a writer nor a consumer.
    idle: Mutex<Vec<Connection>>,
    /// Wakes this process' consumers; those of other processes look at the file every few milliseconds.
    appended: Notify,
}

impl EmbeddedLog {
    /// Opens the file, and creates it with its folder when it is missing.
    ///
    /// # Errors
    /// Says apart: damaged, foreign, of an older or newer layout, on a network file system, read-only, disk full.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LogError> {
        Self::open_with(path, EmbeddedOptions::default())
    }

    /// As [`EmbeddedLog::open`], with options.
    ///
    /// # Errors
    /// As [`EmbeddedLog::open`].
    pub fn open_with(path: impl AsRef<Path>, options: EmbeddedOptions) -> Result<Self, LogError> {
        let path = path.as_ref().to_owned();
        file::create_or_check(&path)?;
        let first = file::connect(&path, Durability::Full, options.max_pages)?;
        let idle = Mutex::new(vec![first]);
        Ok(Self { inner: Arc::new(Inner { path, options, idle, appended: Notify::new() }) })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Deletes what retention no longer keeps and gives the space back to the file system. Writers do this by themselves now
    /// and then.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn maintain(&self) -> Result<(), LogError> {
        let bound = self.inner.options.retention_bytes;
        self.inner.run(|sql| retention::maintain(sql, bound, clock::now_micros()))
    }
}

impl std::fmt::Debug for EmbeddedLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EmbeddedLog({})", self.inner.path.display())
    }
}

impl Inner {
    /// A connection of its own.
    fn connect(&self, durability: Durability) -> Result<Connection, LogError> {
        file::connect(&self.path, durability, self.options.max_pages)
    }

    /// Runs work on an idle connection.
    fn run<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, Fault>) -> Result<T, LogError> {
        blocking(|| {
            let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut sql = match idle {
                Some(sql) => sql,
                None => self.connect(Durability::Full)?,
            };
            let done = work(&mut sql).map_err(|fault| fault.into_log(&self.path));
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sql);
            done
        })
    }
}

/// Runs work that waits for the disk without holding up the runtime's other tasks.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

#[async_trait]
impl Log for EmbeddedLog {
    async fn open_writer(
        &self,
        participant: &ParticipantId,
        topics: &[String],
    ) -> Result<(Box<dyn Writer>, Recovered), WriterError> {
        let (writer, recovered) = writer::EmbeddedWriter::open(Arc::clone(&self.inner), participant, topics)?;
        Ok((Box::new(writer), recovered))
    }

    async fn consume(&self, options: &ConsumeOptions) -> Result<Box<dyn Consumer>, LogError> {
        Ok(Box::new(consumer::EmbeddedConsumer::join(Arc::clone(&self.inner), options.clone())?))
    }

    async fn read(
        &self,
        source: &TopicPartition,
        state: OffsetState,
        max_bytes: usize,
    ) -> Result<LogBatch, LogError> {
        self.inner.run(|sql| {
            let lane = topics::lane(sql, source)?;
            match read::read(sql, &self.inner.path, &lane, &state, max_bytes)? {
                read::Read::Batch(batch) => Ok(batch),
                read::Read::Expired { low } => Err(read::expired(source, state.next_offset, low).into()),
            }
        })
    }

    async fn watermarks(&self, source: &TopicPartition) -> Result<Watermarks, LogError> {
        self.inner.run(|sql| {
            let lane = topics::lane(sql, source)?;
            Ok(Watermarks { low: lane.low, high: lane.next_offset })
        })
    }

    async fn offset_at(&self, source: &TopicPartition, time: i64) -> Result<Option<i64>, LogError> {
        self.inner.run(|sql| {
            let lane = topics::lane(sql, source)?;
            read::offset_at(sql, &self.inner.path, &lane, time)
        })
    }

    async fn start_at(&self, source: &TopicPartition, wanted: i64) -> Result<OffsetState, LogError> {
        self.inner.run(|sql| {
            let lane = topics::lane(sql, source)?;
            read::start_at(sql, &self.inner.path, &lane, wanted)
        })
    }

    async fn describe_topics(&self, wanted: &[TopicSpec]) -> Result<Vec<TopicState>, LogError> {
        self.inner.run(|sql| topics::describe(sql, wanted))
    }

    async fn create_topics(&self, wanted: &[TopicSpec]) -> Result<(), LogError> {
        self.inner.run(|sql| topics::create(sql, wanted))
    }

    async fn put(&self, topic: &str, key: &[u8], value: &[u8]) -> Result<(), LogError> {
        self.inner.run(|sql| side::put(sql, topic, key, value))
    }

    async fn remove(&self, topic: &str, key: &[u8]) -> Result<(), LogError> {
        self.inner.run(|sql| side::remove(sql, topic, key))
    }

    async fn table(&self, topic: &str) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LogError> {
        self.inner.run(|sql| side::table(sql, topic))
    }

    async fn publish(
        &self,
        topic: &str,
        key: &[u8],
        headers: &[(&str, &[u8])],
        value: &[u8],
    ) -> Result<(), LogError> {
        self.inner.run(|sql| side::publish(sql, topic, key, headers, value))?;
        self.inner.appended.notify_waiters();
        Ok(())
    }

    async fn group_offsets(
        &self,
        group: &str,
        topics: &[String],
    ) -> Result<BTreeMap<TopicPartition, i64>, LogError> {
        self.inner.run(|sql| group::told(sql, group, topics))
    }

    async fn schema_id(&self, topic: &str, full_name: &str, schema: &str) -> Result<u32, LogError> {
        self.inner.run(|sql| schemas::id(sql, topic, full_name, schema))
    }

    async fn schema(&self, id: u32) -> Result<Arc<str>, LogError> {
        self.inner.run(|sql| schemas::text(sql, id))
    }

    async fn schema_versions(&self, topic: &str, full_name: &str) -> Result<Vec<Arc<str>>, LogError> {
        self.inner.run(|sql| schemas::versions(sql, topic, full_name))
    }

    async fn register_schema(&self, topic: &str, full_name: &str, schema: &str) -> Result<u32, LogError> {
        self.inner.run(|sql| schemas::register(sql, topic, full_name, schema))
    }
}
