//! Reads a tree against what belongs there, and keeps every mistake with its place.

use std::time::Duration;

use lienthong_schemas::{Problem, nearest};

use crate::node::{Key, Node, Place, Value};
use crate::secret::{Surroundings, Unresolved, redacted, resolve};

/// A text of a file. Its `raw` form is what messages show: a reference, never what it stands for.
#[derive(Clone)]
pub(crate) struct Text {
    pub(crate) raw: String,
    pub(crate) value: String,
    pub(crate) at: Place,
}

/// A map whose keys are known.
#[derive(Clone, Debug)]
pub(crate) struct Map<'n> {
    /// Where it begins.
    pub(crate) at: Place,
    what: String,
    entries: Vec<(&'n Key, &'n Node)>,
}

impl<'n> Map<'n> {
    /// A value, unless it is missing or nothing.
    pub(crate) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entry(key).filter(|node| !matches!(node.value, Value::Null))
    }

    /// A value, nothing included.
    pub(crate) fn entry(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(known, _)| known.name == key).map(|(_, node)| *node)
    }
}

/// Reads one file.
pub(crate) struct Reader<'s> {
    /// As messages show it.
    pub(crate) file: String,
    source: &'s str,
    around: Surroundings<'s>,
    /// What references stood for so far: kept out of every message.
    secrets: Vec<String>,
    /// What was found, in no order.
    pub(crate) problems: Vec<Problem>,
    /// What is allowed and deserves a second look.
    pub(crate) warnings: Vec<Problem>,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(file: String, source: &'s str, around: Surroundings<'s>) -> Self {
        Self { file, source, around, secrets: Vec::new(), problems: Vec::new(), warnings: Vec::new() }
    }

    /// Where references and relative paths start.
    pub(crate) fn around(&self) -> Surroundings<'s> {
        self.around
    }

    pub(crate) fn problem(&mut self, at: Place, message: impl Into<String>, fix: impl Into<String>) {
        let problem = self.told(at, message.into(), fix.into());
        self.problems.push(problem);
    }

    pub(crate) fn warn(&mut self, at: Place, message: impl Into<String>, fix: impl Into<String>) {
        let warning = self.told(at, message.into(), fix.into());
        self.warnings.push(warning);
    }

    fn told(&self, at: Place, message: String, fix: String) -> Problem {
        Problem::new(&self.file, at, redacted(message, &self.secrets), redacted(fix, &self.secrets))
    }

    /// A name that nobody knows; the nearest known one is the fix.
    pub(crate) fn unknown<'c>(
        &mut self,
        at: Place,
        message: impl Into<String>,
        name: &str,
        known: impl IntoIterator<Item = &'c str>,
        otherwise: &str,
    ) {
        let fix = nearest(name, known).map_or(otherwise.to_owned(), |near| format!("did you mean `{near}`?"));
        self.problem(at, message, fix);
    }

    fn mistyped(&mut self, node: &Node, what: &str, expected: &str, fix: &str) {
        self.problem(node.at, format!("{what}: {expected} belongs here, this is {}", node.value.kind()), fix);
    }

    /// A map with these keys and no others.
    pub(crate) fn map<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<Map<'n>> {
        let entries = self.entries(node, what)?;
        for (key, _) in &entries {
            if !known.contains(&key.name.as_str()) {
                let message = format!("unknown key `{}` in {what}", key.name);
                let otherwise = format!("use one of: {}", known.join(", "));
                self.unknown(key.at, message, &key.name, known.iter().copied(), &otherwise);
            }
        }
        Some(Map { at: node.at, what: what.to_owned(), entries })
    }

    /// A map with keys of the writer's own choice, each once.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> Option<Vec<(&'n Key, &'n Node)>> {
        let Value::Map(all) = &node.value else {
            self.mistyped(node, what, "a map", "write `key: value` lines, or `{key: value}`");
            return None;
        };
        let mut entries: Vec<(&Key, &Node)> = Vec::new();
        for (key, value) in all {
            match entries.iter().find(|(known, _)| known.name == key.name) {
                Some((first, _)) => {
                    let (line, column) = first.at;
                    let message = format!("`{}` stands twice in {what}, first at {line}:{column}", key.name);
                    self.problem(key.at, message, "keep one of them");
                }
                None => entries.push((key, value)),
            }
        }
        Some(entries)
    }

    /// A text of a map, whatever else is wrong with it.
    pub(crate) fn peek<'n>(node: &'n Node, key: &str) -> Option<&'n str> {
        let Value::Map(entries) = &node.value else { return None };
        entries.iter().find(|(known, _)| known.name == key).and_then(|(_, node)| match &node.value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// A value that must be there.
    pub(crate) fn required<'n>(&mut self, map: &Map<'n>, key: &str) -> Option<&'n Node> {
        match map.entries.iter().find(|(known, _)| known.name == key) {
            None => self.problem(map.at, format!("{} has no `{key}`", map.what), format!("add `{key}: ..`")),
            Some((Key { at, .. }, Node { value: Value::Null, .. })) => {
                self.problem(*at, format!("`{key}` of {} has no value", map.what), "write one");
            }
            Some((_, node)) => return Some(node),
        }
        None
    }

    /// A text that must be there.
    pub(crate) fn required_text(&mut self, map: &Map<'_>, key: &str) -> Option<Text> {
        self.required(map, key).and_then(|node| self.text(node, key))
    }

    /// A text that may be missing.
    pub(crate) fn optional_text(&mut self, map: &Map<'_>, key: &str) -> Option<Text> {
        map.get(key).and_then(|node| self.text(node, key))
    }

    /// A text, not empty, its references replaced.
    pub(crate) fn text(&mut self, node: &Node, what: &str) -> Option<Text> {
        match self.try_text(node, what)? {
            Ok(text) => Some(text),
            Err(unresolved) => {
                self.problem(node.at, unresolved.message, unresolved.fix);
                None
            }
        }
    }

    /// As [`Reader::text`], but the caller judges references that lead nowhere. `None` when it is no text.
    pub(crate) fn try_text(&mut self, node: &Node, what: &str) -> Option<Result<Text, Unresolved>> {
        let Value::Text(raw) = &node.value else {
            let fix = match node.value {
                Value::Bool | Value::Integer(_) | Value::Number(_) => "put it in quotes",
                Value::Null | Value::Text(_) | Value::List(_) | Value::Map(_) => "write a text",
            };
            self.mistyped(node, &format!("`{what}`"), "a text", fix);
            return None;
        };
        let value = match resolve(raw, self.around, &mut self.secrets) {
            Ok(value) => value,
            Err(unresolved) => return Some(Err(unresolved)),
        };
        if value.trim().is_empty() || value.contains('\0') {
            self.problem(node.at, format!("`{what}` is empty or holds a NUL character"), "write a text");
            return None;
        }
        Some(Ok(Text { raw: raw.clone(), value, at: node.at }))
    }

    /// A list.
    pub(crate) fn list<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Node]> {
        if let Value::List(items) = &node.value {
            return Some(items);
        }
        self.mistyped(node, &format!("`{what}`"), "a list", "write `[a, b]`, or one `- a` line each");
        None
    }

    /// A list of texts, at least one and each once.
    pub(crate) fn names(&mut self, node: &Node, what: &str) -> Option<Vec<Text>> {
        let items = self.list(node, what)?;
        if items.is_empty() {
            self.problem(node.at, format!("`{what}` is empty"), "name at least one");
        }
        let mut names: Vec<Text> = Vec::new();
        for name in items.iter().filter_map(|item| self.text(item, what)).collect::<Vec<_>>() {
            if names.iter().any(|known| known.value == name.value) {
                self.problem(name.at, format!("`{}` stands twice in `{what}`", name.raw), "keep one of them");
            } else {
                names.push(name);
            }
        }
        Some(names)
    }

    /// A whole number in a range.
    pub(crate) fn integer(&mut self, node: &Node, what: &str, (least, most): (i64, i64)) -> Option<i64> {
        match node.value {
            Value::Integer(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                let fix = format!("write a whole number from {least} to {most}");
                self.problem(node.at, format!("`{what}` is no such number"), fix);
                None
            }
        }
    }

    /// A share from 0 to 1.
    pub(crate) fn share(&mut self, node: &Node, what: &str) -> Option<f64> {
        let share = match node.value {
            Value::Integer(number) => Some(number as f64),
            Value::Number(number) => Some(number),
            Value::Null | Value::Bool | Value::Text(_) | Value::List(_) | Value::Map(_) => None,
        };
        let share = share.filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            self.problem(
                node.at,
                format!("`{what}` is no share"),
                "write a number from 0 to 1, such as 0.01",
            );
        }
        share
    }

    /// A duration between two bounds: a whole number with s, m, h or d.
    pub(crate) fn duration(
        &mut self,
        text: &Text,
        what: &str,
        (least, most): (u64, u64),
    ) -> Option<Duration> {
        let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
        let seconds = units.iter().find_map(|(unit, seconds)| {
            text.value.strip_suffix(*unit)?.parse::<u64>().ok()?.checked_mul(*seconds)
        });
        let seconds = seconds.filter(|seconds| (least..=most).contains(seconds));
        if seconds.is_none() {
            let fix = format!("write {least}s to {most}s; m, h and d are understood too");
            self.problem(text.at, format!("`{what}` is no such duration"), fix);
        }
        seconds.map(Duration::from_secs)
    }

    /// A size of at least `least` bytes: a whole number, alone for bytes or with KiB, MiB, GiB or TiB.
    pub(crate) fn size(&mut self, node: &Node, what: &str, least: u64) -> Option<u64> {
        let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
        let bytes = match &node.value {
            Value::Integer(number) => u64::try_from(*number).ok(),
            Value::Text(text) => units.iter().find_map(|(unit, shift)| {
                text.strip_suffix(unit)?.trim_end().parse::<u64>().ok()?.checked_mul(1 << shift)
            }),
            Value::Null | Value::Bool | Value::Number(_) | Value::List(_) | Value::Map(_) => None,
        };
        // What is larger is no number of the server's.
        let bytes = bytes.filter(|bytes| (least..=i64::MAX.unsigned_abs()).contains(bytes));
        if bytes.is_none() {
            let fix = format!(
                "write a whole number of KiB, MiB, GiB or TiB such as 20GiB, at least {}MiB",
                least >> 20
            );
            self.problem(node.at, format!("`{what}` is no such size"), fix);
        }
        bytes
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&mut self, text: &Text, what: &str, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| *word == text.value);
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let near = nearest(&text.raw, names.iter().copied());
            let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
            let fix = format!("{near}use one of: {}", names.join(", "));
            self.problem(text.at, format!("unknown {what} `{}`", text.raw), fix);
        }
        found.map(|(_, value)| *value)
    }

    /// The place of a text's nth character, from 1; the text's own place when it is not on one line as it stands.
    pub(crate) fn inside(&self, text: &Text, column: usize) -> Place {
        let (line, start) = text.at;
        let source = usize::try_from(line - 1).ok().and_then(|line| self.source.lines().nth(line));
        let rest: String = source
            .into_iter()
            .flat_map(str::chars)
            .skip(usize::try_from(start - 1).unwrap_or(usize::MAX))
            .collect();
        let quoted = u64::from(rest.starts_with(['"', '\'']));
        let body = if quoted == 1 { &rest[1..] } else { rest.as_str() };
        if !body.starts_with(&text.raw) {
            return text.at;
        }
        let last = text.raw.chars().count().max(1);
        (line, start + quoted + (column.clamp(1, last) as u64) - 1)
    }
}
