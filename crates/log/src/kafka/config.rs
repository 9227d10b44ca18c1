//! What a Kafka log needs to be reached, and every client's properties in one place.

use std::path::PathBuf;
use std::time::Duration;

use rdkafka::ClientConfig;

use crate::record::MAX_RECORD_BYTES;

/// How long a question to the brokers (metadata, offsets, topics) may take.
pub(super) const ANSWER: Duration = Duration::from_secs(10);

/// The group that readers without a group name to the brokers; nothing is ever kept under it.
pub const READER: &str = "lienthong.reader";

/// Largest request of a producer and largest record batch of a topic: above any record of the log, with what the protocol adds.
pub(super) const MESSAGE_BYTES: usize = 2 << 20;
const _: () = assert!(MESSAGE_BYTES > MAX_RECORD_BYTES + (1 << 16), "a record of the log must fit a batch");

/// How to reach brokers and registry.
#[derive(Clone)]
pub struct KafkaOptions {
    /// `host:port`, joined by commas.
    pub brokers: String,
    /// The registry's URL, its Confluent API.
    pub registry: String,
    /// How the registry is told who asks.
    pub registry_login: Option<KafkaLogin>,
    /// Authorities that may sign the registry's certificate, where they are others than the brokers'.
    pub registry_ca: Option<PathBuf>,
    /// In front of every topic, subject and group; names above the log stay without it. Empty by default.
    pub prefix: String,
    /// Copies per partition in place of what topics ask for; `min.insync.replicas` is at most that. For single brokers.
    pub replication: Option<i32>,
    /// Encryption.
    pub tls: Option<KafkaTls>,
    /// Authentication by password.
    pub sasl: Option<KafkaSasl>,
}

/// Files of TLS, in PEM.
#[derive(Clone, Debug, Default)]
pub struct KafkaTls {
    /// The only authorities that may sign the certificates of brokers and registry; the system's without it.
    pub ca: Option<PathBuf>,
    /// Own certificate, where brokers ask for one.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// A name and its password.
#[derive(Clone)]
pub struct KafkaLogin {
    /// Who.
    pub username: String,
    /// The password.
    pub password: String,
}

/// Authentication by password.
#[derive(Clone)]
pub struct KafkaSasl {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub mechanism: String,
    /// Name and password.
    pub login: KafkaLogin,
}

// Name and password may come from a secret store.
/// The registry's address may hold a password.
impl std::fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("brokers", &self.brokers)
            .field("prefix", &self.prefix)
            .field("replication", &self.replication)
            .field("tls", &self.tls)
            .field("sasl", &self.sasl)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for KafkaLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KafkaLogin(***)")
    }
}

impl std::fmt::Debug for KafkaSasl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KafkaSasl({}, ***)", self.mechanism)
    }
}

impl KafkaOptions {
    /// Without encryption and password, with no prefix.
    #[must_use]
    pub fn new(brokers: &str, registry: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            registry: registry.trim_end_matches('/').to_owned(),
            registry_login: None,
            registry_ca: None,
            prefix: String::new(),
            replication: None,
            tls: None,
            sasl: None,
        }
    }

    /// A topic's or group's name in the cluster.
    pub(super) fn physical(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "lienthong")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.ms", "50")
            // After an outage everybody should be back within seconds.
            .set("reconnect.backoff.max.ms", "1000");
        if let Some(tls) = &self.tls {
            for (name, file) in [
                ("ssl.ca.location", &tls.ca),
                ("ssl.certificate.location", &tls.cert),
                ("ssl.key.location", &tls.key),
            ] {
                if let Some(file) = file {
                    config.set(name, file.to_string_lossy());
                }
            }
        }
        if let Some(sasl) = &self.sasl {
            config
                .set("sasl.mechanism", &sasl.mechanism)
                .set("sasl.username", &sasl.login.username)
                .set("sasl.password", &sasl.login.password);
        }
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        config.set("security.protocol", protocol);
        config
    }

    /// A writer's producer: never gives a record up by itself, never reorders, never doubles.
    pub(super) fn writer(&self) -> ClientConfig {
        let mut config = self.producer();
        config.set("message.timeout.ms", "0");
        config
    }

    /// The producer of side topics: an outage is told to the caller in time.
    pub(super) fn side_producer(&self) -> ClientConfig {
        let mut config = self.producer();
        config.set("message.timeout.ms", "20000");
        config
    }

    fn producer(&self) -> ClientConfig {
        let mut config = self.base();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("max.in.flight.requests.per.connection", "5")
            .set("compression.type", "lz4")
            .set("linger.ms", "1")
            .set("batch.size", "1000000")
            .set("message.max.bytes", MESSAGE_BYTES.to_string())
            .set("queue.buffering.max.messages", "200000")
            .set("queue.buffering.max.kbytes", "131072")
            // Every client of every ministry must agree on the partition of a key.
            .set("partitioner", "murmur2_random");
        config
    }

    /// Questions about topics and offsets; reads no records.
    pub(super) fn metadata(&self) -> ClientConfig {
        let mut config = self.base();
        config.set("isolation.level", "read_uncommitted");
        config
    }

    /// Reads partitions that it is told, without a group. librdkafka wants a group's name even so; nothing is ever committed
    /// under it. Holds at most `bytes` ready.
    pub(super) fn reader(&self, bytes: usize) -> ClientConfig {
        let mut config = self.consumer(&self.physical(READER), bytes);
        config.set("enable.partition.eof", "true");
        config
    }

    /// A member of a group.
    pub(super) fn member(&self, group: &str, bytes: usize, session: Duration) -> ClientConfig {
        let session = session.as_millis().clamp(1000, 1_800_000);
        let mut config = self.consumer(&self.physical(group), bytes);
        config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", session.to_string())
            // Whoever does not ask for records is as silent as whoever is dead.
            .set("max.poll.interval.ms", session.to_string())
            .set("heartbeat.interval.ms", (session / 6).min(3000).to_string());
        config
    }

    fn consumer(&self, group: &str, bytes: usize) -> ClientConfig {
        let bytes = bytes.clamp(1 << 10, 1 << 30);
        let mut config = self.base();
        config
            .set("group.id", group)
            .set("isolation.level", "read_uncommitted")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // A position that is gone is a loss and must be told: never a silent jump.
            .set("auto.offset.reset", "error")
            .set("queued.max.messages.kbytes", (bytes >> 10).to_string())
            .set("queued.min.messages", "100000")
            .set("fetch.message.max.bytes", bytes.min(1 << 20).to_string())
            .set("fetch.max.bytes", bytes.max(1 << 20).to_string())
            // A partition that joins waits for the fetch under way: keep that short.
            .set("fetch.wait.max.ms", "50")
            .set("fetch.queue.backoff.ms", "2")
            .set("fetch.error.backoff.ms", "100");
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let mut options = KafkaOptions::new("a:1", "http://r/");
        assert_eq!(options.registry, "http://r");
        options.sasl = Some(KafkaSasl {
            mechanism: "SCRAM-SHA-512".into(),
            login: KafkaLogin { username: "moj".into(), password: "s3cret".into() },
        });
        options.registry = "http://moj:s3cret@r".into();
        let printed = format!("{options:?}");
        assert!(!printed.contains("s3cret") && !printed.contains("\"moj\""), "{printed}");
    }

    #[test]
    fn what_promises_rest_on_is_set() {
        let options = KafkaOptions::new("a:1", "http://r");
        let check = |config: &ClientConfig, wanted: &[(&str, &str)]| {
            for (name, value) in wanted {
                assert_eq!(config.get(name), Some(*value), "{name}");
            }
        };
        let durable = [
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("max.in.flight.requests.per.connection", "5"),
            ("compression.type", "lz4"),
            ("partitioner", "murmur2_random"),
            ("message.max.bytes", "2097152"),
        ];
        check(&options.writer(), &durable);
        check(&options.writer(), &[("message.timeout.ms", "0")]);
        check(&options.side_producer(), &durable);
        check(&options.side_producer(), &[("message.timeout.ms", "20000")]);
        let never_by_itself = [
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
        ];
        let member = options.member("g", 1 << 20, Duration::from_secs(8));
        check(&member, &never_by_itself);
        check(
            &member,
            &[
                ("partition.assignment.strategy", "cooperative-sticky"),
                ("session.timeout.ms", "8000"),
                ("max.poll.interval.ms", "8000"),
                ("heartbeat.interval.ms", "1333"),
            ],
        );
        check(&options.reader(1 << 20), &never_by_itself);
    }

    #[test]
    fn every_client_takes_its_properties() {
        let mut options = KafkaOptions::new("a:1", "http://r");
        for sasl in [false, true] {
            if sasl {
                options.tls = Some(KafkaTls::default());
                options.sasl = Some(KafkaSasl {
                    mechanism: "SCRAM-SHA-512".into(),
                    login: KafkaLogin { username: "u".into(), password: "p".into() },
                });
            }
            for config in [
                options.writer(),
                options.side_producer(),
                options.metadata(),
                options.reader(1),
                options.member("g", usize::MAX, Duration::from_secs(1)),
            ] {
                config.create_native_config().expect("properties");
            }
        }
    }
}
