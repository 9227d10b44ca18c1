//! The insert of a changed key names the delete event that it goes on from.

use lienthong_schemas::SubjectRule;
use lienthong_schemas::quality::Checks;

use crate::support::{Row, Table};

const CARD: &str = r#"{"type":"record","name":"Card","namespace":"vn.test","fields":[
    {"name":"card_no","type":"string"},
    {"name":"holder","type":["null","string"],"default":null}]}"#;
const AT: &str = "2026-09-07T10:00:00+07:00";
const OLD: Row<'_> = &[("card_no", "A"), ("holder", "x")];
const NEW: Row<'_> = &[("card_no", "B"), ("holder", "x")];

fn table(subject: &str) -> Table {
    Table::new(CARD, &Checks::default(), &[SubjectRule::First(vec![subject.into()])])
}

/// Id and cause of what a change came to.
fn told(
    table: &mut Table,
    named: (&'static str, Option<&'static str>),
    rows: [Option<Row<'_>>; 2],
) -> Vec<(String, Option<String>)> {
    table.named = named;
    table.change(AT, rows[0], rows[1]);
    table.sent().into_iter().map(|event| (event.id, event.causation)).collect()
}

#[test]
fn a_changed_key_is_linked_whether_its_subject_changes_or_not() {
    for subject in ["card_no", "holder"] {
        let mut table = table(subject);
        let gone = told(&mut table, ("w1/3", None), [Some(OLD), None]);
        assert_eq!((gone.len(), &gone[0].1), (1, &None));
        let inserted = told(&mut table, ("w1/3.1", Some("w1/3")), [None, Some(NEW)]);
        assert_eq!((inserted.len(), &inserted[0].1), (1, &Some(gone[0].0.clone())));
        // The next one is a row of its own.
        let other = told(&mut table, ("w1/4", None), [None, Some(OLD)]);
        assert_eq!(other[0].1, None);
    }
}

#[test]
fn what_goes_on_from_no_event_names_none() {
    let mut table = table("card_no");
    // The delete had no subject and was set aside.
    assert_eq!(told(&mut table, ("w1/3", None), [Some(&[("holder", "x")]), None]), []);
    assert_eq!(table.set_aside().len(), 1);
    assert_eq!(told(&mut table, ("w1/3.1", Some("w1/3")), [None, Some(NEW)])[0].1, None);
    // Another delete came in between.
    let _ = told(&mut table, ("w1/5", None), [Some(OLD), None]);
    assert_eq!(told(&mut table, ("w1/7.1", Some("w1/7")), [None, Some(NEW)])[0].1, None);
}

#[test]
fn an_event_names_the_fields_that_were_looked_up() {
    let mut table = table("card_no");
    let mut told = |columns: &'static [usize]| {
        table.looked_up = columns;
        table.change(AT, Some(OLD), Some(OLD));
        table.sent().remove(0).looked_up
    };
    assert_eq!(told(&[]), None);
    assert_eq!(told(&[1]).as_deref(), Some("holder"));
    assert_eq!(told(&[0, 1]).as_deref(), Some("card_no,holder"));
    assert_eq!(told(&[7]), None, "no field takes it");
}
