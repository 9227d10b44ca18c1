//! Attempts by a plain Kafka client that checks nothing itself, with the passwords of the roles: what is refused here, the broker refuses.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use lienthong_testkit::certificates::Files;
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Guarded, PARTICIPANT, PASSWORD, STRANGER};

const SOON: Duration = Duration::from_secs(20);
const GROUP: &str = "lienthong.nso.statistics.admin_unit";
const NO_TOPIC: Outcome = Outcome::Refused(RDKafkaErrorCode::TopicAuthorizationFailed);
const NO_GROUP: Outcome = Outcome::Refused(RDKafkaErrorCode::GroupAuthorizationFailed);

/// What somebody tries.
#[derive(Clone, Copy, Debug)]
enum Attempt {
    /// A record into a topic.
    Produce(&'static str),
    /// The first record of a topic.
    Consume(&'static str),
    /// How far the only group has come.
    Offsets,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Refused(RDKafkaErrorCode),
}

/// The code of a failure that came from the broker.
fn refused(error: &KafkaError) -> Result<Outcome> {
    let code = error.rdkafka_error_code().context("a failure without a code")?;
    // Those of the client library's own are below zero.
    ensure!(code as i32 > 0, "no answer of the broker: {error}");
    Ok(Outcome::Refused(code))
}

/// What became of the only record.
#[derive(Default)]
struct Report(Mutex<Option<Result<(), KafkaError>>>);

impl ClientContext for Report {}

impl ProducerContext for Report {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let told = result.as_ref().map(|_| ()).map_err(|(error, _)| error.clone());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }
}

/// The way to the broker, without a name.
struct Client {
    config: ClientConfig,
    prefix: String,
}

impl Client {
    fn new(guarded: &Guarded) -> Self {
        let Files { ca, cert, key } = &guarded.files;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", guarded.broker.address())
            .set("security.protocol", "sasl_ssl")
            .set("sasl.mechanism", "SCRAM-SHA-512")
            .set("ssl.ca.location", ca.display().to_string())
            .set("ssl.certificate.location", cert.display().to_string())
            .set("ssl.key.location", key.display().to_string());
        Self { config, prefix: guarded.prefix.clone() }
    }

    fn of(&self, user: &str) -> ClientConfig {
        let mut config = self.config.clone();
        config.set("sasl.username", user).set("sasl.password", PASSWORD);
        config
    }

    fn consumer(&self, user: &str) -> Result<BaseConsumer> {
        let group = format!("{}{GROUP}", self.prefix);
        Ok(self.of(user).set("group.id", group).set("enable.auto.commit", "false").create()?)
    }

    fn attempt(&self, user: &str, attempt: Attempt) -> Result<Outcome> {
        match attempt {
            Attempt::Produce(topic) => self.produce(user, &format!("{}{topic}", self.prefix)),
            Attempt::Consume(topic) => self.consume(user, &format!("{}{topic}", self.prefix)),
            Attempt::Offsets => self.offsets(user),
        }
    }

    fn produce(&self, user: &str, topic: &str) -> Result<Outcome> {
        let mut config = self.of(user);
        config.set("message.timeout.ms", SOON.as_millis().to_string());
        let producer: BaseProducer<Report> = config.create_with_context(Report::default())?;
        if let Err((error, _)) = producer.send(BaseRecord::to(topic).key("k").payload("v")) {
            return refused(&error);
        }
        producer.flush(SOON + SOON)?;
        let told = producer.context().0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match told.context("the record is neither there nor refused")? {
            Ok(()) => Ok(Outcome::Done),
            Err(error) => refused(&error),
        }
    }

    fn consume(&self, user: &str, topic: &str) -> Result<Outcome> {
        let consumer = self.consumer(user)?;
        let metadata = consumer.fetch_metadata(Some(topic), SOON)?;
        let told = metadata.topics().first().context("the topic")?;
        if let Some(error) = told.error() {
            return refused(&KafkaError::MetadataFetch(error.into()));
        }
        let mut places = TopicPartitionList::new();
        for partition in told.partitions() {
            places.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
        }
        consumer.assign(&places)?;
        let (mut last, until) = (String::new(), Instant::now() + SOON);
        while Instant::now() < until {
            match consumer.poll(Duration::from_millis(100)) {
                Some(Ok(_)) => return Ok(Outcome::Done),
                // The library asks for its group's broker even where it reads without a group; the topic is another matter.
                Some(Err(error)) => match refused(&error) {
                    Ok(NO_GROUP) => {}
                    Ok(outcome) => return Ok(outcome),
                    Err(error) => last = error.to_string(),
                },
                None => {}
            }
        }
        bail!("{topic} gives neither a record nor a refusal: {last}")
    }

    fn offsets(&self, user: &str) -> Result<Outcome> {
        let consumer = self.consumer(user)?;
        let mut places = TopicPartitionList::new();
        places.add_partition(&format!("{}lt.admin_unit.live", self.prefix), 0);
        let (mut last, until) = (String::new(), Instant::now() + SOON);
        while Instant::now() < until {
            match consumer.committed_offsets(places.clone(), Duration::from_secs(1)) {
                Ok(told) => {
                    let offset = told.elements().first().context("the partition")?.offset();
                    ensure!(matches!(offset, Offset::Offset(_)), "the group has come to {offset:?}");
                    return Ok(Outcome::Done);
                }
                // The library looks for the group's broker again and again, and tells the refusal beside the question.
                Err(error) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::OperationTimedOut) => {
                    if let Some(Err(error)) = consumer.poll(Duration::ZERO) {
                        match refused(&error) {
                            Ok(outcome) => return Ok(outcome),
                            Err(error) => last = error.to_string(),
                        }
                    }
                }
                Err(error) => return refused(&error),
            }
        }
        bail!("the group's offsets are neither told nor refused: {last}")
    }

    /// Side by side: each waits for a client of its own to get in.
    fn come_to(&self, attempts: &[(&str, Attempt, Outcome)]) -> Result<()> {
        std::thread::scope(|scope| {
            let task = |(user, attempt, expected): &(&str, Attempt, Outcome)| {
                let outcome = self.attempt(user, *attempt).with_context(|| format!("{user}: {attempt:?}"))?;
                ensure!(outcome == *expected, "{user}: {attempt:?} ended with {outcome:?}, not {expected:?}");
                Ok(())
            };
            let tasks: Vec<_> = attempts.iter().map(|attempt| scope.spawn(move || task(attempt))).collect();
            tasks.into_iter().try_for_each(|task| task.join().map_err(|_| anyhow!("a panic"))?)
        })
    }
}

/// Comes last: what the owner writes here is no event.
pub(super) fn the_broker_refuses_whatever_client_asks(guarded: &Guarded) -> Result<()> {
    use Attempt::{Consume, Offsets, Produce};
    let client = Client::new(guarded);
    let (router, monitor) = ("lienthong.router", "lienthong.monitor");
    let administrator = "lienthong.administrator";
    client.come_to(&[
        (PARTICIPANT, Produce("lt.residence.live"), NO_TOPIC),
        (PARTICIPANT, Produce("lt.residence.bulk"), NO_TOPIC),
        (PARTICIPANT, Produce("lt.quarantine.mps.residence"), NO_TOPIC),
        (PARTICIPANT, Produce("lt.request.mps.residence"), NO_TOPIC),
        (router, Consume("lt.request.homeaffairs.admin-units"), NO_TOPIC),
        (PARTICIPANT, Consume("lt.residence.live"), NO_TOPIC),
        (PARTICIPANT, Offsets, NO_GROUP),
        // May read it, so that only the record itself can be refused.
        (router, Produce("lt.admin_unit.live"), NO_TOPIC),
        (router, Produce("lt.admin_unit.bulk"), NO_TOPIC),
        (router, Produce("lt.civil_status.live"), NO_TOPIC),
        (monitor, Produce("lt.admin_unit.live"), NO_TOPIC),
        // May see it, so that only the reading itself can be refused.
        (administrator, Consume("lt.admin_unit.live"), NO_TOPIC),
        (administrator, Produce("lt.admin_unit.live"), NO_TOPIC),
        (STRANGER, Produce("lt.admin_unit.live"), NO_TOPIC),
        (STRANGER, Consume("lt.admin_unit.live"), NO_TOPIC),
        (STRANGER, Consume("lt.residence.live"), NO_TOPIC),
        (STRANGER, Offsets, NO_GROUP),
    ])?;
    // The same client with the same settings, where the lists allow it.
    client.come_to(&[
        (PARTICIPANT, Produce("lt.admin_unit.live"), Outcome::Done),
        (router, Consume("lt.admin_unit.live"), Outcome::Done),
        (router, Offsets, Outcome::Done),
        (monitor, Offsets, Outcome::Done),
    ])
}
