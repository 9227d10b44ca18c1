//! What a measurement leaves on the shared broker is taken away: a broker with thousands of partitions is a slower one.

use std::time::Duration;

use anyhow::Result;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Deletes the topics whose names begin so.
pub(crate) async fn delete(prefix: &str) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", lienthong_testkit::env::kafka()).create()?;
    let known = admin.inner().fetch_metadata(None, TIMEOUT)?;
    let topics: Vec<&str> =
        known.topics().iter().map(|topic| topic.name()).filter(|name| name.starts_with(prefix)).collect();
    let options = AdminOptions::new().operation_timeout(Some(TIMEOUT));
    for deleted in admin.delete_topics(&topics, &options).await? {
        deleted.map_err(|(topic, error)| anyhow::anyhow!("{topic} was not deleted: {error}"))?;
    }
    Ok(())
}
