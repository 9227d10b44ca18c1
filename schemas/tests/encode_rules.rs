//! What a row must be to become a record, and what a plan needs.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use bumpalo::Bump;
use lienthong_schemas::{
    Cell, Decimal, DecodePlan, EncodePlan, EncodeProblem, FieldPath, Limits, PlanError, RecordSchema,
};

const BIRTH: &str = r#"{"type":"record","name":"Birth","fields":[
    {"name":"no","type":"string"},
    {"name":"late","type":"boolean","default":false},
    {"name":"child","type":{"type":"record","name":"Child","fields":[
        {"name":"pin","type":["null","string"],"default":null},
        {"name":"sex","type":{"type":"enum","name":"Sex","symbols":["male","female"]}}]}},
    {"name":"mother","type":["null",{"type":"record","name":"Parent","fields":[
        {"name":"pin","type":"string"},
        {"name":"birth_date","type":["null","string"],"default":null}]}],"default":null}]}"#;

fn paths(names: &[&str]) -> Vec<FieldPath> {
    names.iter().map(|name| FieldPath::new(*name)).collect()
}

fn plan(schema: &str, slots: &[&str]) -> Result<EncodePlan, PlanError> {
    EncodePlan::compile(RecordSchema::parse(schema).unwrap().schema(), &paths(slots))
}

fn problem(kind: &str, cell: Cell<'_>) -> EncodeProblem {
    let schema = format!(r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{kind}}}]}}"#);
    let mut out = vec![1, 2, 3];
    let error = plan(&schema, &["a"]).unwrap().encode(&[cell], &mut out).unwrap_err();
    assert_eq!(error.path, "a");
    assert_eq!(out, [1, 2, 3], "the buffer is as it was");
    error.problem
}

#[test]
fn an_optional_record_is_null_when_all_its_leaves_are() {
    let plan = plan(BIRTH, &["no", "child.sex", "mother.pin", "mother.birth_date"]).unwrap();
    let schema = RecordSchema::parse(BIRTH).unwrap();
    let read = ["no", "late", "child.pin", "child.sex", "mother", "mother.pin", "mother.birth_date"];
    let back = DecodePlan::compile(schema.schema(), schema.schema(), &paths(&read)).unwrap();
    let row = |pin, date| [Cell::Str("7"), Cell::Str("female"), pin, date];
    let arena = Bump::new();
    let (mut out, mut with, mut cells) = (Vec::new(), Vec::new(), Vec::new());
    plan.encode(&row(Cell::Null, Cell::Null), &mut out).unwrap();
    back.decode_exact(&out, &arena, &mut cells).unwrap();
    let before = [Cell::Str("7"), Cell::Bool(false), Cell::Null, Cell::Str("female")];
    assert_eq!(cells[..4], before);
    assert_eq!(cells[4..], [Cell::Null; 3]);

    plan.encode(&row(Cell::Str("012"), Cell::Null), &mut with).unwrap();
    cells.clear();
    back.decode_exact(&with, &arena, &mut cells).unwrap();
    assert_eq!(cells[4..], [Cell::List(&[Cell::Str("012"), Cell::Null]), Cell::Str("012"), Cell::Null]);

    // A mother without a PIN does not fit this contract, and must not silently vanish.
    let before = out.clone();
    let error = plan.encode(&row(Cell::Null, Cell::Str("1995")), &mut out).unwrap_err();
    assert_eq!(out, before, "the fields before the wrong one are taken back");
    assert_eq!((error.path.as_str(), error.problem), ("mother.pin", EncodeProblem::Null));
    assert_eq!(error.to_string(), "`mother.pin`: null is not allowed");
}

#[test]
fn a_plan_needs_every_mandatory_field_once() {
    let refused = |slots: &[&str]| plan(BIRTH, slots).unwrap_err();
    assert_eq!(refused(&["child.sex"]), PlanError::NoValue { path: "no".into() });
    assert_eq!(refused(&["no"]), PlanError::NoValue { path: "child".into() });
    assert_eq!(refused(&["no", "child.pin"]), PlanError::NoValue { path: "child.sex".into() });
    assert_eq!(refused(&["no", "no", "child"]), PlanError::Overlap { path: "no".into() });
    assert_eq!(refused(&["no", "child", "child.sex"]), PlanError::Overlap { path: "child".into() });
    assert_eq!(refused(&["no", "child", "fee"]), PlanError::UnknownPath { path: "fee".into() });
    assert_eq!(refused(&["no.x", "child"]), PlanError::UnknownPath { path: "no.x".into() });
    let schema = RecordSchema::parse(BIRTH).unwrap();
    let decode = |path: &str| DecodePlan::compile(schema.schema(), schema.schema(), &paths(&[path]));
    assert_eq!(decode("child.name").unwrap_err(), PlanError::UnknownPath { path: "child.name".into() });
}

#[test]
fn a_row_must_fit_its_types() {
    let range = |kind| EncodeProblem::Range { kind };
    assert_eq!(problem(r#""int""#, Cell::I64(1 << 31)), range("int"));
    assert_eq!(problem(r#""float""#, Cell::F64(1e300)), range("float"));
    assert_eq!(problem(r#""int""#, Cell::Str("5")), EncodeProblem::Kind { expected: "int", found: "text" });
    assert_eq!(problem(r#""string""#, Cell::Null), EncodeProblem::Null);
    let logical = |base: &str, name: &str| format!(r#"{{"type":"{base}","logicalType":"{name}"}}"#);
    let time = |cell| problem(&logical("long", "time-micros"), cell);
    assert_eq!(time(Cell::Time(-1)), range("time"));
    assert_eq!(time(Cell::Time(86_400_000_001)), range("time"));
    let millis = problem(&logical("long", "timestamp-millis"), Cell::Timestamp(1_001));
    assert_eq!(millis, EncodeProblem::Inexact { kind: "timestamp-millis" });
    assert_eq!(problem(&logical("string", "uuid"), Cell::Str("x")), EncodeProblem::Uuid);
    let symbols = r#"{"type":"enum","name":"E","symbols":["X"]}"#;
    assert_eq!(problem(symbols, Cell::Str("Y")), EncodeProblem::Symbol);
    let fixed = r#"{"type":"fixed","name":"F","size":2}"#;
    assert_eq!(problem(fixed, Cell::Bytes(&[1])), EncodeProblem::Length { expected: 2, found: 1 });
    let map = r#"{"type":"map","values":"int"}"#;
    let schema = format!(r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{map}}}]}}"#);
    let entries = [Cell::List(&[Cell::Str("k"), Cell::I64(1)]), Cell::List(&[Cell::Str("k")])];
    let error = plan(&schema, &["a"]).unwrap().encode(&[Cell::List(&entries)], &mut Vec::new()).unwrap_err();
    assert_eq!(error.path, "a[1]");
}

#[test]
fn a_decimal_keeps_every_digit_or_is_refused() {
    let kind = r#"{"type":"bytes","logicalType":"decimal","precision":4,"scale":2}"#;
    let decimal = |unscaled: &'static [u8], scale| Cell::Decimal(Decimal { unscaled, scale });
    assert_eq!(problem(kind, decimal(&[1], 3)), EncodeProblem::Inexact { kind: "decimal" });
    assert_eq!(problem(kind, decimal(&[0x27, 0x10], 2)), EncodeProblem::Precision);
    let narrow = r#"{"type":"fixed","name":"F","size":1,"logicalType":"decimal","precision":2,"scale":0}"#;
    let schema = format!(r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{narrow}}}]}}"#);
    let mut out = Vec::new();
    plan(&schema, &["a"]).unwrap().encode(&[decimal(&[0xff, 0xff, 0xf6], 0)], &mut out).unwrap();
    assert_eq!(out, [0xf6]);
}

#[test]
fn what_cannot_be_read_is_not_written() {
    let schema = RecordSchema::parse(
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"null"}},
            {"name":"t","type":"string","default":""}]}"#,
    )
    .unwrap();
    let limits = Limits { record_bytes: 8, list_cells: 2 };
    let plan = EncodePlan::compile_with(schema.schema(), &paths(&["a", "t"]), limits).unwrap();
    let encode = |items: &[Cell<'_>], text: &str| {
        let mut out = Vec::new();
        plan.encode(&[Cell::List(items), Cell::Str(text)], &mut out).map_err(|error| error.problem)
    };
    assert_eq!(encode(&[Cell::Null; 2], "abcd"), Ok(()));
    assert_eq!(encode(&[Cell::Null; 3], ""), Err(EncodeProblem::TooLong { limit: 2, unit: "list cells" }));
    assert_eq!(encode(&[], "abcdefgh"), Err(EncodeProblem::TooLong { limit: 8, unit: "bytes" }));
    let width = plan.encode(&[Cell::Null], &mut Vec::new()).unwrap_err().problem;
    assert_eq!(width, EncodeProblem::RowWidth { expected: 2, found: 1 });
}

#[test]
fn errors_never_show_a_value() {
    let plan = plan(BIRTH, &["no", "child.sex"]).unwrap();
    let error = plan.encode(&[Cell::Str("7"), Cell::Str("001326000001")], &mut Vec::new()).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("001326"));
}
