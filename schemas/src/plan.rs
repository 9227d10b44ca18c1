//! What both directions of the codec share: limits, and why a plan cannot be compiled.

use thiserror::Error;

/// Bounds of one record. They hold in both directions, so that nothing is written that cannot be read.
///
/// The bus runs with the default everywhere: no site and no catalogue changes it, because a publisher with wider bounds than its
/// subscribers would halt them. Tests and other users of this crate may give their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest datum in bytes.
    pub record_bytes: usize,
    /// Most cells in all lists of one record together: elements, map entries, fields of whole nested records.
    /// It is this number, not a block count on the wire, that bounds the memory of a decode. Nothing but these cells is
    /// allocated: text and bytes stay in the datum. A cell can be larger than its value on the wire (a null takes no byte
    /// there), and a list of many blocks is moved as it grows. The default keeps each allocation of a decode below the
    /// default of `record_bytes`, and all of them together below one and a half times that, whatever the blocks.
    pub list_cells: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { record_bytes: 1 << 20, list_cells: 1 << 13 }
    }
}

/// Deepest nesting of a schema that a plan accepts.
pub const MAX_DEPTH: usize = 64;

/// Most nodes of one schema after names are replaced by what they name.
pub(crate) const MAX_NODES: usize = 10_000;

/// Why a schema, or a pair of schemas, has no plan.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The top level is not a record.
    #[error("the top level of the schema is not a record")]
    NotARecord,
    /// A path leads nowhere.
    #[error("`{path}` is not a field of the contract")]
    UnknownPath {
        /// The path.
        path: String,
    },
    /// Two slots would write one field.
    #[error("`{path}` is given twice, or together with one of its own fields")]
    Overlap {
        /// The path.
        path: String,
    },
    /// A mandatory field has no slot.
    #[error("`{path}` has no source, no default and is not optional")]
    NoValue {
        /// The path.
        path: String,
    },
    /// The codec has no rule for this part of Avro.
    #[error("`{path}`: {what} is not supported")]
    Unsupported {
        /// The path.
        path: String,
        /// The construct.
        what: String,
    },
    /// A type contains itself, nests too deep or unfolds too far.
    #[error("`{path}`: {what}")]
    TooLarge {
        /// The path.
        path: String,
        /// The bound.
        what: &'static str,
    },
    /// A default does not fit its type.
    #[error("`{path}`: the default does not fit the type")]
    BadDefault {
        /// The path.
        path: String,
    },
    /// Aliases are not honoured by every reader, so they are refused here.
    #[error("`{path}` has aliases; a rename is a new field")]
    Alias {
        /// The path.
        path: String,
    },
    /// What the writer wrote can never be read as the reader's type.
    #[error("`{path}`: {why}")]
    Incompatible {
        /// The path.
        path: String,
        /// The difference in words.
        why: String,
    },
}
