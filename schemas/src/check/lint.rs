//! House rules for one contract, each objection with its place.

use super::places::{Node, Place, Value};
use crate::path::join;
use crate::problem::Problem;

/// Logical types that every sink of the bus can store without loss.
pub const LOGICAL_TYPES: [&str; 5] = ["date", "time-micros", "timestamp-micros", "decimal", "uuid"];

/// What the house rules object to in a contract's text; empty when all is well. `file` is only named.
#[must_use]
pub fn lint(file: &str, text: &str) -> Vec<Problem> {
    // The text, not the parsed schema: the parser refuses aliases without their place, and drops logical types that it
    // does not know.
    let root = match Node::parse(file, text) {
        Ok(root) => root,
        Err(problem) => return vec![problem],
    };
    let mut lint = Lint { file, problems: Vec::new() };
    lint.kind(&root, "");
    lint.problems.sort();
    lint.problems
}

struct Lint<'f> {
    file: &'f str,
    problems: Vec<Problem>,
}

impl Lint<'_> {
    fn object(&mut self, at: Place, path: &str, message: &str, fix: &str) {
        let subject = if path.is_empty() { "the record" } else { path };
        self.problems.push(Problem::new(self.file, at, format!("{subject}: {message}"), fix));
    }

    fn kind(&mut self, node: &Node, path: &str) {
        match &node.value {
            Value::List(branches) => self.union(node.at, branches, path),
            Value::Map(_) => self.named(node, path),
            Value::Null | Value::Other | Value::Text(_) => {}
        }
    }

    fn named(&mut self, node: &Node, path: &str) {
        self.aliases(node, path);
        if let Some(logical) = node.get("logicalType")
            && !logical.text().is_some_and(|name| LOGICAL_TYPES.contains(&name))
        {
            let message = format!("the logical type `{}` is not on the list", logical.text().unwrap_or("?"));
            self.object(logical.at, path, &message, &format!("use one of {}", LOGICAL_TYPES.join(", ")));
        }
        for inner in ["type", "items", "values"].iter().filter_map(|key| node.get(key)) {
            self.kind(inner, path);
        }
        if node.get("type").and_then(Node::text) == Some("record") && !documented(node) {
            self.object(node.at, path, "the record has no doc", "say what it holds");
        }
        for field in node.get("fields").map_or(&[][..], Node::items) {
            self.field(field, path);
        }
    }

    fn union(&mut self, at: Place, branches: &[Node], path: &str) {
        let null = |node: &Node| node.text() == Some("null");
        match branches {
            [first, second] if null(first) && !null(second) && !matches!(second.value, Value::List(_)) => {}
            _ => self.object(at, path, "a union must be null and one type", "write [\"null\", type]"),
        }
        for branch in branches {
            self.kind(branch, path);
        }
    }

    fn field(&mut self, field: &Node, path: &str) {
        let name = field.get("name");
        let path = join(path, name.and_then(Node::text).unwrap_or(""));
        let at = name.map_or(field.at, |name| name.at);
        if !name.and_then(Node::text).is_some_and(is_snake_case) {
            let fix = "write lower-case letters, digits and single _, beginning with a letter";
            self.object(at, &path, "the name is not snake_case", fix);
        }
        if !documented(field) {
            let fix = "say what it means, in which unit, and by which rule where it is law";
            self.object(field.at, &path, "the field has no doc", fix);
        }
        self.aliases(field, &path);
        let Some(kind) = field.get("type") else { return };
        let default = field.get("default");
        if matches!(kind.value, Value::List(_))
            && !default.is_some_and(|node| matches!(node.value, Value::Null))
        {
            let at = default.map_or(field.at, |default| default.at);
            self.object(at, &path, "an optional field must have the default null", "write \"default\": null");
        }
        self.kind(kind, &path);
    }

    fn aliases(&mut self, node: &Node, path: &str) {
        if let Some(aliases) = node.get("aliases") {
            let message = "aliases are not honoured by every reader";
            self.object(aliases.at, path, message, "keep the name; a new name is a new field");
        }
    }
}

fn documented(node: &Node) -> bool {
    node.get("doc").and_then(Node::text).is_some_and(|doc| !doc.trim().is_empty())
}

fn is_snake_case(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.contains("__")
        && !name.ends_with('_')
}
