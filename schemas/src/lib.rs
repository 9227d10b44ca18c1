//! Contracts of the bus: Avro schemas, the catalogue, and the codec by compiled plans.
//!
//! **Invariant:** pure. No file, socket, clock or async runtime is touched here; text comes in, plans come out.

pub mod bundled;
pub mod catalogue;
pub mod cell;
pub mod check;
pub mod date;
mod decimal;
pub mod decode;
mod defaults;
pub mod edtf;
pub mod encode;
mod fault;
pub mod frame;
mod path;
mod plan;
mod problem;
mod resolve;
mod schema;
mod shape;
mod uuid_text;
mod varint;

pub use apache_avro::Schema;
pub use bundled::{bundled, bundled_schemas, bundled_texts};
pub use catalogue::{
    Access, Catalogue, Classification, EventContract, Family, PurposeFields, Revokes, SubjectRule, TopicSpec,
};
pub use cell::{Cell, Decimal};
pub use decode::{DecodeError, DecodePlan, DecodeProblem};
pub use edtf::{PartialDate, Precision};
pub use encode::{EncodeError, EncodePlan, EncodeProblem};
pub use frame::FrameError;
pub use path::FieldPath;
pub use plan::{Limits, MAX_DEPTH, PlanError};
pub use problem::{Problem, nearest};
pub use schema::{Field, FieldType, RecordSchema, SchemaError};
