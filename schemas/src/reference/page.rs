//! One page per family and their index, in Markdown.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::catalogue::{Catalogue, Classification, EventContract, Family, SubjectRule};
use crate::path::FieldPath;
use crate::schema::{Field, FieldType};
use crate::words::by_number;

const NOTE: &str = "<!-- Written by `lienthong schema docs`; do not edit. -->\n";

pub(super) fn file(family: &Family) -> String {
    format!("{}.md", family.name)
}

pub(super) fn index(catalogue: &Catalogue) -> String {
    let mut out = format!("{NOTE}# Contracts\n\n");
    out.push_str(
        "What crosses the bus, who publishes it and who may see which field. [asyncapi.yaml](asyncapi.yaml) says the same for tools.\n\n\
         | family | published by | events |\n|---|---|---|\n",
    );
    for family in catalogue.families() {
        let link =
            |event: &EventContract| format!("[{}]({}#{})", event.title, file(family), anchor(&event.name));
        let events: Vec<String> = catalogue.events_of(&family.name).map(link).collect();
        let publishers = family.publishers().join(", ");
        line(
            &mut out,
            &format!(
                "| [{}]({}): {} | {publishers} | {} |",
                family.name,
                file(family),
                family.title,
                events.join("; ")
            ),
        );
    }
    out.push_str("\n## Purposes\n\nAn agreement names one; a field that the purpose does not name is not for it.\n\n| purpose | |\n|---|---|\n");
    let mut purposes: Vec<_> = catalogue.purposes().iter().collect();
    purposes.sort_by_key(|(id, _)| by_number(id));
    for (id, title) in purposes {
        let matching =
            if catalogue.is_matching(id) { "; may have the key of its own pseudonyms" } else { "" };
        line(&mut out, &format!("| {id} | {title}{matching} |"));
    }
    out.push_str("\n## Retention\n\n| class | days live | days bulk | |\n|---|---|---|---|\n");
    for (name, class) in catalogue.retention() {
        line(&mut out, &format!("| {name} | {} | {} | {} |", class.live_days, class.bulk_days, class.title));
    }
    out
}

pub(super) fn family(catalogue: &Catalogue, family: &Family) -> String {
    let mut out = format!("{NOTE}# {}\n\n`{}`, published by ", family.title, family.name);
    out.push_str(&family.publishers().join(", "));
    out.push_str(if family.is_per_publisher() { ", each in topics of its own" } else { "" });
    line(&mut out, &format!("; retention class `{}`.\n", family.retention));
    out.push_str("| topic | partitions | copies | days |\n|---|---|---|---|\n");
    for (name, spec) in family.topics() {
        line(
            &mut out,
            &format!("| `{name}` | {} | {} | {} |", spec.partitions, spec.replication, spec.retention_days),
        );
    }
    for contract in catalogue.events_of(&family.name) {
        event(&mut out, catalogue, contract);
    }
    out
}

fn event(out: &mut String, catalogue: &Catalogue, event: &EventContract) {
    line(
        out,
        &format!("\n## {}\n\n{}: {}\n", event.name, event.title, event.schema.doc().unwrap_or_default()),
    );
    line(out, &format!("- Record: `{}`", event.schema.full_name()));
    line(out, &format!("- Law: {}", event.legal_source));
    line(out, &format!("- Subject: {}", subjects(&event.subjects)));
    if let Some(number) = &event.record_number {
        line(out, &format!("- Record number: `{number}`"));
    }
    if let Some(delta) = &event.delta {
        line(
            out,
            &format!("- Changes only what `{delta}` lists; null clears. Mandatory fields always hold."),
        );
    }
    if let Some(before) = &event.before {
        line(out, &format!("- What the listed fields held before: `{before}`"));
    }
    if let Some(revokes) = &event.revokes {
        line(out, &format!("- Revokes {}, by `{}`", code(revokes.types.iter()), revokes.record_number));
    }
    let by: Vec<&str> = catalogue.revoked_by(&event.name).map(|event| event.name.as_str()).collect();
    if !by.is_empty() {
        line(out, &format!("- Revoked by {}", code(by.iter())));
    }
    let standards = &event.standards;
    for (name, terms) in [("OSIA", &standards.osia), ("DCI", &standards.dci), ("OpenCRVS", &standards.crvs)] {
        if !terms.is_empty() {
            line(out, &format!("- In {name}: {}", code(terms.iter())));
        }
    }
    out.push_str("\n| field | type | class | meaning |\n|---|---|---|---|\n");
    for field in event.schema.fields() {
        let class = if field.is_leaf() { class(event.classification(&field.path)) } else { "" };
        let doc = field.doc.as_deref().unwrap_or_default().replace('|', "\\|");
        line(out, &format!("| `{}` | {} | {class} | {doc} |", field.path, kind(field)));
    }
    out.push_str("\n| purpose | sees | as a pseudonym |\n|---|---|---|\n");
    let mut purposes: Vec<_> = event.purposes().iter().collect();
    purposes.sort_by_key(|(id, _)| by_number(id));
    for (id, fields) in purposes {
        let title = catalogue.purposes().get(id).map_or("", String::as_str);
        let (plain, pseudonym) = (sees(event, &fields.plain), sees(event, &fields.pseudonym));
        line(out, &format!("| {id} {title} | {plain} | {pseudonym} |"));
    }
}

/// Whole records where every leaf of one is seen, else leaves; a word when that is all of them.
fn sees(event: &EventContract, leaves: &BTreeSet<FieldPath>) -> String {
    let all: Vec<&Field> = event.schema.leaf_paths().collect();
    if all.iter().all(|leaf| leaves.contains(&leaf.path)) {
        return "everything".to_owned();
    }
    let whole = |path: &FieldPath| {
        all.iter().filter(|leaf| path.covers(&leaf.path)).all(|leaf| leaves.contains(&leaf.path))
    };
    let mut shown: Vec<&FieldPath> = Vec::new();
    for field in event.schema.fields() {
        let inside = shown.iter().any(|path| path.covers(&field.path));
        if !inside && whole(&field.path) {
            shown.push(&field.path);
        }
    }
    code(shown.iter())
}

fn subjects(rules: &[SubjectRule]) -> String {
    let one = |rule: &SubjectRule| match rule {
        SubjectRule::First(fields) => code(fields.iter()).replace(", ", ", else "),
        SubjectRule::Compose(fields) => format!("{} together", code(fields.iter())),
    };
    match rules {
        [rule] => one(rule),
        several => {
            let each: Vec<String> = several.iter().map(one).collect();
            format!("one event each for {}", each.join("; for "))
        }
    }
}

fn kind(field: &Field) -> String {
    let kind = match &field.kind {
        FieldType::Bool => "truth value".to_owned(),
        FieldType::Int => "whole number, 32 bits".to_owned(),
        FieldType::Long => "whole number, 64 bits".to_owned(),
        FieldType::Float | FieldType::Double => "number".to_owned(),
        FieldType::Text => "text".to_owned(),
        FieldType::Bytes => "bytes".to_owned(),
        FieldType::Fixed(size) => format!("{size} bytes"),
        FieldType::Enum(symbols) => code(symbols.iter()),
        FieldType::Date => "date".to_owned(),
        FieldType::TimeMicros => "time of day".to_owned(),
        FieldType::TimestampMicros => "instant".to_owned(),
        FieldType::Decimal { precision, scale } => format!("decimal({precision}, {scale})"),
        FieldType::Uuid => "uuid".to_owned(),
        FieldType::List => "list".to_owned(),
        FieldType::Map => "map".to_owned(),
        FieldType::Record => "record".to_owned(),
        FieldType::Null => "nothing".to_owned(),
    };
    if field.nullable { format!("{kind}, or null") } else { kind }
}

fn class(class: Option<Classification>) -> &'static str {
    match class {
        Some(Classification::Basic) => "basic",
        Some(Classification::Sensitive) => "sensitive",
        Some(Classification::Restricted) => "restricted",
        None => "",
    }
}

fn code(names: impl Iterator<Item = impl std::fmt::Display>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// As GitHub makes it of a heading.
fn anchor(heading: &str) -> String {
    heading.replace('.', "")
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{text}");
}
