//! What all parts share: options, a client for questions, idle readers, and how the client library's errors are told.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::ProducerContext;
use tokio::sync::oneshot;

use super::config::{ANSWER, KafkaOptions};
use super::read::PartitionReader;
use super::registry::Registry;
use super::side::SideProducer;
use crate::api::{LogError, TopicPartition, Watermarks, WriterError};

/// Remembers why brokers cannot be reached: the library tells it apart from the failing call.
#[derive(Clone, Default)]
pub(super) struct Watch {
    last: Arc<Mutex<Last>>,
}

#[derive(Default)]
struct Last {
    reason: Option<String>,
    kind: Kind,
}

/// What trying again can do about a failure.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// It may help.
    #[default]
    Passing,
    /// The two sides do not trust each other's certificate: it helps once somebody has mended that.
    Untrusted,
    /// The brokers do not accept who we are.
    Refused,
}

impl Watch {
    /// The newest reason.
    pub(super) fn reason(&self) -> Option<String> {
        self.lock().reason.clone()
    }

    fn kind(&self) -> Kind {
        self.lock().kind
    }

    /// The brokers have answered: what was told before is over.
    fn clear(&self) {
        *self.lock() = Last::default();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The library's own lines. What matters of them reaches [`Watch`] and is told with the state that follows from it; the lines
/// themselves are details, and those below a warning, which may tell of single messages, are never written.
pub(super) fn log_line(level: RDKafkaLogLevel, facility: &str, line: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::info!(target: "librdkafka", facility, "{line}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {}
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        tracing::debug!(%error, reason, "kafka client");
        let kind = match code {
            Some(RDKafkaErrorCode::Authentication) => Kind::Refused,
            Some(RDKafkaErrorCode::SSL) => Kind::Untrusted,
            // A refusal of our certificate comes after the handshake, as the end of a connection.
            _ if reason.contains(":SSL routines:") => Kind::Untrusted,
            _ => Kind::Passing,
        };
        let mut last = self.lock();
        // That all brokers are down, or a connection with them, follows from what was told before.
        if kind != Kind::Passing || last.kind == Kind::Passing && !follows(code, &last) {
            let fix = match kind {
                Kind::Untrusted => {
                    "; fix: `tls` under `log` must name the `ca` that signed the brokers' certificate, and a `cert` and \
                                    `key` that they trust where they ask for one"
                }
                Kind::Refused => "; fix: correct `username` and `password` under `log`, `sasl`",
                Kind::Passing => "",
            };
            *last = Last { reason: Some(format!("{reason}{fix}")), kind };
        }
    }
}

fn follows(code: Option<RDKafkaErrorCode>, last: &Last) -> bool {
    code == Some(RDKafkaErrorCode::AllBrokersDown) && last.reason.is_some()
}

impl ConsumerContext for Watch {}

impl ProducerContext for Watch {
    type DeliveryOpaque = ();
    fn delivery(&self, _: &rdkafka::message::DeliveryResult<'_>, (): ()) {}
}

/// Shared by the log, its writers and its consumers.
pub(super) struct Shared {
    pub(super) options: KafkaOptions,
    pub(super) registry: Registry,
    pub(super) side: SideProducer,
    pub(super) readers: Mutex<Vec<PartitionReader>>,
    questions: BaseConsumer<Watch>,
}

impl Shared {
    pub(super) fn new(options: KafkaOptions) -> Result<Self, LogError> {
        let questions = options
            .metadata()
            .create_with_context(Watch::default())
            .map_err(|error| not_created(&options, &error))?;
        let registry = Registry::new(&options)?;
        Ok(Self {
            options,
            registry,
            side: SideProducer::default(),
            readers: Mutex::new(Vec::new()),
            questions,
        })
    }

    /// Number of partitions; the topic must exist.
    pub(super) fn partitions(&self, topic: &str) -> Result<i32, LogError> {
        self.find_partitions(topic)?.ok_or_else(|| missing(topic))
    }

    /// Number of partitions; `None` when the topic does not exist.
    pub(super) fn find_partitions(&self, topic: &str) -> Result<Option<i32>, LogError> {
        let physical = self.options.physical(topic);
        let metadata = self.ask(topic, |wait| self.questions.fetch_metadata(Some(&physical), wait))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == physical) else {
            return Ok(None);
        };
        match found.error().map(RDKafkaErrorCode::from) {
            None => Ok(Some(found.partitions().len() as i32).filter(|count| *count > 0)),
            Some(code) if is_missing(code) => Ok(None),
            Some(code) => Err(self.error(topic, &KafkaError::MetadataFetch(code), None)),
        }
    }

    /// First and next offset.
    pub(super) fn watermarks(&self, source: &TopicPartition) -> Result<Watermarks, LogError> {
        let physical = self.options.physical(&source.topic);
        let ask = |wait| self.questions.fetch_watermarks(&physical, source.partition, wait);
        match self.ask(&source.topic, ask) {
            Ok((low, high)) => Ok(Watermarks { low, high }),
            // A topic that may not be described, or whose partition nobody leads at the moment, is told as a missing one by this
            // question, and as what it is by the other.
            Err(error @ LogError::Topic { .. }) => match self.partitions(&source.topic)? {
                count if source.partition < count => Err(LogError::Unreachable {
                    address: self.options.brokers.clone(),
                    reason: format!("{}/{} is not served now", source.topic, source.partition),
                }),
                _ => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    /// The client for questions.
    pub(super) fn questions(&self) -> &BaseConsumer<Watch> {
        &self.questions
    }

    /// Asks a question about a topic and waits for [`ANSWER`] altogether; less when the brokers will not talk with us.
    fn ask<T>(
        &self,
        topic: &str,
        question: impl Fn(Duration) -> Result<T, KafkaError>,
    ) -> Result<T, LogError> {
        // The library tells why a connection fails only in between.
        for wait in [ANSWER / 10, ANSWER / 5] {
            match question(wait) {
                Err(error) if is_silence(&error) => {
                    self.listen();
                    if self.questions.context().kind() != Kind::Passing {
                        return self.told(topic, Err(error));
                    }
                }
                answer => return self.told(topic, answer),
            }
        }
        self.told(topic, question(ANSWER - ANSWER / 10 - ANSWER / 5))
    }

    /// Nobody else serves this client's events: reasons of failures, and log lines that would pile up.
    fn listen(&self) {
        for _ in 0..16 {
            let _event = self.questions.poll(Duration::ZERO);
        }
    }

    /// Turns the answer to a question about a topic into ours.
    pub(super) fn told<T>(&self, topic: &str, answer: Result<T, KafkaError>) -> Result<T, LogError> {
        self.listen();
        if answer.is_ok() {
            self.questions.context().clear();
        }
        answer.map_err(|error| self.error(topic, &error, Some(self.questions.context())))
    }

    /// An error of the library, in our words. `topic` without prefix.
    pub(super) fn error(&self, topic: &str, error: &KafkaError, watch: Option<&Watch>) -> LogError {
        let code = error.rdkafka_error_code();
        let reason = watch.and_then(Watch::reason);
        if watch.is_some_and(|watch| watch.kind() == Kind::Refused) {
            return LogError::Refused(reason.unwrap_or_default());
        }
        match code {
            Some(code) if is_missing(code) => missing(topic),
            Some(code) if is_refusal(code) => {
                LogError::Refused(format!("{topic}: {}", reason.unwrap_or_else(|| error.to_string())))
            }
            _ => {
                let reason = match reason {
                    Some(reason) => format!("{topic}: {error} ({reason})"),
                    None => format!("{topic}: {error}"),
                };
                LogError::Unreachable { address: self.options.brokers.clone(), reason }
            }
        }
    }

    /// The brokers have been silent for too long.
    pub(super) fn silent(&self, what: &str, watch: &Watch) -> LogError {
        if watch.kind() == Kind::Refused {
            return LogError::Refused(watch.reason().unwrap_or_default());
        }
        let reason = watch.reason().unwrap_or_else(|| "no answer".into());
        LogError::Unreachable { address: self.options.brokers.clone(), reason: format!("{what}: {reason}") }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let idle = std::mem::take(&mut *self.readers.lock().unwrap_or_else(PoisonError::into_inner));
        drop_on_thread(idle);
    }
}

/// A client that cannot even be made: a wrong property or file.
pub(super) fn not_created(options: &KafkaOptions, error: &KafkaError) -> LogError {
    let reason = match error {
        // The library repeats the value, which may be a password.
        KafkaError::ClientConfig(_, _, name, _) => format!("the client does not take the property {name}"),
        other => other.to_string(),
    };
    LogError::Options {
        problem: format!("no client for the log at {} can be made: {reason}", options.brokers),
        fix: "correct `log` in lienthong.yaml, and see that the files it names can be read".into(),
    }
}

/// Says that a topic does not exist.
pub(super) fn missing(topic: &str) -> LogError {
    LogError::Topic { problem: format!("the log has no {topic}"), fix: crate::topic::CREATE.into() }
}

/// The brokers have answered and do not let us; trying again does not help. `lienthong topics acls` prints what each role needs.
pub(super) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::PolicyViolation
            | RDKafkaErrorCode::InvalidSessionTimeout
            | RDKafkaErrorCode::SaslAuthenticationFailed
            | RDKafkaErrorCode::Authentication
    )
}

/// Why brokers have ended a producer for good by not letting it in. What it held is told as purged, which says nothing.
pub(super) fn fatal_refusal<C: ClientContext>(client: &Client<C>) -> Option<String> {
    client.fatal_error().filter(|(code, _)| is_refusal(*code)).map(|(_, reason)| reason)
}

/// No answer, for whatever reason.
fn is_silence(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure, OperationTimedOut, Resolve};
    let codes = [OperationTimedOut, BrokerTransportFailure, AllBrokersDown, Resolve];
    error.rdkafka_error_code().is_some_and(|code| codes.contains(&code))
}

fn is_missing(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
    matches!(code, UnknownTopicOrPartition | UnknownTopic | UnknownPartition)
}

/// Asks whether anybody still waits for a thread's work.
pub(super) type Wanted<'a> = &'a dyn Fn() -> bool;

/// Does blocking work on a thread of its own: the library's calls wait for brokers, and taking a client down takes a while.
pub(super) async fn on_thread<T: Send + 'static>(
    work: impl FnOnce(Wanted<'_>) -> T + Send + 'static,
) -> Result<T, LogError> {
    let (done, waits) = oneshot::channel();
    let run = move || {
        let result = work(&|| !done.is_closed());
        // The caller may have gone; what it left is taken down here.
        drop(done.send(result));
    };
    let gone = |_| LogError::Inconsistent("a thread of the log could not run".into());
    std::thread::Builder::new().name("lienthong-log".into()).spawn(run).map_err(|_| gone(()))?;
    waits.await.map_err(|_| gone(()))
}

/// As [`on_thread`], for work that can fail.
pub(super) async fn try_on_thread<T: Send + 'static, E: From<LogError> + Send + 'static>(
    work: impl FnOnce(Wanted<'_>) -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    on_thread(work).await.map_err(E::from)?
}

/// Takes a client down on a thread of its own; closing it can take a while.
pub(super) fn drop_on_thread<T: Send + 'static>(client: T) {
    // Without a thread the client is dropped here, when the closure is.
    let _started = std::thread::Builder::new().name("lienthong-close".into()).spawn(move || drop(client));
}

/// A writer lost a record.
pub(super) fn lost(reason: impl Into<String>) -> WriterError {
    WriterError::Lost(reason.into())
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;

    use super::*;

    /// What a broker answers while it does not lead a partition, which a real one does only for a moment.
    #[test]
    fn a_partition_that_nobody_leads_is_away_and_one_that_is_not_there_is_missing() {
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic("lt.positions", 1, 1).expect("a topic");
        cluster.partition_leader("lt.positions", 0, None).expect("nobody");
        let shared = Shared::new(KafkaOptions::new(&cluster.bootstrap_servers(), "http://localhost"))
            .expect("options");
        let of = |partition| {
            let source = TopicPartition { topic: "lt.positions".into(), partition };
            shared.watermarks(&source).expect_err("no watermarks")
        };
        let away = of(0);
        assert!(matches!(away, LogError::Unreachable { .. }), "{away}");
        let missing = of(7);
        assert!(matches!(missing, LogError::Topic { .. }), "{missing}");
    }
}
