//! Which events undo what was delivered, and how they find the row.

use lienthong_router::subscription::{ColumnSource, Effect, Policy, RevocationRule, Undo};
use lienthong_schemas::{Catalogue, EventContract, FieldPath};

use crate::reader::Reader;

use super::compile::Paths;
use super::rule::Rule;
use super::tables::Placement;

/// The revocations of one family. `rules` are the family's, each with its placement.
pub(super) fn revocations(
    reader: &mut Reader<'_>,
    rules: &[(&Rule<'_>, &Placement)],
    catalogue: &Catalogue,
) -> Vec<RevocationRule> {
    let mut drafts: Vec<(&EventContract, Paths, Vec<Undo>)> = Vec::new();
    for (index, (rule, placement)) in rules.iter().enumerate() {
        // A deleting entry holds no row, and `ignore` leaves it: nothing to find.
        if rule.effect == Effect::Delete || rule.on_revoked == Policy::Ignore {
            continue;
        }
        for by in catalogue.revoked_by(&rule.event.name) {
            if by.family != rule.event.family {
                let message = format!("`{}` is revoked by `{}` of another family", rule.event.name, by.name);
                reader.problem(rule.at, message, "write on_revoked: ignore");
                continue;
            }
            let position = drafts.iter().position(|(event, ..)| event.name == by.name).unwrap_or_else(|| {
                drafts.push((by, Paths::default(), Vec::new()));
                drafts.len() - 1
            });
            let (_, paths, undoes) = &mut drafts[position];
            if let Some(key) = key(reader, rule, placement, by, paths) {
                // Every kind of record: the ledger knows a record by event and number, so two types never mix, and a
                // revocation whose kind is unknown still finds its record.
                undoes.push(Undo { rule: index, record_type: None, key });
            }
        }
    }
    drafts.into_iter().filter_map(|(event, paths, undoes)| rule_of(event, paths, undoes)).collect()
}

fn rule_of(event: &EventContract, mut paths: Paths, undoes: Vec<Undo>) -> Option<RevocationRule> {
    let record_number = paths.index(&event.revokes.as_ref()?.record_number);
    Some(RevocationRule {
        event: event.name.clone(),
        reader: std::sync::Arc::clone(&event.schema),
        paths: paths.into_inner(),
        record_number,
        record_type: None,
        undoes,
    })
}

/// The key's columns from the revocation's own fields.
fn key(
    reader: &mut Reader<'_>,
    rule: &Rule<'_>,
    placement: &Placement,
    by: &EventContract,
    paths: &mut Paths,
) -> Option<Vec<ColumnSource>> {
    let pairs = pairs(rule.event, by);
    let mut sources = Vec::new();
    for column in placement.key.iter().filter_map(|name| rule.column(name)) {
        let own = pairs.iter().find(|(theirs, _)| *theirs == column.path).map(|(_, own)| own);
        let kind = |event: &EventContract, path: &FieldPath| {
            event.schema.field(path.as_str()).map(|field| field.kind.clone())
        };
        match own.filter(|own| kind(by, own) == kind(rule.event, &column.path)) {
            Some(own) => sources.push(ColumnSource { path: paths.index(own), map: column.map }),
            None => {
                let known: Vec<&str> = pairs.iter().map(|(theirs, _)| theirs.as_str()).collect();
                let message = format!(
                    "`{}` cannot find the row: it does not carry `{}`, from which the key column `{}` comes",
                    by.name, column.path, column.name
                );
                let fix = format!("make the key of: {}; or write on_revoked: ignore", known.join(", "));
                reader.problem(column.at, message, fix);
                return None;
            }
        }
    }
    Some(sources)
}

/// Fields of the revoked event and the revocation's own that hold the same.
fn pairs(revoked: &EventContract, by: &EventContract) -> Vec<(FieldPath, FieldPath)> {
    let mut pairs = by.revoke_matches(revoked);
    if let (Some(theirs), Some(revokes)) = (&revoked.record_number, &by.revokes) {
        pairs.push((theirs.clone(), revokes.record_number.clone()));
    }
    pairs
}
