//! A consumer can put a transaction together again: each event says which, and its number in it; the last says how many there are.

use lienthong_contract::source::Place;
use lienthong_schemas::SubjectRule;
use lienthong_schemas::quality::Checks;

use crate::support::{Row, Sent, Table};

const PROBE: &str = r#"{"type":"record","name":"Probe","namespace":"vn.test","fields":[
    {"name":"no","type":"string"},{"name":"note","type":["null","string"],"default":null}]}"#;
const AT: &str = "2026-09-07T10:00:00+07:00";
const BAD: Row<'_> = &[("note", "without a number")];
const LSN: u64 = 0x1f0;

fn subject() -> [SubjectRule; 1] {
    [SubjectRule::First(vec!["no".into()])]
}

fn table() -> Table {
    Table::new(PROBE, &Checks::default(), &subject())
}

fn change(table: &mut Table, lsn: u64, index: u32, passed: bool) {
    table.place = Some(Place { lsn, index });
    let (id, no) = (format!("{lsn:x}/{index}"), format!("K{index}"));
    table.given((&id, passed), AT, None, Some(&[("no", &no)]));
}

/// Order and count of each event, by order.
fn told(mut sent: Vec<Sent>) -> Vec<(u64, Option<u64>)> {
    let number = |text: &Option<String>| text.as_ref().map(|text| text.parse().unwrap());
    assert!(sent.iter().all(|event| event.transaction[0].as_deref() == Some("000001-00000000000001f0")));
    sent.sort_by_key(|event| number(&event.transaction[1]));
    sent.iter().map(|event| (number(&event.transaction[1]).unwrap(), number(&event.transaction[2]))).collect()
}

#[test]
fn each_event_has_its_number_and_the_last_alone_says_how_many_there_are() {
    let mut table = table();
    for index in 0..3 {
        change(&mut table, LSN, index, false);
    }
    table.end();
    assert_eq!(told(table.sent()), [(1, None), (2, None), (3, Some(3))]);
    change(&mut table, LSN, 0, false);
    table.end();
    assert_eq!(told(table.sent()), [(1, Some(1))]);
    table.place = None;
    table.change(AT, None, Some(&[("no", "K")]));
    table.end();
    assert_eq!(table.sent()[0].transaction, [None, None, None], "whose transaction is not known");
}

#[test]
fn the_newest_event_waits_until_it_is_known_whether_it_is_the_last() {
    let mut table = table();
    change(&mut table, LSN, 0, false);
    change(&mut table, LSN, 1, false);
    assert_eq!(told(table.sent()), [(1, None)]);
    assert!(told(table.sent()).is_empty(), "nothing else came");
    change(&mut table, LSN, 2, false);
    change(&mut table, LSN, 3, false);
    assert_eq!(told(table.sent()), [(2, None), (3, None)]);
    // Rows that become no events come behind it.
    table.given(("1f0/4", false), AT, None, Some(BAD));
    assert_eq!((told(table.sent()).len(), table.set_aside().len()), (0, 1));
    table.end();
    assert_eq!(told(table.sent()), [(4, Some(4))]);
}

#[test]
fn a_transaction_that_is_gone_on_with_counts_what_went_out_before() {
    let mut table = table();
    change(&mut table, LSN, 0, true);
    table.given(("1f0/1", true), AT, None, Some(BAD));
    change(&mut table, LSN, 2, true);
    assert!(table.sent().is_empty() && table.set_aside().is_empty(), "they are out already");
    change(&mut table, LSN, 3, false);
    table.end();
    assert_eq!(told(table.sent()), [(3, Some(3))]);
}

#[test]
fn what_stands_in_the_log_already_is_counted_and_says_itself_whether_it_is_the_last() {
    let mut table = Table::collected(PROBE, &subject(), &["1-1f0/0-0", "1-1f0/2-0"]);
    for index in 0..3 {
        change(&mut table, LSN, index, false);
    }
    table.end();
    assert_eq!(told(table.sent()), [(2, None)]);
    let mut table = Table::collected(PROBE, &subject(), &["1-1f0/0-0"]);
    change(&mut table, LSN, 0, false);
    change(&mut table, LSN, 1, false);
    table.end();
    assert_eq!(told(table.sent()), [(2, Some(2))]);
}
