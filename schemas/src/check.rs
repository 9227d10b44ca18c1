//! House rules for contracts, and compatibility of two versions in words.

use serde_json::Value as Json;

use crate::path::join;
use crate::resolve::compare_records;
use crate::schema::RecordSchema;
use crate::shape::RecordShape;

/// Logical types that every sink of the bus can store without loss.
pub const LOGICAL_TYPES: [&str; 5] = ["date", "time-micros", "timestamp-micros", "decimal", "uuid"];

/// What the house rules object to in a contract, one sentence each; empty when all is well.
#[must_use]
pub fn lint(schema: &RecordSchema) -> Vec<String> {
    let mut objections = Vec::new();
    // The text, not the parsed schema: the parser drops logical types that it does not know.
    match serde_json::from_str(schema.text()) {
        Ok(json) => lint_type(&json, "", &mut objections),
        Err(error) => objections.push(format!("the contract is not JSON: {error}")),
    }
    objections
}

fn lint_type(json: &Json, path: &str, objections: &mut Vec<String>) {
    match json {
        Json::Array(branches) => lint_union(branches, path, objections),
        Json::Object(object) => {
            if object.contains_key("aliases") {
                objections.push(format!(
                    "{}: aliases are not honoured by every reader; a rename is a new field",
                    shown(path)
                ));
            }
            if let Some(logical) = object.get("logicalType").and_then(Json::as_str)
                && !LOGICAL_TYPES.contains(&logical)
            {
                objections.push(format!(
                    "{}: the logical type `{logical}` is not one of {LOGICAL_TYPES:?}",
                    shown(path)
                ));
            }
            for inner in ["type", "items", "values"].iter().filter_map(|key| object.get(*key)) {
                lint_type(inner, path, objections);
            }
            let is_record = object.get("type").and_then(Json::as_str) == Some("record");
            if is_record && object.get("doc").and_then(Json::as_str).is_none_or(str::is_empty) {
                objections.push(format!("{}: the record has no doc", shown(path)));
            }
            for field in object.get("fields").and_then(Json::as_array).into_iter().flatten() {
                lint_field(field, path, objections);
            }
        }
        _ => {}
    }
}

fn lint_union(branches: &[Json], path: &str, objections: &mut Vec<String>) {
    let null = |json: &Json| json.as_str() == Some("null");
    match branches {
        [first, second] if null(first) && !null(second) => {}
        _ => objections.push(format!("{}: a union must be [\"null\", type]", shown(path))),
    }
    for branch in branches {
        lint_type(branch, path, objections);
    }
}

fn lint_field(field: &Json, path: &str, objections: &mut Vec<String>) {
    let name = field.get("name").and_then(Json::as_str).unwrap_or("");
    let path = join(path, name);
    if !is_snake_case(name) {
        objections.push(format!("{path}: the name is not snake_case"));
    }
    if field.get("doc").and_then(Json::as_str).is_none_or(str::is_empty) {
        objections.push(format!("{path}: the field has no doc"));
    }
    if field.get("aliases").is_some() {
        objections.push(format!("{path}: aliases are not honoured by every reader; a rename is a new field"));
    }
    let Some(kind) = field.get("type") else { return };
    if kind.is_array() && field.get("default") != Some(&Json::Null) {
        objections.push(format!("{path}: an optional field must have the default null"));
    }
    lint_type(kind, &path, objections);
}

fn is_snake_case(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.contains("__")
        && !name.ends_with('_')
}

fn shown(path: &str) -> &str {
    if path.is_empty() { "the record" } else { path }
}

/// Whether `reader_new` reads every record that `writer_old` may have written.
///
/// # Errors
/// What stands in the way, one sentence per field.
pub fn compatible(writer_old: &RecordSchema, reader_new: &RecordSchema) -> Result<(), Vec<String>> {
    let shape = |schema: &RecordSchema| {
        RecordShape::compile(schema.schema()).map_err(|error| vec![error.to_string()])
    };
    let mut why = Vec::new();
    if writer_old.full_name() != reader_new.full_name() {
        why.push(format!(
            "the full name changes from {} to {}",
            writer_old.full_name(),
            reader_new.full_name()
        ));
    }
    for mismatch in compare_records(&shape(writer_old)?, &shape(reader_new)?) {
        // A renamed root has been told above.
        if !mismatch.path.is_empty() {
            why.push(format!("{}: {}", mismatch.path, mismatch.why));
        }
    }
    if why.is_empty() { Ok(()) } else { Err(why) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &str) -> RecordSchema {
        let text =
            format!(r#"{{"type":"record","name":"R","namespace":"vn.t","doc":"D.","fields":[{fields}]}}"#);
        RecordSchema::parse(&text).unwrap()
    }

    fn refused(old: &str, new: &str) -> String {
        compatible(&record(old), &record(new)).unwrap_err().join("; ")
    }

    #[test]
    fn a_contract_after_the_house_rules_passes() {
        let fields = r#"{"name":"pin","doc":"D.","type":["null","string"],"default":null},
            {"name":"day","doc":"D.","type":{"type":"int","logicalType":"date"}}"#;
        assert_eq!(lint(&record(fields)), Vec::<String>::new());
    }

    #[test]
    fn every_house_rule_is_told() {
        let objections = lint(&record(
            r#"{"name":"Pin","doc":"D.","type":"string"},
               {"name":"a","type":"int"},
               {"name":"b","doc":"D.","type":["string","null"],"default":"x"},
               {"name":"c","doc":"D.","type":{"type":"long","logicalType":"timestamp-millis"}},
               {"name":"d","doc":"D.","type":{"type":"long","logicalType":"hijri-date"}}"#,
        ));
        let expected = [
            "Pin: the name is not snake_case",
            "a: the field has no doc",
            "b: an optional field must have the default null",
            "b: a union must be",
            "c: the logical type `timestamp-millis`",
            "d: the logical type `hijri-date`",
        ];
        assert_eq!(objections.len(), expected.len(), "{objections:?}");
        for (objection, expected) in objections.iter().zip(expected) {
            assert!(objection.starts_with(expected), "{objection}");
        }
    }

    #[test]
    fn changes_that_keep_old_records_readable_pass() {
        let old = r#"{"name":"a","type":"int"},{"name":"gone","type":"string"},
            {"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}}"#;
        let new = r#"{"name":"a","type":["null","long"],"default":null},{"name":"b","type":"string","default":""},
            {"name":"e","type":{"type":"enum","name":"E","symbols":["Z","X"],"default":"Z"}}"#;
        assert_eq!(compatible(&record(old), &record(new)), Ok(()));
    }

    #[test]
    fn changes_that_do_not_are_told_in_words() {
        let a = |kind: &str| format!(r#"{{"name":"a","type":{kind}}}"#);
        assert_eq!(refused(&a(r#""long""#), &a(r#""int""#)), "a: long cannot become int");
        assert!(refused("", &a(r#""int""#)).contains("new and has no default"));
        assert!(refused(&a(r#"["null","int"]"#), &a(r#""int""#)).contains("no longer optional"));
        let symbols = |list: &str| a(&format!(r#"{{"type":"enum","name":"E","symbols":{list}}}"#));
        assert!(refused(&symbols(r#"["X","Y"]"#), &symbols(r#"["X"]"#)).contains("lost the symbol `Y`"));
        let decimal = |scale: u8| {
            a(&format!(r#"{{"type":"bytes","logicalType":"decimal","precision":9,"scale":{scale}}}"#))
        };
        assert!(refused(&decimal(2), &decimal(3)).contains("scale changes from 2 to 3"));
        let day = a(r#"{"type":"int","logicalType":"date"}"#);
        assert_eq!(refused(&day, &a(r#""long""#)), "a: date cannot become long");
    }
}
