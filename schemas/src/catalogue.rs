//! The catalogue: who owns which family, what its events mean, which purpose may see which field.
//!
//! Deny by default: a field that no purpose names is seen by nobody.

mod build;
mod build_family;
mod checks;
mod delta;
mod family;
mod file;
mod subject;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use family::{Family, Publishers, Retention, TopicSpec};
pub use subject::{MAX_SUBJECT_BYTES, SubjectRule, is_person};

use crate::path::FieldPath;
use crate::problem::Problem;
use crate::quality::Checks;
use crate::schema::RecordSchema;

/// All families and events of a site.
#[derive(Clone, Debug)]
pub struct Catalogue {
    purposes: BTreeMap<String, String>,
    matching: BTreeSet<String>,
    retention: BTreeMap<String, Retention>,
    families: BTreeMap<String, Family>,
    events: BTreeMap<String, EventContract>,
}

/// How much harm a field can do in the wrong hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Classification {
    /// Basic personal data, or none.
    Basic,
    /// Sensitive personal data.
    Sensitive,
    /// For named purposes only.
    Restricted,
}

/// What a purpose may do with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// Nothing.
    Denied,
    /// See a token that is keyed for the subscriber.
    Pseudonym,
    /// See the value.
    Plain,
}

/// One event type: contract and meaning.
#[derive(Clone, Debug)]
pub struct EventContract {
    /// `civil_status.birth.registered`.
    pub name: String,
    /// Its family.
    pub family: String,
    /// What happened, in a few words.
    pub title: String,
    /// The law that makes the owner keep and share this record.
    pub legal_source: String,
    /// The shape of the data.
    pub schema: Arc<RecordSchema>,
    /// How the subject is found. One event goes out per rule: mostly one, several where a record is about several
    /// people and each of them has an order of its own.
    pub subjects: Vec<SubjectRule>,
    /// The field that numbers the record, by which a later event may revoke it.
    pub record_number: Option<FieldPath>,
    /// For an event that changes only some fields: the array that lists their paths. See [`EventContract::listed_as`].
    pub delta: Option<FieldPath>,
    /// For such an event: the record that holds what its fields held before, under the same names.
    pub before: Option<FieldPath>,
    /// What this event revokes.
    pub revokes: Option<Revokes>,
    /// What its values are checked for at the source.
    pub checks: Checks,
    /// What other people call it.
    pub standards: Standards,
    classes: BTreeMap<FieldPath, Classification>,
    purposes: BTreeMap<String, PurposeFields>,
}

/// Names of an event in international standards; empty where a standard has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standards {
    /// OSIA notification events.
    pub osia: Vec<String>,
    /// Digital Convergence Initiative, CRVS registry events.
    pub dci: Vec<String>,
    /// OpenCRVS events.
    pub crvs: Vec<String>,
}

/// The leaves that one purpose may see of one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PurposeFields {
    /// Leaves whose value may be seen.
    pub plain: BTreeSet<FieldPath>,
    /// Leaves that may be seen as a pseudonym only.
    pub pseudonym: BTreeSet<FieldPath>,
}

/// How a revocation finds the record that it voids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revokes {
    /// Event types that can be revoked.
    pub types: Vec<String>,
    /// The revocation's own field that holds the record number of the revoked event.
    pub record_number: FieldPath,
    /// Pairs (field of the revoked event, own field) that must agree as well. A type takes the pairs whose
    /// first field it has.
    pub matches: Vec<(FieldPath, FieldPath)>,
}

impl EventContract {
    /// The class of a field; for a whole record, the highest of its leaves.
    #[must_use]
    pub fn classification(&self, path: &FieldPath) -> Option<Classification> {
        self.classes.iter().filter(|(leaf, _)| path.covers(leaf)).map(|(_, class)| *class).max()
    }

    /// What a purpose may do with a field; for a whole record, with the leaf that it may do least with.
    #[must_use]
    pub fn access(&self, purpose: &str, path: &FieldPath) -> Access {
        let Some(fields) = self.purposes.get(purpose) else { return Access::Denied };
        let leaves = self.schema.leaf_paths().filter(|leaf| path.covers(&leaf.path));
        let access = leaves.map(|leaf| match () {
            () if fields.plain.contains(&leaf.path) => Access::Plain,
            () if fields.pseudonym.contains(&leaf.path) => Access::Pseudonym,
            () => Access::Denied,
        });
        access.min().unwrap_or(Access::Denied)
    }

    /// The field that the event must list for a leaf to count: of the optional leaves of a delta event the leaf itself, and of what
    /// was held before the leaf that holds what holds now. `None` where a leaf always counts: in other events, a mandatory leaf, the list
    /// itself and what the subject is made of.
    #[must_use]
    pub fn listed_as(&self, leaf: &FieldPath) -> Option<FieldPath> {
        let list = self.delta.as_ref()?;
        let optional =
            self.schema.field(leaf.as_str()).is_some_and(|field| field.is_leaf() && field.nullable);
        if !optional || leaf == list || self.subjects.iter().any(|rule| rule.fields().contains(leaf)) {
            return None;
        }
        let now = self.before.as_ref().and_then(|before| leaf.below(before));
        Some(now.unwrap_or_else(|| leaf.clone()))
    }

    /// The purposes that may see anything of this event.
    #[must_use]
    pub fn purposes(&self) -> &BTreeMap<String, PurposeFields> {
        &self.purposes
    }

    /// How this event names the field that `revoked` must agree in: pairs (its field, own field).
    #[must_use]
    pub fn revoke_matches(&self, revoked: &EventContract) -> Vec<(FieldPath, FieldPath)> {
        let Some(revokes) = &self.revokes else { return Vec::new() };
        let has = |path: &FieldPath| revoked.schema.field(path.as_str()).is_some();
        revokes.matches.iter().filter(|(theirs, _)| has(theirs)).cloned().collect()
    }
}

impl Catalogue {
    /// Parses a catalogue. `schemas` holds the contract of each event by its name; names under `lienthong.` are
    /// control records and need no entry.
    ///
    /// # Errors
    /// Every problem that was found, in the order of the file. A text that is not YAML of this form yields one.
    pub fn parse(
        file_name: &str,
        text: &str,
        schemas: &BTreeMap<String, RecordSchema>,
    ) -> Result<Catalogue, Vec<Problem>> {
        Self::parse_beside(file_name, text, schemas, &BTreeSet::new())
    }

    /// The same beside contracts that could not be read: that their events have no schema says nothing new.
    ///
    /// # Errors
    /// Every problem that was found, as [`Catalogue::parse`] tells it.
    pub fn parse_beside(
        file_name: &str,
        text: &str,
        schemas: &BTreeMap<String, RecordSchema>,
        broken: &BTreeSet<String>,
    ) -> Result<Catalogue, Vec<Problem>> {
        build::parse(file_name, text, schemas, broken)
    }

    /// An event by its name.
    #[must_use]
    pub fn event(&self, name: &str) -> Option<&EventContract> {
        self.events.get(name)
    }

    /// All events by name.
    pub fn events(&self) -> impl Iterator<Item = &EventContract> {
        self.events.values()
    }

    /// The events of a family.
    pub fn events_of(&self, family: &str) -> impl Iterator<Item = &EventContract> {
        self.events.values().filter(move |event| event.family == family)
    }

    /// A family by its name.
    #[must_use]
    pub fn family(&self, name: &str) -> Option<&Family> {
        self.families.get(name)
    }

    /// All families by name.
    pub fn families(&self) -> impl Iterator<Item = &Family> {
        self.families.values()
    }

    /// Purposes: id and title.
    #[must_use]
    pub fn purposes(&self) -> &BTreeMap<String, String> {
        &self.purposes
    }

    /// Whether a subscriber of this purpose may have the key of its own pseudonyms, to find whom it knows by a number already.
    #[must_use]
    pub fn is_matching(&self, purpose: &str) -> bool {
        self.matching.contains(purpose)
    }

    /// Retention classes by name.
    #[must_use]
    pub fn retention(&self) -> &BTreeMap<String, Retention> {
        &self.retention
    }

    /// The events that can revoke this one.
    pub fn revoked_by(&self, event: &str) -> impl Iterator<Item = &EventContract> {
        self.events.values().filter(move |other| {
            other.revokes.as_ref().is_some_and(|revokes| revokes.types.iter().any(|name| name == event))
        })
    }
}
