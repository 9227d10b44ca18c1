//! One entry of `delivers` against its contract: every name resolved, nothing merged yet.

use lienthong_contract::predicate::{Predicate, PredicateField, PredicateType};
use lienthong_contract::target::{CellKind, VersionStore};
use lienthong_router::subscription::{ColumnMap, Effect, Policy};
use lienthong_schemas::{Access, Catalogue, EventContract, Family, Field, FieldPath, FieldType};

use crate::node::Place;
use crate::reader::{Reader, Text};

use super::file::{IntoFile, RuleFile};
use super::policy::{self, Policies};
use super::projection;

/// A resolved entry. What could not be resolved is missing from it, and told.
pub(super) struct Rule<'c> {
    pub(super) at: Place,
    pub(super) event: &'c EventContract,
    /// The agreed leaves.
    pub(super) fields: Vec<FieldPath>,
    pub(super) filter: Option<Filter>,
    pub(super) table: Text,
    pub(super) key: Vec<Text>,
    pub(super) columns: Vec<Column>,
    pub(super) version: Option<(Place, VersionStore)>,
    pub(super) effect: Effect,
    pub(super) on_revoked: Policy,
    pub(super) on_deleted: Policy,
    /// Whether an event may declare the record void, and the agreement undoes it then.
    pub(super) revocable: bool,
}

/// A compiled `where`.
pub(super) struct Filter {
    pub(super) predicate: Predicate,
    /// Paths of the predicate's inputs, in its order.
    pub(super) inputs: Vec<FieldPath>,
}

/// One written column.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) at: Place,
    pub(super) path: FieldPath,
    pub(super) nullable: bool,
    pub(super) map: ColumnMap,
    pub(super) kind: CellKind,
}

impl Rule<'_> {
    /// A column by its name.
    pub(super) fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The columns that are no part of the key.
    pub(super) fn values(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| !self.key.iter().any(|key| key.value == column.name))
    }

    /// Columns named by a `soft` policy.
    pub(super) fn soft_columns(&self) -> impl Iterator<Item = &str> {
        [&self.on_revoked, &self.on_deleted].into_iter().filter_map(|policy| match policy {
            Policy::Soft { column } => Some(column.as_str()),
            Policy::Hard | Policy::Ignore => None,
        })
    }
}

/// Resolves one entry.
pub(super) fn resolve<'c>(
    reader: &mut Reader<'_>,
    file: &RuleFile,
    purpose: Option<&str>,
    catalogue: &'c Catalogue,
) -> Option<Rule<'c>> {
    let name = file.event.as_ref()?;
    let Some(event) = catalogue.event(&name.value) else {
        let known = catalogue.events().map(|event| event.name.as_str());
        let fix = "use an event of schemas/catalogue.yaml";
        reader.unknown(name.at, format!("unknown event `{}`", name.raw), &name.raw, known, fix);
        return None;
    };
    let fields = file.fields.as_ref().map(|names| agreed(reader, names, event, purpose));
    let filter = file.filter.as_ref().and_then(|text| filter(reader, text, event, purpose));
    let columns = file.into.as_ref().map(|into| {
        key_is_mapped(reader, into);
        projection::columns(reader, into, event, fields.as_deref(), purpose)
    });
    let Policies { on_revoked, on_deleted } = policy::resolve(reader, file, event, catalogue);
    let into = file.into.as_ref()?;
    let revoked = catalogue.revoked_by(event.name.as_str()).next().is_some();
    let revocable = revoked && on_revoked.as_ref().is_some_and(|policy| *policy != Policy::Ignore);
    let rule = Rule {
        at: file.at,
        event,
        fields: fields?,
        filter,
        table: into.table.clone(),
        key: into.key.clone(),
        columns: columns?,
        version: into.version.clone(),
        effect: file.effect?,
        on_revoked: on_revoked?,
        on_deleted: on_deleted?,
        revocable,
    };
    if rule.effect == Effect::Delete
        && let Some(column) = rule.values().next()
    {
        let message =
            format!("a deleting entry writes no columns, and `{}` is not part of the key", column.name);
        reader.problem(column.at, message, "leave only the key's columns");
    }
    policy::fits_delta(reader, file.at, &rule);
    policy::fits_update(reader, file.at, &rule);
    null_key(reader, &rule);
    told_apart(reader, &rule, catalogue);
    Some(with_marks(rule))
}

/// Versions of two publishers do not compare, so a row may only ever come from one of them. A record number is unique
/// among all publishers of a family: with it in the key, the row is its publisher's.
fn told_apart(reader: &mut Reader<'_>, rule: &Rule<'_>, catalogue: &Catalogue) {
    let several = catalogue.family(&rule.event.family).is_some_and(Family::is_per_publisher);
    let (true, Some(number), Some(first)) = (several, &rule.event.record_number, rule.key.first()) else {
        return;
    };
    if rule.key.iter().filter_map(|key| rule.column(&key.value)).any(|column| column.path == *number) {
        return;
    }
    let message =
        format!("`{}` has several publishers, and two of them could write one row", rule.event.family);
    reader.problem(first.at, message, format!("add a column that holds `{number}` to the key"));
}

/// The column of a `soft` policy is written with the entry's values, always as null: a record that comes to life again loses its mark.
fn with_marks(mut rule: Rule<'_>) -> Rule<'_> {
    let marks: Vec<String> = rule.soft_columns().map(str::to_owned).collect();
    for name in marks {
        // A column that is mapped from a field as well is told with the table.
        let Some(path) = rule.columns.first().map(|column| column.path.clone()) else { continue };
        if rule.column(&name).is_none() {
            let (at, map, kind) = (rule.at, ColumnMap::Unset, CellKind::Timestamp);
            rule.columns.push(Column { name, at, path, nullable: true, map, kind });
        }
    }
    rule
}

/// The agreed fields as leaves: those that exist and that the purpose may see.
fn agreed(
    reader: &mut Reader<'_>,
    names: &[Text],
    event: &EventContract,
    purpose: Option<&str>,
) -> Vec<FieldPath> {
    let mut agreed = Vec::new();
    for name in names {
        let path = FieldPath::new(name.value.clone());
        let leaves: Vec<&Field> = event.schema.leaf_paths().filter(|leaf| path.covers(&leaf.path)).collect();
        if leaves.is_empty() {
            unknown_field(reader, name, event);
            continue;
        }
        agreed.extend(leaves.iter().map(|leaf| leaf.path.clone()));
        let Some(purpose) = purpose else { continue };
        if event.access(purpose, &path) == Access::Denied {
            let denied = |leaf: &&&Field| event.access(purpose, &leaf.path) == Access::Denied;
            let leaf = leaves.iter().find(denied).map_or(name.raw.clone(), |leaf| leaf.path.to_string());
            let message = format!("purpose {purpose} may not see `{leaf}` of `{}`", event.name);
            reader.problem(name.at, message, "remove it from `fields`, or have the catalogue grant it");
        }
    }
    agreed
}

pub(super) fn unknown_field(reader: &mut Reader<'_>, name: &Text, event: &EventContract) {
    let message = format!("`{}` is not a field of `{}`", name.raw, event.name);
    let known = event.schema.fields().iter().map(|field| field.path.as_str());
    reader.unknown(name.at, message, &name.raw, known, "use a field of the contract");
}

fn filter(
    reader: &mut Reader<'_>,
    text: &Text,
    event: &EventContract,
    purpose: Option<&str>,
) -> Option<Filter> {
    let field = |field: &Field| PredicateField {
        path: field.path.as_str().to_owned(),
        kind: predicate_type(&field.kind),
        nullable: field.nullable,
    };
    let fields: Vec<PredicateField> = event.schema.leaf_paths().map(field).collect();
    match Predicate::compile(&text.value, Some("event"), &fields) {
        Ok(predicate) => {
            if let Some(purpose) = purpose {
                within_purpose(reader, text, event, (&predicate, &fields), purpose);
            }
            let input = |index: &usize| fields.get(*index).map(|field| FieldPath::new(field.path.clone()));
            let inputs = predicate.inputs().iter().filter_map(input).collect();
            Some(Filter { predicate, inputs })
        }
        Err(error) => {
            let at = reader.inside(text, error.column);
            let fix = match &error.suggestion {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    "write a condition over the event, such as event.child.birth_date >= '2020'".to_owned()
                }
            };
            reader.problem(at, format!("`where`: {}", error.message), fix);
            None
        }
    }
}

/// Which rows arrive tells the value that they were chosen by: a condition looks at what the purpose may see, also where
/// the agreement does not deliver it. Whether a field is null shows in its pseudonym, and nothing more of its value does.
fn within_purpose(
    reader: &mut Reader<'_>,
    text: &Text,
    event: &EventContract,
    (predicate, fields): (&Predicate, &[PredicateField]),
    purpose: &str,
) {
    let mut told = Vec::new();
    for one in predicate.uses() {
        let Some(path) = fields.get(one.field).map(|field| FieldPath::new(field.path.clone())) else {
            continue;
        };
        let at = reader.inside(text, one.column);
        let (message, fix) = match event.access(purpose, &path) {
            Access::Plain => continue,
            Access::Pseudonym if one.null_only => continue,
            _ if told.contains(&path) => continue,
            Access::Pseudonym => (
                format!(
                    "`where`: purpose {purpose} may see `{path}` of `{}` only as a pseudonym",
                    event.name
                ),
                format!("ask `event.{path} != null` or `== null` only, or take it out of the condition"),
            ),
            Access::Denied => (
                format!("`where`: purpose {purpose} may not see `{path}` of `{}`", event.name),
                "take it out of the condition, or have the catalogue grant it".to_owned(),
            ),
        };
        reader.problem(at, message, fix);
        told.push(path);
    }
}

fn predicate_type(kind: &FieldType) -> PredicateType {
    match kind {
        FieldType::Bool => PredicateType::Bool,
        FieldType::Int | FieldType::Long => PredicateType::Int,
        FieldType::Float | FieldType::Double => PredicateType::Float,
        FieldType::Text | FieldType::Enum(_) => PredicateType::Text,
        FieldType::Bytes | FieldType::Fixed(_) => PredicateType::Bytes,
        FieldType::Date => PredicateType::Date,
        FieldType::TimestampMicros => PredicateType::Timestamp,
        FieldType::List => PredicateType::List,
        FieldType::TimeMicros
        | FieldType::Decimal { .. }
        | FieldType::Uuid
        | FieldType::Map
        | FieldType::Record
        | FieldType::Null => PredicateType::Other,
    }
}

fn key_is_mapped(reader: &mut Reader<'_>, into: &IntoFile) {
    for key in into.key.iter().filter(|key| !into.columns.iter().any(|(column, _)| column.name == key.value))
    {
        let message = format!("the key column `{}` is not in `columns`", key.raw);
        let known = into.columns.iter().map(|(column, _)| column.name.as_str());
        reader.unknown(key.at, message, &key.raw, known, "map a field to it in `columns`");
    }
}

/// An event whose key is null halts its subscription; a filter that looks at the field is taken as the answer to that.
fn null_key(reader: &mut Reader<'_>, rule: &Rule<'_>) {
    let asked = |path: &FieldPath| rule.filter.as_ref().is_some_and(|filter| filter.inputs.contains(path));
    for column in rule.key.iter().filter_map(|key| rule.column(&key.value)) {
        if column.nullable && !asked(&column.path) {
            let message =
                format!("`{}` may be null, and an event without a key halts the subscription", column.path);
            reader.warn(column.at, message, format!("add where: \"event.{} != null\"", column.path));
        }
    }
}
