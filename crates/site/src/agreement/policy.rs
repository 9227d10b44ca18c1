//! `on_revoked` and `on_deleted`: what must be said, and what follows from the other.

use lienthong_router::subscription::{Effect, Policy};
use lienthong_schemas::{Catalogue, EventContract};

use crate::node::Place;
use crate::reader::Reader;

use super::file::{Given, RuleFile};
use super::rule::Rule;

const CHOICES: &str = "hard, {soft: {column: voided_at}} or ignore";

/// What an event that changes only some fields cannot do: make a row, or say what held before it.
pub(super) fn fits_delta(reader: &mut Reader<'_>, at: Place, rule: &Rule<'_>) {
    let Some(list) = &rule.event.delta else { return };
    let name = &rule.event.name;
    if rule.effect == Effect::Upsert {
        let message = format!("`{name}` holds only the fields that `{list}` names, and cannot create a row");
        reader.problem(at, message, "write effect: {update: {if_missing: skip}}, or insert");
    }
    if matches!(rule.on_revoked, Policy::Soft { .. }) {
        let message = format!("`{name}` changes single fields, and `soft` marks a row");
        reader.problem(at, message, "write on_revoked: hard, which nulls what the record wrote, or ignore");
    } else if rule.on_deleted != Policy::Ignore && rule.effect != Effect::Delete {
        let message = format!("a deleted row of `{name}` does not say what its fields held before");
        reader.problem(at, message, "add on_deleted: ignore");
    }
    for column in rule.key.iter().filter_map(|key| rule.column(&key.value)) {
        if rule.event.listed_as(&column.path).is_some() {
            let message = format!("`{}` is there only when it is listed, and cannot be a key", column.path);
            reader.problem(column.at, message, "use a field that is always there");
        }
    }
}

/// `hard` nulls what an updating entry wrote, the mark of `soft` with it: which of the two came last would decide.
pub(super) fn fits_update(reader: &mut Reader<'_>, at: Place, rule: &Rule<'_>) {
    let policies = (&rule.on_revoked, &rule.on_deleted);
    let mixed = matches!(policies, (Policy::Hard, Policy::Soft { .. }) | (Policy::Soft { .. }, Policy::Hard));
    if mixed && matches!(rule.effect, Effect::Update { .. }) {
        let message = "an updating entry cannot null its columns for the one end of a record and mark them for the other";
        reader.problem(at, message, "write hard for both `on_revoked` and `on_deleted`, or soft for both");
    }
}

/// Both policies; `None` where the file is wrong.
pub(super) struct Policies {
    pub(super) on_revoked: Option<Policy>,
    pub(super) on_deleted: Option<Policy>,
}

/// `on_revoked` is mandatory where the catalogue knows an event that revokes this one; where it knows none, either stands for
/// both. A deleting entry has nothing to undo.
pub(super) fn resolve(
    reader: &mut Reader<'_>,
    file: &RuleFile,
    event: &EventContract,
    catalogue: &Catalogue,
) -> Policies {
    let deleting = file.effect == Some(Effect::Delete);
    let revoked = read(reader, &file.on_revoked, deleting);
    let deleted = read(reader, &file.on_deleted, deleting);
    let on_revoked = match (&revoked, &deleted, catalogue.revoked_by(event.name.as_str()).next()) {
        (Some(policy), _, _) => policy.clone(),
        (None, _, Some(by)) => {
            let message = format!("`on_revoked` is missing, and `{}` can revoke `{}`", by.name, event.name);
            let choices = if deleting { "ignore" } else { CHOICES };
            reader.problem(file.at, message, format!("add on_revoked: {choices}"));
            None
        }
        (None, Some(policy), None) => policy.clone(),
        (None, None, None) if deleting => Some(Policy::Ignore),
        (None, None, None) => {
            let message =
                "neither `on_deleted` nor `on_revoked` says what happens when the source row is gone";
            reader.problem(file.at, message, format!("add on_deleted: {CHOICES}"));
            None
        }
    };
    let on_deleted = deleted.unwrap_or_else(|| on_revoked.clone());
    Policies { on_revoked, on_deleted }
}

/// `None` when missing, `Some(None)` when wrong.
fn read(reader: &mut Reader<'_>, given: &Given<Policy>, deleting: bool) -> Option<Option<Policy>> {
    match given {
        Given::Missing => None,
        Given::Broken => Some(None),
        Given::Here(at, Policy::Hard | Policy::Soft { .. }) if deleting => {
            let message =
                "the bus does not hold the row that a deleting entry removed, and cannot bring it back";
            reader.problem(*at, message, "write ignore");
            Some(None)
        }
        Given::Here(_, policy) => Some(Some(policy.clone())),
    }
}
