//! A namespace of one's own on a broker; its topics go when the test ends.

#![allow(dead_code, reason = "every suite uses a part")]

pub mod source;

use std::time::Duration;

use futures::executor::block_on;
use lienthong_log::kafka::{KafkaLog, KafkaOptions};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

/// Deletes a test's topics at its end.
pub struct Namespace {
    /// In front of every name.
    pub prefix: String,
    /// Its broker.
    pub brokers: String,
}

impl Namespace {
    /// On the shared broker.
    pub fn shared() -> Self {
        Self::on(&lienthong_testkit::kafka::brokers())
    }

    /// On a broker of the test's own.
    pub fn on(brokers: &str) -> Self {
        Self { prefix: lienthong_testkit::kafka::namespace(), brokers: brokers.to_owned() }
    }

    /// Options for this namespace, one copy per partition.
    pub fn options(&self) -> KafkaOptions {
        KafkaOptions {
            prefix: self.prefix.clone(),
            replication: Some(1),
            ..KafkaOptions::new(&self.brokers, &lienthong_testkit::env::registry())
        }
    }

    /// A log with these options.
    pub fn log(&self) -> KafkaLog {
        KafkaLog::connect(self.options()).expect("clients")
    }

    /// For what the log itself does not do: deleting.
    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.brokers).create().expect("admin client")
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let admin = self.admin();
        // A broker that a test has killed keeps its topics; its folder goes anyway.
        let Ok(known) = admin.inner().fetch_metadata(None, Duration::from_secs(10)) else { return };
        let mine: Vec<&str> = known
            .topics()
            .iter()
            .map(|topic| topic.name())
            .filter(|name| name.starts_with(&self.prefix))
            .collect();
        let _deleted = block_on(admin.delete_topics(&mine, &AdminOptions::new()));
    }
}
