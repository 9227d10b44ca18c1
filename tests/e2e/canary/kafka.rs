//! The same publishers and subscribers over Kafka, with what they need and without.

use anyhow::Result;
use lienthong_testkit::env;
use lienthong_testkit::kafka::namespace;

use super::nationwide::{Nationwide, Run};
use super::postgres;
use super::registry::Registry;

/// Brokers, a registry, and the topics of this run.
pub(super) struct Place {
    brokers: String,
    prefix: String,
}

impl Place {
    pub(super) fn log(&self, registry: &str) -> String {
        Self::address(&self.brokers, registry, &self.prefix)
    }

    fn address(brokers: &str, registry: &str, prefix: &str) -> String {
        format!("kafka://{brokers}?registry={registry}&prefix={prefix}&replication=1")
    }
}

/// Where nobody listens.
const NOWHERE: &str = "127.0.0.1:1";

pub(super) async fn over_kafka(nation: &mut Nationwide) -> Result<()> {
    let place = Place { brokers: env::kafka(), prefix: namespace() };
    let log = place.log(&env::registry());
    nation.run(0, "", &["--log", &log, "topics", "create"])?;
    nation.run(0, "", &["--log", &log, "schema", "register"])?;
    // With rows that broke the contract the code is another.
    let publish = ["mps.population", "vss.insurance"].map(|publisher| {
        let words = ["--log", &log, "connect", publisher, "--once", "--metrics", "off"];
        vec![Run::with(0..=5, "events published", &words)]
    });
    nation.at_once(&publish)?;
    // Another log has other offsets.
    for subscriber in ["subscriber.mof.tax", "subscriber.moh.ehr"] {
        nation.change(subscriber, "delete from lienthong_offset").await?;
    }
    let no_registry = place.log(&format!("http://{NOWHERE}"));
    let no_broker = Place::address(NOWHERE, &env::registry(), &place.prefix);
    let no_password = format!("kafka://{NOWHERE}?registry=http://u:{}@{NOWHERE}", postgres::PASSWORD);
    let lost = |log: &str, words: &[&str]| {
        let options = [&["--log", log, "--timeout", "3"], words, &["--once", "--metrics", "off"]].concat();
        Run::new(4, NOWHERE, &options)
    };
    let registry = Registry::start().await?;
    let mut rows = registry.runs(&place);
    rows.extend([
        vec![lost(&no_registry, &["connect", "moh.facilities"])],
        vec![lost(&no_broker, &["connect", "mps.residence"])],
        vec![lost(&no_password, &["connect", "mps.population"])],
    ]);
    nation.at_once(&rows)?;
    nation.told(NOWHERE, &["--log", &no_registry, "--timeout", "3", "route", "mof.tax", "--once"])?;
    nation.told("mof.tax", &["--log", &log, "route", "mof.tax", "--once"])
}
