//! The file as it stands, each name with its place.

use lienthong_connectors::Database;
use lienthong_contract::target::VersionStore;
use lienthong_router::subscription::{Effect, IfMissing, Partial, Policy, Validity};
use lienthong_schemas::counted;
use lienthong_schemas::date::parse_date;

use crate::database::database;
use crate::node::{Key, Node, Place, Value};
use crate::reader::{Map, Reader, Text};

/// An agreement's file, as far as it could be read.
pub(crate) struct AgreementFile {
    pub(crate) agreement: Option<Text>,
    pub(crate) subscriber: Option<Text>,
    pub(super) purpose: Option<Text>,
    pub(super) legal_basis: Option<Text>,
    pub(super) valid: Option<Validity>,
    pub(super) database: Option<Database>,
    pub(super) delivers: Vec<RuleFile>,
}

/// One entry of `delivers`.
pub(super) struct RuleFile {
    pub(super) at: Place,
    pub(super) event: Option<Text>,
    pub(super) fields: Option<Vec<Text>>,
    pub(super) filter: Option<Text>,
    pub(super) into: Option<IntoFile>,
    pub(super) effect: Option<Effect>,
    pub(super) on_revoked: Given<Policy>,
    pub(super) on_deleted: Given<Policy>,
}

/// `into`.
pub(super) struct IntoFile {
    pub(super) table: Text,
    pub(super) key: Vec<Text>,
    /// Column and source; `None` for a source that could not be read.
    pub(super) columns: Vec<(Key, Option<ColumnFile>)>,
    pub(super) version: Option<(Place, VersionStore)>,
}

/// Where a column's value comes from.
pub(super) struct ColumnFile {
    pub(super) field: Text,
    pub(super) map: MapFile,
}

/// How a field becomes a column.
pub(super) enum MapFile {
    Plain,
    /// Where the map stands, and what a partial date becomes.
    Date(Place, Option<Partial>),
    Pseudonym,
}

/// A value that may be missing or broken.
pub(super) enum Given<T> {
    Missing,
    /// Told already.
    Broken,
    Here(Place, T),
}

#[derive(Clone, Copy)]
enum EffectWord {
    Upsert,
    Update,
    Delete,
}

const EFFECTS: [(&str, EffectWord); 3] =
    [("upsert", EffectWord::Upsert), ("update", EffectWord::Update), ("delete", EffectWord::Delete)];
const IF_MISSING: [(&str, IfMissing); 2] = [("skip", IfMissing::Skip), ("insert", IfMissing::Insert)];
const PARTIALS: [(&str, Partial); 2] = [("null", Partial::Null), ("reject", Partial::Reject)];

/// Reads the file.
pub(crate) fn read(reader: &mut Reader<'_>, root: &Node) -> Option<AgreementFile> {
    let keys = ["agreement", "subscriber", "purpose", "legal_basis", "valid", "target", "delivers"];
    let map = reader.map(root, "the file", &keys)?;
    let agreement = reader.required_text(&map, "agreement");
    let subscriber = reader.required_text(&map, "subscriber");
    let purpose = reader.required_text(&map, "purpose");
    let legal_basis = reader.required_text(&map, "legal_basis");
    let valid = reader.required(&map, "valid").and_then(|node| validity(reader, node));
    let target =
        reader.required(&map, "target").and_then(|node| reader.map(node, "`target`", &["kind", "url"]));
    let database = target.and_then(|target| database(reader, &target));
    let delivers = reader.required(&map, "delivers").and_then(|node| {
        let items = reader.list(node, "delivers")?;
        if items.is_empty() {
            reader.problem(node.at, "`delivers` is empty", "add an entry, or remove the file");
        }
        Some(items)
    });
    let delivers = delivers.unwrap_or_default().iter().filter_map(|item| rule(reader, item)).collect();
    Some(AgreementFile { agreement, subscriber, purpose, legal_basis, valid, database, delivers })
}

fn validity(reader: &mut Reader<'_>, node: &Node) -> Option<Validity> {
    let map = reader.map(node, "`valid`", &["from", "until"])?;
    let from = reader.required_text(&map, "from").and_then(|text| day(reader, &text));
    let until = match reader.optional_text(&map, "until") {
        Some(text) => Some((text.at, day(reader, &text)?)),
        None => None,
    };
    let from = from?;
    if let Some((at, until)) = until.filter(|(_, until)| *until < from) {
        let days = from - until;
        reader.problem(
            at,
            format!("`until` lies {} before `from`", counted(days, "day")),
            "write a later day, or leave it out",
        );
    }
    Some(Validity { from, until: until.map(|(_, until)| until) })
}

fn day(reader: &mut Reader<'_>, text: &Text) -> Option<i32> {
    let day = parse_date(&text.value);
    if day.is_none() {
        reader.problem(
            text.at,
            format!("`{}` is no day of the calendar", text.raw),
            "write it as 2026-01-31",
        );
    }
    day
}

fn rule(reader: &mut Reader<'_>, node: &Node) -> Option<RuleFile> {
    let keys = ["event", "fields", "where", "effect", "into", "on_revoked", "on_deleted"];
    let map = reader.map(node, "the entry of `delivers`", &keys)?;
    let event = reader.required_text(&map, "event");
    let fields = reader.required(&map, "fields").and_then(|node| reader.names(node, "fields"));
    let filter = reader.optional_text(&map, "where");
    let into = reader.required(&map, "into").and_then(|node| into(reader, node));
    let effect = match map.get("effect") {
        Some(node) => effect(reader, node),
        None => Some(Effect::Upsert),
    };
    let on_revoked = policy(reader, &map, "on_revoked");
    let on_deleted = policy(reader, &map, "on_deleted");
    Some(RuleFile { at: map.at, event, fields, filter, into, effect, on_revoked, on_deleted })
}

fn effect(reader: &mut Reader<'_>, node: &Node) -> Option<Effect> {
    const FIX: &str = "write effect: {update: {if_missing: skip}}, or insert";
    if !matches!(node.value, Value::Map(_)) {
        let text = reader.text(node, "effect")?;
        return match reader.word(&text, "effect", &EFFECTS)? {
            EffectWord::Upsert => Some(Effect::Upsert),
            EffectWord::Delete => Some(Effect::Delete),
            EffectWord::Update => {
                reader.problem(text.at, "`update` does not say what happens when the row is not there", FIX);
                None
            }
        };
    }
    let map = reader.map(node, "`effect`", &["update"])?;
    let update = reader.required(&map, "update")?;
    let map = reader.map(update, "`update`", &["if_missing"])?;
    let node = reader.required(&map, "if_missing")?;
    let text = word_of(reader, node, "if_missing")?;
    let if_missing = reader.word(&text, "value of `if_missing`", &IF_MISSING)?;
    if if_missing == IfMissing::Skip {
        let message = "`skip` makes the result depend on which event arrives first";
        reader.warn(text.at, message, "use `insert` where the table allows it, or accept it");
    }
    Some(Effect::Update { if_missing })
}

/// A word, or the one key of a map that stands in its place (`{park: 30d}`), so that it can be judged as a word.
fn word_of(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<Text> {
    match &node.value {
        Value::Map(entries) => {
            let (key, _) = entries.first()?;
            Some(Text { raw: key.name.clone(), value: key.name.clone(), at: key.at })
        }
        _ => reader.text(node, what),
    }
}

fn policy(reader: &mut Reader<'_>, map: &Map<'_>, key: &str) -> Given<Policy> {
    #[derive(Clone, Copy)]
    enum Word {
        Hard,
        Soft,
        Ignore,
    }
    const WORDS: [(&str, Word); 3] = [("hard", Word::Hard), ("soft", Word::Soft), ("ignore", Word::Ignore)];
    let Some(node) = map.get(key) else { return Given::Missing };
    let word = word_of(reader, node, key)
        .and_then(|text| reader.word(&text, &format!("policy for `{key}`"), &WORDS));
    let policy = match (word, &node.value) {
        (Some(Word::Hard), Value::Text(_)) => Some(Policy::Hard),
        (Some(Word::Ignore), Value::Text(_)) => Some(Policy::Ignore),
        (Some(Word::Soft), Value::Map(_)) => soft(reader, node),
        (Some(_), _) => {
            let fix = "write hard, ignore, or {soft: {column: voided_at}}";
            reader.problem(node.at, format!("`{key}` is not written in its form"), fix);
            None
        }
        (None, _) => None,
    };
    policy.map_or(Given::Broken, |policy| Given::Here(node.at, policy))
}

fn soft(reader: &mut Reader<'_>, node: &Node) -> Option<Policy> {
    let map = reader.map(node, "the policy", &["soft"])?;
    let inner = reader.required(&map, "soft")?;
    let inner = reader.map(inner, "`soft`", &["column"])?;
    Some(Policy::Soft { column: reader.required_text(&inner, "column")?.value })
}

fn into(reader: &mut Reader<'_>, node: &Node) -> Option<IntoFile> {
    let map = reader.map(node, "`into`", &["table", "key", "columns", "version"])?;
    let table = reader.required_text(&map, "table");
    let key = reader.required(&map, "key").and_then(|node| reader.names(node, "key"));
    let columns = reader.required(&map, "columns").and_then(|node| reader.entries(node, "`columns`"));
    let columns: Option<Vec<_>> = columns.map(|entries| {
        entries.into_iter().map(|(key, node)| (key.clone(), column(reader, &key.name, node))).collect()
    });
    let version = map.get("version").and_then(|node| Some((node.at, version(reader, node)?)));
    Some(IntoFile { table: table?, key: key?, columns: columns?, version })
}

fn version(reader: &mut Reader<'_>, node: &Node) -> Option<VersionStore> {
    if matches!(node.value, Value::Map(_)) {
        let map = reader.map(node, "`version`", &["column"])?;
        return Some(VersionStore::Column(reader.required_text(&map, "column")?.value));
    }
    let text = reader.text(node, "version")?;
    if text.value == "ledger" {
        return Some(VersionStore::Ledger);
    }
    let fix = "write ledger, or {column: lienthong_version}";
    reader.problem(text.at, format!("unknown value of `version` `{}`", text.raw), fix);
    None
}

fn column(reader: &mut Reader<'_>, name: &str, node: &Node) -> Option<ColumnFile> {
    if !matches!(node.value, Value::Map(_)) {
        return Some(ColumnFile { field: reader.text(node, name)?, map: MapFile::Plain });
    }
    let what = format!("the source of `{name}`");
    let map = reader.map(node, &what, &["date", "partial", "pseudonym"])?;
    let date = map.get("date");
    let pseudonym = map.get("pseudonym");
    match (date, pseudonym, map.entry("partial")) {
        (Some(date), None, partial) => {
            let partial = match partial {
                None => None,
                Some(Node { value: Value::Null, .. }) => Some(Partial::Null),
                Some(node) => {
                    let text = reader.text(node, "partial")?;
                    Some(reader.word(&text, "value of `partial`", &PARTIALS)?)
                }
            };
            Some(ColumnFile { field: reader.text(date, "date")?, map: MapFile::Date(map.at, partial) })
        }
        (None, Some(field), None) => {
            Some(ColumnFile { field: reader.text(field, "pseudonym")?, map: MapFile::Pseudonym })
        }
        _ => {
            let fix = "write a field, {date: field, partial: null} or {pseudonym: field}";
            reader.problem(map.at, format!("{what} is not written in its form"), fix);
            None
        }
    }
}
