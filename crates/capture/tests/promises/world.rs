//! One publisher with a table of residences, a log in a folder, and what stands in it afterwards.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lienthong_capture::publication::{Field, Subject};
use lienthong_capture::quarantine::QuarantineKeys;
use lienthong_capture::{
    CaptureError, CaptureOptions, Connector, FieldSource, Publication, Status, When, run,
};
use lienthong_connectors::{CaptureConfig, Database as Kind, SourceConfig, open_source, source_admin};
use lienthong_contract::keys::{HashKey, SealKey};
use lienthong_contract::participant::ParticipantId;
use lienthong_contract::predicate::Predicate;
use lienthong_contract::sink::OffsetState;
use lienthong_contract::source::TableCapture;
use lienthong_log::control::{FENCE_NAME, FENCE_SCHEMA, HEARTBEAT_NAME, HEARTBEAT_SCHEMA};
use lienthong_log::embedded::EmbeddedLog;
use lienthong_log::{Log, LogBatch, RecordRef, TopicPartition, TopicSpec};
use lienthong_schemas::{EncodePlan, QualityPlan, RecordSchema, SubjectRule};
use lienthong_testkit::database::Database;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const PARTICIPANT: &str = "mps.residence";
pub(crate) const LIVE: &str = "lt.residence.live";
pub(crate) const BULK: &str = "lt.residence.bulk";
pub(crate) const PARTITIONS: i32 = 4;
/// Where rows that were set aside go.
const QUARANTINE: &str = "lt.quarantine.mps.residence";
/// The captured columns.
pub(crate) const COLUMNS: [&str; 5] = ["file_no", "pin", "street", "since", "status"];

const CONTRACT: &str = r#"{"type":"record","name":"Residence","namespace":"test","fields":[
    {"name":"file_no","type":"string"},
    {"name":"pin","type":["null","string"],"default":null},
    {"name":"street","type":["null","string"],"default":null},
    {"name":"since","type":["null",{"type":"int","logicalType":"date"}],"default":null}]}"#;

/// `status` has no type, so it keeps whatever is written.
const SQLITE_TABLE: &str =
    "create table residence (file_no text primary key, pin text, street text, since text, status)";
const POSTGRES_TABLE: &str = "create table public.residence (file_no text primary key, pin text, street text, since date, status text)";

pub(crate) fn contract() -> RecordSchema {
    RecordSchema::parse(CONTRACT).expect("a contract")
}

pub(crate) fn capture(table: &str) -> TableCapture {
    let columns = COLUMNS.map(str::to_owned).to_vec();
    TableCapture::new(table, vec!["file_no".to_owned()], columns)
}

/// An entry of `publishes` that takes these fields, each from the column of its name.
pub(crate) fn publication(entry: usize, fields: &[&str], when: Option<&str>) -> Publication {
    let contract = contract();
    let place = |name: &str| COLUMNS.iter().position(|column| *column == name).expect("a column");
    let field = |path: &&str| {
        let leaf = contract.field(path).expect("a field");
        Field {
            path: (*path).to_owned(),
            kind: leaf.kind.clone(),
            nullable: leaf.nullable,
            source: FieldSource::Column(place(path)),
        }
    };
    let slots: Vec<_> = fields.iter().map(|path| (*path).into()).collect();
    let subject: Vec<&str> = ["pin", "file_no"].into_iter().filter(|path| fields.contains(path)).collect();
    let slot = |path: &&str| fields.iter().position(|field| field == path).expect("a slot");
    Publication {
        event: format!("residence.event{entry}"),
        family: "residence".to_owned(),
        stem: "residence".to_owned(),
        entry,
        table: 0,
        when: when.map(|text| {
            let (predicate, names) = Predicate::compile_open(text, None).expect("a condition");
            let columns = names.iter().map(|name| place(name)).collect();
            When { predicate, columns, text: text.to_owned(), place: "ministries/mps.yaml:7:9".to_owned() }
        }),
        correlation: None,
        fields: fields.iter().map(field).collect(),
        subjects: vec![Subject {
            slots: subject.iter().map(slot).collect(),
            rule: SubjectRule::First(subject.into_iter().map(Into::into).collect()),
        }],
        full_name: contract.full_name().to_owned(),
        schema_text: contract.text().to_owned(),
        quality: QualityPlan::default(),
        plan: EncodePlan::compile(contract.schema(), &slots).expect("a plan"),
    }
}

/// The one entry that most tests need.
pub(crate) fn residence(when: Option<&str>) -> Arc<[Publication]> {
    vec![publication(0, &["file_no", "pin", "street", "since"], when)].into()
}

/// What stands in the log of one event.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) event: String,
    pub(crate) operation: String,
    pub(crate) subject: String,
    pub(crate) sequence: String,
    value: Vec<u8>,
}

impl Seen {
    fn of(record: &RecordRef<'_>) -> Self {
        let text = |name| String::from_utf8(record.header(name).unwrap_or_default().to_vec()).expect("text");
        Self {
            event: text("ce_type"),
            operation: text("ce_operation"),
            subject: text("ce_subject"),
            sequence: text("ce_sequence"),
            value: record.value.to_vec(),
        }
    }

    /// Whether a text stands in the event's data.
    pub(crate) fn says(&self, text: &str) -> bool {
        self.value.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// Operation and subject.
    pub(crate) fn what(&self) -> (&str, &str) {
        (&self.operation, &self.subject)
    }
}

pub(crate) fn options() -> CaptureOptions {
    CaptureOptions {
        once: false,
        batch_rows: 1000,
        heartbeat: Duration::from_millis(20),
        idle_checkpoint: Duration::from_millis(100),
        quarantine_limit: 100,
        timeout: None,
        clock: || 1_767_225_600_000_000,
        meters: lienthong_telemetry::ConnectorMeters::default(),
        traces: lienthong_telemetry::Traces::default(),
    }
}

/// A connector that runs by itself.
pub(crate) struct Running {
    pub(crate) status: watch::Receiver<Status>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), CaptureError>>,
}

impl Running {
    /// Waits until its status is so.
    pub(crate) async fn until(&mut self, so: impl FnMut(&Status) -> bool) -> Result<()> {
        tokio::time::timeout(Duration::from_secs(30), self.status.wait_for(so)).await??;
        Ok(())
    }

    pub(crate) async fn stop(self) -> Result<(), CaptureError> {
        self.shutdown.cancel();
        self.task.await.expect("no panic")
    }

    /// Its end, which it must find by itself.
    pub(crate) async fn ended(self) -> Result<(), CaptureError> {
        self.task.await.expect("no panic")
    }

    /// As a kill: whatever was under way is dropped.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()), "it ran until it was killed");
    }
}

/// See the module.
pub(crate) struct World {
    pub(crate) log: EmbeddedLog,
    pub(crate) owner: Database,
    pub(crate) source: SourceConfig,
    pub(crate) table: TableCapture,
    pub(crate) publications: Arc<[Publication]>,
    _folder: TempDir,
}

impl World {
    pub(crate) async fn sqlite(publications: Arc<[Publication]>) -> Result<Self> {
        Self::with(publications, None, None).await
    }

    /// On the database of a URL, else in a new SQLite file; events are kept for `retention`.
    pub(crate) async fn with(
        publications: Arc<[Publication]>,
        postgres: Option<&str>,
        retention: Option<Duration>,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("owner.db");
        let (url, database, table) = match postgres {
            Some(url) => (url.to_owned(), Kind::Postgres { url: url.to_owned() }, "public.residence"),
            None => (sqlite_url(&path), Kind::Sqlite { path }, "residence"),
        };
        let mut owner = Database::open(&url).await?;
        let create = if postgres.is_some() { POSTGRES_TABLE } else { SQLITE_TABLE };
        owner.run(&[create.to_owned()]).await?;
        let source =
            SourceConfig { name: PARTICIPANT.to_owned(), database, capture: CaptureConfig::default() };
        let log = log(&folder, retention).await?;
        let world = Self { log, owner, source, table: capture(table), publications, _folder: folder };
        world.prepare().await?;
        Ok(world)
    }

    pub(crate) async fn prepare(&self) -> Result<()> {
        source_admin(&self.source, vec![self.table.clone()]).prepare().await.context("prepare")
    }

    pub(crate) async fn run(&mut self, statements: &[&str]) -> Result<()> {
        let statements: Vec<String> = statements.iter().map(|text| (*text).to_owned()).collect();
        self.owner.run(&statements).await
    }

    pub(crate) fn connector(&self) -> Connector {
        Connector {
            participant: ParticipantId::new(PARTICIPANT).expect("an id"),
            source: open_source(&self.source, vec![self.table.clone()], &keys().subject),
            tables: vec![self.table.clone()].into(),
            publications: Arc::clone(&self.publications),
            log: Arc::new(self.log.clone()),
            keys: keys(),
        }
    }

    pub(crate) fn start(&self, options: CaptureOptions) -> Running {
        Self::start_with(self.connector(), options)
    }

    pub(crate) fn start_with(connector: Connector, options: CaptureOptions) -> Running {
        let (sender, status) = watch::channel(Status::default());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run(connector, options, sender, shutdown.clone()));
        Running { status, shutdown, task }
    }

    /// Publishes everything that is committed.
    pub(crate) async fn once(&self) -> (Result<(), CaptureError>, Status) {
        let running = self.start(CaptureOptions { once: true, ..options() });
        let ended = running.task.await.expect("no panic");
        let status = running.status.borrow().clone();
        (ended, status)
    }

    /// The same, with nothing wrong.
    pub(crate) async fn publish(&self) -> Result<Status> {
        let (ended, status) = self.once().await;
        ended.map(|()| status).context("the connector")
    }

    pub(crate) fn place(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition }
    }

    pub(crate) async fn read(&self, topic: &str, partition: i32) -> Result<LogBatch> {
        Ok(self.log.read(&Self::place(topic, partition), OffsetState::START, usize::MAX >> 1).await?)
    }

    /// Everything in a family topic, in the order of the events' sequence.
    pub(crate) async fn events(&self, topic: &str) -> Result<Vec<Seen>> {
        let mut all = Vec::new();
        for partition in 0..PARTITIONS {
            let batch = self.read(topic, partition).await?;
            for entry in &batch.entries {
                all.push(Seen::of(&batch.record(entry)?));
            }
        }
        all.sort_by(|left, right| left.sequence.cmp(&right.sequence));
        Ok(all)
    }

    /// Event, column and rule of every row that was set aside, and its values as they were sealed.
    pub(crate) async fn quarantined(&self) -> Result<Vec<(String, String, String, String)>> {
        let batch = self.read(QUARANTINE, 0).await?;
        let mut all = Vec::new();
        for entry in &batch.entries {
            let record = batch.record(entry)?;
            let bytes = |name| record.header(name).unwrap_or_default();
            let text = |name| String::from_utf8(bytes(name).to_vec());
            let values = keys().seal.open(bytes("ce_id"), record.value).context("sealed under the key")?;
            all.push((text("ce_type")?, text("lt_column")?, text("lt_rule")?, String::from_utf8(values)?));
        }
        Ok(all)
    }

    /// Column and rule of every row that was set aside.
    pub(crate) async fn rules(&self) -> Result<Vec<(String, String)>> {
        let all = self.quarantined().await?;
        Ok(all.into_iter().map(|(_, column, rule, _)| (column, rule)).collect())
    }

    /// The SQLite file.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        match &self.source.database {
            Kind::Sqlite { path } => Some(path.clone()),
            Kind::Postgres { .. } => None,
        }
    }
}

pub(crate) fn sqlite_url(path: &std::path::Path) -> String {
    format!("sqlite:{}", path.display())
}

pub(crate) fn keys() -> QuarantineKeys {
    QuarantineKeys { subject: HashKey::new([1; 32]), seal: SealKey::new([2; 32]) }
}

async fn log(folder: &TempDir, retention: Option<Duration>) -> Result<EmbeddedLog> {
    let log = EmbeddedLog::open(folder.path().join("log.db"))?;
    let spec = |name: &str, partitions, retention, compacted| TopicSpec {
        name: name.to_owned(),
        partitions,
        replication: 1,
        min_insync_replicas: 1,
        retention,
        compacted,
    };
    log.create_topics(&[
        spec("lt.positions", 1, None, true),
        spec(QUARANTINE, 1, None, false),
        spec(LIVE, PARTITIONS, retention, false),
        spec(BULK, PARTITIONS, retention, false),
    ])
    .await?;
    let contract = contract();
    let own = (contract.full_name(), contract.text());
    for topic in [LIVE, BULK] {
        for (name, text) in [(FENCE_NAME, FENCE_SCHEMA), (HEARTBEAT_NAME, HEARTBEAT_SCHEMA), own] {
            log.register_schema(topic, name, text).await?;
        }
    }
    Ok(log)
}
