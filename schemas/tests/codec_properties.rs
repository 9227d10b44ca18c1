//! The codec against apache-avro on generated contracts and rows: equal bytes, equal cells, equal resolution, and
//! no panic whatever the bytes.

#![allow(clippy::unwrap_used)] // A failed unwrap is a failed test.

mod support;

use bumpalo::Bump;
use lienthong_schemas::{Cell, DecodePlan, EncodePlan, FieldPath, Limits, Schema};
use proptest::prelude::*;
use serde_json::json;
use support::model::{self, Field, Val};
use support::runner::{check, check_thousands};
use support::second_opinion::{self, from_avro, order_is_free, record, to_avro};
use support::strategies;

fn whole(fields: &[Field]) -> Vec<FieldPath> {
    fields.iter().map(|field| FieldPath::new(field.name.clone())).collect()
}

/// The bytes of both codecs must be equal, or, where maps leave the order free, ours must read as their value.
fn same_bytes(fields: &[Field], vals: &[Val], ours: &[u8]) -> Result<(), TestCaseError> {
    let schema = model::schema(fields);
    let value = record(fields, vals);
    let theirs = second_opinion::write(&schema, value.clone());
    prop_assert_eq!(ours.len(), theirs.len());
    if !vals.iter().any(order_is_free) {
        prop_assert_eq!(ours, theirs.as_slice());
    }
    prop_assert_eq!(second_opinion::read(&schema, None, ours).unwrap(), value);
    Ok(())
}

#[test]
fn whole_fields_encode_to_the_same_bytes() {
    check_thousands("encode whole fields", &strategies::record(), |(fields, vals)| {
        let arena = Bump::new();
        let row: Vec<_> =
            fields.iter().zip(&vals).map(|(field, val)| model::cell(&field.ty, val, &arena)).collect();
        let plan = EncodePlan::compile(&model::schema(&fields), &whole(&fields)).unwrap();
        let mut out = vec![0xab; 3];
        plan.encode(&row, &mut out).unwrap();
        prop_assert_eq!(&out[..3], [0xab; 3]);
        same_bytes(&fields, &vals, &out[3..])
    });
}

#[test]
fn leaves_encode_to_the_same_bytes() {
    check_thousands("encode leaves", &strategies::record(), |(fields, vals)| {
        let arena = Bump::new();
        let leaves = model::leaves(&fields, &vals);
        let row: Vec<_> = leaves.iter().map(|(_, ty, val)| model::cell(ty, val, &arena)).collect();
        let slots: Vec<_> = leaves.iter().map(|(path, ..)| FieldPath::new(path.clone())).collect();
        let plan = EncodePlan::compile(&model::schema(&fields), &slots).unwrap();
        let mut out = Vec::new();
        plan.encode(&row, &mut out).unwrap();
        let vals: Vec<_> = fields
            .iter()
            .zip(&vals)
            .map(|(field, val)| model::without_hollow_records(&field.ty, val))
            .collect();
        same_bytes(&fields, &vals, &out)
    });
}

#[test]
fn their_bytes_decode_to_the_same_cells() {
    let choice = prop::collection::vec(any::<prop::sample::Index>(), 0..6);
    check_thousands("decode", &(strategies::record(), choice), |((fields, vals), choice)| {
        let schema = model::schema(&fields);
        let datum = second_opinion::write(&schema, record(&fields, &vals));
        // Every whole field, every leaf, and a choice of them in any order: overlaps and repeats are allowed.
        let mut all: Vec<_> = model::leaves(&fields, &vals);
        all.extend(
            fields.iter().zip(&vals).map(|(field, val)| (field.name.clone(), field.ty.clone(), val.clone())),
        );
        let chosen: Vec<_> = choice.iter().map(|index| index.get(&all).clone()).collect();
        for wanted in [all, chosen] {
            let paths: Vec<_> = wanted.iter().map(|(path, ..)| FieldPath::new(path.clone())).collect();
            let plan = DecodePlan::compile(&schema, &schema, &paths).unwrap();
            let (arena, mut cells) = (Bump::new(), vec![Cell::Bool(true)]);
            plan.decode_exact(&datum, &arena, &mut cells).unwrap();
            prop_assert_eq!(cells.len(), 1 + wanted.len());
            for ((path, ty, val), cell) in wanted.iter().zip(&cells[1..]) {
                prop_assert_eq!(&model::value(ty, cell), val, "{}", path);
            }
        }
        Ok(())
    });
}

#[test]
fn evolution_resolves_as_theirs() {
    check_thousands("evolution", &strategies::evolution(), |(writer, reader, vals)| {
        let (old, new) = (model::schema(&writer), model::schema(&reader));
        let datum = second_opinion::write(&old, record(&writer, &vals));
        let plan = DecodePlan::compile(&old, &new, &whole(&reader)).unwrap();
        let (arena, mut cells) = (Bump::new(), Vec::new());
        let ours = plan.decode_exact(&datum, &arena, &mut cells);
        match second_opinion::read(&old, Some(&new), &datum) {
            Ok(theirs) => {
                prop_assert_eq!(ours, Ok(()));
                let Val::Record(expected) = from_avro(&theirs) else { panic!("a record") };
                for ((field, cell), val) in reader.iter().zip(&cells).zip(&expected) {
                    prop_assert_eq!(&model::value(&field.ty, cell), val, "{}", field.name);
                }
            }
            Err(error) => {
                prop_assert!(ours.is_err(), "theirs: {error}");
                prop_assert!(cells.is_empty());
            }
        }
        Ok(())
    });
}

#[test]
fn leaves_of_an_evolved_record_are_those_of_its_whole_fields() {
    check("evolution by leaves", &strategies::evolution(), |(writer, reader, vals)| {
        let (old, new) = (model::schema(&writer), model::schema(&reader));
        let datum = second_opinion::write(&old, record(&writer, &vals));
        let (arena, mut cells) = (Bump::new(), Vec::new());
        let plan = DecodePlan::compile(&old, &new, &whole(&reader)).unwrap();
        if plan.decode_exact(&datum, &arena, &mut cells).is_err() {
            return Ok(());
        }
        let vals: Vec<_> =
            reader.iter().zip(&cells).map(|(field, cell)| model::value(&field.ty, cell)).collect();
        let leaves = model::leaves(&reader, &vals);
        let paths: Vec<_> = leaves.iter().map(|(path, ..)| FieldPath::new(path.clone())).collect();
        let plan = DecodePlan::compile(&old, &new, &paths).unwrap();
        let mut cells = Vec::new();
        plan.decode_exact(&datum, &arena, &mut cells).unwrap();
        for ((path, ty, val), cell) in leaves.iter().zip(&cells) {
            prop_assert_eq!(&model::value(ty, cell), val, "{}", path);
        }
        Ok(())
    });
}

#[test]
fn cut_records_are_errors_and_damaged_ones_never_panic() {
    let damage = (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..40));
    check("damage", &(strategies::record(), damage), |((fields, vals), (index, noise))| {
        let schema = model::schema(&fields);
        let datum = second_opinion::write(&schema, record(&fields, &vals));
        for paths in [whole(&fields), Vec::new()] {
            let plan = DecodePlan::compile(&schema, &schema, &paths).unwrap();
            let at = index.index(datum.len());
            let (arena, mut cells) = (Bump::new(), Vec::new());
            prop_assert!(plan.decode(&datum[..at], &arena, &mut cells).is_err());
            prop_assert!(cells.is_empty());
            let mut damaged = datum[..at].to_vec();
            damaged.extend(&noise);
            for bytes in [noise.as_slice(), &damaged] {
                let (arena, mut cells) = (Bump::new(), Vec::new());
                let read = plan.decode(bytes, &arena, &mut cells);
                prop_assert_eq!(cells.len(), read.map_or(0, |_| paths.len()));
                // The bound on cells holds for any bytes.
                prop_assert!(arena.allocated_bytes() <= Limits::default().record_bytes);
            }
        }
        Ok(())
    });
}

/// The count in front of a block of so many items.
fn block_head(count: usize, datum: &mut Vec<u8>) {
    let mut zigzag = 2 * count;
    while zigzag >= 0x80 {
        datum.push((zigzag & 0x7f) as u8 | 0x80);
        zigzag >>= 7;
    }
    datum.push(zigzag as u8);
}

/// A list of nulls takes no byte per item, so that nothing but the bound on cells limits it.
#[test]
fn lists_in_blocks_of_any_size_allocate_no_more_at_once_than_a_record_may_have() {
    let most = Limits::default().list_cells;
    let block = prop_oneof![Just(1), Just(most), Just(most - 1), 0..=most, (0..13_u32).prop_map(|n| 1 << n)];
    let lists = prop::collection::vec(prop::collection::vec(block, 0..30), 1..6);
    let worst = std::cell::Cell::new((0, 0));
    check_thousands("blocks", &lists, |lists| {
        let names: Vec<String> = (0..lists.len()).map(|number| format!("f{number}")).collect();
        let fields =
            names.iter().map(|name| json!({"name": name, "type": {"type": "array", "items": "null"}}));
        let record = json!({"type": "record", "name": "R", "fields": fields.collect::<Vec<_>>()});
        let schema = Schema::parse_str(&record.to_string()).unwrap();
        let paths: Vec<FieldPath> = names.into_iter().map(FieldPath::new).collect();
        let plan = DecodePlan::compile(&schema, &schema, &paths).unwrap();
        let (mut datum, mut left) = (Vec::new(), most);
        for blocks in &lists {
            for block in blocks {
                let count = (*block).min(left);
                left -= count;
                if count > 0 {
                    block_head(count, &mut datum);
                }
            }
            datum.push(0);
        }
        let (mut arena, mut cells) = (Bump::new(), Vec::new());
        plan.decode_exact(&datum, &arena, &mut cells).unwrap();
        let all = arena.allocated_bytes();
        // The newest piece of an arena is its largest.
        let piece = arena.chunk_capacity() + arena.iter_allocated_chunks().next().map_or(0, <[_]>::len);
        worst.set((worst.get().0.max(all), worst.get().1.max(piece)));
        let bound = Limits::default().record_bytes;
        prop_assert!(piece <= bound && all <= bound * 3 / 2, "{} bytes, {} at once", all, piece);
        Ok(())
    });
    println!("blocks: at most {} bytes, {} at once", worst.get().0, worst.get().1);
}

#[test]
fn the_second_opinion_is_asked_about_the_right_values() {
    // Guards the test's own conversion: a value goes to apache-avro and back unchanged.
    check("conversion", &strategies::evolution(), |(fields, _, vals)| {
        for (field, val) in fields.iter().zip(&vals) {
            prop_assert_eq!(&from_avro(&to_avro(&field.ty, val)), val);
        }
        Ok(())
    });
}
