//! Plans of tables, and the rows that a real server gives of what happens to a table.

use bumpalo::Bump;
use lienthong_contract::Cell;
use lienthong_contract::source::{BrokenValue, Side, TableCapture};

use super::super::message::{Column, Identity, Message, Old, Relation};
use super::super::relation::{Difference, Misfit, Part, Plan, Row};
use super::super::types::{Described, Types};
use super::server::{Asked, Server};
use crate::postgres::decode::Reading;
use crate::text::render;

fn capture(columns: &[&str]) -> TableCapture {
    let columns = columns.iter().map(|&name| name.to_owned()).collect();
    TableCapture::new("public.item", vec!["id".to_owned()], columns)
}

/// A table of columns with their types, the first of which is the replica identity.
fn relation<'a>(columns: &[(&'a str, u32)]) -> Relation<'a> {
    let columns = columns.iter().enumerate().map(|(at, (name, type_oid))| Column {
        identity: at == 0,
        name,
        type_oid: *type_oid,
        modifier: -1,
    });
    Relation {
        oid: 1,
        namespace: "public",
        name: "item",
        identity: Identity::Default,
        columns: columns.collect(),
    }
}

#[test]
fn a_plan_says_what_differs_and_nothing_of_what_reads_alike() {
    let known = [Reading::Integer, Reading::Text, Reading::Json];
    let plan = |columns: &[(&str, u32)]| {
        Plan::new(&capture(&["id", "name", "data"]), &relation(columns), &Types::default(), &known).1
    };
    // int8 for int4, varchar for text, jsonb for json; another order, and a column that nobody needs.
    assert_eq!(plan(&[("id", 20), ("other", 600), ("data", 3802), ("name", 1043)]), []);
    assert_eq!(
        plan(&[("name", 25), ("id", 23), ("data", 25)]),
        [Difference::Retyped("data".to_owned()), Difference::KeyOutsideIdentity("id".to_owned())]
    );
    assert_eq!(
        plan(&[("id", 23), ("Name", 25), ("data", 99_999)]),
        [Difference::Missing("name".to_owned()), Difference::UnknownType("data".to_owned(), 99_999)]
    );
    assert_eq!(plan(&[]).len(), 3);
}

#[test]
fn one_type_that_is_only_read_as_text_wants_a_stream_of_text() {
    let fits = |name, of| {
        let (plan, differences) = Plan::new(
            &capture(&["id", "name"]),
            &relation(&[("id", 23), (name, of)]),
            &Types::default(),
            &[],
        );
        (plan.binary_fits(), differences.len())
    };
    assert_eq!(fits("name", 25), (true, 0));
    assert_eq!(fits("name", 869), (false, 0));
    assert_eq!(fits("name", 1041), (false, 0));
    assert_eq!(fits("other", 869), (true, 1), "what is not needed does not matter");
}

#[test]
fn what_the_catalogue_cannot_say_ends_and_is_unknown() {
    let row = |oid, kind: &str, base, element, delimiter| Described {
        oid,
        name: "x".to_owned(),
        kind: kind.to_owned(),
        base,
        element,
        delimiter,
        unreadable: false,
    };
    let types = Types::new(&[row(1, "d", 1, 0, b','), row(2, "b", 0, 2, b','), row(3, "d", 9, 0, b',')]);
    assert_eq!((types.get(1), types.get(2), types.get(3)), (None, None, None));
}

#[test]
fn a_row_of_another_width_is_refused() {
    let (plan, _) = Plan::new(&capture(&["id"]), &relation(&[("id", 23)]), &Types::default(), &[]);
    let bytes = b"I\0\0\0\x01N\0\x02t\0\0\0\x017n";
    let Ok(Message::Insert { new, .. }) = Message::parse(bytes) else { panic!("a row") };
    assert_eq!(plan.new_row(new, &mut Vec::new(), &Bump::new()).err(), Some(Misfit));
}

/// What a reader of the stream sees of table `item`, a line per message.
#[derive(Default)]
struct Story {
    plan: Option<Plan>,
    lines: Vec<String>,
    broken: Vec<BrokenValue>,
}

impl Story {
    fn tell(&mut self, message: &Message<'_>) {
        let arena = Bump::new();
        let line = match message {
            Message::Relation(relation) => {
                let wanted = capture(&["big", "id", "code"]);
                let known = [Reading::Text, Reading::Integer, Reading::Text];
                let (plan, differences) = Plan::new(&wanted, relation, &Types::default(), &known);
                let identity: Vec<bool> = (0..3).map(|column| plan.in_identity(column)).collect();
                self.plan = Some(plan);
                let line = format!("table {:?} {identity:?} {differences:?}", relation.identity);
                // A server may describe a table again that is as it was.
                if self.lines.iter().rfind(|line| line.starts_with("table")) == Some(&line) {
                    return;
                }
                line
            }
            Message::Insert { new, .. } => format!("insert {}", show(&self.new_row(*new, &arena))),
            Message::Update { old, new, .. } => {
                let old = old.map_or("-".to_owned(), |old| show(&self.old_row(old, &arena)));
                format!("update {old} to {}", show(&self.new_row(*new, &arena)))
            }
            Message::Delete { old, .. } => format!("delete {}", show(&self.old_row(*old, &arena))),
            Message::Truncate { cascade, restart_identity, relations } => {
                format!("truncate {} {cascade} {restart_identity}", relations.len())
            }
            Message::Emitted { transactional, prefix, content, .. } => {
                format!("emitted {transactional} {prefix} {}", String::from_utf8_lossy(content))
            }
            Message::Begin { time, .. } | Message::Commit { time, .. } => {
                assert!(*time > 1_700_000_000_000_000, "microseconds since 1970");
                return;
            }
            Message::Origin { .. } | Message::Type { .. } => return,
        };
        self.lines.push(line);
    }

    fn new_row<'a>(&mut self, row: super::super::tuple::Tuple<'a>, arena: &'a Bump) -> Row<'a> {
        self.plan.as_ref().expect("a table").new_row(row, &mut self.broken, arena).expect("a row")
    }

    fn old_row<'a>(&mut self, row: Old<'a>, arena: &'a Bump) -> Row<'a> {
        self.plan.as_ref().expect("a table").old_row(row, &mut self.broken, arena).expect("a row")
    }
}

fn show(row: &Row<'_>) -> String {
    let cells = row.cells.iter().map(|cell| match cell {
        Cell::Str(text) if text.len() > 1_000 => "long".to_owned(),
        cell => render(cell).unwrap_or_else(|| "null".to_owned()),
    });
    let part = if row.part == Part::Whole { "whole" } else { "identity" };
    format!("{part} {} without {:?}", cells.collect::<Vec<_>>().join(","), row.unchanged)
}

/// What happens to the table.
const STATEMENTS: [&str; 17] = [
    "insert into item values (1, 'a', repeat('x', 5000))",
    "update item set code = 'b'",
    "update item set id = 2",
    "delete from item",
    "alter table item replica identity full",
    "insert into item values (3, null, repeat('y', 5000))",
    "update item set code = 'c'",
    "delete from item",
    "alter table item replica identity default, add later text, drop code",
    "insert into item values (4, 'z', 'l')",
    "alter table item add code integer",
    "update item set code = 7",
    "alter table item drop constraint item_pkey, replica identity nothing",
    "insert into item values (5, 'z', 'l', 8)",
    "select pg_logical_emit_message(false, 'lienthong', 'alone')",
    "select pg_logical_emit_message(true, 'lienthong', 'beat')",
    "truncate item restart identity",
];

/// What is told of it.
const TOLD: [&str; 18] = [
    "table Default [false, true, false] []",
    "insert whole long,1,a without []",
    "update - to whole null,1,b without [0]",
    "update identity null,1,null without [] to whole null,2,b without [0]",
    "delete identity null,2,null without []",
    "table Full [true, true, true] []",
    "insert whole long,3,null without []",
    "update whole long,3,null without [] to whole null,3,c without [0]",
    "delete whole long,3,c without []",
    "table Default [false, true, false] [Missing(\"code\")]",
    "insert whole z,4,null without []",
    "table Default [false, true, false] [Retyped(\"code\")]",
    "update - to whole z,4,7 without []",
    "table Nothing [false, false, false] [Retyped(\"code\"), KeyOutsideIdentity(\"id\")]",
    "insert whole z,5,8 without []",
    "emitted false lienthong alone",
    "emitted true lienthong beat",
    "truncate 1 false true",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_followed_through_all_that_happens_to_it() {
    let setup = [
        "create table item (spare integer, id integer primary key, code varchar(9), big text)",
        "alter table item alter big set storage external",
        "alter table item drop spare",
    ];
    let mut server = Server::new(&setup.map(str::to_owned)).await;
    for statement in STATEMENTS {
        server.run(statement).await;
    }
    let streams = [
        (Asked::Text, server.messages(Asked::Text).await),
        (Asked::Binary, server.messages(Asked::Binary).await),
    ];
    server.close().await;
    for (asked, messages) in streams {
        let mut story = Story::default();
        for message in messages {
            story.tell(&Message::parse(&message).expect("a message"));
        }
        assert_eq!(story.lines, TOLD, "{asked:?}");
        let missing = BrokenValue { side: Side::After, column: 2, rule: "missing-column" };
        assert_eq!(story.broken, [missing], "{asked:?}");
    }
}
