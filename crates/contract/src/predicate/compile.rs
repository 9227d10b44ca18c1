//! From CEL's tree to a typed expression over inputs.

use cel::common::ast::{CallExpr, Expr, LiteralValue, SourceInfo, operators};
use cel::{IdedExpr, Program};
use lienthong_schemas::nearest;

use super::eval::{Arithmetic, Comparison, Node, TextMatch};
use super::{FieldUse, PredicateError, PredicateField, PredicateType};

/// Longest condition; the parser is recursive.
const MAX_CHARS: usize = 4_000;
const NO_CONDITION: &str = "this is no condition of CEL";

/// What an expression yields; `Null` only for the literal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Of(PredicateType),
}

type Typed = (Node, Kind);

struct Compiler<'c> {
    source: &'c SourceInfo,
    root: Option<&'c str>,
    fields: Option<&'c [PredicateField]>,
    inputs: Vec<usize>,
    uses: Vec<FieldUse>,
    names: Vec<String>,
}

/// What a text comes to. `names` stand in the order of `inputs`.
pub(super) struct Compiled {
    pub(super) node: Node,
    pub(super) inputs: Vec<usize>,
    pub(super) uses: Vec<FieldUse>,
    pub(super) names: Vec<String>,
}

pub(super) fn run(
    text: &str,
    root: Option<&str>,
    fields: Option<&[PredicateField]>,
) -> Result<Compiled, PredicateError> {
    if text.chars().count() > MAX_CHARS {
        return Err(error(MAX_CHARS, format!("a condition has at most {MAX_CHARS} characters")));
    }
    let program = Program::compile(text).map_err(|errors| {
        let first = errors.errors.first();
        let column = first.and_then(|first| usize::try_from(first.pos.1).ok()).unwrap_or(1);
        error(column, first.map_or(NO_CONDITION, |first| plain(&first.msg)))
    })?;
    let source = program.source_info();
    let mut compiler =
        Compiler { source, root, fields, inputs: Vec::new(), uses: Vec::new(), names: Vec::new() };
    let node = compiler.truth(program.expression())?;
    let Compiler { inputs, mut uses, names, .. } = compiler;
    uses.sort_by_key(|one| one.column);
    Ok(Compiled { node, inputs, uses, names })
}

/// What a parser's message comes to. It quotes the text around the mistake, which may be a literal.
fn plain(message: &str) -> &'static str {
    if message.contains("input '<EOF>'") {
        "the condition ends too early"
    } else if message.contains("mismatched input") || message.contains("extraneous input") {
        "what stands here does not belong here"
    } else {
        NO_CONDITION
    }
}

fn error(column: usize, message: impl Into<String>) -> PredicateError {
    PredicateError { column, message: message.into(), suggestion: None }
}

impl Compiler<'_> {
    /// The character at which an expression begins, from 1.
    fn column(&self, expr: &IdedExpr) -> usize {
        let own = self.source.offset_for(expr.id).map_or(0, |(start, _)| start as usize);
        let inner = match &expr.expr {
            Expr::Select(select) => Some(self.column(&select.operand)),
            Expr::Call(call) => call.target.as_deref().or(call.args.first()).map(|first| self.column(first)),
            _ => None,
        };
        inner.map_or(own + 1, |inner| inner.min(own + 1))
    }

    fn fail<T>(&self, expr: &IdedExpr, message: impl Into<String>) -> Result<T, PredicateError> {
        Err(error(self.column(expr), message))
    }

    fn truth(&mut self, expr: &IdedExpr) -> Result<Node, PredicateError> {
        match self.node(expr)? {
            (node, Kind::Of(PredicateType::Bool | PredicateType::Any)) => Ok(node),
            (_, kind) => self.fail(expr, format!("a truth value belongs here, this is {}", kind.name())),
        }
    }

    fn node(&mut self, expr: &IdedExpr) -> Result<Typed, PredicateError> {
        match &expr.expr {
            Expr::Literal(literal) => literal_node(literal)
                .ok_or_else(|| error(self.column(expr), "an integer outside 64 bits with sign")),
            Expr::Ident(name) if self.root.is_none() => self.field(expr, name.clone(), false),
            Expr::Ident(name) => self.fail(expr, self.unrooted(name)),
            Expr::Select(select) if select.test => {
                let path = self.path(&select.operand, &select.field)?;
                let (field, _) = self.field(&select.operand, path, true)?;
                let test = Node::Not(Box::new(Node::IsNull(Box::new(field))));
                Ok((test, Kind::Of(PredicateType::Bool)))
            }
            Expr::Select(select) => {
                let path = self.path(&select.operand, &select.field)?;
                self.field(expr, path, false)
            }
            Expr::Call(call) => self.call(expr, call),
            Expr::List(_) => self.fail(expr, "a list belongs only after `in`"),
            _ => self.fail(expr, "this part of CEL is not supported in conditions"),
        }
    }

    /// The other side of a comparison with null: a field that stands there alone tells nothing but that.
    fn beside_null(&mut self, expr: &IdedExpr) -> Result<Typed, PredicateError> {
        match &expr.expr {
            Expr::Ident(name) if self.root.is_none() => self.field(expr, name.clone(), true),
            Expr::Select(select) if !select.test => {
                let path = self.path(&select.operand, &select.field)?;
                self.field(expr, path, true)
            }
            _ => self.node(expr),
        }
    }

    fn unrooted(&self, name: &str) -> String {
        let root = self.root.unwrap_or_default();
        format!("fields are written `{root}.{name}`, `{name}` alone is not known")
    }

    /// The dotted path of a selection, without the root.
    fn path(&self, operand: &IdedExpr, field: &str) -> Result<String, PredicateError> {
        let mut names = vec![field];
        let mut at = operand;
        loop {
            match &at.expr {
                Expr::Select(select) if !select.test => {
                    names.push(&select.field);
                    at = &select.operand;
                }
                Expr::Ident(name) => {
                    match self.root {
                        Some(root) if name == root => {}
                        Some(_) => return self.fail(at, self.unrooted(name)),
                        None => names.push(name),
                    }
                    names.reverse();
                    return Ok(names.join("."));
                }
                _ => return self.fail(at, "only fields can be selected from"),
            }
        }
    }

    fn field(&mut self, expr: &IdedExpr, path: String, null_only: bool) -> Result<Typed, PredicateError> {
        let (index, kind) = match self.fields {
            None => (self.names.iter().position(|name| *name == path), PredicateType::Any),
            Some(fields) => match fields.iter().position(|field| field.path == path) {
                Some(index) => (Some(index), fields[index].kind),
                None => {
                    let near = nearest(&path, fields.iter().map(|field| field.path.as_str()));
                    let root = self.root.map(|root| format!("{root}.")).unwrap_or_default();
                    return Err(PredicateError {
                        column: self.column(expr),
                        message: format!("`{path}` is not a field"),
                        suggestion: near.map(|near| format!("{root}{near}")),
                    });
                }
            },
        };
        let index = index.unwrap_or(self.names.len());
        let input = self.inputs.iter().position(|known| *known == index).unwrap_or_else(|| {
            self.inputs.push(index);
            self.names.push(path);
            self.inputs.len() - 1
        });
        self.uses.push(FieldUse { field: index, column: self.column(expr), null_only });
        Ok((Node::Field(input), Kind::Of(kind)))
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Result<Typed, PredicateError> {
        let bool = Kind::Of(PredicateType::Bool);
        if let Some(target) = &call.target {
            let how = match call.func_name.as_str() {
                "startsWith" => TextMatch::Starts,
                "endsWith" => TextMatch::Ends,
                "contains" => TextMatch::Contains,
                "size" if call.args.is_empty() => return self.size(target),
                name => return self.fail(expr, format!("the function `{name}` is not supported")),
            };
            let [part] = call.args.as_slice() else { return self.fail(expr, "one argument belongs here") };
            let (text, part) = (self.text(target)?, self.text(part)?);
            return Ok((Node::Match(how, Box::new(text), Box::new(part)), bool));
        }
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_NOT, [inner]) => Ok((Node::Not(Box::new(self.truth(inner)?)), bool)),
            (operators::LOGICAL_AND, [left, right]) => {
                Ok((Node::And(Box::new(self.truth(left)?), Box::new(self.truth(right)?)), bool))
            }
            (operators::LOGICAL_OR, [left, right]) => {
                Ok((Node::Or(Box::new(self.truth(left)?), Box::new(self.truth(right)?)), bool))
            }
            (operators::CONDITIONAL, [test, yes, no]) => self.conditional(expr, test, yes, no),
            (operators::IN, [item, list]) => self.within(item, list),
            (operators::NEGATE, [inner]) => match self.node(inner)? {
                (node, kind) if kind.is_number() => Ok((Node::Negate(Box::new(node)), kind)),
                (_, kind) => self.fail(expr, format!("{} has no negative", kind.name())),
            },
            ("size", [inner]) => self.size(inner),
            (name, [left, right]) => match (comparison(name), arithmetic(name)) {
                (Some(how), _) => self.compare(expr, how, left, right),
                (_, Some(how)) => self.arithmetic(expr, how, left, right),
                _ => self.fail(expr, format!("the function `{name}` is not supported")),
            },
            (name, _) => self.fail(expr, format!("the function `{name}` is not supported")),
        }
    }

    fn text(&mut self, expr: &IdedExpr) -> Result<Node, PredicateError> {
        match self.node(expr)? {
            (node, Kind::Of(PredicateType::Text | PredicateType::Date | PredicateType::Any)) => Ok(node),
            (_, kind) => self.fail(expr, format!("text belongs here, this is {}", kind.name())),
        }
    }

    fn size(&mut self, expr: &IdedExpr) -> Result<Typed, PredicateError> {
        use PredicateType::{Any, Bytes, List, Text};
        match self.node(expr)? {
            (node, Kind::Of(Text | Bytes | List | Any)) => {
                Ok((Node::Size(Box::new(node)), Kind::Of(PredicateType::Int)))
            }
            (_, kind) => self.fail(expr, format!("{} has no size", kind.name())),
        }
    }

    fn conditional(
        &mut self,
        expr: &IdedExpr,
        test: &IdedExpr,
        yes: &IdedExpr,
        no: &IdedExpr,
    ) -> Result<Typed, PredicateError> {
        let test = self.truth(test)?;
        let ((yes, kind), (no, other)) = (self.node(yes)?, self.node(no)?);
        if !kind.comparable(other) && kind != other {
            return self.fail(expr, format!("one branch is {}, the other {}", kind.name(), other.name()));
        }
        Ok((
            Node::If(Box::new(test), Box::new(yes), Box::new(no)),
            if kind == Kind::Null { other } else { kind },
        ))
    }

    fn within(&mut self, item: &IdedExpr, list: &IdedExpr) -> Result<Typed, PredicateError> {
        let (item_node, item_kind) = self.node(item)?;
        let bool = Kind::Of(PredicateType::Bool);
        if let Expr::List(elements) = &list.expr {
            let mut nodes = Vec::new();
            for element in &elements.elements {
                let (node, kind) = self.node(element)?;
                if kind == Kind::Null || !item_kind.comparable(kind) {
                    let message = format!("{} is never {}", item_kind.name(), kind.name());
                    return self.fail(element, message);
                }
                nodes.push(node);
            }
            return Ok((Node::In(Box::new(item_node), nodes), bool));
        }
        match self.node(list)? {
            (node, Kind::Of(PredicateType::List | PredicateType::Any)) => {
                Ok((Node::InList(Box::new(item_node), Box::new(node)), bool))
            }
            (_, kind) => self.fail(list, format!("a list belongs here, this is {}", kind.name())),
        }
    }

    fn compare(
        &mut self,
        expr: &IdedExpr,
        how: Comparison,
        left: &IdedExpr,
        right: &IdedExpr,
    ) -> Result<Typed, PredicateError> {
        let ((left, left_kind), (right, right_kind)) = match (is_null(left), is_null(right)) {
            (false, true) => (self.beside_null(left)?, self.node(right)?),
            (true, false) => (self.node(left)?, self.beside_null(right)?),
            _ => (self.node(left)?, self.node(right)?),
        };
        let bool = Kind::Of(PredicateType::Bool);
        if left_kind == Kind::Null || right_kind == Kind::Null {
            let test = Node::IsNull(Box::new(if right_kind == Kind::Null { left } else { right }));
            return match how {
                Comparison::Equal => Ok((test, bool)),
                Comparison::NotEqual => Ok((Node::Not(Box::new(test)), bool)),
                _ => self.fail(expr, "null has no order: only `== null` and `!= null` ask for it"),
            };
        }
        if !left_kind.comparable(right_kind) {
            let message = format!("{} cannot be compared with {}", left_kind.name(), right_kind.name());
            return self.fail(expr, message);
        }
        Ok((Node::Compare(how, Box::new(left), Box::new(right)), bool))
    }

    fn arithmetic(
        &mut self,
        expr: &IdedExpr,
        how: Arithmetic,
        left: &IdedExpr,
        right: &IdedExpr,
    ) -> Result<Typed, PredicateError> {
        let ((left, left_kind), (right, right_kind)) = (self.node(left)?, self.node(right)?);
        let fits = left_kind.is_number() && right_kind.is_number() && left_kind.same(right_kind);
        let remainder = matches!(how, Arithmetic::Remainder) && left_kind == Kind::Of(PredicateType::Float);
        if !fits || remainder {
            let message = format!("no arithmetic between {} and {}", left_kind.name(), right_kind.name());
            return self.fail(expr, message);
        }
        Ok((Node::Arithmetic(how, Box::new(left), Box::new(right)), left_kind))
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Null => "null",
            Kind::Of(PredicateType::Bool) => "a truth value",
            Kind::Of(PredicateType::Int) => "an integer",
            Kind::Of(PredicateType::Float) => "a float",
            Kind::Of(PredicateType::Text) => "text",
            Kind::Of(PredicateType::Bytes) => "bytes",
            Kind::Of(PredicateType::Date) => "a date",
            Kind::Of(PredicateType::Timestamp) => "an instant",
            Kind::Of(PredicateType::List) => "a list",
            Kind::Of(PredicateType::Other) => "a value that can only be asked for null",
            Kind::Of(PredicateType::Any) => "a value of unknown type",
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Kind::Of(PredicateType::Int | PredicateType::Float | PredicateType::Any))
    }

    fn same(self, other: Kind) -> bool {
        let any = Kind::Of(PredicateType::Any);
        self == other || self == any || other == any
    }

    /// Whether values of the two kinds have an order between them.
    fn comparable(self, other: Kind) -> bool {
        use PredicateType::{Any, Bool, Bytes, Date, Float, Int, Text, Timestamp};
        let class = |kind: Kind| match kind {
            Kind::Of(Bool) => Some(1),
            Kind::Of(Int | Float) => Some(2),
            Kind::Of(Text) => Some(3),
            Kind::Of(Date) => Some(4),
            Kind::Of(Timestamp) => Some(5),
            Kind::Of(Bytes) => Some(6),
            _ => None,
        };
        match (self, other) {
            (Kind::Null, _) | (_, Kind::Null) | (Kind::Of(Any), _) | (_, Kind::Of(Any)) => true,
            _ => match (class(self), class(other)) {
                // Text literals stand for dates and instants; a date and an instant never compare.
                (Some(3), Some(3..=5)) | (Some(3..=5), Some(3)) => true,
                (left, right) => left.is_some() && left == right,
            },
        }
    }
}

fn is_null(expr: &IdedExpr) -> bool {
    matches!(expr.expr, Expr::Literal(LiteralValue::Null))
}

fn literal_node(literal: &LiteralValue) -> Option<Typed> {
    Some(match literal {
        LiteralValue::Null => (Node::Null, Kind::Null),
        LiteralValue::Boolean(truth) => (Node::Bool(*truth.inner()), Kind::Of(PredicateType::Bool)),
        LiteralValue::Int(number) => (Node::Int(*number.inner()), Kind::Of(PredicateType::Int)),
        LiteralValue::UInt(number) => {
            (Node::Int(i64::try_from(*number.inner()).ok()?), Kind::Of(PredicateType::Int))
        }
        LiteralValue::Double(number) => (Node::Float(*number.inner()), Kind::Of(PredicateType::Float)),
        LiteralValue::String(text) => (Node::Text(text.inner().to_owned()), Kind::Of(PredicateType::Text)),
        LiteralValue::Bytes(bytes) => (Node::Bytes(bytes.inner().to_vec()), Kind::Of(PredicateType::Bytes)),
    })
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal,
        operators::NOT_EQUALS => Comparison::NotEqual,
        operators::LESS => Comparison::Less,
        operators::LESS_EQUALS => Comparison::LessOrEqual,
        operators::GREATER => Comparison::Greater,
        operators::GREATER_EQUALS => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn arithmetic(name: &str) -> Option<Arithmetic> {
    Some(match name {
        operators::ADD => Arithmetic::Add,
        operators::SUBSTRACT => Arithmetic::Subtract,
        operators::MULTIPLY => Arithmetic::Multiply,
        operators::DIVIDE => Arithmetic::Divide,
        operators::MODULO => Arithmetic::Remainder,
        _ => return None,
    })
}
