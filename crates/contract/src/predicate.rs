//! Conditions in agreements (`where`) and publications (`when`): a typed subset of CEL, compiled once.
//!
//! The text is parsed by the `cel` crate; its tree is checked against the fields' types and evaluated here, straight over cells.
//! Why not its interpreter: it knows no types before the first event, makes a missing value an error, puts values into error
//! texts, and builds a map per event.
//!
//! **Subset:** literals, fields, `has()`, `== != < <= > >=`, `&& || !`, `? :`, `in`, `+ - * / %`, `size()`, `startsWith`,
//! `endsWith`, `contains`.
//!
//! **Null:** `field == null`, `field != null` and `has(field)` ask for null. Every other comparison or test with a null on either
//! side is false, also `!=`; a null truth value counts as false. So `!(field == 'a')` holds for null and `field != 'a'` does not.
//!
//! **Dates** are compared as ISO text (`event.child.birth_date >= '2020'`), which is right for partial dates too: `2020` stands
//! before every day in it. Instants are compared as RFC 3339 text in UTC, such as `2026-01-31T17:00:00.000000Z`.

mod compile;
mod eval;

use lienthong_schemas::Cell;

use eval::Node;

/// A field that a condition may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PredicateField {
    /// Dotted path without the root, or column name.
    pub path: String,
    /// Type.
    pub kind: PredicateType,
    /// Whether it may be null.
    pub nullable: bool,
}

/// Types as conditions see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PredicateType {
    /// Truth value.
    Bool,
    /// Integer.
    Int,
    /// Float.
    Float,
    /// Text, also the symbol of an enum, and EDTF dates.
    Text,
    /// Bytes.
    Bytes,
    /// Calendar date, compared as ISO text.
    Date,
    /// Instant, compared as RFC 3339 text.
    Timestamp,
    /// List: `in` and `size` only.
    List,
    /// Anything else: can only be asked for null.
    Other,
    /// Not known before the first row; checked when it comes.
    Any,
}

/// A condition, ready to run.
#[derive(Clone)]
pub struct Predicate {
    node: Node,
    inputs: Vec<usize>,
    uses: Vec<FieldUse>,
}

/// One place of a condition at which it looks at a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldUse {
    /// Index of the field, as in [`Predicate::inputs`].
    pub field: usize,
    /// Character of the text, from 1.
    pub column: usize,
    /// Whether it asks for null and for nothing else: `field == null`, `field != null`, `has(field)`.
    pub null_only: bool,
}

/// A literal may be a number of a person.
impl std::fmt::Debug for Predicate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Predicate({} inputs)", self.inputs.len())
    }
}

/// Why a text is no condition. Quotes names of fields and functions, never a literal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {message}{}", suggestion.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
pub struct PredicateError {
    /// Character of the text at which it is wrong, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// The nearest valid name.
    pub suggestion: Option<String>,
}

/// A condition that has no answer for a row. Never carries values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PredicateFault {
    /// An integer left its range, or a division by zero.
    #[error("an arithmetic overflow or a division by zero")]
    Arithmetic,
    /// A value is of another kind than its type says, or two values of different kinds are compared.
    #[error("a value of kind {0} where another one belongs")]
    Kind(&'static str),
    /// Fewer cells than inputs.
    #[error("fewer cells than the condition has inputs")]
    Width,
}

impl Predicate {
    /// Compiles a condition. With `root` `Some("event")` fields are written `event.child.pin`, without one as they are.
    ///
    /// # Errors
    /// When the text is no CEL, goes beyond the subset, names an unknown field, compares what cannot be compared, or is not a
    /// truth value.
    pub fn compile(
        text: &str,
        root: Option<&str>,
        fields: &[PredicateField],
    ) -> Result<Self, PredicateError> {
        let compile::Compiled { node, inputs, uses, .. } = compile::run(text, root, Some(fields))?;
        Ok(Self { node, inputs, uses })
    }

    /// Compiles a condition over fields that nobody has listed: every name is taken as it stands, with [`PredicateType::Any`].
    /// Returns the names in the order of the inputs.
    ///
    /// # Errors
    /// As [`Predicate::compile`], as far as it can be told without types.
    pub fn compile_open(text: &str, root: Option<&str>) -> Result<(Self, Vec<String>), PredicateError> {
        let compile::Compiled { node, inputs, uses, names } = compile::run(text, root, None)?;
        Ok((Self { node, inputs, uses }, names))
    }

    /// Indexes of the fields used, each once, in the order in which [`Predicate::matches`] wants the cells.
    #[must_use]
    pub fn inputs(&self) -> &[usize] {
        &self.inputs
    }

    /// Every place at which the condition looks at a field, in the order of the text.
    #[must_use]
    pub fn uses(&self) -> &[FieldUse] {
        &self.uses
    }

    /// Whether the condition holds for these values of [`Predicate::inputs`].
    ///
    /// # Errors
    /// Overflow, division by zero, or values that are not of the declared types.
    pub fn matches(&self, cells: &[Cell<'_>]) -> Result<bool, PredicateFault> {
        if cells.len() < self.inputs.len() {
            return Err(PredicateFault::Width);
        }
        eval::truth(&self.node, cells)
    }
}

#[cfg(test)]
mod tests;
