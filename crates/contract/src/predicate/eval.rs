//! Evaluating a compiled condition over cells. Three-valued inside: what depends on a null is null, and null is not true.

use std::borrow::Cow;
use std::cmp::Ordering;

use lienthong_schemas::{Cell, date};

use super::PredicateFault;

/// A compiled expression; fields are positions among the inputs.
#[derive(Clone)]
pub(super) enum Node {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    Field(usize),
    IsNull(Box<Node>),
    Not(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    In(Box<Node>, Vec<Node>),
    InList(Box<Node>, Box<Node>),
    Match(TextMatch, Box<Node>, Box<Node>),
    Size(Box<Node>),
    Negate(Box<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum TextMatch {
    Starts,
    Ends,
    Contains,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// A value during evaluation. No `Debug`: it may be personal data.
enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Cow<'a, str>),
    Bytes(&'a [u8]),
    List(&'a [Cell<'a>]),
    Other(&'static str),
}

impl Value<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Int(_) => "integer",
            Value::Float(_) => "float",
            Value::Text(_) => "text",
            Value::Bytes(_) => "bytes",
            Value::List(_) => "list",
            Value::Other(kind) => kind,
        }
    }
}

/// Whether an expression holds.
pub(super) fn truth(node: &Node, cells: &[Cell<'_>]) -> Result<bool, PredicateFault> {
    match value(node, cells)? {
        Value::Bool(truth) => Ok(truth),
        Value::Null => Ok(false),
        other => Err(PredicateFault::Kind(other.kind())),
    }
}

fn value<'a>(node: &'a Node, cells: &'a [Cell<'a>]) -> Result<Value<'a>, PredicateFault> {
    Ok(match node {
        Node::Null => Value::Null,
        Node::Bool(truth) => Value::Bool(*truth),
        Node::Int(number) => Value::Int(*number),
        Node::Float(number) => Value::Float(*number),
        Node::Text(text) => Value::Text(Cow::Borrowed(text)),
        Node::Bytes(bytes) => Value::Bytes(bytes),
        Node::Field(input) => of_cell(cells.get(*input).ok_or(PredicateFault::Width)?),
        Node::IsNull(inner) => Value::Bool(matches!(value(inner, cells)?, Value::Null)),
        Node::Not(inner) => Value::Bool(!truth(inner, cells)?),
        Node::And(left, right) => Value::Bool(truth(left, cells)? && truth(right, cells)?),
        Node::Or(left, right) => Value::Bool(truth(left, cells)? || truth(right, cells)?),
        Node::If(test, yes, no) => return value(if truth(test, cells)? { yes } else { no }, cells),
        Node::Compare(comparison, left, right) => {
            Value::Bool(compare(*comparison, &value(left, cells)?, &value(right, cells)?)?)
        }
        Node::In(item, list) => Value::Bool(within(&value(item, cells)?, list, cells)?),
        Node::InList(item, list) => Value::Bool(within_list(&value(item, cells)?, &value(list, cells)?)?),
        Node::Match(how, text, part) => {
            Value::Bool(text_match(*how, &value(text, cells)?, &value(part, cells)?)?)
        }
        Node::Size(inner) => size(&value(inner, cells)?)?,
        Node::Negate(inner) => match value(inner, cells)? {
            Value::Null => Value::Null,
            Value::Int(number) => Value::Int(number.checked_neg().ok_or(PredicateFault::Arithmetic)?),
            Value::Float(number) => Value::Float(-number),
            other => return Err(PredicateFault::Kind(other.kind())),
        },
        Node::Arithmetic(how, left, right) => {
            return arithmetic(*how, value(left, cells)?, value(right, cells)?);
        }
    })
}

fn of_cell<'a>(cell: &'a Cell<'a>) -> Value<'a> {
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(truth) => Value::Bool(*truth),
        Cell::I64(number) => Value::Int(*number),
        Cell::F64(number) => Value::Float(*number),
        Cell::Str(text) => Value::Text(Cow::Borrowed(text)),
        Cell::Bytes(bytes) => Value::Bytes(bytes),
        Cell::Date(days) => {
            let mut text = String::with_capacity(10);
            date::format_date(*days, &mut text);
            Value::Text(Cow::Owned(text))
        }
        Cell::Timestamp(micros) => {
            let mut text = String::with_capacity(27);
            date::format_timestamp(*micros, &mut text);
            Value::Text(Cow::Owned(text))
        }
        Cell::List(items) => Value::List(items),
        other => Value::Other(other.kind()),
    }
}

/// The order of two values that are not null; `None` for a float that is no number.
fn order(left: &Value<'_>, right: &Value<'_>) -> Result<Option<Ordering>, PredicateFault> {
    match (left, right) {
        (Value::Bool(left), Value::Bool(right)) => Ok(Some(left.cmp(right))),
        (Value::Int(left), Value::Int(right)) => Ok(Some(left.cmp(right))),
        (Value::Int(left), Value::Float(right)) => Ok((*left as f64).partial_cmp(right)),
        (Value::Float(left), Value::Int(right)) => Ok(left.partial_cmp(&(*right as f64))),
        (Value::Float(left), Value::Float(right)) => Ok(left.partial_cmp(right)),
        (Value::Text(left), Value::Text(right)) => Ok(Some(left.as_bytes().cmp(right.as_bytes()))),
        (Value::Bytes(left), Value::Bytes(right)) => Ok(Some(left.cmp(right))),
        (_, right) => Err(PredicateFault::Kind(right.kind())),
    }
}

fn compare(how: Comparison, left: &Value<'_>, right: &Value<'_>) -> Result<bool, PredicateFault> {
    if matches!(left, Value::Null) || matches!(right, Value::Null) {
        return Ok(false);
    }
    let order = order(left, right)?;
    Ok(match how {
        Comparison::Equal => order == Some(Ordering::Equal),
        Comparison::NotEqual => order != Some(Ordering::Equal),
        Comparison::Less => order == Some(Ordering::Less),
        Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Comparison::Greater => order == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    })
}

fn within(item: &Value<'_>, list: &[Node], cells: &[Cell<'_>]) -> Result<bool, PredicateFault> {
    for node in list {
        if compare(Comparison::Equal, item, &value(node, cells)?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn within_list(item: &Value<'_>, list: &Value<'_>) -> Result<bool, PredicateFault> {
    let items = match list {
        Value::Null => return Ok(false),
        Value::List(items) => items,
        other => return Err(PredicateFault::Kind(other.kind())),
    };
    for cell in items.iter() {
        if compare(Comparison::Equal, item, &of_cell(cell))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn text_match(how: TextMatch, text: &Value<'_>, part: &Value<'_>) -> Result<bool, PredicateFault> {
    match (text, part) {
        (Value::Null, _) | (_, Value::Null) => Ok(false),
        (Value::Text(text), Value::Text(part)) => Ok(match how {
            TextMatch::Starts => text.starts_with(part.as_ref()),
            TextMatch::Ends => text.ends_with(part.as_ref()),
            TextMatch::Contains => text.contains(part.as_ref()),
        }),
        (Value::Text(_), other) | (other, _) => Err(PredicateFault::Kind(other.kind())),
    }
}

fn size(value: &Value<'_>) -> Result<Value<'static>, PredicateFault> {
    let size = match value {
        Value::Null => return Ok(Value::Null),
        Value::Text(text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(items) => items.len(),
        other => return Err(PredicateFault::Kind(other.kind())),
    };
    i64::try_from(size).map(Value::Int).map_err(|_| PredicateFault::Arithmetic)
}

fn arithmetic<'a>(how: Arithmetic, left: Value<'a>, right: Value<'a>) -> Result<Value<'a>, PredicateFault> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => Ok(Value::Null),
        (Value::Int(left), Value::Int(right)) => {
            let result = match how {
                Arithmetic::Add => left.checked_add(right),
                Arithmetic::Subtract => left.checked_sub(right),
                Arithmetic::Multiply => left.checked_mul(right),
                Arithmetic::Divide => left.checked_div(right),
                Arithmetic::Remainder => left.checked_rem(right),
            };
            result.map(Value::Int).ok_or(PredicateFault::Arithmetic)
        }
        (Value::Float(left), Value::Float(right)) => match how {
            Arithmetic::Add => Ok(Value::Float(left + right)),
            Arithmetic::Subtract => Ok(Value::Float(left - right)),
            Arithmetic::Multiply => Ok(Value::Float(left * right)),
            Arithmetic::Divide => Ok(Value::Float(left / right)),
            Arithmetic::Remainder => Err(PredicateFault::Kind("float")),
        },
        (Value::Int(_) | Value::Float(_), other) | (other, _) => Err(PredicateFault::Kind(other.kind())),
    }
}
