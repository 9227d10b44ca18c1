//! A contract's JSON as a tree in which every value knows its line and column.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use crate::problem::Problem;

/// Line and column, both from 1.
pub(super) type Place = (u64, u64);

/// A value with its place.
pub(super) struct Node {
    pub(super) at: Place,
    pub(super) value: Value,
}

/// What a contract is made of. Numbers and truth values only stand in defaults, where their value does not matter here.
pub(super) enum Value {
    Null,
    Other,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// Parses a file. JSON is read as the YAML that it also is, which keeps the places.
    pub(super) fn parse(file: &str, text: &str) -> Result<Node, Problem> {
        serde_saphyr::from_str(text).map_err(|error| {
            let at = error
                .location()
                .map_or((1, 1), |location| (location.line().max(1), location.column().max(1)));
            let text = error.without_snippet().to_string();
            let reason = text.lines().next().unwrap_or_default().to_owned();
            Problem::new(file, at, format!("the contract is not JSON: {reason}"), "correct the JSON")
        })
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Where a field stands, by its dotted path; the nearest field around it when it is gone.
    pub(super) fn place_of(&self, path: &str) -> Place {
        let (mut record, mut at) = (Some(self), self.at);
        for segment in path.split('.') {
            let fields = record.and_then(Node::record).and_then(|record| record.get("fields"));
            let named = |field: &&Node| field.get("name").and_then(Node::text) == Some(segment);
            let Some(field) = fields.and_then(|fields| fields.items().iter().find(named)) else { return at };
            at = field.get("name").map_or(field.at, |name| name.at);
            record = field.get("type");
        }
        at
    }

    /// The record inside a type, looking through "optional".
    fn record(&self) -> Option<&Node> {
        match &self.value {
            Value::Map(_) if self.get("fields").is_some() => Some(self),
            Value::List(branches) => branches.iter().find_map(Node::record),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        let at = (spanned.referenced.line().max(1), spanned.referenced.column().max(1));
        Ok(Node { at, value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }
}
