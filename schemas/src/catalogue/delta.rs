//! Events that change only some fields: the list of what changed, and the record of what was before.

use super::build::{Builder, at};
use super::file::{EventFile, Name};
use crate::path::FieldPath;
use crate::schema::{FieldType, RecordSchema};

impl Builder<'_> {
    pub(super) fn delta(&mut self, name: &Name, schema: &RecordSchema) -> Option<FieldPath> {
        let path = self.leaf(name, schema)?;
        if schema.field(path.as_str()).is_some_and(|field| field.kind != FieldType::List) {
            self.problem(at(name), format!("`{path}` is not an array"), "name the array of changed fields");
        }
        Some(path)
    }

    /// A record whose leaves are optional and have the names and types of fields of the event.
    pub(super) fn before(&mut self, file: &EventFile, schema: &RecordSchema) -> Option<FieldPath> {
        let name = file.before.as_ref()?;
        if file.delta.is_none() {
            let message = "an event that does not list what changes holds nothing of what was before";
            self.problem(at(name), message, "remove `before`, or add `delta`");
        }
        let leaves = self.leaves(name, schema);
        let record = FieldPath::new(name.value.clone());
        if leaves.contains(&record) {
            self.problem(
                at(name),
                format!("`{record}` is not a record"),
                "name the record of what was before",
            );
        }
        for leaf in &leaves {
            let Some(now) = leaf.below(&record) else { continue };
            let found = schema.field(leaf.as_str()).zip(schema.field(now.as_str()));
            if !found.is_some_and(|(before, now)| before.nullable && now.nullable && before.kind == now.kind)
            {
                let message =
                    format!("`{leaf}` has no optional field `{now}` of its type that holds what holds now");
                self.problem(
                    at(name),
                    message,
                    format!("give both one type, null and a name, or leave `{leaf}` out"),
                );
            }
        }
        Some(record)
    }
}
