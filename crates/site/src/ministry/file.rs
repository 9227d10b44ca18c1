//! The file as it stands, each name with its place.

use lienthong_connectors::{CaptureConfig, DEFAULT_OUTBOX, Database};
use lienthong_contract::retained::{AtBound, LogBound};
use lienthong_contract::source::WhenEmptied;

use crate::database::database;
use crate::node::{Key, Node, Place, Value};
use crate::reader::{Map, Reader, Text};

/// A ministry's file, as far as it could be read.
pub(crate) struct MinistryFile {
    pub(crate) id: Option<Text>,
    pub(super) organisation: Option<Text>,
    pub(super) database: Option<Database>,
    pub(super) capture: Option<CaptureConfig>,
    /// Tables whose rows may be looked up.
    pub(super) look_up: Vec<Text>,
    pub(super) publishes: Vec<EntryFile>,
}

/// One entry of `publishes`.
pub(super) struct EntryFile {
    pub(super) at: Place,
    pub(super) event: Option<Text>,
    pub(super) from: Option<FromFile>,
    pub(super) subject: Option<Vec<Text>>,
    /// A column.
    pub(super) correlation: Option<Text>,
    pub(super) fields: FieldsFile,
}

/// `from`.
pub(super) struct FromFile {
    pub(super) table: Text,
    pub(super) key: Vec<Text>,
    pub(super) when: Option<Text>,
}

/// `fields`.
pub(super) enum FieldsFile {
    /// Columns are named as the contract's fields.
    AsContract,
    /// Could not be read; told already.
    Broken,
    /// Field and source; `None` for a source that could not be read.
    Given { at: Place, fields: Vec<(Key, Option<SourceFile>)> },
}

/// Where a field's value comes from.
pub(super) enum SourceFile {
    Column(Text),
    PartialDate {
        column: Text,
        precision: Text,
    },
    Constant(Text),
    List {
        column: Text,
        separator: String,
        at: Place,
    },
    /// A column of another table; each of `by` is a column of it and one of the entry's own table.
    Lookup {
        at: Place,
        table: Text,
        by: Vec<(Key, Text)>,
        take: Text,
    },
}

#[derive(Clone, Copy)]
enum Mode {
    Outbox,
    Log,
}

/// Reads the file.
pub(crate) fn read(reader: &mut Reader<'_>, root: &Node) -> Option<MinistryFile> {
    let keys = ["participant", "organisation", "source", "publishes"];
    let map = reader.map(root, "the file", &keys)?;
    let id = reader.required_text(&map, "participant");
    let organisation = reader.required_text(&map, "organisation");
    let source = reader.required(&map, "source").and_then(|node| source(reader, node, id.as_ref()));
    let Source { database, capture, look_up } = source.unwrap_or_default();
    let publishes = reader.required(&map, "publishes").and_then(|node| {
        let items = reader.list(node, "publishes")?;
        if items.is_empty() {
            reader.problem(node.at, "`publishes` is empty", "add an entry, or remove the file");
        }
        Some(items)
    });
    let publishes = publishes.unwrap_or_default().iter().filter_map(|item| entry(reader, item)).collect();
    Some(MinistryFile { id, organisation, database, capture, look_up, publishes })
}

#[derive(Default)]
struct Source {
    database: Option<Database>,
    capture: Option<CaptureConfig>,
    look_up: Vec<Text>,
}

fn source(reader: &mut Reader<'_>, node: &Node, id: Option<&Text>) -> Option<Source> {
    let map = reader.map(node, "`source`", &["kind", "url", "capture"])?;
    let database = database(reader, &map);
    let node = reader.required(&map, "capture");
    let capture = node.and_then(|node| capture(reader, node, (id, database.as_ref())));
    let look_up = node.map(|node| look_up(reader, node)).unwrap_or_default();
    Some(Source { database, capture, look_up })
}

/// What else is wrong with `capture` is told elsewhere.
fn look_up(reader: &mut Reader<'_>, node: &Node) -> Vec<Text> {
    let Value::Map(entries) = &node.value else { return Vec::new() };
    let named =
        entries.iter().find(|(key, _)| key.name == "look_up" && Reader::peek(node, "mode") == Some("log"));
    named.and_then(|(_, node)| reader.names(node, "look_up")).unwrap_or_default()
}

/// Names that are not given are made from the participant's id; of one that cannot be read, it has been told.
fn capture(
    reader: &mut Reader<'_>,
    node: &Node,
    (id, database): (Option<&Text>, Option<&Database>),
) -> Option<CaptureConfig> {
    let known = match Reader::peek(node, "mode") {
        Some("log") => &[
            "mode",
            "slot",
            "publication",
            "max_retained_wal",
            "at_bound",
            "truncate",
            "look_up",
            "load_rate",
        ][..],
        _ => &["mode", "table"][..],
    };
    let map = reader.map(node, "`capture`", known)?;
    let mode = reader.required_text(&map, "mode")?;
    match reader.word(&mode, "capture mode", &[("outbox", Mode::Outbox), ("log", Mode::Log)])? {
        Mode::Outbox => {
            let table = reader.optional_text(&map, "table");
            let table = table.map_or(DEFAULT_OUTBOX.to_owned(), |table| table.value);
            Some(CaptureConfig::Outbox { table })
        }
        Mode::Log => {
            if let Some(Database::Sqlite { .. }) = database {
                reader.problem(mode.at, "an SQLite file has no log to capture from", "write mode: outbox");
                return None;
            }
            let bound = bound(reader, &map);
            let truncate = when_emptied(reader, &map);
            let load_rate = load_rate(reader, &map);
            let usual = id.map(|id| usual(&id.value));
            let slot =
                name(reader, &map, "slot").or_else(|| usual.clone().filter(|_| map.get("slot").is_none()));
            let publication = name(reader, &map, "publication")
                .or_else(|| usual.filter(|_| map.get("publication").is_none()));
            let (slot, publication) = (slot?, publication?);
            if slot.len() > LONGEST_NAME || publication.len() > LONGEST_NAME {
                let fix = format!("write slot: and publication: with at most {LONGEST_NAME} letters");
                reader.problem(
                    mode.at,
                    "the names made from the participant's id are too long for PostgreSQL",
                    fix,
                );
                return None;
            }
            Some(CaptureConfig::Log {
                slot,
                publication,
                bound: bound?,
                truncate: truncate?,
                load_rate: load_rate?,
            })
        }
    }
}

/// The server keeps whole files of 16 MiB, and one of them at any time.
const LEAST_BOUND: u64 = 64 << 20;

/// `None` when something is wrong with it.
fn bound(reader: &mut Reader<'_>, map: &Map<'_>) -> Option<LogBound> {
    let most = map.get("max_retained_wal").map(|node| reader.size(node, "max_retained_wal", LEAST_BOUND));
    let then = map.get("at_bound").map(|node| {
        let text = reader.text(node, "at_bound")?;
        if most.is_none() {
            let fix = "add max_retained_wal: 20GiB, or leave at_bound out";
            reader.problem(text.at, "`at_bound` says what happens at a bound, and there is none", fix);
            return None;
        }
        let words = [("stop", AtBound::Stop), ("drop-slot", AtBound::DropSlot)];
        reader.word(&text, "way to act at the bound", &words)
    });
    let broken = most == Some(None) || then == Some(None);
    (!broken).then(|| LogBound { most: most.flatten(), then: then.flatten().unwrap_or_default() })
}

/// `None` when something is wrong with it.
fn when_emptied(reader: &mut Reader<'_>, map: &Map<'_>) -> Option<WhenEmptied> {
    let Some(node) = map.get("truncate") else { return Some(WhenEmptied::default()) };
    let text = reader.text(node, "truncate")?;
    let words = [("refuse", WhenEmptied::Refuse), ("delete", WhenEmptied::Delete)];
    reader.word(&text, "way to take a truncate", &words)
}

/// Rows per second of a first load, where they are bounded. `None` when something is wrong with it.
fn load_rate(reader: &mut Reader<'_>, map: &Map<'_>) -> Option<Option<u32>> {
    let Some(node) = map.get("load_rate") else { return Some(None) };
    let rate = match &node.value {
        Value::Integer(number) => u32::try_from(*number).ok().filter(|rate| *rate > 0),
        Value::Null | Value::Bool | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
            None
        }
    };
    if rate.is_none() {
        let fix = "write rows per second as a whole number such as 5000, or leave load_rate out";
        reader.problem(node.at, "`load_rate` is no such number", fix);
    }
    rate.map(Some)
}

/// Of every name in PostgreSQL, bytes.
const LONGEST_NAME: usize = 63;

/// Name of slot and publication where the file gives none.
fn usual(id: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' };
    format!("lienthong_{}", id.chars().map(plain).collect::<String>())
}

/// A name of the server's, as its slots allow them.
fn name(reader: &mut Reader<'_>, map: &Map<'_>, key: &str) -> Option<String> {
    let text = reader.optional_text(map, key)?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if text.value.len() <= LONGEST_NAME && text.value.bytes().all(fits) {
        return Some(text.value);
    }
    let fix = format!("write at most {LONGEST_NAME} lower-case letters, digits and _");
    reader.problem(text.at, format!("`{key}` is no name that PostgreSQL takes for it"), fix);
    None
}

fn entry(reader: &mut Reader<'_>, node: &Node) -> Option<EntryFile> {
    let map = reader.map(
        node,
        "the entry of `publishes`",
        &["event", "from", "subject", "correlation", "fields"],
    )?;
    let event = reader.required_text(&map, "event");
    let from = reader.required(&map, "from").and_then(|node| from(reader, node));
    let subject = map.get("subject").and_then(|node| reader.names(node, "subject"));
    let fields = map.get("fields").map_or(FieldsFile::AsContract, |node| fields(reader, node));
    let correlation = reader.optional_text(&map, "correlation");
    Some(EntryFile { at: map.at, event, from, subject, correlation, fields })
}

fn from(reader: &mut Reader<'_>, node: &Node) -> Option<FromFile> {
    let map = reader.map(node, "`from`", &["table", "key", "when"])?;
    let table = reader.required_text(&map, "table");
    let key = reader.required(&map, "key").and_then(|node| reader.names(node, "key"));
    let when = reader.optional_text(&map, "when");
    Some(FromFile { table: table?, key: key?, when })
}

fn fields(reader: &mut Reader<'_>, node: &Node) -> FieldsFile {
    let Some(entries) = reader.entries(node, "`fields`") else { return FieldsFile::Broken };
    let fields =
        entries.into_iter().map(|(key, node)| (key.clone(), field(reader, &key.name, node))).collect();
    FieldsFile::Given { at: node.at, fields }
}

fn field(reader: &mut Reader<'_>, name: &str, node: &Node) -> Option<SourceFile> {
    if !matches!(node.value, Value::Map(_)) {
        return reader.text(node, name).map(SourceFile::Column);
    }
    let what = format!("the source of `{name}`");
    let map = reader.map(node, &what, &["column", "precision_column", "list", "value", "lookup"])?;
    if let Some(node) = map.get("lookup") {
        if ["column", "precision_column", "list", "value"].iter().any(|key| map.get(key).is_some()) {
            let fix = "leave the other keys out";
            reader.problem(map.at, format!("{what} is looked up, and something else besides"), fix);
            return None;
        }
        return lookup(reader, node, &what);
    }
    let column = reader.optional_text(&map, "column");
    let precision = reader.optional_text(&map, "precision_column");
    let value = reader.optional_text(&map, "value");
    let list = map.get("list");
    match (
        map.get("column").is_some(),
        map.get("precision_column").is_some(),
        map.get("value").is_some(),
        list,
    ) {
        (true, false, false, None) => column.map(SourceFile::Column),
        (true, true, false, None) => Some(SourceFile::PartialDate { column: column?, precision: precision? }),
        (false, false, true, None) => value.map(SourceFile::Constant),
        (true, false, false, Some(node)) => {
            // Not `text`: a blank is a separator like any other.
            let Node { at, value: Value::Text(separator) } = node else {
                reader.problem(node.at, "`list` is no separator", "write list: \",\"");
                return None;
            };
            if separator.is_empty() {
                reader.problem(*at, "the separator is empty", "write list: \",\"");
                return None;
            }
            Some(SourceFile::List { column: column?, separator: separator.clone(), at: *at })
        }
        _ => {
            let fix = "write a column, {column: c, precision_column: p}, {column: c, list: \",\"}, {lookup: {table: t, by: {k: c}, take: v}} or {value: \"text\"}";
            reader.problem(map.at, format!("{what} is neither a column nor a value"), fix);
            None
        }
    }
}

fn lookup(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<SourceFile> {
    let map = reader.map(node, &format!("the look-up of {what}"), &["table", "by", "take"])?;
    let (table, take) = (reader.required_text(&map, "table"), reader.required_text(&map, "take"));
    let by = reader.required(&map, "by").and_then(|node| {
        let entries = reader.entries(node, "`by`")?;
        if entries.is_empty() {
            let fix = "write by: {its_key_column: column_of_this_row}";
            reader.problem(node.at, "`by` is empty", fix);
            return None;
        }
        let by = entries.into_iter().map(|(key, node)| Some((key.clone(), reader.text(node, &key.name)?)));
        by.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()
    });
    Some(SourceFile::Lookup { at: map.at, table: table?, by: by?, take: take? })
}
