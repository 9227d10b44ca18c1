//! A writer's producer, and the account of what is durable.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer};
use tokio::sync::Notify;

use super::client::{Shared, Watch, drop_on_thread, fatal_refusal, is_refusal, log_line, lost, not_created};
use super::config::MESSAGE_BYTES;
use crate::api::{LogError, WriterError};

/// The library's queue is full: wait for deliveries, or so long.
const FULL: Duration = Duration::from_millis(20);
/// Brokers that take nothing for so long are told to the operator.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes the library's reports.
struct Deliveries {
    watch: Watch,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    account: Mutex<Account>,
    changed: Notify,
}

#[derive(Default)]
struct Account {
    due: usize,
    /// Highest offset taken, per slot; -1 before the first.
    highest: Vec<i64>,
    failed: Option<Failed>,
}

/// Why a writer ended.
#[derive(Clone)]
struct Failed {
    reason: String,
    cause: Cause,
}

/// What another writer could do about it.
#[derive(Clone, Copy)]
enum Cause {
    /// It may fare better.
    Lost,
    /// The brokers do not let us: it would fare no better.
    Refused,
    /// The record itself is what the brokers do not take: sending it again would not help.
    TooLarge,
}

impl From<&KafkaError> for Failed {
    fn from(error: &KafkaError) -> Self {
        let cause = match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Cause::TooLarge,
            Some(code) if is_refusal(code) => Cause::Refused,
            _ => Cause::Lost,
        };
        Self { reason: error.to_string(), cause }
    }
}

impl From<&Failed> for WriterError {
    fn from(failed: &Failed) -> Self {
        match failed.cause {
            Cause::Lost => lost(failed.reason.clone()),
            Cause::Refused => LogError::Refused(failed.reason.clone()).into(),
            Cause::TooLarge => Self::Broken {
                problem: "a topic does not take a record of a size that contracts allow".into(),
                fix: format!(
                    "set max.message.bytes of the topic to {MESSAGE_BYTES}; `lienthong topics describe` names those where it is less"
                ),
            },
        }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        self.watch.error(error, reason);
        if code == Some(RDKafkaErrorCode::Fatal) {
            self.state.fail(Failed { reason: reason.to_owned(), cause: Cause::Lost });
        }
        // A record would wait for ever for brokers that do not let this writer in.
        if code == Some(RDKafkaErrorCode::Authentication) {
            self.state.fail(Failed { reason: reason.to_owned(), cause: Cause::Refused });
        }
    }
}

impl ProducerContext for Deliveries {
    /// The slot.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: usize) {
        match result {
            Ok(message) => {
                let mut account = self.state.lock();
                account.due = account.due.saturating_sub(1);
                if let Some(highest) = account.highest.get_mut(slot) {
                    *highest = (*highest).max(message.offset());
                }
                if account.due == 0 {
                    drop(account);
                    self.state.changed.notify_waiters();
                }
            }
            Err((error, message)) => {
                let reason = format!("{}: {error}", message.topic());
                self.state.fail(Failed { reason, ..error.into() });
            }
        }
    }
}

impl State {
    fn lock(&self) -> std::sync::MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, failed: Failed) {
        self.lock().failed.get_or_insert(failed);
        self.changed.notify_waiters();
    }
}

/// One record to send; everything borrowed.
pub(super) struct Outgoing<'a> {
    /// Topic in the cluster.
    pub(super) topic: &'a str,
    /// Partition.
    pub(super) partition: i32,
    /// Number under which [`Sender::offset`] tells the highest offset.
    pub(super) slot: usize,
    pub(super) key: &'a [u8],
    pub(super) headers: OwnedHeaders,
    pub(super) value: &'a [u8],
    /// Microseconds.
    pub(super) time: i64,
}

/// Sends in order and never gives up by itself; one failure ends it.
pub(super) struct Sender {
    producer: Option<ThreadedProducer<Deliveries>>,
    state: Arc<State>,
    watch: Watch,
}

impl Sender {
    pub(super) fn new(shared: &Shared) -> Result<Self, LogError> {
        let state = Arc::new(State::default());
        let watch = Watch::default();
        let context = Deliveries { watch: watch.clone(), state: Arc::clone(&state) };
        let producer = shared
            .options
            .writer()
            .create_with_context(context)
            .map_err(|error| not_created(&shared.options, &error))?;
        Ok(Self { producer: Some(producer), state, watch })
    }

    /// Queues a record. Waits only while the queue is full.
    pub(super) async fn send(&self, outgoing: Outgoing<'_>) -> Result<(), WriterError> {
        let Some(producer) = &self.producer else { return Err(lost("the producer is closed")) };
        let Outgoing { topic, partition, slot, key, headers, value, time } = outgoing;
        {
            let mut account = self.state.lock();
            if let Some(failed) = &account.failed {
                return Err(self.told(failed));
            }
            account.due += 1;
            if account.highest.len() <= slot {
                account.highest.resize(slot + 1, -1);
            }
        }
        // Zero would mean the present, and brokers take no negative times.
        let time = time.div_euclid(1000).max(1);
        let mut record = BaseRecord::<[u8], [u8], usize>::with_opaque_to(topic, slot)
            .partition(partition)
            .key(key)
            .payload(value)
            .headers(headers)
            .timestamp(time);
        loop {
            match producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, back)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull) => {
                    record = back;
                    tokio::time::sleep(FULL).await;
                    if let Some(failed) = &self.state.lock().failed {
                        return Err(self.told(failed));
                    }
                }
                Err((error, _)) => {
                    let failed = Failed::from(&error);
                    let told = self.told(&failed);
                    self.state.fail(failed);
                    return Err(told);
                }
            }
        }
    }

    /// A failure as the caller is told it.
    fn told(&self, failed: &Failed) -> WriterError {
        match self.producer.as_ref().and_then(|producer| fatal_refusal(producer.client())) {
            Some(reason) => LogError::Refused(reason).into(),
            None => failed.into(),
        }
    }

    /// Waits until everything sent is durable.
    pub(super) async fn settle(&self) -> Result<(), WriterError> {
        loop {
            let changed = self.state.changed.notified();
            tokio::pin!(changed);
            // Before the look at the account: a delivery between look and wait wakes at once.
            changed.as_mut().enable();
            {
                let account = self.state.lock();
                if let Some(failed) = &account.failed {
                    return Err(self.told(failed));
                }
                if account.due == 0 {
                    return Ok(());
                }
            }
            if tokio::time::timeout(PATIENCE, changed).await.is_err() {
                let reason = self.watch.reason().unwrap_or_else(|| "no answer".into());
                tracing::warn!(reason, "the log has not taken records for a while; waiting on");
            }
        }
    }

    /// Highest offset taken of a slot; `None` when the brokers took it without saying where (a repeated request whose first
    /// answer was lost).
    pub(super) fn offset(&self, slot: usize) -> Option<i64> {
        self.state.lock().highest.get(slot).copied().filter(|offset| *offset >= 0)
    }

    /// Begins a slot anew.
    pub(super) fn forget(&self, slot: usize) {
        if let Some(highest) = self.state.lock().highest.get_mut(slot) {
            *highest = -1;
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(producer) = self.producer.take() {
            // What was not sent must not be sent later; what is on the way lands or not, like a zombie's.
            producer.purge(PurgeConfig::default().queue().inflight());
            drop_on_thread(producer);
        }
    }
}

/// Headers for the client library.
pub(super) fn headers<'a>(count: usize, all: impl Iterator<Item = (&'a str, &'a [u8])>) -> OwnedHeaders {
    all.fold(OwnedHeaders::new_with_capacity(count), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value) })
    })
}
