//! What conditions accept, refuse and answer.

use super::{Predicate, PredicateError, PredicateFault, PredicateField, PredicateType};
use lienthong_schemas::Cell;

fn fields() -> Vec<PredicateField> {
    use PredicateType::{Bool, Date, Int, List, Other, Text};
    [
        ("child.birth_date", Text),
        ("child.pin", Text),
        ("weight", Int),
        ("stillborn", Bool),
        ("registered_on", Date),
        ("codes", List),
        ("fee", Other),
    ]
    .map(|(path, kind)| PredicateField { path: path.to_owned(), kind, nullable: true })
    .to_vec()
}

const CODES: &[Cell<'static>] = &[Cell::Str("A"), Cell::Str("B")];

/// A row in the order of `fields`, with `cells` replaced.
fn answer(text: &str, replaced: &[(usize, Cell<'static>)]) -> Result<bool, PredicateFault> {
    let mut row = [
        Cell::Str("2020-03"),
        Cell::Str("001"),
        Cell::I64(3_200),
        Cell::Bool(false),
        Cell::Date(18_262), // 2020-01-01
        Cell::List(CODES),
        Cell::Null,
    ];
    for (index, cell) in replaced {
        row[*index] = *cell;
    }
    let predicate = Predicate::compile(text, Some("event"), &fields()).expect(text);
    let cells: Vec<_> = predicate.inputs().iter().map(|input| row[*input]).collect();
    predicate.matches(&cells)
}

fn refused(text: &str) -> PredicateError {
    Predicate::compile(text, Some("event"), &fields()).expect_err(text)
}

#[test]
fn conditions_answer_over_cells() {
    for (text, expected) in [
        ("event.child.birth_date >= '2020'", true),
        ("event.child.birth_date >= '2020-04'", false),
        ("event.registered_on == '2020-01-01'", true),
        ("event.registered_on < '2020'", false),
        ("event.weight > 3000 && !event.stillborn", true),
        ("event.weight > 3000.5 || event.stillborn", true),
        ("event.weight % 100 == 0 && -event.weight < -1", true),
        ("event.child.pin in ['001', '002']", true),
        ("'B' in event.codes && !('C' in event.codes)", true),
        ("size(event.codes) == 2 && event.child.pin.size() == 3", true),
        ("event.child.pin.startsWith('0') && event.child.pin.endsWith('1')", true),
        ("event.child.pin.contains('x')", false),
        ("event.stillborn ? event.weight > 1 : event.weight > 4000", false),
        ("event.fee == null && !has(event.fee) && has(event.weight)", true),
        ("null != event.weight", true),
        ("true", true),
    ] {
        assert_eq!(answer(text, &[]), Ok(expected), "{text}");
    }
}

#[test]
fn a_comparison_with_null_is_false() {
    let null = [(0, Cell::Null), (1, Cell::Null), (2, Cell::Null), (3, Cell::Null), (5, Cell::Null)];
    for (text, expected) in [
        ("event.child.birth_date >= '2020'", false),
        ("event.child.birth_date < '2020'", false),
        ("event.child.pin != '001'", false),
        ("!(event.child.pin == '001')", true),
        ("event.child.pin == event.child.birth_date", false),
        ("event.stillborn", false),
        ("event.weight + 1 > 0", false),
        ("event.child.pin in ['001']", false),
        ("'A' in event.codes || size(event.codes) >= 0", false),
        ("event.child.pin.startsWith('')", false),
        ("event.child.pin == null && event.weight == null", true),
    ] {
        assert_eq!(answer(text, &null), Ok(expected), "{text}");
    }
}

#[test]
fn wrong_conditions_are_refused_with_column_and_nearest_name() {
    let error = refused("event.weight > 1 && event.child.birth_dat >= '2020'");
    assert_eq!(error.column, 21, "{error}");
    assert_eq!(error.suggestion.as_deref(), Some("event.child.birth_date"));
    for (text, part) in [
        ("event.weight >= '2020'", "an integer cannot be compared with text"),
        ("event.weight", "a truth value belongs here, this is an integer"),
        ("event.fee > 1", "can only be asked for null"),
        ("event.weight < null", "null has no order"),
        ("weight > 1", "`event.weight`"),
        ("event.child.pin in [1]", "text is never an integer"),
        ("event.child.pin.matches('a')", "`matches` is not supported"),
        ("event.codes.exists(c, c == 'A')", "not supported"),
        ("event.stillborn + 1 > 0", "no arithmetic"),
        ("event.child.pin == ", ""),
        ("[1]", "a list belongs only"),
    ] {
        let error = refused(text);
        assert!(error.message.contains(part), "{text}: {error}");
    }
    assert!(Predicate::compile(&"!".repeat(5_000), None, &[]).is_err());
}

#[test]
fn a_condition_over_columns_has_no_root_and_may_be_open() {
    let fields = [PredicateField { path: "status".to_owned(), kind: PredicateType::Text, nullable: false }];
    let predicate = Predicate::compile("status == 'REGISTERED'", None, &fields).expect("columns");
    assert_eq!(predicate.matches(&[Cell::Str("REGISTERED")]), Ok(true));
    assert_eq!(predicate.matches(&[]), Err(PredicateFault::Width));
    let (open, names) = Predicate::compile_open("b == 1 && a != 'x' && b < 3", None).expect("open condition");
    assert_eq!((names, open.inputs()), (vec!["b".to_owned(), "a".to_owned()], &[0, 1][..]));
    assert_eq!(open.matches(&[Cell::I64(1), Cell::Str("y")]), Ok(true));
    assert_eq!(open.matches(&[Cell::Str("1"), Cell::Str("y")]), Err(PredicateFault::Kind("integer")));
}

#[test]
fn arithmetic_never_panics() {
    assert_eq!(answer("event.weight * 9223372036854775807 > 0", &[]), Err(PredicateFault::Arithmetic));
    assert_eq!(answer("event.weight / (event.weight - 3200) > 0", &[]), Err(PredicateFault::Arithmetic));
}

#[test]
fn neither_a_condition_nor_its_mistake_shows_a_literal() {
    let (open, _) = Predicate::compile_open("pin == '001085730194'", None).expect("a condition");
    assert_eq!(format!("{open:?}"), "Predicate(1 inputs)");
    for text in [
        "pin == '001085730194",
        "pin '001085730194'",
        "pin == '001085730194' &&",
        "pin = \"001085730194\"",
        "1 + '001085730194'",
    ] {
        let error = Predicate::compile_open(text, None).expect_err(text);
        assert!(!format!("{error} {error:?}").contains("0010857"), "{text}: {error}");
    }
}

#[test]
fn each_use_of_a_field_is_known_with_its_place_and_whether_it_only_asks_for_null() {
    for (text, expected) in [
        ("event.weight != null", vec![(2, 1, true)]),
        ("null == event.weight", vec![(2, 9, true)]),
        ("has(event.weight)", vec![(2, 5, true)]),
        ("event.weight != null && event.weight > 1", vec![(2, 1, true), (2, 25, false)]),
        ("event.stillborn", vec![(3, 1, false)]),
        ("event.child.pin in ['001']", vec![(1, 1, false)]),
        ("size(event.codes) == 2", vec![(5, 6, false)]),
        // What is compared with null here depends on the value of a field.
        ("(event.stillborn ? event.child.pin : null) == null", vec![(3, 2, false), (1, 20, false)]),
        ("(event.weight == null) == event.stillborn", vec![(2, 2, true), (3, 27, false)]),
    ] {
        let predicate = Predicate::compile(text, Some("event"), &fields()).expect(text);
        let uses: Vec<_> =
            predicate.uses().iter().map(|one| (one.field, one.column, one.null_only)).collect();
        assert_eq!(uses, expected, "{text}");
    }
}
