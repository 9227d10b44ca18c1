//! Encode and decode with projection against `apache-avro` through `Value`, one record of 15 fields and about 350 bytes.

use anyhow::{Context as _, Result};
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use bumpalo::Bump;
use lienthong_schemas::quality::{Checks, PersonCheck};
use lienthong_schemas::{Cell, DecodePlan, EncodePlan, FieldPath, QualityPlan, RecordSchema};

use crate::counting::allocations;
use crate::paired::{Pairs, ROUNDS, seconds};

const RECORDS: u64 = 50_000;

/// Twelve texts, a date, a timestamp, a long.
fn schema() -> Result<RecordSchema> {
    let texts = (0..12).map(|n| format!(r#"{{"name":"t{n}","type":["null","string"],"default":null}}"#));
    let rest = [
        r#"{"name":"day","type":{"type":"int","logicalType":"date"}}"#.to_owned(),
        r#"{"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}}"#.to_owned(),
        r#"{"name":"number","type":"long"}"#.to_owned(),
    ];
    let fields: Vec<String> = texts.chain(rest).collect();
    let text = format!(r#"{{"type":"record","name":"Row","fields":[{}]}}"#, fields.join(","));
    Ok(RecordSchema::parse(&text)?)
}

pub(crate) fn run() -> Result<()> {
    let contract = schema()?;
    let schema = contract.schema();
    let texts: Vec<String> = (0..12).map(|n| format!("Nguyễn Thị Minh Khai {n}")).collect();
    let mut cells: Vec<Cell<'_>> = texts.iter().map(|text| Cell::Str(text)).collect();
    cells.extend([Cell::Date(20_000), Cell::Timestamp(1_788_750_131_000_123), Cell::I64(42)]);
    let value = value(&texts);
    let names = || (0..12).map(|n| format!("t{n}")).chain(["day", "at", "number"].map(str::to_owned));
    let paths: Vec<FieldPath> = names().map(FieldPath::new).collect();
    let projected: Vec<FieldPath> = ["t0", "t3", "t7", "day", "number"].map(FieldPath::new).to_vec();

    let encode = EncodePlan::compile(schema, &paths)?;
    let decode = DecodePlan::compile(schema, schema, &projected)?;
    let writer = GenericDatumWriter::builder(schema).build()?;
    let reader = GenericDatumReader::builder(schema).build()?;
    let datum = writer.write_value_to_vec(value.clone())?;
    let mut out = Vec::with_capacity(1024);
    encode.encode(&cells, &mut out)?;
    anyhow::ensure!(out == datum, "both encoders must give the same bytes");
    println!("codec: a record of {} bytes", datum.len());

    let (mut encoding, mut decoding) = (Pairs::default(), Pairs::default());
    for _ in 0..ROUNDS {
        let ours = seconds(|| {
            for _ in 0..RECORDS {
                out.clear();
                encode.encode(&cells, &mut out).expect("the row fits");
                std::hint::black_box(&out);
            }
        });
        let theirs = seconds(|| {
            for _ in 0..RECORDS {
                // The road of a program that is told the schema at run time: a tree of values per record.
                std::hint::black_box(writer.write_value_to_vec(self::value(&texts)).expect("the row fits"));
            }
        });
        encoding.push(ours, theirs);
        let arena = Bump::new();
        let ours = seconds(|| {
            let mut row: Vec<Cell<'_>> = Vec::with_capacity(8);
            for _ in 0..RECORDS {
                row.clear();
                decode.decode(&datum, &arena, &mut row).expect("the datum fits");
                std::hint::black_box(&row);
            }
        });
        let theirs = seconds(|| {
            for _ in 0..RECORDS {
                let tree = reader.read_value(&mut datum.as_slice()).expect("the datum fits");
                std::hint::black_box(project(tree));
            }
        });
        decoding.push(ours, theirs);
    }
    encoding.report("codec encode", RECORDS, "record", 5.0);
    decoding.report("codec decode with projection", RECORDS, "record", 4.0);
    steady_state(&encode, &decode, &cells, &datum).context("counting allocations")?;
    checks(&contract, &paths, &cells)
}

fn steady_state(encode: &EncodePlan, decode: &DecodePlan, cells: &[Cell<'_>], datum: &[u8]) -> Result<()> {
    let (arena, mut out, mut row) = (Bump::new(), Vec::with_capacity(1024), Vec::with_capacity(8));
    let before = allocations();
    for _ in 0..RECORDS {
        out.clear();
        encode.encode(cells, &mut out)?;
        row.clear();
        decode.decode(datum, &arena, &mut row)?;
    }
    println!("codec allocations in steady state: {} for {RECORDS} records", allocations() - before);
    Ok(())
}

/// Source checks of a row that is right: every text, a number with its sex, a date.
fn checks(contract: &RecordSchema, paths: &[FieldPath], cells: &[Cell<'_>]) -> Result<()> {
    let (arena, mut flags) = (Bump::new(), Vec::new());
    let mut row = cells.to_vec();
    (row[0], row[1]) = (Cell::Str("001326000001"), Cell::Str("2026-09-02"));
    let (pin, birth_date) = (FieldPath::new("t0"), Some(FieldPath::new("t1")));
    let persons = vec![PersonCheck { pin, sex: None, birth_date }];
    let plan = QualityPlan::compile(
        &Checks { persons, past: vec![FieldPath::new("day")], ..Checks::default() },
        contract,
        paths,
    );
    let before = allocations();
    let seconds = seconds(|| {
        for _ in 0..RECORDS {
            let judged = plan.judge(&mut row, 1_788_750_131_000_123, &arena, &mut flags);
            assert!(judged.is_ok() && flags.is_empty(), "the row is right");
        }
    });
    let each = seconds / RECORDS as f64 * 1e9;
    println!(
        "source checks: {each:.0} ns per record, {} allocations for {RECORDS} records",
        allocations() - before
    );
    Ok(())
}

fn value(texts: &[String]) -> Value {
    let optional = |text: &String| Value::Union(1, Box::new(Value::String(text.clone())));
    let mut fields: Vec<(String, Value)> =
        texts.iter().enumerate().map(|(n, text)| (format!("t{n}"), optional(text))).collect();
    fields.push(("day".into(), Value::Date(20_000)));
    fields.push(("at".into(), Value::TimestampMicros(1_788_750_131_000_123)));
    fields.push(("number".into(), Value::Long(42)));
    Value::Record(fields)
}

fn project(tree: Value) -> Vec<Value> {
    let Value::Record(fields) = tree else { return Vec::new() };
    let wanted = ["t0", "t3", "t7", "day", "number"];
    fields.into_iter().filter(|(name, _)| wanted.contains(&name.as_str())).map(|(_, value)| value).collect()
}
