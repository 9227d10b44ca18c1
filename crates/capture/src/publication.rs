//! One `publishes` entry of a ministry's YAML, compiled against its contract and its table.

use std::collections::BTreeMap;

use lienthong_contract::predicate::Predicate;
use lienthong_schemas::{EncodePlan, FieldType, QualityPlan, SubjectRule};

/// One event type that one table feeds.
#[derive(Debug)]
pub struct Publication {
    /// Event name, such as `civil_status.birth.registered`.
    pub event: String,
    /// Family, such as `civil_status`.
    pub family: String,
    /// What stands between `lt.` and the lane in its topics' names: the family, with this participant behind it where
    /// every publisher has topics of its own.
    pub stem: String,
    /// Index of the entry in the YAML's list; part of `ce_id`, so entries are only ever appended.
    pub entry: usize,
    /// Index into the participant's list of [`lienthong_contract::source::TableCapture`].
    pub table: usize,
    /// The row counts only while this holds.
    pub when: Option<When>,
    /// Column that holds the code of the case that a row belongs to.
    pub correlation: Option<usize>,
    /// Where each slot's value comes from; parallel to the plan's slots.
    pub fields: Vec<Field>,
    /// Whom the event is about: one subject, or one per person; each person gets an event of their own.
    pub subjects: Vec<Subject>,
    /// Avro record's full name, for the registry's subject.
    pub full_name: String,
    /// Schema text, for the registry's look-up.
    pub schema_text: String,
    /// What the values are checked for before they leave; over the same slots.
    pub quality: QualityPlan,
    /// Cells in slot order become Avro by this.
    pub plan: EncodePlan,
}

/// How one subject is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The catalogue's rule.
    pub rule: SubjectRule,
    /// The slot of each of the rule's fields, in its order.
    pub slots: Vec<usize>,
}

/// `when`: a predicate over columns.
#[derive(Debug)]
pub struct When {
    /// Compiled once.
    pub predicate: Predicate,
    /// Table column of each input of the predicate.
    pub columns: Vec<usize>,
    /// As compiled, to be judged again once the columns' types are known.
    pub text: String,
    /// File, line, column and the condition as written there.
    pub place: String,
}

/// One slot of the event.
#[derive(Debug)]
pub struct Field {
    /// Path in the contract, such as `child.pin`; named in quarantine.
    pub path: String,
    /// Type in the contract.
    pub kind: FieldType,
    /// Whether the contract allows null there.
    pub nullable: bool,
    /// Where the value comes from.
    pub source: FieldSource,
}

/// Where a slot's value comes from; numbers are indexes into the table's captured columns.
#[derive(Debug)]
pub enum FieldSource {
    /// A column's value, converted to the contract's type.
    Column(usize),
    /// A date with a precision (`day`, `month`, `year`; `D`, `M`, `Y`), becoming EDTF text.
    PartialDate {
        /// Column of the date.
        date: usize,
        /// Column of its precision.
        precision: usize,
    },
    /// Always this text.
    Constant(String),
    /// A text column cut at a separator; empty text is an empty list.
    List {
        /// Column of the text.
        column: usize,
        /// What stands between two elements.
        separator: String,
    },
}

impl FieldSource {
    /// The columns that the value is made from.
    pub fn columns(&self) -> impl Iterator<Item = usize> + use<> {
        let (one, other) = match self {
            Self::Column(column) | Self::List { column, .. } => (Some(*column), None),
            Self::PartialDate { date, precision } => (Some(*date), Some(*precision)),
            Self::Constant(_) => (None, None),
        };
        one.into_iter().chain(other)
    }
}

/// Publications by table, as rows arrive.
#[must_use]
pub fn by_table(publications: &[Publication]) -> BTreeMap<usize, Vec<usize>> {
    let mut tables: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, publication) in publications.iter().enumerate() {
        tables.entry(publication.table).or_default().push(index);
    }
    tables
}
