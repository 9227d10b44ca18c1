//! What the sink promises beyond the suite of all kinds, against a real server.

use std::time::Duration;

use lienthong_contract::Cell;
use lienthong_contract::keys::KeyHash;
use lienthong_contract::sink::{
    Action, Applied, Delivery, GroupWrite, KeyWrite, LaneMove, LanePartition, OffsetState, ReceiptBody,
    Revokes, Sink, SinkAdmin, SinkError,
};
use lienthong_contract::target::{CellKind, ColumnGroup, TargetColumn, TargetTable, VersionStore};
use lienthong_testkit::database::Database;
use lienthong_testkit::postgres::TestDatabase;
use lienthong_testkit::proxy::TcpProxy;

use super::{PostgresSink, PostgresSinkAdmin};
use crate::TargetConfig;

const TABLES: &str = r#"create schema "App";
create table "App"."Insured" ("Pin No" varchar(20) not null unique, name text, born date, seen timestamptz,
  "Address" text, long_name bigint generated always as (length(name)) stored)"#;

fn insured() -> TargetTable {
    let column = |(name, kind): (&str, CellKind)| TargetColumn { name: name.to_owned(), kind };
    let group = |columns: &[(&str, CellKind)]| ColumnGroup {
        name: columns[0].0.to_owned(),
        columns: columns.iter().copied().map(column).collect(),
        decides_row: true,
    };
    TargetTable {
        table: "App.Insured".to_owned(),
        key: vec![column(("Pin No", CellKind::Text))],
        groups: vec![
            group(&[("name", CellKind::Text), ("born", CellKind::Date), ("seen", CellKind::Timestamp)]),
            group(&[("Address", CellKind::Text)]),
        ],
        version: VersionStore::Ledger,
    }
}

struct Subscriber {
    database: TestDatabase,
    owner: Database,
}

impl Subscriber {
    async fn new() -> Self {
        let database = TestDatabase::create().await.expect("a database");
        let mut owner = Database::open(database.url()).await.expect("a connection");
        owner.run(&[TABLES.to_owned()]).await.expect("tables");
        PostgresSinkAdmin::new(&config(), database.url()).prepare().await.expect("prepared");
        Self { database, owner }
    }

    fn worker(&self, subscription: &str) -> Worker {
        self.worker_at(subscription, self.database.url())
    }

    fn worker_at(&self, subscription: &str, url: &str) -> Worker {
        let lane = LanePartition {
            subscription: subscription.to_owned(),
            topic: "lt.civil.live".to_owned(),
            partition: 0,
        };
        Worker { sink: PostgresSink::new(&config(), url, vec![insured()]), lane }
    }

    async fn text(&mut self, query: &str) -> String {
        self.owner.rows(query).await.expect("rows")[0][0].clone().unwrap_or_default()
    }

    /// Waits until the server has ended every session of a sink, so that what they did is decided.
    async fn alone(&mut self) {
        let sessions = "select cast(count(*) as text) from pg_stat_activity \
             where datname = current_database() and application_name like 'lienthong router%'";
        for _ in 0..1000 {
            if self.text(sessions).await == "0" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("a session of a sink goes on although its connection is gone");
    }
}

fn config() -> TargetConfig {
    let database = crate::Database::Postgres { url: String::new() };
    TargetConfig { name: "vss".to_owned(), database }
}

struct Worker {
    sink: PostgresSink,
    lane: LanePartition,
}

impl Worker {
    async fn apply(
        &mut self,
        expected: Option<OffsetState>,
        round: Vec<KeyWrite<'_>>,
    ) -> Result<Applied, SinkError> {
        let next = next(expected);
        let subjects = [KeyHash([7; 16])];
        let receipt = ReceiptBody {
            offsets: (next.next_offset - 1, next.next_offset - 1),
            writer_epoch: 4,
            events: (1, 1),
            times: (5, 6),
            agreement: "vss/2026-01",
            key_id: "00112233",
            subjects: &subjects,
        };
        let (lane, rounds) = (&self.lane, [round]);
        let lanes = [LaneMove { lane, expected, next, receipt: Some(&receipt) }];
        self.sink.apply(&Delivery { lanes: &lanes, rounds: &rounds }).await
    }
}

fn next(expected: Option<OffsetState>) -> OffsetState {
    let next_offset = expected.map_or(1000, |state| state.next_offset) + 1;
    OffsetState { next_offset, epoch: 4, sequence: 9, fresh_through: 0 }
}

fn hash(pin: &str) -> KeyHash {
    let mut hash = [0; 16];
    hash[..pin.len()].copy_from_slice(pin.as_bytes());
    KeyHash(hash)
}

fn upsert<'a>(key: &'a [Cell<'a>], group: usize, version: &'a str, values: &'a [Cell<'a>]) -> KeyWrite<'a> {
    let Cell::Str(pin) = key[0] else { panic!("keys are texts") };
    let part = GroupWrite { group, version, record: None, values };
    KeyWrite { table: 0, key_hash: hash(pin), key, action: Action::Upsert(vec![part]) }
}

/// Cuts fall on every byte of the end of the conversation, where the commit and its answer are.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_at_any_byte_around_the_commit_leaves_all_or_nothing() {
    let mut vss = Subscriber::new().await;
    let proxy = TcpProxy::start(&vss.database.address().expect("an address")).await.expect("a proxy");
    let url = vss.database.url_through(&proxy.address()).expect("a URL");
    let key = [Cell::Str("1")];
    let (mut state, mut number, mut length, mut committed, mut undone) = (None, 100, 0_u64, 0, 0);
    // A new sink each time: the same bytes each time, since nothing is prepared beforehand. The first measures.
    for back in (0..=130).rev() {
        let mut worker = vss.worker_at("vss/civil", &url);
        assert_eq!(worker.sink.offset(&worker.lane).await.expect("an offset"), state);
        number += 1;
        let version = number.to_string();
        let values = [Cell::Str(&version), Cell::Date(1), Cell::Timestamp(1)];
        if length > 0 {
            proxy.cut_after_bytes(length - back);
        } else {
            proxy.heal();
        }
        // The first delivery inserts; the next ones are of one length.
        let told = worker.apply(state, vec![upsert(&key, 0, &version, &values)]).await;
        if number == 102 {
            length = proxy.passed();
        }
        let busy = matches!(told, Err(SinkError::Busy { .. }));
        assert!(told.is_ok() || busy, "a cut connection is no reason for {told:?}");
        drop(worker);
        proxy.heal();
        vss.alone().await;
        let there = vss.worker("vss/civil").sink.offset(&lane_of("vss/civil")).await.expect("an offset");
        let done = there == Some(next(state));
        assert!(done || (there == state && busy), "an offset that nobody wrote: {there:?}");
        let row = vss
            .text(r#"select name || ' ' || (select count(*) from lienthong_receipt) from "App"."Insured""#);
        let row = row.await;
        let ledger = vss.text("select entry from lienthong_version").await;
        committed += u32::from(done && busy);
        undone += u32::from(!done);
        if !done {
            number -= 1;
        }
        state = there;
        let receipts = state.map_or(0, |state| state.next_offset - 1000);
        assert_eq!(row, format!("{number} {receipts}"), "{back} bytes before the end");
        assert!(ledger.contains(&format!(r#""v":"{number}""#)), "{back} bytes before the end: {ledger}");
    }
    assert!(undone > 20, "cuts before the commit: {undone}");
    assert!(committed > 5, "cuts between the commit and its answer: {committed}");
}

fn lane_of(subscription: &str) -> LanePartition {
    LanePartition { subscription: subscription.to_owned(), topic: "lt.civil.live".to_owned(), partition: 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_busy_and_the_next_call_goes_on() {
    let vss = Subscriber::new().await;
    let proxy = TcpProxy::start(&vss.database.address().expect("an address")).await.expect("a proxy");
    let url = vss.database.url_through(&proxy.address()).expect("a URL");
    let mut worker = vss.worker_at("vss/civil", &url);
    worker.sink = worker.sink.with_patience(Duration::from_secs(2));
    let key = [Cell::Str("1")];
    let values = [Cell::Str("An"), Cell::Null, Cell::Null];
    assert_eq!(worker.sink.offset(&worker.lane).await.expect("an offset"), None);
    proxy.delay(Duration::from_secs(600));
    for call in 0..2 {
        let told = match call {
            0 => worker.apply(None, vec![upsert(&key, 0, "1", &values)]).await.map(drop),
            _ => worker.sink.check().await,
        };
        assert!(matches!(told, Err(SinkError::Busy { .. })), "{told:?}");
    }
    proxy.delay(Duration::ZERO);
    worker.apply(None, vec![upsert(&key, 0, "1", &values)]).await.expect("delivered");
}

/// Retries while the sink is busy, as a router does.
async fn deliver_all(mut worker: Worker, group: usize, values: &[Cell<'_>]) {
    let mut state = None;
    for batch in 0..30_u32 {
        let pins: Vec<String> = (0..10).map(|at| format!("{batch:03}-{at}")).collect();
        let keys: Vec<[Cell<'_>; 1]> = pins.iter().map(|pin| [Cell::Str(pin)]).collect();
        loop {
            let round = keys.iter().map(|key| upsert(key, group, "1", values)).collect();
            match worker.apply(state, round).await {
                Ok(_) => break,
                Err(SinkError::Busy { .. }) => tokio::task::yield_now().await,
                Err(other) => panic!("{other:?}"),
            }
        }
        state = Some(next(state));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_subscriptions_that_write_the_same_new_rows_lose_neither_columns_nor_versions() {
    let mut vss = Subscriber::new().await;
    let (one, two) = (vss.worker("vss/civil"), vss.worker("vss/residence"));
    let (name, address) = ([Cell::Str("An"), Cell::Null, Cell::Null], [Cell::Str("Huế")]);
    tokio::join!(deliver_all(one, 0, &name), deliver_all(two, 1, &address));
    let whole =
        r#"select cast(count(*) as text) from "App"."Insured" where name = 'An' and "Address" = 'Huế'"#;
    assert_eq!(vss.text(whole).await, "300");
    let known = r#"select cast(count(*) as text) from lienthong_version where entry like '%"name"%' and entry like '%"Address"%'"#;
    assert_eq!(vss.text(known).await, "300");
    assert_eq!(vss.text("select cast(count(*) as text) from lienthong_receipt").await, "60");
}

#[tokio::test]
async fn what_keeps_a_role_from_writing_is_listed_at_once_with_the_grants_that_mend_it() {
    let mut vss = Subscriber::new().await;
    let role = vss.database.create_role().await.expect("a role");
    let mut worker = vss.worker_at("vss/civil", &vss.database.url_as(&role).expect("a URL"));
    let told = worker.sink.check().await;
    let Err(SinkError::Unfit { problem, fix }) = told else { panic!("it must not fit: {told:?}") };
    for name in ["USAGE on schema App", "App.Insured", "lienthong_offset", "lienthong_parked"] {
        assert!(problem.contains(name), "{problem} does not name {name}");
    }
    let grants: Vec<String> = fix.split("; ").map(str::to_owned).collect();
    vss.owner.run(&grants).await.expect("the grants run as they stand");
    worker.sink.check().await.expect("it fits");
    let (key, values) = ([Cell::Str("1")], [Cell::Str("An"), Cell::Null, Cell::Null]);
    worker.apply(None, vec![upsert(&key, 0, "1", &values)]).await.expect("delivered");
}

#[tokio::test]
async fn a_column_that_the_server_computes_is_named() {
    let vss = Subscriber::new().await;
    let mut table = insured();
    table.groups[1].columns[0] = TargetColumn { name: "long_name".to_owned(), kind: CellKind::Integer };
    let told = PostgresSink::new(&config(), vss.database.url(), vec![table]).check().await;
    assert!(
        matches!(&told, Err(SinkError::Unfit { problem, .. }) if problem.contains("long_name") && problem.contains("computed")),
        "{told:?}"
    );
}

/// What came by COPY has left a temporary table in the session, which everybody sees in the catalogue.
#[tokio::test]
async fn from_500_rows_on_they_come_by_copy_and_below_or_without_the_right_as_arrays() {
    let mut vss = Subscriber::new().await;
    let role = vss.database.create_role().await.expect("a role");
    let name = vss.text("select current_database()").await;
    let rights = [
        format!("revoke temporary on database \"{name}\" from public"),
        format!(r#"grant usage on schema "App" to {role}"#),
        format!(r#"grant select, insert, update, delete on "App"."Insured" to {role}"#),
        format!("grant select, insert, update, delete on all tables in schema public to {role}"),
    ];
    vss.owner.run(&rights).await.expect("rights");
    let values = [Cell::Str("An"), Cell::Null, Cell::Null];
    let pins: Vec<String> = (0..700).map(|at| format!("p{at}")).collect();
    let keys: Vec<[Cell<'_>; 1]> = pins.iter().map(|pin| [Cell::Str(pin)]).collect();
    let staged = "select cast(count(*) as text) from pg_class where relname like 'lienthong_stage_%'";
    for (allowed, counts) in [(true, [(499, "0"), (500, "1")]), (false, [(500, "0"), (700, "0")])] {
        let url =
            if allowed { vss.database.url().to_owned() } else { vss.database.url_as(&role).expect("a URL") };
        let mut worker = vss.worker_at("vss/civil", &url);
        worker.sink.check().await.expect("it fits");
        for (count, tables) in counts {
            let emptied = [
                r#"delete from "App"."Insured""#,
                "delete from lienthong_offset",
                "delete from lienthong_version",
            ];
            vss.owner.run(&emptied.map(str::to_owned)).await.expect("emptied");
            let round = keys[..count].iter().map(|key| upsert(key, 0, "1", &values)).collect();
            worker.apply(None, round).await.expect("delivered");
            let arrived = r#"select cast(count(*) as text) from "App"."Insured" where name = 'An'"#;
            assert_eq!(vss.text(arrived).await, count.to_string());
            assert_eq!(vss.text(staged).await, tables, "{count} rows, allowed: {allowed}");
        }
        drop(worker);
        vss.alone().await;
    }
}

#[tokio::test]
async fn years_beyond_9999_arrive_on_both_roads_into_a_table() {
    let mut vss = Subscriber::new().await;
    let mut worker = vss.worker("vss/civil");
    let day = 3_789_390;
    let values = [Cell::Str("An"), Cell::Date(day), Cell::Timestamp(i64::from(day) * 86_400_000_000 + 1)];
    let mut state = None;
    for count in [1, 700] {
        vss.owner.run(&[r#"delete from "App"."Insured""#.to_owned()]).await.expect("emptied");
        let pins: Vec<String> = (0..count).map(|at| format!("p{at}")).collect();
        let keys: Vec<[Cell<'_>; 1]> = pins.iter().map(|pin| [Cell::Str(pin)]).collect();
        let round = keys.iter().map(|key| upsert(key, 0, "1", &values)).collect();
        worker.apply(state, round).await.expect("delivered");
        state = Some(next(state));
        let right = format!(
            r#"select cast(count(*) as text) from "App"."Insured" where born = date '1970-01-01' + {day}
               and seen = timestamptz '1970-01-01 00:00+00' + interval '{day} days 1 microsecond'"#
        );
        assert_eq!(vss.text(&right).await, count.to_string());
    }
}

#[tokio::test]
async fn a_text_that_the_server_cannot_hold_names_the_target_table_on_both_roads() {
    let vss = Subscriber::new().await;
    let mut worker = vss.worker("vss/civil");
    let (good, bad) =
        ([Cell::Str("An"), Cell::Null, Cell::Null], [Cell::Str("A\0n"), Cell::Null, Cell::Null]);
    for count in [1, 700] {
        let pins: Vec<String> = (0..count).map(|at| format!("p{at}")).collect();
        let keys: Vec<[Cell<'_>; 1]> = pins.iter().map(|pin| [Cell::Str(pin)]).collect();
        let values = |at: usize| if at == 0 { &bad } else { &good };
        let round = keys.iter().enumerate().map(|(at, key)| upsert(key, 0, "1", values(at))).collect();
        let told = worker.apply(None, round).await;
        assert!(matches!(&told, Err(SinkError::Refused { table, .. }) if table == "App.Insured"), "{told:?}");
    }
}

#[tokio::test]
async fn a_revocation_of_what_has_not_come_leaves_a_mark_and_no_row() {
    let mut vss = Subscriber::new().await;
    let mut worker = vss.worker("vss/civil");
    let key = [Cell::Str("1")];
    let action = Action::Delete { version: "5", revokes: Some(Revokes { record: "r1", groups: &[0] }) };
    let write = KeyWrite { table: 0, key_hash: hash("1"), key: &key, action };
    let applied = worker.apply(None, vec![write]).await.expect("delivered");
    assert_eq!((applied.changed, applied.older), (0, 1));
    assert_eq!(vss.text("select cast(count(*) as text) from lienthong_version").await, "1");
    assert_eq!(vss.text(r#"select cast(count(*) as text) from "App"."Insured""#).await, "0");
}
