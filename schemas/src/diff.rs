//! What a consumer would notice between two versions of a contract, or of a whole catalogue, in words.

use std::collections::BTreeSet;
use std::fmt;

use crate::catalogue::{Access, Catalogue, EventContract};
use crate::check::compare;
use crate::path::FieldPath;
use crate::schema::{Field, FieldType, RecordSchema};
use crate::words::{by_number, counted};

/// One thing that a consumer would notice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// The event.
    pub event: String,
    /// The field; `None` when the whole event changes.
    pub path: Option<FieldPath>,
    /// The purpose that notices it; `None` when all do.
    pub purpose: Option<String>,
    /// What happens, without the event's name.
    pub what: String,
    /// Whether somebody who relies on what was there can no longer.
    pub breaks: bool,
}

impl Change {
    /// Whether a subscriber with this purpose, that reads these fields of this event, is concerned.
    #[must_use]
    pub fn touches(&self, event: &str, purpose: &str, reads: &BTreeSet<FieldPath>) -> bool {
        let purpose_fits = self.purpose.as_ref().is_none_or(|own| own == purpose);
        let read = |path: &FieldPath| reads.iter().any(|read| read.covers(path) || path.covers(read));
        self.event == event && purpose_fits && self.path.as_ref().is_none_or(read)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Some(path) => write!(f, "{}: `{path}` {}", self.event, self.what),
            None => write!(f, "{}: {}", self.event, self.what),
        }
    }
}

/// Between two versions of one contract.
#[must_use]
pub fn contracts(event: &str, before: &RecordSchema, after: &RecordSchema) -> Vec<Change> {
    let mut found = Found { event, changes: Vec::new() };
    match compare(before, after) {
        Ok(mismatches) => {
            for (path, why) in mismatches {
                let path = (!path.is_empty()).then(|| FieldPath::new(path));
                found.add(path.as_ref(), format!("cannot be read as before: {why}"), true);
            }
        }
        Err(why) => found.add(None, why, true),
    }
    for old in before.fields() {
        match after.field(old.path.as_str()) {
            Some(new) => field(&mut found, old, new),
            None if is_inside_gone(old, after) => {}
            None => found.add(Some(&old.path), "is removed", true),
        }
    }
    for new in after.fields().iter().filter(|new| before.field(new.path.as_str()).is_none()) {
        if is_inside_gone(new, before) {
            continue;
        }
        match (new.nullable, new.has_default) {
            (true, _) => found.add(Some(&new.path), "is added, null in older records", false),
            (false, true) => found.add(Some(&new.path), "is added, with its default in older records", false),
            // The comparison above has told it.
            (false, false) => {}
        }
    }
    found.changes
}

/// Whether the record around the field is missing there too, and says all that there is to say.
fn is_inside_gone(field: &Field, there: &RecordSchema) -> bool {
    field.path.as_str().rsplit_once('.').is_some_and(|(parent, _)| there.field(parent).is_none())
}

fn field(found: &mut Found<'_>, old: &Field, new: &Field) {
    let path = Some(&new.path);
    match (&old.kind, &new.kind) {
        (FieldType::Enum(was), FieldType::Enum(is)) => {
            for symbol in is.iter().filter(|symbol| !was.contains(symbol)) {
                let what = format!(
                    "may be `{symbol}` as well; whoever reads with the version before sees the default"
                );
                found.add(path, what, false);
            }
            for symbol in was.iter().filter(|symbol| !is.contains(symbol)) {
                found.add(
                    path,
                    format!("is never `{symbol}` again; older records are read as the default"),
                    false,
                );
            }
        }
        (was, is) if was != is => {
            found.add(path, format!("changes its type from {} to {}", kind(was), kind(is)), false);
        }
        _ => {}
    }
    if new.nullable && !old.nullable {
        found.add(path, "may be null from now on", false);
    }
    if new.doc != old.doc {
        found.add(path, "is described in other words: see whether it means the same", false);
    }
}

/// Between two catalogues with their contracts.
#[must_use]
pub fn catalogues(before: &Catalogue, after: &Catalogue) -> Vec<Change> {
    let mut changes = Vec::new();
    for old in before.events() {
        let mut found = Found { event: &old.name, changes: Vec::new() };
        match after.event(&old.name) {
            Some(new) => {
                found.changes = contracts(&old.name, &old.schema, &new.schema);
                meaning(&mut found, old, new);
                matching(&mut found, (before, old), (after, new));
                topics(&mut found, (before, old), (after, new));
            }
            None => found.add(None, "the event is removed", true),
        }
        changes.extend(found.changes);
    }
    for new in after.events().filter(|new| before.event(&new.name).is_none()) {
        Found { event: &new.name, changes: Vec::new() }.add_to(&mut changes, "the event is added");
    }
    changes.sort();
    changes.dedup();
    changes
}

fn meaning(found: &mut Found<'_>, old: &EventContract, new: &EventContract) {
    if old.subjects != new.subjects {
        found.add(None, "the subject is found in another way, so that keys and order change", true);
    }
    if old.record_number != new.record_number {
        found.add(None, "records are numbered by another field", true);
    }
    if old.delta != new.delta {
        found.add(None, "whether all fields count or only listed ones changes", true);
    }
    if old.before != new.before {
        found.add(None, "what was before stands in another field", old.before.is_some());
    }
    if old.revokes != new.revokes {
        found.add(None, "it revokes other events, or by other fields", false);
    }
    if old.checks != new.checks {
        found.add(None, "rows are checked by other rules before they leave their owner", false);
    }
    if old.legal_source != new.legal_source {
        found.add(None, format!("it rests on {} instead of {}", new.legal_source, old.legal_source), false);
    }
    if old.standards != new.standards {
        found.add(None, "other names in OSIA, DCI or OpenCRVS stand for it", false);
    }
    let mut purposes: Vec<&String> = old.purposes().keys().chain(new.purposes().keys()).collect();
    purposes.sort_by_key(|id| by_number(id));
    purposes.dedup();
    for purpose in purposes {
        for leaf in new.schema.leaf_paths().filter(|leaf| old.schema.field(leaf.path.as_str()).is_some()) {
            let (was, is) = (old.access(purpose, &leaf.path), new.access(purpose, &leaf.path));
            let what = match is {
                _ if was == is => continue,
                Access::Denied => format!("is no longer for purpose {purpose}"),
                Access::Pseudonym => format!("is for purpose {purpose} as a pseudonym only"),
                Access::Plain => format!("is for purpose {purpose} as well"),
            };
            // A pseudonym where the value was, or the other way round, is not what anybody has stored.
            let breaks = was != Access::Denied;
            let change = found.change(Some(&leaf.path), what, breaks);
            found.changes.push(Change { purpose: Some(purpose.clone()), ..change });
        }
    }
    for leaf in new.schema.leaf_paths() {
        let (was, is) = (old.classification(&leaf.path), new.classification(&leaf.path));
        if was.is_some() && was != is {
            found.add(Some(&leaf.path), "is classified anew", false);
        }
    }
}

/// Who may have the key of its pseudonyms knows whom they stand for.
fn matching(found: &mut Found<'_>, old: (&Catalogue, &EventContract), new: (&Catalogue, &EventContract)) {
    for purpose in new.1.purposes().keys().filter(|id| old.1.purposes().contains_key(*id)) {
        let what = match (old.0.is_matching(purpose), new.0.is_matching(purpose)) {
            (false, true) => format!("purpose {purpose} may have the key of its pseudonyms"),
            (true, false) => format!("purpose {purpose} may no longer have the key of its pseudonyms"),
            _ => continue,
        };
        let change = found.change(None, what, false);
        found.changes.push(Change { purpose: Some(purpose.clone()), ..change });
    }
}

fn topics(found: &mut Found<'_>, old: (&Catalogue, &EventContract), new: (&Catalogue, &EventContract)) {
    let (Some(was), Some(is)) = (old.0.family(&old.1.family), new.0.family(&new.1.family)) else { return };
    let old_topics: Vec<_> = was.topics().collect();
    let new_topics: Vec<_> = is.topics().collect();
    for (name, _) in old_topics.iter().filter(|(name, _)| !new_topics.iter().any(|(other, _)| other == name))
    {
        found.add(None, format!("it leaves the topic {name}"), true);
    }
    for (name, spec) in &new_topics {
        let former = old_topics.iter().find(|(other, _)| other == name).map(|(_, former)| former);
        if let Some(former) = former.filter(|former| former.retention_days != spec.retention_days) {
            kept(found, name, former.retention_days, spec.retention_days);
        }
        match former {
            Some(former) if former.partitions != spec.partitions => {
                let (from, to) = (former.partitions, spec.partitions);
                found.add(
                    None,
                    format!(
                        "{name} would go from {from} to {}, which breaks order",
                        counted(to, "partition")
                    ),
                    true,
                );
            }
            Some(_) => {}
            None => found.add(None, format!("it is published in {name} as well"), false),
        }
    }
    if was.publishers != is.publishers {
        let (from, to) = (was.publishers().join(", "), is.publishers().join(", "));
        found.add(None, format!("it is published by {to} instead of {from}"), false);
    }
}

/// Whoever was away longer than records are kept has missed some.
fn kept(found: &mut Found<'_>, topic: &str, from: u32, to: u32) {
    let what =
        format!("{topic} keeps records for {} instead of {}", counted(to, "day"), counted(from, "day"));
    found.add(None, what, to < from);
}

struct Found<'e> {
    event: &'e str,
    changes: Vec<Change>,
}

impl Found<'_> {
    fn change(&self, path: Option<&FieldPath>, what: impl Into<String>, breaks: bool) -> Change {
        Change { event: self.event.to_owned(), path: path.cloned(), purpose: None, what: what.into(), breaks }
    }

    fn add(&mut self, path: Option<&FieldPath>, what: impl Into<String>, breaks: bool) {
        self.changes.push(self.change(path, what, breaks));
    }

    fn add_to(&self, changes: &mut Vec<Change>, what: &str) {
        changes.push(self.change(None, what, false));
    }
}

fn kind(kind: &FieldType) -> String {
    match kind {
        FieldType::Bool => "truth value".to_owned(),
        FieldType::Int => "int".to_owned(),
        FieldType::Long => "long".to_owned(),
        FieldType::Float => "float".to_owned(),
        FieldType::Double => "double".to_owned(),
        FieldType::Text => "text".to_owned(),
        FieldType::Bytes => "bytes".to_owned(),
        FieldType::Fixed(size) => format!("{size} bytes"),
        FieldType::Enum(_) => "enum".to_owned(),
        FieldType::Date => "date".to_owned(),
        FieldType::TimeMicros => "time of day".to_owned(),
        FieldType::TimestampMicros => "instant".to_owned(),
        FieldType::Decimal { precision, scale } => format!("decimal({precision}, {scale})"),
        FieldType::Uuid => "uuid".to_owned(),
        FieldType::List => "list".to_owned(),
        FieldType::Map => "map".to_owned(),
        FieldType::Record => "record".to_owned(),
        FieldType::Null => "nothing".to_owned(),
    }
}
