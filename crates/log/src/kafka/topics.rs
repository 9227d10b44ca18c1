//! Topics: what exists against what should, and creating what is missing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lienthong_schemas::counted;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::{Shared, Watch, not_created};
use super::config::{ANSWER, MESSAGE_BYTES};
use crate::api::LogError;
use crate::topic::{Difference, TopicSpec, TopicState, absent, is_shorter, kept, retention_ms};

/// Settings of an existing topic by name.
type Settings = BTreeMap<String, String>;
/// Settings of a topic to be created.
type Wanted = Vec<(&'static str, String)>;

fn admin(shared: &Shared) -> Result<AdminClient<Watch>, LogError> {
    let made = shared.options.metadata().create_with_context(Watch::default());
    made.map_err(|error| not_created(&shared.options, &error))
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(ANSWER)).request_timeout(Some(ANSWER))
}

/// Copies and needed copies of a topic after the site's override.
fn copies(shared: &Shared, spec: &TopicSpec) -> (i32, i32) {
    let replication = shared.options.replication.unwrap_or(spec.replication);
    (replication, spec.min_insync_replicas.min(replication))
}

/// Creates what is missing; never changes what is there. Returns when everything can be used.
pub(super) fn create(shared: &Shared, wanted: &[TopicSpec]) -> Result<(), LogError> {
    if let Some(spec) = wanted.iter().find(|spec| spec.partitions < 1) {
        return Err(LogError::Topic {
            problem: format!("{} is to have {}", spec.name, counted(spec.partitions, "partition")),
            fix: "give it at least one".into(),
        });
    }
    let mut missing = Vec::new();
    for spec in wanted {
        if shared.find_partitions(&spec.name)?.is_none() {
            missing.push(spec);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let named: Vec<(&TopicSpec, String, Wanted)> = missing
        .iter()
        .map(|spec| (*spec, shared.options.physical(&spec.name), settings(shared, spec)))
        .collect();
    let topics: Vec<NewTopic<'_>> = named
        .iter()
        .map(|(spec, name, settings)| {
            let copies = TopicReplication::Fixed(copies(shared, spec).0);
            let topic = NewTopic::new(name, spec.partitions, copies);
            settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
        })
        .collect();
    let admin = admin(shared)?;
    let answers = futures::executor::block_on(admin.create_topics(&topics, &options()));
    let answers = answers.map_err(|error| shared.error("topics", &error, Some(admin.inner().context())))?;
    for (answer, (spec, ..)) in answers.into_iter().zip(&named) {
        match answer {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(not_made(shared, spec, code)),
        }
    }
    wait(shared, &missing)
}

fn settings(shared: &Shared, spec: &TopicSpec) -> Wanted {
    vec![
        ("cleanup.policy", policy(spec.compacted).to_owned()),
        ("retention.ms", retention_ms(spec).to_string()),
        ("min.insync.replicas", copies(shared, spec).1.to_string()),
        ("unclean.leader.election.enable", "false".to_owned()),
        ("max.message.bytes", MESSAGE_BYTES.to_string()),
        ("message.timestamp.type", "CreateTime".to_owned()),
        // A source whose clock is wrong must not stop: its times are judged above the log.
        ("message.timestamp.after.max.ms", i64::MAX.to_string()),
    ]
}

fn policy(compacted: bool) -> &'static str {
    if compacted { "compact" } else { "delete" }
}

fn not_made(shared: &Shared, spec: &TopicSpec, code: RDKafkaErrorCode) -> LogError {
    match code {
        RDKafkaErrorCode::InvalidReplicationFactor => LogError::Topic {
            problem: format!(
                "{} is to have {} copies, and there are fewer brokers",
                spec.name,
                copies(shared, spec).0
            ),
            fix: "add brokers, or set the log's `replication` for a test cluster".into(),
        },
        RDKafkaErrorCode::InvalidTopic | RDKafkaErrorCode::InvalidConfig => LogError::Topic {
            problem: format!("the brokers do not take {}: {code}", spec.name),
            fix: "correct its name or settings".into(),
        },
        code => shared.error(&spec.name, &KafkaError::AdminOp(code), None),
    }
}

/// Brokers know new topics a moment after they were created.
fn wait(shared: &Shared, topics: &[&TopicSpec]) -> Result<(), LogError> {
    let until = Instant::now() + ANSWER;
    for spec in topics {
        while !usable(shared, &spec.name)? {
            if Instant::now() > until {
                return Err(LogError::Unreachable {
                    address: shared.options.brokers.clone(),
                    reason: format!("{} was created but has no leader yet", spec.name),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

fn usable(shared: &Shared, topic: &str) -> Result<bool, LogError> {
    let physical = shared.options.physical(topic);
    let metadata = shared.told(topic, shared.questions().fetch_metadata(Some(&physical), ANSWER))?;
    Ok(metadata.topics().iter().any(|found| {
        found.name() == physical
            && found.error().is_none()
            && !found.partitions().is_empty()
            && found.partitions().iter().all(|part| part.leader() >= 0 && part.error().is_none())
    }))
}

/// What exists against what should.
pub(super) fn describe(shared: &Shared, wanted: &[TopicSpec]) -> Result<Vec<TopicState>, LogError> {
    let mut found = Vec::with_capacity(wanted.len());
    for spec in wanted {
        found.push(match shared.find_partitions(&spec.name)? {
            None => None,
            Some(partitions) => Some((partitions, replicas(shared, &spec.name)?)),
        });
    }
    let names: Vec<String> = wanted.iter().map(|spec| shared.options.physical(&spec.name)).collect();
    let there: Vec<&str> = names
        .iter()
        .zip(&found)
        .filter(|(_, found)| found.is_some())
        .map(|(name, _)| name.as_str())
        .collect();
    let settings = all_settings(shared, &there)?;
    let state = |((spec, name), found): ((&TopicSpec, &String), &Option<(i32, i32)>)| {
        let differences = match found {
            None => vec![absent(spec)],
            Some(counts) => differences(shared, spec, *counts, settings.get(name)),
        };
        TopicState { name: spec.name.clone(), partitions: found.map(|(count, _)| count), differences }
    };
    Ok(wanted.iter().zip(&names).zip(&found).map(state).collect())
}

fn replicas(shared: &Shared, topic: &str) -> Result<i32, LogError> {
    let physical = shared.options.physical(topic);
    let metadata = shared.told(topic, shared.questions().fetch_metadata(Some(&physical), ANSWER))?;
    let topics = metadata.topics().iter().filter(|found| found.name() == physical);
    // The partition with the fewest copies decides.
    let counts = topics.flat_map(|topic| topic.partitions().iter().map(|part| part.replicas().len() as i32));
    Ok(counts.min().unwrap_or(0))
}

fn all_settings(shared: &Shared, names: &[&str]) -> Result<BTreeMap<String, Settings>, LogError> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let admin = admin(shared)?;
    let resources: Vec<ResourceSpecifier<'_>> =
        names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let answers = futures::executor::block_on(admin.describe_configs(&resources, &options()));
    let answers = answers.map_err(|error| shared.error("topics", &error, Some(admin.inner().context())))?;
    let mut all = BTreeMap::new();
    for (answer, name) in answers.into_iter().zip(names) {
        let logical = name.strip_prefix(&shared.options.prefix).unwrap_or(name);
        let entries = answer.map_err(|code| shared.error(logical, &KafkaError::AdminOp(code), None))?.entries;
        if entries.is_empty() {
            return Err(hidden(shared, logical));
        }
        let entries = entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?)));
        all.insert((*name).to_owned(), entries.collect());
    }
    Ok(all)
}

/// Every topic has settings. The client library leaves out why the brokers do not show them.
fn hidden(shared: &Shared, topic: &str) -> LogError {
    match shared.partitions(topic) {
        Ok(_) => LogError::Refused(format!(
            "{topic}: the brokers do not show its settings; fix: give the right DescribeConfigs, which `lienthong topics acls` lists"
        )),
        Err(error) => error,
    }
}

fn differences(
    shared: &Shared,
    spec: &TopicSpec,
    (partitions, replication): (i32, i32),
    settings: Option<&Settings>,
) -> Vec<Difference> {
    let (want_copies, want_insync) = copies(shared, spec);
    let setting = |key: &str| settings.and_then(|settings| settings.get(key)).map(String::as_str);
    let number = |key: &str| setting(key).and_then(|text| text.parse::<i64>().ok());
    let word = |key: &str| setting(key).unwrap_or("unknown").to_owned();
    let mut all = Vec::new();
    let mut differ = |property: &'static str, found: String, wanted: String, endangers: bool| {
        if found != wanted {
            let fix = fix(shared, spec, property, &wanted);
            all.push(Difference { topic: spec.name.clone(), property, found, wanted, endangers, fix });
        }
    };
    differ(PARTITIONS, partitions.to_string(), spec.partitions.to_string(), true);
    // With fewer copies than must be in sync nothing is taken at all: that is told by itself.
    differ("replication", replication.to_string(), want_copies.to_string(), false);
    let insync = number("min.insync.replicas");
    let too_few = insync.is_none_or(|found| found < i64::from(want_insync));
    differ("min.insync.replicas", word("min.insync.replicas"), want_insync.to_string(), too_few);
    differ("cleanup.policy", word("cleanup.policy"), policy(spec.compacted).to_owned(), true);
    if !spec.compacted {
        let (found, wanted) = (number("retention.ms"), retention_ms(spec));
        let shorter = found.is_none_or(|found| is_shorter(found, wanted));
        differ("retention.ms", found.map_or_else(|| word("retention.ms"), kept), kept(wanted), shorter);
        // A bound by size takes records before their time.
        differ("retention.bytes", word("retention.bytes"), "-1".to_owned(), true);
    }
    // A larger bound is no difference; below the longest record there is one that the topic never takes.
    let largest = number("max.message.bytes").map_or(0, |found| found.min(MESSAGE_BYTES as i64));
    differ("max.message.bytes", largest.to_string(), MESSAGE_BYTES.to_string(), true);
    differ(UNCLEAN, word(UNCLEAN), "false".to_owned(), true);
    // Events would lose their own times.
    differ("message.timestamp.type", word("message.timestamp.type"), "CreateTime".to_owned(), true);
    all
}

const PARTITIONS: &str = "the number of partitions";
const UNCLEAN: &str = "unclean.leader.election.enable";

fn fix(shared: &Shared, spec: &TopicSpec, property: &str, wanted: &str) -> String {
    let topic = shared.options.physical(&spec.name);
    match property {
        PARTITIONS => format!(
            "partition counts are fixed at creation: correct the contract, or move what {topic} holds to a new topic"
        ),
        "replication" => {
            format!("let an administrator reassign the partitions of {topic} to {wanted} brokers each")
        }
        "retention.ms" => {
            let wanted = retention_ms(spec);
            format!("let an administrator set retention.ms={wanted} on {topic} (kafka-configs --alter)")
        }
        _ => format!("let an administrator set {property}={wanted} on {topic} (kafka-configs --alter)"),
    }
}
