//! Contracts of the bus: Avro schemas, the catalogue, and the codec by compiled plans.
//!
//! **Invariant:** pure. No file, socket, clock or async runtime is touched here; text comes in, plans come out.
//! Errors name a field, a kind and a place, never a value: values are personal data.
//!
//! | what | where |
//! |---|---|
//! | a value on the road, borrowed | [`Cell`] |
//! | a record contract and its fields as dotted paths | [`RecordSchema`], [`FieldPath`] |
//! | cells to Avro, Avro to cells | [`EncodePlan`], [`DecodePlan`], bounded by [`Limits`] |
//! | schema id in front of a datum | [`frame`] |
//! | families, owners, subjects, purposes, revocations | [`Catalogue`], [`EventContract`] |
//! | what a source's values are checked for | [`quality`] |
//! | house rules, compatibility in words, differences of two versions | [`check`], [`diff`] |
//! | reference pages and AsyncAPI | [`reference`] |
//! | the contracts that ship | [`bundled`](mod@bundled): `avro/`, `catalogue.yaml` |
//! | calendar, RFC 3339, partial dates | [`date`], [`edtf`] |
//!
//! The way of a codec plan: `schema` parses the text, `shape` reduces it to what the bus carries, `resolve`
//! compares writer and reader, `encode` and `decode` compile steps that a row then runs through without looking
//! at a schema again. `apache-avro` parses, and serves the tests as a second opinion.
//!
//! ```
//! use lienthong_schemas::{Cell, DecodePlan, EncodePlan, FieldPath, bundled, frame};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let catalogue = bundled().map_err(|problems| problems[0].clone())?;
//! let event = catalogue.event("admin_unit.changed").ok_or("no such event")?;
//! let schema = event.schema.schema();
//! let slots = ["level", "code", "name", "full_name", "valid_from"].map(FieldPath::new);
//! let row = [Cell::Str("province"), Cell::Str("01"), Cell::Str("Hà Nội"), Cell::Str("Thành phố Hà Nội"), Cell::Str("..")];
//!
//! let mut value = Vec::new();
//! frame::write(7, &mut value);
//! EncodePlan::compile(schema, &slots)?.encode(&row, &mut value)?;
//!
//! let (schema_id, datum) = frame::read(&value)?;
//! let plan = DecodePlan::compile(schema, schema, &["code", "valid_to"].map(FieldPath::new))?;
//! let (arena, mut cells) = (bumpalo::Bump::new(), Vec::new());
//! plan.decode_exact(datum, &arena, &mut cells)?;
//! assert_eq!((schema_id, cells.as_slice()), (7, &[Cell::Str("01"), Cell::Null][..]));
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))] // A failed unwrap is a failed test.

pub mod bundled;
pub mod catalogue;
pub mod cell;
pub mod check;
pub mod date;
mod decimal;
pub mod decode;
mod defaults;
pub mod diff;
pub mod digits;
pub mod edtf;
pub mod encode;
mod fault;
pub mod frame;
mod path;
mod plan;
mod problem;
pub mod quality;
pub mod reference;
mod resolve;
mod schema;
mod shape;
mod shown;
mod uuid_text;
mod varint;
pub mod words;

pub use apache_avro::Schema;
pub use bundled::{bundled, bundled_schemas, bundled_texts};
pub use catalogue::{
    Access, Catalogue, Classification, EventContract, Family, MAX_SUBJECT_BYTES, Publishers, PurposeFields,
    Retention, Revokes, Standards, SubjectRule, TopicSpec, is_person,
};
pub use cell::{Cell, Decimal};
pub use decode::{DecodeError, DecodePlan, DecodeProblem};
pub use edtf::{PartialDate, Precision};
pub use encode::{EncodeError, EncodePlan, EncodeProblem};
pub use frame::FrameError;
pub use path::FieldPath;
pub use plan::{Limits, MAX_DEPTH, PlanError};
pub use problem::{Problem, nearest};
pub use quality::QualityPlan;
pub use schema::{Field, FieldType, RecordSchema, SchemaError};
pub use shown::{is_name, shown, shown_reason};
pub use uuid_text::format as format_uuid;
pub use words::counted;
