//! From the YAML file to the catalogue, with everything that is wrong in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_saphyr::{Location, Spanned};

use super::file::{CatalogueFile, ClassesFile, EventFile, Name, PurposeFile, RevokesFile, SubjectFile};
use super::{Catalogue, Classification, EventContract, PurposeFields, Revokes, Standards, SubjectRule};
use crate::path::FieldPath;
use crate::problem::{Problem, nearest};
use crate::quality::Checks;
use crate::schema::{FieldType, RecordSchema};

/// Names of events under this prefix belong to the bus itself.
const CONTROL_PREFIX: &str = "lienthong.";

pub(super) fn parse(
    file: &str,
    text: &str,
    schemas: &BTreeMap<String, RecordSchema>,
    broken: &BTreeSet<String>,
) -> Result<Catalogue, Vec<Problem>> {
    let parsed: CatalogueFile = serde_saphyr::from_str(text).map_err(|error| vec![syntax(file, &error)])?;
    let mut builder = Builder { file, schemas, broken, problems: Vec::new() };
    let catalogue = builder.catalogue(&parsed);
    builder.problems.sort();
    builder.problems.dedup();
    if builder.problems.is_empty() { Ok(catalogue) } else { Err(builder.problems) }
}

fn syntax(file: &str, error: &serde_saphyr::Error) -> Problem {
    let at = error.location().map_or((0, 0), |location| place(&location));
    // The full text of the error draws the lines around it; one line is enough here.
    let text = error.without_snippet().to_string();
    let message = text.lines().next().unwrap_or_default().to_owned();
    Problem::new(file, at, message, "write it as the reference of catalogue.yaml shows")
}

fn place(location: &Location) -> (u64, u64) {
    (location.line(), location.column())
}

pub(super) fn at<T>(spanned: &Spanned<T>) -> (u64, u64) {
    place(&spanned.referenced)
}

pub(super) struct Builder<'f> {
    file: &'f str,
    schemas: &'f BTreeMap<String, RecordSchema>,
    /// Events whose contracts could not be read, which has been told.
    broken: &'f BTreeSet<String>,
    problems: Vec<Problem>,
}

impl Builder<'_> {
    pub(super) fn problem(&mut self, at: (u64, u64), message: impl Into<String>, fix: impl Into<String>) {
        self.problems.push(Problem::new(self.file, at, message, fix));
    }

    pub(super) fn unknown<'c>(
        &mut self,
        name: &Name,
        what: &str,
        known: impl IntoIterator<Item = &'c str>,
        otherwise: &str,
    ) {
        let fix = match nearest(&name.value, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => otherwise.to_owned(),
        };
        self.problem(at(name), format!("unknown {what} `{}`", name.value), fix);
    }

    fn catalogue(&mut self, file: &CatalogueFile) -> Catalogue {
        let retention = self.retention(&file.retention);
        let families = file
            .families
            .iter()
            .map(|(name, family)| (name.clone(), self.family(name, family, &retention)))
            .collect();
        let mut events = BTreeMap::new();
        for (name, event) in &file.events {
            match self.schemas.get(name) {
                Some(schema) => {
                    events.insert(name.clone(), self.event(name, event, schema, file));
                }
                None if self.broken.contains(name) => {}
                None => {
                    let without_entry = self.schemas.keys().filter(|name| !file.events.contains_key(*name));
                    let fix = match nearest(name, without_entry.map(String::as_str)) {
                        Some(near) => format!("did you mean `{near}`, whose file is there?"),
                        None => format!("add schemas/avro/{}.avsc", name.replacen('.', "/", 1)),
                    };
                    self.problem(at(event), format!("the event `{name}` has no schema"), fix);
                }
            }
        }
        for name in self.schemas.keys() {
            if !name.starts_with(CONTROL_PREFIX) && !file.events.contains_key(name) {
                let message = format!("the schema of `{name}` has no entry under events");
                // There is no better place: the entry is what is missing.
                let fix = format!("add `{name}` under events, or remove its file");
                self.problem((1, 1), message, fix);
            }
        }
        let purposes = file.purposes.iter().map(|(id, title)| (id.clone(), title.value.clone())).collect();
        for name in &file.matching {
            if !file.purposes.contains_key(&name.value) {
                let known = file.purposes.keys().map(String::as_str);
                self.unknown(name, "purpose", known, "add it under purposes");
            }
        }
        let matching = file.matching.iter().map(|name| name.value.clone()).collect();
        let catalogue = Catalogue { purposes, matching, retention, families, events };
        self.revocations(&catalogue, file);
        catalogue
    }

    fn event(
        &mut self,
        name: &str,
        event: &Spanned<EventFile>,
        schema: &RecordSchema,
        catalogue: &CatalogueFile,
    ) -> EventContract {
        let file = &event.value;
        if !catalogue.families.contains_key(&file.family.value) {
            let known = catalogue.families.keys().map(String::as_str);
            self.unknown(&file.family, "family", known, "add it under families");
        } else if !name.starts_with(&format!("{}.", file.family.value)) {
            let fix = format!("name it {}.<what>", file.family.value);
            self.problem(at(&file.family), format!("`{name}` does not begin with its family"), fix);
        }
        let several =
            catalogue.families.get(&file.family.value).is_some_and(|family| family.value.per.is_some());
        if several && file.record_number.is_none() {
            let message =
                format!("`{name}` has several publishers and no record_number to tell their records apart");
            self.problem(at(event), message, "name the field whose value is unique among all publishers");
        }
        EventContract {
            name: name.to_owned(),
            family: file.family.value.clone(),
            title: file.title.clone(),
            legal_source: file.legal_source.clone(),
            schema: Arc::new(schema.clone()),
            subjects: self.subjects(event, schema),
            record_number: file.record_number.as_ref().and_then(|name| self.leaf(name, schema)),
            delta: file.delta.as_ref().and_then(|name| self.delta(name, schema)),
            before: self.before(file, schema),
            revokes: file.revokes.as_ref().map(|revokes| self.revokes(revokes, schema)),
            checks: Checks {
                changed: file.delta.as_ref().map(|name| FieldPath::new(name.value.clone())),
                before: file.before.as_ref().map(|name| FieldPath::new(name.value.clone())),
                ..self.checks(&file.checks, schema)
            },
            standards: Standards {
                osia: file.standards.osia.clone(),
                dci: file.standards.dci.clone(),
                crvs: file.standards.crvs.clone(),
            },
            classes: self.classes(event, schema),
            purposes: self.purposes(file, schema, &catalogue.purposes),
        }
    }

    /// A field that must exist; a record stands for all its leaves.
    pub(super) fn leaves(&mut self, name: &Name, schema: &RecordSchema) -> Vec<FieldPath> {
        let path = FieldPath::new(name.value.clone());
        let leaves: Vec<_> = schema
            .leaf_paths()
            .filter(|leaf| path.covers(&leaf.path))
            .map(|leaf| leaf.path.clone())
            .collect();
        if leaves.is_empty() {
            let known = schema.fields().iter().map(|field| field.path.as_str());
            self.unknown(name, "field", known, "use a field of the contract");
        }
        leaves
    }

    /// A leaf that must exist.
    pub(super) fn leaf(&mut self, name: &Name, schema: &RecordSchema) -> Option<FieldPath> {
        let leaves = self.leaves(name, schema);
        match leaves.as_slice() {
            [leaf] if leaf.as_str() == name.value => Some(leaf.clone()),
            [] => None,
            _ => {
                let message = format!("`{}` is a record, one value is needed", name.value);
                self.problem(at(name), message, format!("use one of its fields, such as `{}`", leaves[0]));
                None
            }
        }
    }

    fn subjects(&mut self, event: &Spanned<EventFile>, schema: &RecordSchema) -> Vec<SubjectRule> {
        let file = &event.value;
        match (&file.subject, &file.subjects) {
            (Some(rule), None) => vec![self.subject(event, rule, schema)],
            (None, Some(rules)) if !rules.is_empty() => {
                rules.iter().map(|rule| self.subject(event, rule, schema)).collect()
            }
            _ => {
                let fix =
                    "write subject: [fields], or subjects: [[fields], [fields]] for one event per person";
                self.problem(at(event), "the event needs either `subject` or `subjects`", fix);
                Vec::new()
            }
        }
    }

    fn subject(
        &mut self,
        event: &Spanned<EventFile>,
        rule: &SubjectFile,
        schema: &RecordSchema,
    ) -> SubjectRule {
        let mut paths = Vec::new();
        let mut nullable = Vec::new();
        for name in &rule.fields {
            let Some(path) = self.leaf(name, schema) else { continue };
            let Some(field) = schema.field(path.as_str()) else { continue };
            let key = matches!(
                field.kind,
                FieldType::Text | FieldType::Int | FieldType::Long | FieldType::Date | FieldType::Uuid
            );
            if !key && !matches!(field.kind, FieldType::Enum(_)) {
                let fix = "use text, a whole number, a date, an enum or a uuid";
                self.problem(at(name), format!("`{path}` cannot be part of a subject"), fix);
            }
            nullable.push(field.nullable);
            paths.push(path);
        }
        let always = if rule.compose {
            !nullable.contains(&true) && !nullable.is_empty()
        } else {
            nullable.contains(&false) || nullable.is_empty()
        };
        if !always || rule.fields.is_empty() {
            let place = rule.fields.first().map_or(at(event), at);
            self.problem(
                place,
                "the subject may be null",
                if rule.compose {
                    "compose mandatory fields only"
                } else {
                    "end the list with a mandatory field"
                },
            );
        }
        if rule.compose { SubjectRule::Compose(paths) } else { SubjectRule::First(paths) }
    }

    fn classes(
        &mut self,
        event: &Spanned<EventFile>,
        schema: &RecordSchema,
    ) -> BTreeMap<FieldPath, Classification> {
        let ClassesFile { basic, sensitive, restricted } = &event.value.classification;
        let lists = [
            (basic, Classification::Basic),
            (sensitive, Classification::Sensitive),
            (restricted, Classification::Restricted),
        ];
        // For each leaf, the longest name that covers it wins: `child: basic` with `child.ethnicity: sensitive`.
        let mut classes: BTreeMap<FieldPath, (usize, Classification)> = BTreeMap::new();
        for (name, class) in lists.iter().flat_map(|(names, class)| names.iter().map(|name| (name, *class))) {
            for leaf in self.leaves(name, schema) {
                match classes.get(&leaf) {
                    Some((length, _)) if *length > name.value.len() => {}
                    Some((length, other)) if *length == name.value.len() && *other != class => {
                        let message = format!("`{}` has two classes", name.value);
                        self.problem(at(name), message, "keep one of them");
                    }
                    _ => {
                        classes.insert(leaf, (name.value.len(), class));
                    }
                }
            }
        }
        for leaf in schema.leaf_paths().filter(|leaf| !classes.contains_key(&leaf.path)) {
            let message = format!("`{}` has no classification", leaf.path);
            self.problem(at(event), message, "list it under basic, sensitive or restricted");
        }
        classes.into_iter().map(|(leaf, (_, class))| (leaf, class)).collect()
    }

    fn purposes(
        &mut self,
        file: &EventFile,
        schema: &RecordSchema,
        known: &BTreeMap<String, Spanned<String>>,
    ) -> BTreeMap<String, PurposeFields> {
        let mut purposes = BTreeMap::new();
        for (id, purpose) in &file.purposes {
            if !known.contains_key(id) {
                let name = Spanned::new(id.clone(), purpose.referenced, purpose.defined);
                self.unknown(&name, "purpose", known.keys().map(String::as_str), "add it under purposes");
            }
            purposes.insert(id.clone(), self.purpose(purpose, schema));
        }
        purposes
    }

    fn purpose(&mut self, purpose: &Spanned<PurposeFile>, schema: &RecordSchema) -> PurposeFields {
        let file = &purpose.value;
        let mut collect = |names: &[Name]| -> BTreeSet<FieldPath> {
            names.iter().flat_map(|name| self.leaves(name, schema)).collect()
        };
        let pseudonym = collect(&file.pseudonym);
        let but = collect(&file.all_but);
        let mut plain = collect(&file.fields);
        if file.all || !file.all_but.is_empty() {
            let all = schema.leaf_paths().map(|leaf| leaf.path.clone());
            plain.extend(all.filter(|leaf| !but.contains(leaf)));
        }
        if plain.is_empty() && pseudonym.is_empty() {
            self.problem(at(purpose), "the purpose may see nothing", "list fields, or remove the purpose");
        }
        // What is named as a pseudonym is not also shown.
        plain.retain(|leaf| !pseudonym.contains(leaf));
        PurposeFields { plain, pseudonym }
    }

    fn revokes(&mut self, revokes: &RevokesFile, schema: &RecordSchema) -> Revokes {
        let record_number = FieldPath::new(revokes.record_number.value.clone());
        self.leaf(&revokes.record_number, schema);
        let mut matches = Vec::new();
        for (theirs, own) in &revokes.matches {
            if let Some(own) = self.leaf(own, schema) {
                matches.push((FieldPath::new(theirs.clone()), own));
            }
        }
        let types = revokes.types.iter().map(|name| name.value.clone()).collect();
        Revokes { types, record_number, matches }
    }

    /// What can be checked only when all events are known.
    fn revocations(&mut self, catalogue: &Catalogue, file: &CatalogueFile) {
        for revokes in file.events.values().filter_map(|event| event.value.revokes.as_ref()) {
            for name in &revokes.types {
                match catalogue.events.get(&name.value) {
                    None => {
                        let known = catalogue.events.keys().map(String::as_str);
                        self.unknown(name, "event", known, "use an event of the catalogue");
                    }
                    Some(event) if event.record_number.is_none() => {
                        let message = format!("`{}` has no record_number to be revoked by", name.value);
                        self.problem(at(name), message, "give it one");
                    }
                    Some(_) => {}
                }
            }
            for (theirs, own) in &revokes.matches {
                let has = |name: &Name| {
                    catalogue
                        .events
                        .get(&name.value)
                        .is_some_and(|event| event.schema.field(theirs).is_some())
                };
                if !revokes.types.iter().any(has) {
                    let message = format!("no revoked event has the field `{theirs}`");
                    self.problem(at(own), message, "use a field of a revoked event");
                }
            }
        }
    }
}
