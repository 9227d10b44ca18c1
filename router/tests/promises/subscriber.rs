//! A subscriber: an SQLite file, an agreement, and routers that deliver into it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lienthong_connectors::{Database, TargetConfig, open_sink, sink_admin};
use lienthong_contract::keys::HashKey;
use lienthong_contract::predicate::{Predicate, PredicateField, PredicateType};
use lienthong_contract::target::{CellKind, ColumnGroup, TargetColumn, TargetTable, VersionStore};
use lienthong_log::Log;
use lienthong_router::subscription::{
    ColumnMap, ColumnSource, DeliveryRule, Effect, GroupSource, IfMissing, Policy, RevocationRule, RowFilter,
    Subscription, SubscriptionKeys, Undo, Validity,
};
use lienthong_router::{Router, RouterError, RouterOptions, SinkFactory, State, Status};
use lienthong_schemas::FieldPath;
use rusqlite::Connection;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::{BIRTH, BULK, DEATH, LIVE, MARRIAGE, NEW_YEAR, REVOKED, World, contract};

/// Everything takes less than this, on a slow machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
pub struct Subscriber {
    pub path: PathBuf,
    pub conn: Connection,
    /// The agreement; tests change it before they run a router.
    pub subscription: Subscription,
    pub options: RouterOptions,
    log: Arc<dyn Log>,
}

impl Subscriber {
    pub async fn new(world: &World) -> Self {
        let path = world.folder.path().join("vss.db");
        let conn = Connection::open(&path).expect("file");
        conn.busy_timeout(Duration::from_secs(10)).expect("time-out");
        conn.execute_batch(
            "create table insured (pin text primary key, name text, office text, died_on date, voided_at text) without rowid",
        )
        .expect("table");
        sink_admin(&config(&path)).prepare().await.expect("prepared");
        Self {
            path,
            conn,
            subscription: subscription(),
            options: RouterOptions { clock: || NEW_YEAR, ..RouterOptions::default() },
            log: Arc::clone(&world.log),
        }
    }

    /// Makes the sinks of this subscriber.
    pub fn sinks(&self) -> SinkFactory {
        let (config, tables) = (config(&self.path), self.subscription.tables.clone());
        Arc::new(move || open_sink(&config, tables.clone()))
    }

    pub fn start(&self) -> Running {
        self.start_with(self.sinks())
    }

    pub fn start_with(&self, sinks: SinkFactory) -> Running {
        self.start_on(Arc::clone(&self.log), sinks)
    }

    pub fn start_on(&self, log: Arc<dyn Log>, sinks: SinkFactory) -> Running {
        let router = Router::new(log, Arc::new(self.subscription.clone()), sinks, self.options.clone());
        let (sender, status) = watch::channel(Status::default());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(router.run(shutdown.clone(), sender));
        Running { task, shutdown, status }
    }

    /// Delivers what the log holds now.
    pub async fn once(&mut self) -> Result<Status, RouterError> {
        self.once_with(self.sinks()).await
    }

    pub async fn once_with(&mut self, sinks: SinkFactory) -> Result<Status, RouterError> {
        self.options.once = true;
        let running = self.start_with(sinks);
        self.options.once = false;
        running.ended().await
    }

    /// Every row as `pin|name|office|died_on|voided`, `-` for null.
    pub fn rows(&self) -> Vec<String> {
        let sql = "select pin || '|' || coalesce(name, '-') || '|' || coalesce(office, '-') || '|' || \
                   coalesce(died_on, '-') || '|' || iif(voided_at is null, '-', 'voided') from insured order by pin";
        let mut statement = self.conn.prepare(sql).expect("statement");
        let rows = statement.query_map([], |row| row.get(0)).expect("query");
        rows.map(|row| row.expect("row")).collect()
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.conn.query_row(sql, [], |row| row.get(0)).expect("number")
    }

    /// Events of all receipts: read and delivered.
    pub fn receipted(&self) -> (i64, i64) {
        (
            self.number("select coalesce(sum(events_read), 0) from lienthong_receipt"),
            self.number("select coalesce(sum(events_delivered), 0) from lienthong_receipt"),
        )
    }

    pub fn next_offset(&self, topic: &str, partition: i32) -> i64 {
        self.number(&format!(
            "select coalesce(max(next_offset), 0) from lienthong_offset where topic = '{topic}' and partition = {partition}"
        ))
    }
}

fn config(path: &std::path::Path) -> TargetConfig {
    TargetConfig { name: "vss.insurance".into(), database: Database::Sqlite { path: path.to_owned() } }
}

/// A router under way.
pub struct Running {
    pub task: JoinHandle<Result<(), RouterError>>,
    pub shutdown: CancellationToken,
    pub status: watch::Receiver<Status>,
}

impl Running {
    /// Waits for its own end.
    pub async fn ended(self) -> Result<Status, RouterError> {
        let outcome = tokio::time::timeout(PATIENCE, self.task).await.expect("it ends").expect("no panic");
        outcome.map(|()| self.status.borrow().clone())
    }

    /// Ends it in order.
    pub async fn stop(self) -> Status {
        self.shutdown.cancel();
        self.ended().await.expect("a clean end")
    }

    /// Ends it as a power cut would: nothing is said to anybody.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.expect_err("aborted").is_cancelled());
    }

    pub async fn until(&mut self, what: &str, so: impl FnMut(&Status) -> bool) -> Status {
        let waited = tokio::time::timeout(PATIENCE, self.status.wait_for(so)).await;
        let seen = waited.ok().and_then(Result::ok).map(|status| status.clone());
        seen.unwrap_or_else(|| panic!("did not come about: {what}; {:?}", self.status.borrow()))
    }

    pub async fn live(&mut self) -> Status {
        self.until("live", |status| status.state == State::Live).await
    }
}

/// Asks until it is so.
pub async fn eventually(what: &str, mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "did not come about: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn paths(names: &[&str]) -> Vec<FieldPath> {
    names.iter().map(|name| FieldPath::new(*name)).collect()
}

pub fn plain(path: usize) -> ColumnSource {
    ColumnSource { path, map: ColumnMap::Plain }
}

pub fn column(name: &str, kind: CellKind) -> TargetColumn {
    TargetColumn { name: name.into(), kind }
}

/// `where` over the office of a birth.
pub fn office_filter(text: &str) -> RowFilter {
    let field = PredicateField { path: "office_code".into(), kind: PredicateType::Text, nullable: false };
    RowFilter {
        predicate: Predicate::compile(text, Some("event"), &[field]).expect("condition"),
        inputs: vec![2],
    }
}

/// Births make rows, deaths write a column of them, and both can be declared void.
fn subscription() -> Subscription {
    let table = TargetTable {
        table: "insured".into(),
        key: vec![column("pin", CellKind::Text)],
        groups: vec![
            ColumnGroup {
                name: "name".into(),
                columns: vec![column("name", CellKind::Text), column("office", CellKind::Text)],
                decides_row: true,
            },
            ColumnGroup {
                name: "died_on".into(),
                columns: vec![column("died_on", CellKind::Date)],
                decides_row: true,
            },
        ],
        version: VersionStore::Ledger,
    };
    let undo = |rule, kind: &str| Undo { rule, record_type: Some(kind.into()), key: vec![plain(2)] };
    Subscription {
        subscriber: "vss.insurance".into(),
        family: "civil_status".into(),
        topics: vec![LIVE.into(), BULK.into()],
        agreement: "vss.insurance/2026-01".into(),
        purpose: "P3".into(),
        legal_basis: "Decree".into(),
        valid: Validity { from: 20_454, until: Some(20_818) },
        tables: vec![table],
        rules: vec![birth(), death()],
        revocations: vec![RevocationRule {
            event: REVOKED.into(),
            reader: Arc::new(contract(REVOKED)),
            paths: paths(&["registration_no", "record_type", "pin"]),
            record_number: 0,
            record_type: Some(1),
            undoes: vec![undo(0, "birth"), undo(1, "death")],
        }],
        keys: SubscriptionKeys::derive(&HashKey::new([3; 32]), "vss.insurance", "P3", "civil_status"),
    }
}

fn birth() -> DeliveryRule {
    DeliveryRule {
        event: BIRTH.into(),
        reader: Arc::new(contract(BIRTH)),
        fields: paths(&["child.pin", "child.given_name", "office_code"]),
        paths: paths(&["child.pin", "child.given_name", "office_code", "registration_no"]),
        filter: None,
        table: 0,
        key: vec![plain(0)],
        groups: vec![GroupSource { group: 0, columns: vec![plain(1), plain(2)], listed: None }],
        effect: Effect::Upsert,
        on_revoked: Policy::Hard,
        on_deleted: Policy::Hard,
        record_number: Some(3),
        delta: None,
    }
}

/// Marriages by their number instead of births: one row, whichever spouse's copy comes.
pub fn marriages(subscription: &mut Subscription, on_revoked: &Policy) {
    let mark = ColumnSource { path: 0, map: ColumnMap::Unset };
    subscription.rules[0] = DeliveryRule {
        event: MARRIAGE.into(),
        reader: Arc::new(contract(MARRIAGE)),
        fields: paths(&["registration_no", "kind", "office_code"]),
        paths: paths(&["registration_no", "kind", "office_code"]),
        record_number: Some(0),
        on_revoked: on_revoked.clone(),
        groups: vec![GroupSource { group: 0, columns: vec![plain(1), plain(2), mark], listed: None }],
        ..birth()
    };
    // As an agreement is compiled: a record that comes to life again loses its mark.
    subscription.tables[0].groups[0].columns.push(column("voided_at", CellKind::Timestamp));
    subscription.revocations[0].undoes = vec![Undo { rule: 0, record_type: None, key: vec![plain(0)] }];
}

fn death() -> DeliveryRule {
    let date = ColumnMap::Date { partial: lienthong_router::subscription::Partial::Null };
    DeliveryRule {
        event: DEATH.into(),
        reader: Arc::new(contract(DEATH)),
        fields: paths(&["deceased.pin", "death_date"]),
        paths: paths(&["deceased.pin", "death_date", "registration_no"]),
        filter: None,
        table: 0,
        key: vec![plain(0)],
        groups: vec![GroupSource {
            group: 1,
            columns: vec![ColumnSource { path: 1, map: date }],
            listed: None,
        }],
        effect: Effect::Update { if_missing: IfMissing::Skip },
        on_revoked: Policy::Hard,
        on_deleted: Policy::Hard,
        record_number: Some(2),
        delta: None,
    }
}
