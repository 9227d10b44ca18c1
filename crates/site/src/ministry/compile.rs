//! From the file to what a connector runs.

use bumpalo::Bump;
use lienthong_capture::convert::convert;
use lienthong_capture::publication::{Field, FieldSource, Publication, When};
use lienthong_connectors::{CaptureConfig, SourceConfig};
use lienthong_contract::participant::ParticipantId;
use lienthong_contract::predicate::Predicate;
use lienthong_contract::source::{Join, WhenEmptied};
use lienthong_schemas::{Catalogue, Cell, EncodePlan, EventContract, FieldPath, FieldType, QualityPlan};

use crate::node::{Key, Place};
use crate::reader::{Reader, Text};

use super::Participant;
use super::file::{EntryFile, FieldsFile, MinistryFile, SourceFile};
use super::look_up;
use super::source::Tables;
use super::subject;

/// Compiles a ministry's file; `None` when something was found in it.
pub(crate) fn compile(
    reader: &mut Reader<'_>,
    file: &MinistryFile,
    catalogue: &Catalogue,
) -> Option<Participant> {
    let mut tables = Tables::default();
    let owner = file.id.as_ref();
    let mut publications = Vec::new();
    let deletes_emptied =
        matches!(file.capture, Some(CaptureConfig::Log { truncate: WhenEmptied::Delete, .. }));
    for (index, entry) in file.publishes.iter().enumerate() {
        let mut compiler = Entry { reader, tables: &mut tables, entry };
        publications.extend(compiler.publication((index, deletes_emptied), owner, catalogue));
    }
    look_up::check(reader, file, &mut tables, &publications);
    for publication in &mut publications {
        for field in &mut publication.fields {
            if let FieldSource::Column(column) = &mut field.source {
                *column = tables.place(publication.table, *column);
            }
        }
    }
    let id = owner?;
    let participant = ParticipantId::new(&id.value)
        .map_err(|error| reader.problem(id.at, error.to_string(), "write it in that form"))
        .ok()?;
    let name = participant.as_str().to_owned();
    let source = SourceConfig { name, database: file.database.clone()?, capture: file.capture.clone()? };
    if !reader.problems.is_empty() {
        return None;
    }
    Some(Participant {
        participant,
        organisation: file.organisation.as_ref()?.value.clone(),
        source,
        tables: tables.into_captures(),
        publications: publications.into(),
    })
}

struct Entry<'a, 's> {
    reader: &'a mut Reader<'s>,
    tables: &'a mut Tables,
    entry: &'a EntryFile,
}

impl Entry<'_, '_> {
    fn publication(
        &mut self,
        (index, deletes_emptied): (usize, bool),
        owner: Option<&Text>,
        catalogue: &Catalogue,
    ) -> Option<Publication> {
        let found = self.event(owner, catalogue);
        let entry = self.entry;
        let from = entry.from.as_ref()?;
        let table = self.tables.table(self.reader, from);
        let when = from.when.as_ref().map(|text| self.when(text, table));
        let (event, stem) = found?;
        let before = self.reader.problems.len();
        let (fields, at) = match &entry.fields {
            FieldsFile::AsContract => (self.as_contract(event, table), entry.at),
            FieldsFile::Given { at, fields } => {
                let found = self.given(event, table, fields, *at);
                // A source that could not be read was told already.
                if fields.iter().any(|(_, source)| source.is_none()) {
                    return None;
                }
                (found, *at)
            }
            FieldsFile::Broken => return None,
        };
        // What follows would only repeat what was said of the fields.
        if self.reader.problems.len() > before {
            return None;
        }
        if let Some(list) =
            event.delta.as_ref().filter(|list| !fields.iter().any(|field| field.path == list.as_str()))
        {
            let message =
                format!("`{}` counts only the fields that `{list}` names, and it has no source", event.name);
            self.reader.problem(
                at,
                message,
                format!("add `{list}: {{column: .., list: \",\"}}` to `fields`"),
            );
        }
        if deletes_emptied {
            self.tells_key(table, &fields, at);
        }
        let subjects = subject::rules(self.reader, at, event, &fields);
        look_up::no_subject(self.reader, entry, self.tables.capture(table), (&fields, &subjects));
        if let Some(written) = &entry.subject {
            subject::check(self.reader, written, event, &fields, self.tables.capture(table));
        }
        let slots: Vec<FieldPath> = fields.iter().map(|field| field.path.as_str().into()).collect();
        let plan = EncodePlan::compile(event.schema.schema(), &slots)
            .map_err(|error| self.reader.problem(at, error.to_string(), "give it a source in `fields`"))
            .ok()?;
        Some(Publication {
            event: event.name.clone(),
            family: event.family.clone(),
            stem,
            entry: index,
            table,
            when: when.flatten(),
            correlation: entry.correlation.as_ref().map(|column| self.tables.column_of(table, column)),
            fields,
            subjects,
            quality: QualityPlan::compile(&event.checks, &event.schema, &slots),
            full_name: event.schema.full_name().to_owned(),
            schema_text: event.schema.text().to_owned(),
            plan,
        })
    }

    /// Which rows an emptied table had is known from their events alone, so these must tell rows apart.
    fn tells_key(&mut self, table: usize, fields: &[Field], at: Place) {
        let capture = self.tables.capture(table);
        let told = |column: usize| {
            fields.iter().any(|field| matches!(field.source, FieldSource::Column(of) if of == column))
        };
        let untold = capture
            .columns
            .iter()
            .enumerate()
            .find(|(column, name)| capture.key.contains(name) && !told(*column))
            .map(|(_, name)| name.clone());
        if let Some(name) = untold {
            let message = format!(
                "`truncate: delete` finds rows by the events that they became, and these do not hold the key column `{name}`"
            );
            let fix = "give a field that column as its source, or leave `truncate` out of `capture`";
            self.reader.problem(at, message, fix);
        }
    }

    /// The event, if it is known and the participant's own, and the stem of the participant's topics for it.
    fn event<'c>(
        &mut self,
        participant: Option<&Text>,
        catalogue: &'c Catalogue,
    ) -> Option<(&'c EventContract, String)> {
        let name = self.entry.event.as_ref()?;
        let Some(event) = catalogue.event(&name.value) else {
            let known = catalogue.events().map(|event| event.name.as_str());
            let fix = "use an event of schemas/catalogue.yaml";
            self.reader.unknown(name.at, format!("unknown event `{}`", name.raw), &name.raw, known, fix);
            return None;
        };
        let family = catalogue.family(&event.family)?;
        if let Some(stranger) = participant.filter(|id| !family.may_publish(&id.value)) {
            let publishers = family.publishers().join("`, `");
            let message = format!("`{}` belongs to `{publishers}`, not to `{}`", event.name, stranger.raw);
            let fix = if family.is_per_publisher() {
                "only those publish it: have the catalogue list the participant under `publishers`"
            } else {
                "only the owner publishes: use one of its own events"
            };
            self.reader.problem(name.at, message, fix);
        }
        let stem = participant.map_or_else(|| family.name.clone(), |id| family.stem(&id.value));
        Some((event, stem))
    }

    fn when(&mut self, text: &Text, table: usize) -> Option<When> {
        match Predicate::compile_open(&text.value, None) {
            Ok((predicate, names)) => {
                let columns = names.iter().map(|name| self.tables.column(table, name)).collect();
                let (line, column) = text.at;
                let place = format!("{}:{line}:{column}: `when: {}`", self.reader.file, text.raw);
                Some(When { predicate, columns, text: text.value.clone(), place })
            }
            Err(error) => {
                let at = self.reader.inside(text, error.column);
                let fix = "write a condition over columns, such as status == 'REGISTERED'";
                self.reader.problem(at, format!("`when`: {}", error.message), fix);
                None
            }
        }
    }

    /// Every field from the column of its name: `child.pin` from `child_pin`.
    fn as_contract(&mut self, event: &EventContract, table: usize) -> Vec<Field> {
        let field = |leaf: &lienthong_schemas::Field| Field {
            path: leaf.path.as_str().to_owned(),
            kind: leaf.kind.clone(),
            nullable: leaf.nullable,
            source: FieldSource::Column(self.tables.column(table, &leaf.path.as_str().replace('.', "_"))),
        };
        event.schema.leaf_paths().map(field).collect()
    }

    fn given(
        &mut self,
        event: &EventContract,
        table: usize,
        sources: &[(Key, Option<SourceFile>)],
        at: Place,
    ) -> Vec<Field> {
        let mut fields = Vec::new();
        for (key, source) in sources {
            fields.extend(self.field(event, table, key, source.as_ref()));
        }
        let named = |path: &str| sources.iter().any(|(key, _)| key.name == path);
        for leaf in
            event.schema.leaf_paths().filter(|leaf| !leaf.may_be_left_out() && !named(leaf.path.as_str()))
        {
            let column = leaf.path.as_str().replace('.', "_");
            let message = format!("`{}` of `{}` is required and has no source", leaf.path, event.name);
            self.reader.problem(
                at,
                message,
                format!("add `{}: {column}`, or the column that holds it", leaf.path),
            );
        }
        fields
    }

    fn field(
        &mut self,
        event: &EventContract,
        table: usize,
        key: &Key,
        source: Option<&SourceFile>,
    ) -> Option<Field> {
        let leaf = match event.schema.field(&key.name) {
            Some(leaf) if leaf.is_leaf() => leaf,
            Some(_) => {
                let inner = event
                    .schema
                    .leaf_paths()
                    .find(|leaf| leaf.path.as_str().starts_with(&format!("{}.", key.name)));
                let example = inner.map_or("its fields", |leaf| leaf.path.as_str());
                let fix = format!("name its fields one by one, such as `{example}`");
                self.reader.problem(key.at, format!("`{}` is a record", key.name), fix);
                return None;
            }
            None => {
                let message = format!("`{}` is not a field of `{}`", key.name, event.name);
                let known = event.schema.leaf_paths().map(|leaf| leaf.path.as_str());
                self.reader.unknown(key.at, message, &key.name, known, "use a field of the contract");
                return None;
            }
        };
        let source = self.source(leaf, table, source?)?;
        Some(Field { path: key.name.clone(), kind: leaf.kind.clone(), nullable: leaf.nullable, source })
    }

    fn source(
        &mut self,
        leaf: &lienthong_schemas::Field,
        table: usize,
        source: &SourceFile,
    ) -> Option<FieldSource> {
        match source {
            SourceFile::Column(column) => Some(FieldSource::Column(self.tables.column_of(table, column))),
            SourceFile::PartialDate { column, precision } => {
                if leaf.kind != FieldType::Text {
                    let message =
                        format!("`{}` is no text, and a date with a precision becomes EDTF text", leaf.path);
                    self.reader.problem(precision.at, message, "leave `precision_column` out");
                    return None;
                }
                let date = self.tables.column_of(table, column);
                Some(FieldSource::PartialDate { date, precision: self.tables.column_of(table, precision) })
            }
            SourceFile::Lookup { at, table: other, by, take } => {
                let by =
                    by.iter().map(|(key, column)| (key.name.clone(), self.tables.column_of(table, column)));
                let (by, (line, column)) = (by.collect(), *at);
                let place = format!("{}:{line}:{column}", self.reader.file);
                let join = Join { table: other.value.clone(), by, take: take.value.clone(), place };
                Some(FieldSource::Column(self.tables.joined(table, join)))
            }
            SourceFile::Constant(text) => self.constant(leaf, text),
            SourceFile::List { column, separator, at } => {
                if leaf.kind != FieldType::List {
                    self.reader.problem(*at, format!("`{}` is no list", leaf.path), "leave `list` out");
                    return None;
                }
                let column = self.tables.column_of(table, column);
                Some(FieldSource::List { column, separator: separator.clone() })
            }
        }
    }

    fn constant(&mut self, leaf: &lienthong_schemas::Field, text: &Text) -> Option<FieldSource> {
        let arena = Bump::new();
        let Err(rule) = convert(Cell::Str(&text.value), &leaf.kind, &arena) else {
            return Some(FieldSource::Constant(text.value.clone()));
        };
        let message = format!("`{}` cannot be `{}`: {rule}", leaf.path, text.raw);
        match &leaf.kind {
            FieldType::Enum(symbols) => {
                let otherwise = format!("use one of: {}", symbols.join(", "));
                self.reader.unknown(
                    text.at,
                    message,
                    &text.raw,
                    symbols.iter().map(String::as_str),
                    &otherwise,
                );
            }
            _ => self.reader.problem(
                text.at,
                message,
                "write a value of the contract's type, or take a column",
            ),
        }
        None
    }
}
