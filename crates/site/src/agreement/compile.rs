//! From the file to what the router runs.

use std::sync::Arc;

use lienthong_connectors::TargetConfig;
use lienthong_contract::participant::ParticipantId;
use lienthong_router::subscription::{ColumnSource, DeliveryRule, GroupSource, RowFilter};
use lienthong_schemas::words::by_number;
use lienthong_schemas::{Catalogue, DecodePlan, FieldPath};

use crate::reader::Reader;

use super::file::AgreementFile;
use super::revocation::revocations;
use super::rule::{Rule, resolve};
use super::tables::{Placement, merge};
use super::{FamilyPart, Subscriber};

/// Paths that are decoded, each once.
#[derive(Default)]
pub(super) struct Paths(Vec<FieldPath>);

impl Paths {
    /// The path's index.
    pub(super) fn index(&mut self, path: &FieldPath) -> usize {
        self.0.iter().position(|known| known == path).unwrap_or_else(|| {
            self.0.push(path.clone());
            self.0.len() - 1
        })
    }

    /// In the order of their indexes.
    pub(super) fn into_inner(self) -> Vec<FieldPath> {
        self.0
    }
}

/// Compiles an agreement's file; `None` when something was found in it.
pub(crate) fn compile(
    reader: &mut Reader<'_>,
    file: &AgreementFile,
    catalogue: &Catalogue,
) -> Option<Subscriber> {
    if let Some(id) = &file.subscriber
        && let Err(error) = ParticipantId::new(&id.value)
    {
        reader.problem(
            id.at,
            error.to_string().replace("participant id", "subscriber id"),
            "write it in that form",
        );
    }
    let purpose = file.purpose.as_ref().and_then(|purpose| {
        let known = catalogue.purposes();
        if !known.contains_key(&purpose.value) {
            let mut known: Vec<&str> = known.keys().map(String::as_str).collect();
            known.sort_by_key(|id| by_number(id));
            let otherwise = format!("use one of: {}", known.join(", "));
            // Every purpose is near to every other: P3, P13. So no guess, but the list.
            reader.problem(purpose.at, format!("unknown purpose `{}`", purpose.raw), otherwise);
            return None;
        }
        Some(purpose.value.as_str())
    });
    let rules: Vec<Rule<'_>> =
        file.delivers.iter().filter_map(|rule| resolve(reader, rule, purpose, catalogue)).collect();
    let (tables, placements) = merge(reader, &rules);
    let families = families(reader, &rules, &placements, catalogue);
    let id = file.subscriber.as_ref()?.value.clone();
    let target = TargetConfig { name: id.clone(), database: file.database.clone()? };
    let subscriber = Subscriber {
        id,
        target,
        tables,
        agreement: file.agreement.as_ref()?.value.clone(),
        purpose: purpose?.to_owned(),
        legal_basis: file.legal_basis.as_ref()?.value.clone(),
        valid: file.valid?,
        families,
    };
    reader.problems.is_empty().then_some(subscriber)
}

/// The rules by family, in the order in which families appear.
fn families(
    reader: &mut Reader<'_>,
    rules: &[Rule<'_>],
    placements: &[Placement],
    catalogue: &Catalogue,
) -> Vec<FamilyPart> {
    let mut names: Vec<&str> = Vec::new();
    for rule in rules {
        if !names.contains(&rule.event.family.as_str()) {
            names.push(&rule.event.family);
        }
    }
    let mut families = Vec::new();
    for family in names.into_iter().filter_map(|name| catalogue.family(name)) {
        let own: Vec<(&Rule<'_>, &Placement)> =
            rules.iter().zip(placements).filter(|(rule, _)| rule.event.family == family.name).collect();
        let revocations = revocations(reader, &own, catalogue);
        families.push(FamilyPart {
            family: family.name.clone(),
            topics: family.topics().map(|(name, _)| name).collect(),
            rules: own.iter().map(|(rule, placement)| delivery(reader, rule, placement)).collect(),
            revocations,
        });
    }
    families
}

fn delivery(reader: &mut Reader<'_>, rule: &Rule<'_>, placement: &Placement) -> DeliveryRule {
    let mut paths = Paths::default();
    let mut sources = |names: &[String]| -> Vec<ColumnSource> {
        let columns = names.iter().filter_map(|name| rule.column(name));
        columns.map(|column| ColumnSource { path: paths.index(&column.path), map: column.map }).collect()
    };
    let key = sources(&placement.key);
    let groups = placement
        .groups
        .iter()
        .map(|placed| GroupSource {
            group: placed.group,
            columns: sources(&placed.columns),
            listed: placed.listed.clone(),
        })
        .collect();
    let filter = rule.filter.as_ref().map(|filter| RowFilter {
        predicate: filter.predicate.clone(),
        inputs: filter.inputs.iter().map(|path| paths.index(path)).collect(),
    });
    let record_number = rule.event.record_number.as_ref().map(|path| paths.index(path));
    let delta = rule.event.delta.as_ref().map(|path| paths.index(path));
    let paths = paths.into_inner();
    let schema = rule.event.schema.schema();
    if let Err(error) = DecodePlan::compile(schema, schema, &paths) {
        reader.problem(rule.at, error.to_string(), "leave the field out");
    }
    DeliveryRule {
        event: rule.event.name.clone(),
        reader: Arc::clone(&rule.event.schema),
        fields: rule.fields.clone(),
        paths,
        filter,
        table: placement.table,
        key,
        groups,
        effect: rule.effect,
        on_revoked: rule.on_revoked.clone(),
        on_deleted: rule.on_deleted.clone(),
        record_number,
        delta,
    }
}
