//! `topics`: what contracts want against what the log has.

use std::time::Duration;

use lienthong_capture::requests;
use lienthong_log::TopicSpec;
use lienthong_schemas::{Catalogue, counted};
use lienthong_site::LogAddress;
use serde_json::{Value, json};

use super::{Context, acls};
use crate::args::Topics;
use crate::exit::{Code, Failure};
use crate::output;

const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) async fn run(context: &Context, action: &Topics) -> Result<(), Failure> {
    let wanted = wanted(&context.site.catalogue, context.site.participants());
    match action {
        Topics::List => {
            let rows: Vec<_> = wanted.iter().map(row).collect();
            output::rows(context.output, &["topic", "partitions", "retention_days", "compacted"], &rows);
        }
        Topics::Create => {
            let log = context.log()?;
            log.create_topics(&wanted).await?;
            report(context, &wanted).await?;
            if matches!(&context.site.log, LogAddress::Kafka(kafka) if kafka.sasl.is_some() || kafka.tls.is_some())
            {
                eprintln!("who may read and write them: lienthong topics acls");
            }
        }
        Topics::Acls(options) => acls::run(context, options)?,
        Topics::Describe => report(context, &wanted).await?,
    }
    Ok(())
}

/// Prints what exists; differences are exit code 5.
async fn report(context: &Context, wanted: &[TopicSpec]) -> Result<(), Failure> {
    let states = context.log()?.describe_topics(wanted).await?;
    let rows: Vec<Vec<Value>> = states
        .iter()
        .map(|state| {
            let differences = match state.partitions {
                None => "does not exist; fix: lienthong topics create".to_owned(),
                Some(_) => state.differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            };
            vec![json!(state.name), json!(state.partitions), json!(differences)]
        })
        .collect();
    output::rows(context.output, &["topic", "partitions", "differences"], &rows);
    let wrong =
        states.iter().filter(|state| state.partitions.is_none() || !state.differences.is_empty()).count();
    if wrong == 0 {
        return Ok(());
    }
    Err(Failure::new(Code::Differences, format!("not as contracts say: {}", counted(wrong, "topic"))))
}

fn row(topic: &TopicSpec) -> Vec<Value> {
    let days = topic.retention.map(|retention| retention.as_secs() / DAY.as_secs());
    vec![json!(topic.name), json!(topic.partitions), json!(days), json!(topic.compacted)]
}

/// Every topic of a site: two per family and publisher that has its own, the bus's own, and one for quarantine and one for requests per participant.
pub(crate) fn wanted<'a>(
    catalogue: &Catalogue,
    participants: impl Iterator<Item = &'a str>,
) -> Vec<TopicSpec> {
    let families =
        catalogue.families().flat_map(|family| family.topics().map(|(name, spec)| topic(name, spec)));
    let widest = catalogue.families().map(|family| &family.live).max_by_key(|live| live.replication);
    let (replication, min_insync) =
        widest.map_or((1, 1), |live| (i32::from(live.replication), i32::from(live.min_insync_replicas)));
    let own = |name: String, compacted: bool, retention: Option<Duration>| TopicSpec {
        name,
        partitions: 1,
        replication,
        min_insync_replicas: min_insync,
        retention,
        compacted,
    };
    let mut topics: Vec<TopicSpec> = families.collect();
    topics.push(own("lt.positions".into(), true, None));
    topics.push(own("lt.status".into(), true, None));
    // Receipts and audit answer a data subject for at least the five years of the breach file (Decree 356/2025).
    topics.push(own("lt.receipts".into(), false, Some(DAY * 365 * 5)));
    topics.push(own("lt.audit".into(), false, Some(DAY * 365 * 5)));
    for id in participants {
        topics.push(own(format!("lt.quarantine.{id}"), false, Some(DAY * 90)));
        // A request that a connector has not met for so long is asked again.
        topics.push(own(requests::topic(id), false, Some(DAY * 7)));
    }
    topics
}

fn topic(name: String, spec: lienthong_schemas::TopicSpec) -> TopicSpec {
    TopicSpec {
        name,
        partitions: i32::try_from(spec.partitions).unwrap_or(i32::MAX),
        replication: i32::from(spec.replication),
        min_insync_replicas: i32::from(spec.min_insync_replicas),
        retention: Some(DAY * spec.retention_days),
        compacted: false,
    }
}
