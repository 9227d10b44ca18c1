//! `checks` of an event: as YAML, and against its contract.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::build::{Builder, at};
use super::file::Name;
use crate::path::FieldPath;
use crate::problem::nearest;
use crate::quality::{Checks, Level, PersonCheck, UnitCheck};
use crate::schema::{FieldType, RecordSchema};

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ChecksFile {
    persons: Vec<PersonFile>,
    units: Vec<UnitFile>,
    dates: Vec<Name>,
    open_dates: Vec<Name>,
    past: Vec<Name>,
    max_length: BTreeMap<String, serde_saphyr::Spanned<usize>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonFile {
    pin: Name,
    sex: Option<Name>,
    birth_date: Option<Name>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnitFile {
    code: Name,
    level: Name,
    on: Option<Name>,
}

/// What a check needs of its field.
#[derive(Clone, Copy)]
enum Wanted {
    Text,
    Sexes,
    Date,
    DateOrTime,
    Texts,
}

impl Wanted {
    fn fits(self, kind: &FieldType) -> bool {
        match (self, kind) {
            (Wanted::Text | Wanted::Date | Wanted::DateOrTime | Wanted::Texts, FieldType::Text)
            | (Wanted::Date | Wanted::DateOrTime, FieldType::Date)
            | (Wanted::DateOrTime, FieldType::TimestampMicros)
            | (Wanted::Texts, FieldType::List | FieldType::Map) => true,
            (Wanted::Sexes, FieldType::Enum(symbols)) => {
                ["male", "female"].iter().all(|sex| symbols.iter().any(|symbol| symbol == sex))
            }
            _ => false,
        }
    }

    fn named(self) -> &'static str {
        match self {
            Wanted::Text => "a text",
            Wanted::Sexes => "an enum with male and female",
            Wanted::Date => "a date or EDTF text",
            Wanted::DateOrTime => "a date, a timestamp or EDTF text",
            Wanted::Texts => "a text or a list of texts",
        }
    }
}

impl Builder<'_> {
    /// The checks whose fields are right; what is not is told.
    pub(super) fn checks(&mut self, file: &ChecksFile, schema: &RecordSchema) -> Checks {
        let mut checks = Checks::default();
        for person in &file.persons {
            let sex = self.optional(person.sex.as_ref(), Wanted::Sexes, schema);
            let birth_date = self.optional(person.birth_date.as_ref(), Wanted::Date, schema);
            if let Some(pin) = self.checked(&person.pin, Wanted::Text, schema) {
                checks.persons.push(PersonCheck { pin, sex, birth_date });
            }
        }
        for unit in &file.units {
            let level = self.level(&unit.level);
            let on = self.optional(unit.on.as_ref(), Wanted::Date, schema);
            if let Some((code, level)) = self.checked(&unit.code, Wanted::Text, schema).zip(level) {
                checks.units.push(UnitCheck { code, level, on });
            }
        }
        checks.dates = self.list(&file.dates, Wanted::Text, schema);
        checks.open_dates = self.list(&file.open_dates, Wanted::Text, schema);
        checks.past = self.list(&file.past, Wanted::DateOrTime, schema);
        for (name, bound) in &file.max_length {
            let name = Name::new(name.clone(), bound.referenced, bound.defined);
            if bound.value == 0 {
                self.problem(at(bound), "no text has 0 characters", "use 1 or more");
            }
            if let Some(path) = self.checked(&name, Wanted::Texts, schema) {
                checks.max_length.insert(path, bound.value);
            }
        }
        checks
    }

    fn list(&mut self, names: &[Name], wanted: Wanted, schema: &RecordSchema) -> Vec<FieldPath> {
        names.iter().filter_map(|name| self.checked(name, wanted, schema)).collect()
    }

    fn optional(&mut self, name: Option<&Name>, wanted: Wanted, schema: &RecordSchema) -> Option<FieldPath> {
        self.checked(name?, wanted, schema)
    }

    fn checked(&mut self, name: &Name, wanted: Wanted, schema: &RecordSchema) -> Option<FieldPath> {
        let path = self.leaf(name, schema)?;
        if schema.field(path.as_str()).is_some_and(|field| wanted.fits(&field.kind)) {
            return Some(path);
        }
        let message = format!("`{path}` is not {}, and cannot be checked as one", wanted.named());
        self.problem(at(name), message, "name another field, or remove the check");
        None
    }

    fn level(&mut self, name: &Name) -> Option<Level> {
        let found = Level::ALL.into_iter().find(|level| level.as_str() == name.value);
        if found.is_none() {
            let known = Level::ALL.map(Level::as_str);
            let fix = match nearest(&name.value, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("use one of: {}", known.join(", ")),
            };
            self.problem(at(name), format!("unknown level `{}`", name.value), fix);
        }
        found
    }
}
