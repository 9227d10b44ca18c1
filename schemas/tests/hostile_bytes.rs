//! Bytes made to hurt: counts that promise more than there is, lists of nothing, blocks that lie about their size.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

use bumpalo::Bump;
use lienthong_schemas::{Cell, DecodeError, DecodePlan, DecodeProblem, FieldPath, Limits, RecordSchema};

fn record(fields: &str) -> RecordSchema {
    RecordSchema::parse(&format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)).unwrap()
}

/// Decodes with the paths asked for, and says how much memory it took.
fn decode(fields: &str, paths: &[&str], datum: &[u8], limits: Limits) -> (Result<usize, DecodeError>, usize) {
    let schema = record(fields);
    let paths: Vec<FieldPath> = paths.iter().map(|path| FieldPath::new(*path)).collect();
    let plan = DecodePlan::compile_with(schema.schema(), schema.schema(), &paths, limits).unwrap();
    let (arena, mut cells) = (Bump::new(), Vec::new());
    let read = plan.decode(datum, &arena, &mut cells);
    assert_eq!(cells.len(), read.as_ref().map_or(0, |_| paths.len()));
    (read, arena.allocated_bytes())
}

fn problem(fields: &str, paths: &[&str], datum: &[u8]) -> (String, usize, DecodeProblem) {
    let (read, memory) = decode(fields, paths, datum, Limits::default());
    assert!(memory <= Limits::default().record_bytes, "{memory} bytes");
    let error = read.unwrap_err();
    (error.path, error.offset, error.problem)
}

/// zigzag of 2^40.
const HUGE: [u8; 6] = [0x80, 0x80, 0x80, 0x80, 0x80, 0x40];
const LONGS: &str = r#"{"name":"a","type":{"type":"array","items":"long"}}"#;
const NULLS: &str = r#"{"name":"a","type":{"type":"array","items":"null"}}"#;
const MAP: &str = r#"{"name":"a","type":{"type":"map","values":"null"}}"#;

#[test]
fn a_count_beyond_the_bytes_allocates_nothing() {
    for paths in [&["a"][..], &[]] {
        assert_eq!(problem(LONGS, paths, &HUGE), ("a".into(), 6, DecodeProblem::Truncated));
        assert_eq!(problem(MAP, paths, &HUGE), ("a".into(), 6, DecodeProblem::Truncated));
    }
}

#[test]
fn a_list_of_nothing_is_bounded_by_its_cells() {
    let limit = Limits::default().list_cells;
    for paths in [&["a"][..], &[]] {
        let expected = ("a".into(), 6, DecodeProblem::TooManyItems { limit });
        assert_eq!(problem(NULLS, paths, &HUGE), expected);
        // Many small blocks do not help: 8 blocks of 1024 are all that is allowed.
        let datum = [[0x80, 0x10]; 9].concat();
        assert_eq!(problem(NULLS, paths, &datum), ("a".into(), 18, DecodeProblem::TooManyItems { limit }));
    }
    let (read, memory) = decode(NULLS, &["a"], &[0x80, 0x10, 0], Limits::default());
    assert_eq!(read, Ok(3));
    assert!(memory < 1 << 17, "{memory} bytes");
}

#[test]
fn a_block_with_its_size_is_read_and_stepped_over_alike() {
    // Count -2, size 2, the items 1 and 2, end.
    let datum = [3, 4, 2, 4, 0];
    for paths in [&["a"][..], &[]] {
        assert_eq!(decode(LONGS, paths, &datum, Limits::default()).0, Ok(5));
    }
    // A size that is too small, negative or beyond the end.
    assert_eq!(problem(LONGS, &["a"], &[3, 2, 2, 4, 0]).2, DecodeProblem::Truncated);
    assert_eq!(problem(LONGS, &["a"], &[3, 6, 2, 4, 0]), ("a".into(), 4, DecodeProblem::Length));
    for paths in [&["a"][..], &[]] {
        assert_eq!(problem(LONGS, paths, &[3, 3, 2, 4, 0]), ("a".into(), 2, DecodeProblem::Length));
        assert_eq!(problem(LONGS, paths, &[3, 40, 2, 4, 0]), ("a".into(), 2, DecodeProblem::Truncated));
        // The smallest count there is has no positive counterpart.
        let smallest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0];
        assert_eq!(problem(LONGS, paths, &smallest).2, DecodeProblem::Truncated);
    }
}

#[test]
fn a_wide_default_inside_a_list_is_charged_too() {
    let writer =
        record(r#"{"name":"a","type":{"type":"array","items":{"type":"record","name":"I","fields":[]}}}"#);
    let wide: Vec<String> =
        (0..100).map(|n| format!(r#"{{"name":"d{n}","type":"int","default":{n}}}"#)).collect();
    let reader = record(&format!(
        r#"{{"name":"a","type":{{"type":"array","items":{{"type":"record","name":"I","fields":[{}]}}}}}}"#,
        wide.join(",")
    ));
    let plan = DecodePlan::compile(writer.schema(), reader.schema(), &["a".into()]).unwrap();
    let (arena, mut cells) = (Bump::new(), Vec::new());
    // Items of no bytes, each of 100 cells for the reader.
    let error = plan.decode(&[0x80, 0x80, 0x02, 0], &arena, &mut cells).unwrap_err();
    assert_eq!(error.problem, DecodeProblem::TooManyItems { limit: Limits::default().list_cells });
    assert!(arena.allocated_bytes() <= Limits::default().record_bytes);
}

#[test]
fn a_record_beyond_its_bound_is_refused_unread() {
    let limits = Limits { record_bytes: 4, ..Limits::default() };
    let text = r#"{"name":"a","type":"string"}"#;
    let read = |datum: &[u8]| decode(text, &["a"], datum, limits).0.map_err(|error| error.problem);
    assert_eq!(read(&[6, b'a', b'b', b'c']), Ok(4));
    assert_eq!(read(&[8, b'a', b'b', b'c', b'd']), Err(DecodeProblem::TooLong { limit: 4 }));
}

#[test]
fn each_wrong_byte_is_told_with_its_place() {
    let one = |kind: &str| format!(r#"{{"name":"a","type":{kind}}}"#);
    let problem = |kind: &str, datum: &[u8]| problem(&one(kind), &["a"], datum);
    assert_eq!(problem(r#""boolean""#, &[2]), ("a".into(), 1, DecodeProblem::Tag));
    assert_eq!(problem(r#"["null","int"]"#, &[4, 2]), ("a".into(), 1, DecodeProblem::Tag));
    assert_eq!(problem(r#""string""#, &[4, 0xc3, 0x28]), ("a".into(), 3, DecodeProblem::Utf8));
    assert_eq!(problem(r#""string""#, &[1]), ("a".into(), 1, DecodeProblem::Length));
    assert_eq!(problem(r#""string""#, &[20, b'x']), ("a".into(), 1, DecodeProblem::Truncated));
    assert_eq!(problem(r#""int""#, &[0x80, 0x80, 0x80, 0x80, 0x10]).2, DecodeProblem::Range);
    assert_eq!(problem(r#""long""#, &[0xff; 11]), ("a".into(), 0, DecodeProblem::Integer));
    let symbols = r#"{"type":"enum","name":"E","symbols":["X"]}"#;
    assert_eq!(problem(symbols, &[2]), ("a".into(), 1, DecodeProblem::Symbol));
    assert_eq!(problem(symbols, &[1]), ("a".into(), 1, DecodeProblem::Symbol));
    let nested =
        r#"{"type":"array","items":{"type":"record","name":"I","fields":[{"name":"b","type":"boolean"}]}}"#;
    assert_eq!(problem(nested, &[6, 1, 0, 9, 0]), ("a[2].b".into(), 4, DecodeProblem::Tag));
}

#[test]
fn left_over_bytes_are_the_callers_choice() {
    let schema = record(r#"{"name":"a","type":"int"}"#);
    let plan = DecodePlan::compile(schema.schema(), schema.schema(), &["a".into()]).unwrap();
    let (arena, mut cells) = (Bump::new(), Vec::new());
    assert_eq!(plan.decode(&[2, 9, 9], &arena, &mut cells), Ok(1));
    assert_eq!(cells, [Cell::I64(1)]);
    let error = plan.decode_exact(&[2, 9, 9], &arena, &mut cells).unwrap_err();
    assert_eq!((error.problem, error.offset), (DecodeProblem::Trailing, 1));
    assert_eq!(cells.len(), 1);
}

#[test]
fn schemas_that_unfold_without_end_are_refused() {
    // Each record holds the one before twice: 2^20 fields from a short text.
    let mut inner = r#"{"type":"record","name":"R0","fields":[{"name":"x","type":"int"}]}"#.to_owned();
    for n in 1..20 {
        let before = format!("R{}", n - 1);
        inner = format!(
            r#"{{"type":"record","name":"R{n}","fields":[{{"name":"a","type":{inner}}},{{"name":"b","type":"{before}"}}]}}"#
        );
    }
    let error = RecordSchema::parse(&inner).unwrap_err().to_string();
    assert!(error.contains("unfolds to more than"), "{error}");
}
