//! A contract against every version that records may have been written with.

use super::compare;
use super::places::Node;
use crate::path::FieldPath;
use crate::problem::Problem;
use crate::schema::RecordSchema;

/// A version that records may have been written with.
#[derive(Clone, Copy, Debug)]
pub struct Earlier<'s> {
    /// What messages call it, such as `version 2` or `version 2 of the registry`.
    pub name: &'s str,
    /// The contract.
    pub schema: &'s RecordSchema,
}

/// Whether the contract reads whatever any earlier version may have written, and has renamed nothing. Empty when it does.
#[must_use]
pub fn against(file: &str, current: &RecordSchema, earlier: &[Earlier<'_>]) -> Vec<Problem> {
    let root = match Node::parse(file, current.text()) {
        Ok(root) => root,
        Err(problem) => return vec![problem],
    };
    let mut problems: Vec<Problem> = Vec::new();
    let mut told: Vec<String> = Vec::new();
    for version in earlier {
        let incompatible = match compare(version.schema, current) {
            Ok(found) => found,
            Err(why) => vec![(String::new(), why)],
        };
        for (path, why) in incompatible.into_iter().chain(renamed(version.schema, current)) {
            let subject = if path.is_empty() { "the record" } else { &path };
            let said = format!("{subject}: {why}");
            // The oldest version that objects is named once.
            if !told.contains(&said) {
                let message = format!("{said}, so it does not read {}", version.name);
                let fix = "keep former fields readable, give new ones a default, or begin a new event type";
                problems.push(Problem::new(file, root.place_of(&path), message, fix));
                told.push(said);
            }
        }
    }
    problems.sort();
    problems
}

/// A field that is gone while one of the same type has come beside it: whoever read the old name reads nothing now.
fn renamed(earlier: &RecordSchema, current: &RecordSchema) -> Vec<(String, String)> {
    let lacks = |schema: &RecordSchema, path: &FieldPath| schema.field(path.as_str()).is_none();
    let parent = |path: &FieldPath| path.as_str().rsplit_once('.').map(|(parent, _)| parent.to_owned());
    let gone = earlier.fields().iter().filter(|field| lacks(current, &field.path));
    gone.filter_map(|gone| {
        let came = current.fields().iter().find(|field| {
            lacks(earlier, &field.path)
                && field.kind == gone.kind
                && parent(&field.path) == parent(&gone.path)
        })?;
        let why = format!("it has taken the place of `{}`, and a renamed field is a lost one", gone.path);
        Some((came.path.to_string(), why))
    })
    .collect()
}
