//! `topics acls`: what every role has to be allowed on the brokers, and nothing beyond.
//!
//! Whoever makes a process ask the log for something new gives it the right here; a test runs every role under these lists alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lienthong_capture::requests::topic as request_topic;
use lienthong_log::kafka::READER;
use lienthong_router::subscription::group;
use lienthong_schemas::{nearest, shown};
use lienthong_site::{KafkaAddress, LogAddress, Site};
use serde_json::{Value, json};

use super::Context;
use super::topics::wanted;
use crate::args::Acls;
use crate::exit::{Code, Failure};
use crate::output::{self, Format};

const ROUTER: &str = "lienthong.router";
const MONITOR: &str = "lienthong.monitor";
const ADMINISTRATOR: &str = "lienthong.administrator";
const COLUMNS: [&str; 5] = ["role", "principal", "resource", "name", "operations"];

/// What a right is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    Topic,
    Group,
}

impl Resource {
    fn option(self) -> &'static str {
        match self {
            Self::Topic => "--topic",
            Self::Group => "--group",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Group => "group",
        }
    }
}

/// One role's right to do the same things with some topics or groups.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    resource: Resource,
    /// Without the cluster's prefix.
    names: Vec<String>,
    /// As Kafka calls them. Read and Write imply Describe.
    operations: &'static [&'static str],
}

/// Somebody who comes to the brokers by a name of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Role {
    name: String,
    why: &'static str,
    grants: Vec<Grant>,
}

pub(super) fn run(context: &Context, options: &Acls) -> Result<(), Failure> {
    let LogAddress::Kafka(address) = &context.site.log else {
        return Err(Failure::new(
            Code::Configuration,
            "the embedded log is a file: the file system's rights are its access list; fix: name a Kafka cluster under `log`",
        ));
    };
    let roles = roles(&context.site);
    let principals = principals(&roles, options)?;
    match context.output.format() {
        Format::Table => print!("{}", script(address, &roles, &principals)),
        Format::Json => output::rows(context.output, &COLUMNS, &rows(address, &roles, &principals)),
    }
    Ok(())
}

/// Everybody who needs the log of this site.
fn roles(site: &Site) -> Vec<Role> {
    let mut roles: Vec<Role> = site.participants().filter_map(|id| connector(site, id)).collect();
    roles.push(router(site));
    roles.push(monitor(site));
    roles.push(administrator(site));
    roles
}

fn topics(names: impl IntoIterator<Item = String>, operations: &'static [&'static str]) -> Grant {
    grant(Resource::Topic, names, operations)
}

fn groups(names: impl IntoIterator<Item = String>, operations: &'static [&'static str]) -> Grant {
    grant(Resource::Group, names, operations)
}

/// The client library asks where a group lives even for a reader without one; nothing is ever kept under this name.
fn readers() -> Grant {
    groups([READER.to_owned()], &["Describe"])
}

fn grant(
    resource: Resource,
    names: impl IntoIterator<Item = String>,
    operations: &'static [&'static str],
) -> Grant {
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort();
    names.dedup();
    Grant { resource, names, operations }
}

/// Writes its own families and nobody else's; reads them again only to find where it stopped. Looks first whether the topics are as
/// their contracts say.
fn connector(site: &Site, id: &str) -> Option<Role> {
    let participant = site.participant(id)?;
    let own = lienthong_capture::topics(&participant.publications);
    Some(Role {
        name: id.to_owned(),
        why: "writes its own families, its claims, its state, its quarantine and what its operators did; reads back what it wrote itself and set aside, and what it is asked for",
        grants: vec![
            topics(
                own.into_iter().chain(["lt.positions", "lt.status"].map(str::to_owned)),
                &["Read", "Write", "DescribeConfigs"],
            ),
            topics([format!("lt.quarantine.{id}")], &["Read", "Write", "DescribeConfigs"]),
            topics(["lt.audit".to_owned()], &["Write", "DescribeConfigs"]),
            topics([request_topic(id)], &["Read", "Write"]),
            readers(),
        ],
    })
}

/// Where it begins without an offset row, checkpoints say.
fn router(site: &Site) -> Role {
    let served = site.subscribers().flat_map(|subscriber| subscriber.topics().map(str::to_owned));
    Role {
        name: ROUTER.to_owned(),
        why: "reads the families of this site's agreements, as the groups of its subscriptions; tells its state",
        grants: vec![
            topics(served.chain(["lt.positions".to_owned()]), &["Read", "DescribeConfigs"]),
            topics(["lt.status".to_owned()], &["Read", "Write", "DescribeConfigs"]),
            groups(subscriptions(site), &["Read"]),
            readers(),
        ],
    }
}

fn monitor(site: &Site) -> Role {
    let families = site.catalogue.families().flat_map(|family| family.topics().map(|(name, _)| name));
    let told = ["lt.positions", "lt.status", "lt.receipts"].map(str::to_owned);
    let quarantines = site.participants().map(|id| format!("lt.quarantine.{id}"));
    Role {
        name: MONITOR.to_owned(),
        why: "reads the log and how far everybody is; writes only down who looked at values",
        grants: vec![
            topics(families.chain(told).chain(quarantines), &["Read"]),
            topics(["lt.audit".to_owned()], &["Read", "Write"]),
            groups(subscriptions(site).chain([READER.to_owned()]), &["Describe"]),
        ],
    }
}

fn administrator(site: &Site) -> Role {
    let all = wanted(&site.catalogue, site.participants()).into_iter().map(|topic| topic.name);
    Role {
        name: ADMINISTRATOR.to_owned(),
        why: "creates topics and compares them with their contracts; reads and writes no record",
        grants: vec![topics(all, &["Create", "Describe", "DescribeConfigs"])],
    }
}

fn subscriptions(site: &Site) -> impl Iterator<Item = String> {
    site.subscribers()
        .flat_map(|subscriber| subscriber.families().map(|family| group(&subscriber.id, family)))
}

/// The brokers' name of every role.
fn principals(roles: &[Role], options: &Acls) -> Result<BTreeMap<String, String>, Failure> {
    let mut all: BTreeMap<String, String> =
        roles.iter().map(|role| (role.name.clone(), format!("User:{}", role.name))).collect();
    for (name, principal) in &options.principal {
        match all.get_mut(name) {
            Some(known) => known.clone_from(principal),
            None => {
                let near = nearest(name, all.keys().map(String::as_str));
                let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                let line = format!("--principal: this site has no role {}{hint}", shown(name));
                return Err(Failure::new(Code::Configuration, line));
            }
        }
    }
    Ok(all)
}

fn physical(address: &KafkaAddress, name: &str) -> String {
    format!("{}{name}", address.prefix.as_deref().unwrap_or_default())
}

/// A shell script for whoever administers the brokers.
fn script(address: &KafkaAddress, roles: &[Role], principals: &BTreeMap<String, String>) -> String {
    let mut text = String::from(
        "# Rights on the brokers, by least privilege. Nothing is taken away: `kafka-acls.sh --list` shows what else is there.\n\
         # BOOTSTRAP: host:port of a broker. ADMIN_CONFIG: a properties file by which the brokers' administrator comes in.\n\
         set -eu\n",
    );
    // Writing to a string does not fail.
    for role in roles {
        let principal = quoted(principals.get(&role.name).map_or("", String::as_str));
        let _written = writeln!(text, "\n# {}: {}", role.name, role.why);
        for grant in role.grants.iter().filter(|grant| !grant.names.is_empty()) {
            let _written = write!(
                text,
                "\"${{KAFKA_ACLS:-kafka-acls.sh}}\" --bootstrap-server \"$BOOTSTRAP\" --command-config \"$ADMIN_CONFIG\" --add \\\n  \
                 --allow-principal {principal}"
            );
            for operation in grant.operations {
                let _written = write!(text, " --operation {operation}");
            }
            for name in &grant.names {
                let name = quoted(&physical(address, name));
                let _written = write!(text, " \\\n  {} {name}", grant.resource.option());
            }
            text.push('\n');
        }
    }
    text
}

/// One word for the shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn rows(address: &KafkaAddress, roles: &[Role], principals: &BTreeMap<String, String>) -> Vec<Vec<Value>> {
    let mut rows = Vec::new();
    for role in roles {
        for grant in &role.grants {
            rows.extend(grant.names.iter().map(|name| {
                vec![
                    json!(role.name),
                    json!(principals.get(&role.name)),
                    json!(grant.resource.word()),
                    json!(physical(address, name)),
                    json!(grant.operations),
                ]
            }));
        }
    }
    rows
}
