//! House rules for contracts, and compatibility of two versions in words.

mod history;
mod lint;
mod places;
mod review;

pub use history::{Earlier, against};
pub use lint::{LOGICAL_TYPES, lint};
pub use review::{ContractText, ContractTexts, review};

use crate::resolve::compare_records;
use crate::schema::RecordSchema;
use crate::shape::RecordShape;

/// Whether `reader_new` reads every record that `writer_old` may have written.
///
/// # Errors
/// What stands in the way, one sentence per field.
pub fn compatible(writer_old: &RecordSchema, reader_new: &RecordSchema) -> Result<(), Vec<String>> {
    let found = compare(writer_old, reader_new).map_err(|why| vec![why])?;
    let sentence =
        |(path, why): (String, String)| if path.is_empty() { why } else { format!("{path}: {why}") };
    let why: Vec<String> = found.into_iter().map(sentence).collect();
    if why.is_empty() { Ok(()) } else { Err(why) }
}

/// Path and reason of everything that keeps `reader_new` from reading what `writer_old` wrote; the record itself has an
/// empty path.
pub(crate) fn compare(
    writer_old: &RecordSchema,
    reader_new: &RecordSchema,
) -> Result<Vec<(String, String)>, String> {
    let shape =
        |schema: &RecordSchema| RecordShape::compile(schema.schema()).map_err(|error| error.to_string());
    let mut found = Vec::new();
    let (old, new) = (writer_old.full_name(), reader_new.full_name());
    if old != new {
        found.push((String::new(), format!("the full name changes from {old} to {new}")));
    }
    // A renamed root has been told above.
    let mismatches = compare_records(&shape(writer_old)?, &shape(reader_new)?).into_iter();
    found.extend(mismatches.filter(|mismatch| !mismatch.path.is_empty()).map(|m| (m.path, m.why)));
    Ok(found)
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
