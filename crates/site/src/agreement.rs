//! A subscriber: `agreements/<subscriber>.yaml`.

mod compile;
mod file;
mod groups;
mod policy;
mod projection;
mod revocation;
mod rule;
mod tables;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use lienthong_connectors::TargetConfig;
use lienthong_contract::target::TargetTable;
use lienthong_router::subscription::{
    DeliveryRule, RevocationRule, Subscription, SubscriptionKeys, Validity,
};

use lienthong_schemas::FieldPath;

use crate::keys::Keys;

pub(crate) use compile::compile;
pub(crate) use file::read;

/// One subscriber, compiled.
#[derive(Clone)]
pub struct Subscriber {
    /// `vss.insurance`.
    pub id: String,
    /// Its database.
    pub target: TargetConfig,
    /// Target tables, every family's columns included.
    pub tables: Vec<TargetTable>,
    /// Agreement with its version.
    pub agreement: String,
    /// Purpose id.
    pub purpose: String,
    /// Law that allows the deliveries.
    pub legal_basis: String,
    /// When they are allowed.
    pub valid: Validity,
    families: Vec<FamilyPart>,
}

/// The part of an agreement that belongs to one family.
#[derive(Clone, Debug)]
struct FamilyPart {
    family: String,
    topics: Vec<String>,
    rules: Vec<DeliveryRule>,
    revocations: Vec<RevocationRule>,
}

impl Subscriber {
    /// One subscription per family. Keys come in here and not at reading, because a site can be checked before it has keys.
    #[must_use]
    pub fn subscriptions(&self, keys: &Keys) -> Vec<Arc<Subscription>> {
        let subscription = |part: &FamilyPart| Subscription {
            subscriber: self.id.clone(),
            family: part.family.clone(),
            topics: part.topics.clone(),
            agreement: self.agreement.clone(),
            purpose: self.purpose.clone(),
            legal_basis: self.legal_basis.clone(),
            valid: self.valid,
            tables: self.tables.clone(),
            rules: part.rules.clone(),
            revocations: part.revocations.clone(),
            keys: SubscriptionKeys::derive(&keys.subject, &self.id, &self.purpose, &part.family),
        };
        self.families.iter().map(|part| Arc::new(subscription(part))).collect()
    }

    /// The topics that it is served from.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.families.iter().flat_map(|part| part.topics.iter().map(String::as_str))
    }

    /// Every event that it takes, with the fields that are delivered or looked at; revocations included.
    pub fn reads(&self) -> impl Iterator<Item = (&str, BTreeSet<FieldPath>)> {
        self.families.iter().flat_map(|part| {
            let rules = part.rules.iter().map(|rule| {
                let fields = rule.fields.iter().chain(&rule.paths).cloned();
                (rule.event.as_str(), fields.collect())
            });
            let revocation = |rule: &RevocationRule| rule.paths.iter().cloned().collect();
            rules.chain(part.revocations.iter().map(move |rule| (rule.event.as_str(), revocation(rule))))
        })
    }

    /// The families that it takes part in.
    pub fn families(&self) -> impl Iterator<Item = &str> {
        self.families.iter().map(|part| part.family.as_str())
    }
}

// What may have come from `${env:..}` is not shown; an id is public by its nature.
impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Subscriber");
        shown.field("id", &self.id).field("target", &"***");
        shown.field("tables", &self.tables.len()).finish_non_exhaustive()
    }
}
