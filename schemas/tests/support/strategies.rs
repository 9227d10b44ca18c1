//! Strategies for contracts, rows and evolution pairs.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::model::{Field, Ty, Val};

const DAY: i64 = 86_400_000_000;

/// A record and a row of it.
pub(crate) fn record() -> impl Strategy<Value = (Vec<Field>, Vec<Val>)> {
    fields(ty(true), 1..6).prop_flat_map(|fields| {
        let row = row(&fields);
        (Just(fields), row)
    })
}

/// A writer's record, a reader's record that grew out of it, and a row of the writer's.
pub(crate) fn evolution() -> impl Strategy<Value = (Vec<Field>, Vec<Field>, Vec<Val>)> {
    fields(ty(false), 1..6)
        .prop_flat_map(|writer| {
            let reader = evolved_fields(&writer);
            let row = row(&writer);
            (Just(writer), reader, row)
        })
        .prop_filter("a reader needs a field", |(_, reader, _)| !reader.is_empty())
}

fn fields(
    ty: impl Strategy<Value = Ty> + 'static,
    count: std::ops::Range<usize>,
) -> impl Strategy<Value = Vec<Field>> {
    vec(ty, count).prop_map(|types| {
        let named = types.into_iter().enumerate();
        named.map(|(index, ty)| Field { name: format!("f{index}"), ty, default: None }).collect()
    })
}

fn symbols() -> impl Strategy<Value = Ty> {
    (1usize..6).prop_map(|count| Ty::Enum((0..count).map(|index| format!("S{index}")).collect(), None))
}

fn decimals() -> impl Strategy<Value = Ty> {
    (1usize..=18, 0u32..6, prop::option::of(8usize..=16)).prop_map(|(precision, scale, fixed)| Ty::Decimal {
        precision,
        scale: scale.min(precision as u32),
        fixed,
    })
}

/// Types. apache-avro cannot resolve short decimals (it asks that the bytes could hold the whole precision), so
/// evolution goes without them.
fn ty(with_decimals: bool) -> impl Strategy<Value = Ty> {
    let scalar = prop_oneof![
        2 => prop::sample::select(vec![Ty::Bool, Ty::Int, Ty::Long, Ty::Float, Ty::Double]),
        2 => prop::sample::select(vec![Ty::Text, Ty::Bytes, Ty::UuidText, Ty::UuidFixed]),
        2 => prop::sample::select(vec![Ty::Date, Ty::TimeMillis, Ty::TimeMicros]),
        1 => any::<bool>().prop_map(Ty::TimestampMillis),
        1 => any::<bool>().prop_map(Ty::TimestampMicros),
        1 => (1usize..20).prop_map(Ty::Fixed),
        1 => symbols(),
    ];
    let scalar =
        if with_decimals { prop_oneof![6 => scalar, 2 => decimals()].boxed() } else { scalar.boxed() };
    scalar.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            3 => (any::<bool>(), inner.clone()).prop_map(|(null_first, inner)| match inner {
                Ty::Optional(..) => inner,
                _ => Ty::Optional(null_first, Box::new(inner)),
            }),
            1 => inner.clone().prop_map(|inner| Ty::List(Box::new(inner))),
            1 => inner.clone().prop_map(|inner| Ty::Map(Box::new(inner))),
            2 => fields(inner, 1..5).prop_map(Ty::Record),
        ]
    })
}

/// A row of a record.
pub(crate) fn row(fields: &[Field]) -> BoxedStrategy<Vec<Val>> {
    fields.iter().map(|field| val(&field.ty)).collect::<Vec<_>>().boxed()
}

fn decimal(precision: usize) -> BoxedStrategy<Val> {
    let bound = 10i128.pow(precision as u32) - 1;
    // Small numbers and the ends are where leading bytes and signs go wrong.
    prop_oneof![(-bound..=bound), (-bound.min(300)..=bound.min(300)), Just(bound), Just(-bound)]
        .prop_map(Val::Decimal)
        .boxed()
}

fn val(ty: &Ty) -> BoxedStrategy<Val> {
    let text = || "\\PC{0,12}".prop_map(Val::Text);
    match ty {
        Ty::Bool => any::<bool>().prop_map(Val::Bool).boxed(),
        Ty::Int => any::<i32>().prop_map(|value| Val::I64(i64::from(value))).boxed(),
        Ty::Long => prop_oneof![any::<i64>(), -200i64..200].prop_map(Val::I64).boxed(),
        Ty::Float => any::<f32>().prop_map(|value| Val::F64(f64::from(value))).boxed(),
        Ty::Double => any::<f64>().prop_map(Val::F64).boxed(),
        Ty::Text => text().boxed(),
        Ty::Bytes => vec(any::<u8>(), 0..20).prop_map(Val::Bytes).boxed(),
        Ty::Fixed(size) => vec(any::<u8>(), *size).prop_map(Val::Bytes).boxed(),
        Ty::Enum(symbols, _) => prop::sample::select(symbols.clone()).prop_map(Val::Text).boxed(),
        Ty::Decimal { precision, .. } => decimal(*precision),
        Ty::UuidText | Ty::UuidFixed => any::<[u8; 16]>().prop_map(Val::Uuid).boxed(),
        // From before 1970 to long after.
        Ty::Date => prop_oneof![any::<i32>(), -60_000i32..60_000].prop_map(Val::Date).boxed(),
        Ty::TimeMillis => (0..DAY / 1_000).prop_map(|millis| Val::Time(millis * 1_000)).boxed(),
        Ty::TimeMicros => (0..DAY).prop_map(Val::Time).boxed(),
        Ty::TimestampMillis(_) => {
            (i64::MIN / 1_000..i64::MAX / 1_000).prop_map(|millis| Val::Timestamp(millis * 1_000)).boxed()
        }
        Ty::TimestampMicros(_) => any::<i64>().prop_map(Val::Timestamp).boxed(),
        Ty::List(item) => vec(val(item), 0..4).prop_map(Val::List).boxed(),
        Ty::Map(value) => btree_map("\\PC{0,6}", val(value), 0..4)
            .prop_map(|map| Val::Map(map.into_iter().collect()))
            .boxed(),
        Ty::Record(fields) => row(fields).prop_map(Val::Record).boxed(),
        Ty::Optional(_, inner) => prop_oneof![1 => Just(Val::Null), 2 => val(inner)].boxed(),
    }
}

/// Fields after some changes: kept, changed, dropped, and new ones with defaults.
fn evolved_fields(writer: &[Field]) -> BoxedStrategy<Vec<Field>> {
    let kept: Vec<_> = writer
        .iter()
        .map(|field| {
            let name = field.name.clone();
            let evolved =
                evolved(&field.ty).prop_map(move |ty| Field { name: name.clone(), ty, default: None });
            prop_oneof![4 => evolved.prop_map(Some), 1 => Just(None)]
        })
        .collect();
    let added = prop::collection::vec(prop::sample::select(additions()), 0..3);
    (kept, added, any::<bool>())
        .prop_map(|(kept, added, turn)| {
            let mut fields: Vec<Field> = kept.into_iter().flatten().collect();
            let named = added.into_iter().enumerate();
            fields.extend(named.map(|(index, (ty, default))| Field {
                name: format!("added{index}"),
                ty,
                default: Some(default),
            }));
            if turn {
                fields.reverse();
            }
            fields
        })
        .boxed()
}

/// New fields. Only defaults of a union's first branch: apache-avro ignores the others.
fn additions() -> Vec<(Ty, Json)> {
    let inner = vec![
        Field { name: "a".into(), ty: Ty::Int, default: None },
        Field { name: "b".into(), ty: Ty::Text, default: Some(json!("b")) },
    ];
    vec![
        (Ty::Int, json!(-5)),
        (Ty::Long, json!(1_234_567_890_123i64)),
        (Ty::Double, json!(1.5)),
        (Ty::Bool, json!(true)),
        (Ty::Text, json!("mặc định")),
        (Ty::Optional(true, Box::new(Ty::Text)), Json::Null),
        (Ty::Optional(false, Box::new(Ty::Int)), json!(7)),
        (Ty::List(Box::new(Ty::Int)), json!([1, 2])),
        (Ty::Map(Box::new(Ty::Text)), json!({"k": "v"})),
        (Ty::Enum(vec!["A".into(), "B".into()], None), json!("B")),
        (Ty::Record(inner), json!({"a": 3, "b": "x"})),
    ]
}

fn evolved(ty: &Ty) -> BoxedStrategy<Ty> {
    match ty {
        Ty::Int => prop::sample::select(vec![Ty::Int, Ty::Long, Ty::Float, Ty::Double]).boxed(),
        Ty::Long => prop::sample::select(vec![Ty::Long, Ty::Float, Ty::Double]).boxed(),
        Ty::Float => prop::sample::select(vec![Ty::Float, Ty::Double]).boxed(),
        Ty::Text | Ty::Bytes => prop::sample::select(vec![Ty::Text, Ty::Bytes]).boxed(),
        Ty::Enum(symbols, _) => {
            let mut fewer = symbols.clone();
            fewer.insert(0, "NEW".into());
            fewer.pop();
            let default = Some("NEW".to_owned());
            prop::sample::select(vec![ty.clone(), Ty::Enum(fewer, default)]).boxed()
        }
        Ty::List(item) => evolved(item).prop_map(|item| Ty::List(Box::new(item))).boxed(),
        Ty::Map(value) => evolved(value).prop_map(|value| Ty::Map(Box::new(value))).boxed(),
        Ty::Record(fields) => evolved_fields(fields)
            .prop_filter("a record needs a field", |fields| !fields.is_empty())
            .prop_map(Ty::Record)
            .boxed(),
        // The other order, and no longer optional: then null is an error for both codecs.
        Ty::Optional(_, inner) => (any::<bool>(), evolved(inner), 0..8)
            .prop_map(|(null_first, inner, narrow)| match (narrow, inner) {
                (0, inner) => inner,
                (_, inner @ Ty::Optional(..)) => inner,
                (_, inner) => Ty::Optional(null_first, Box::new(inner)),
            })
            .boxed(),
        other => Just(other.clone()).boxed(),
    }
    .prop_flat_map(|ty| match ty {
        Ty::Optional(..) => Just(ty).boxed(),
        ty => (any::<bool>(), 0..4)
            .prop_map(move |(null_first, widen)| match widen {
                0 => Ty::Optional(null_first, Box::new(ty.clone())),
                _ => ty.clone(),
            })
            .boxed(),
    })
    .boxed()
}
