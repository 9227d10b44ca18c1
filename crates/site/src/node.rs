//! A YAML file as a tree in which every key and every value knows its place.
//!
//! Why a tree and not derived structs: derived structs stop at the first mistake, and a site's mistakes are told all at once.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Location, Spanned};

/// Line and column, both from 1.
pub(crate) type Place = (u64, u64);

/// A value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) value: Value,
}

/// What stands there.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool,
    Integer(i64),
    /// Any other number.
    Number(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file; a repeated key stands here twice.
    Map(Vec<(Key, Node)>),
}

/// A key with its place.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) at: Place,
    pub(crate) name: String,
}

impl Value {
    /// What it is, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool => "a truth value",
            Self::Integer(_) | Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}

/// Parses one file.
///
/// # Errors
/// The place and the reason, on one line and without the file's content.
pub(crate) fn parse(text: &str) -> Result<Node, (Place, String)> {
    // A file of comments only.
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Node { at: (1, 1), value: Value::Null });
    }
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        // A column may be called `n` or `on`.
        strict_booleans: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let at = error.location().map_or((1, 1), |location| place(&location));
        // The full text of the error draws the lines around it, and they may hold what nobody should see.
        let text = error.without_snippet().to_string();
        (at, unquoted(text.lines().next().unwrap_or_default()))
    })
}

/// The parser's message as far as it is the parser's own: what it quotes, in whatever quotes, stands in the file.
fn unquoted(message: &str) -> String {
    let end = message.find(['`', '\'', '"', '[']).unwrap_or(message.len());
    let own = message[..end].trim_end();
    if own.is_empty() { "this is no YAML".to_owned() } else { own.to_owned() }
}

fn place(location: &Location) -> Place {
    (location.line().max(1), location.column().max(1))
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { at: place(&spanned.referenced), value: spanned.value })
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
        f.write_str("a text, a number, a list or a map")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Bool)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::Number(number as f64), Value::Integer))
    }

    fn visit_i128<E: Error>(self, number: i128) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_u128<E: Error>(self, number: u128) -> Result<Value, E> {
        Ok(Value::Number(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
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
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let key = Key { at: place(&key.referenced), name: key.value };
            entries.push((key, map.next_value()?));
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<'n>(node: &'n Node, name: &str) -> &'n (Key, Node) {
        let Value::Map(entries) = &node.value else { panic!("a map is expected") };
        entries.iter().find(|(key, _)| key.name == name).expect("the key is there")
    }

    #[test]
    fn every_key_and_value_knows_its_place() {
        let text =
            "# c\na: 1\nb: {x: y, 'ô': \"q\"}\nc:\n  - p\n  - {d: null, n: 01.5}\nw: >\n  long\n  text\n";
        let root = parse(text).expect("it is YAML");
        assert_eq!(root.at, (2, 1));
        let (key, value) = entry(&root, "b");
        assert_eq!((key.at, value.at), ((3, 1), (3, 4)));
        let (key, value) = entry(value, "ô");
        assert_eq!((key.at, value.at), ((3, 11), (3, 16)));
        let (_, list) = entry(&root, "c");
        let Value::List(items) = &list.value else { panic!("a list is expected") };
        assert_eq!((items[0].at, items[1].at), ((5, 5), (6, 5)));
        assert!(matches!(entry(&items[1], "d").1.value, Value::Null));
        assert!(matches!(entry(&root, "w").1.value, Value::Text(_)));
        assert_eq!(entry(&root, "w").0.at, (7, 1));
    }

    #[test]
    fn a_repeated_key_is_kept_and_broken_yaml_has_a_place() {
        let root = parse("a: 1\nb: 2\na: 3\n").expect("it is YAML");
        let Value::Map(entries) = &root.value else { panic!("a map is expected") };
        assert_eq!(entries.iter().map(|(key, _)| key.at).collect::<Vec<_>>(), [(1, 1), (2, 1), (3, 1)]);
        let ((line, _), _) = parse("a: 1\nb: [2\n").expect_err("the list is open");
        assert!(line >= 2, "{line}");
        assert!(matches!(parse("# nothing\n").expect("it is YAML").value, Value::Null));
    }
}
