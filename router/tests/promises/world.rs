//! A log in a folder of its own, a publisher that writes exactly what a test says, and what is read of the bundled contracts.

use std::collections::BTreeMap;
use std::sync::Arc;

use lienthong_contract::event::Operation;
use lienthong_contract::participant::ParticipantId;
use lienthong_log::control::{FENCE_NAME, FENCE_SCHEMA, HEARTBEAT_NAME, HEARTBEAT_SCHEMA};
use lienthong_log::embedded::EmbeddedLog;
use lienthong_log::record::NewRecord;
use lienthong_log::{Batch, Log, TopicPartition, TopicSpec, Writer, murmur2};
use lienthong_schemas::{Cell, EncodePlan, FieldPath, RecordSchema, bundled_texts, frame};
use tempfile::TempDir;

pub const BIRTH: &str = "civil_status.birth.registered";
pub const DEATH: &str = "civil_status.death.registered";
pub const MARRIAGE: &str = "civil_status.marriage.changed";
pub const CORRECTED: &str = "civil_status.person.corrected";
pub const REVOKED: &str = "civil_status.record.revoked";
pub const LIVE: &str = "lt.civil_status.live";
pub const BULK: &str = "lt.civil_status.bulk";
/// In fields that no agreement of these tests names.
pub const SECRET: &str = "NOT-AGREED-7f3a";
/// 2026-01-01, microseconds.
pub const NEW_YEAR: i64 = 1_767_225_600_000_000;

pub fn contract(event: &str) -> RecordSchema {
    let (_, text) = bundled_texts().schemas.iter().find(|(name, _)| *name == event).expect("bundled");
    RecordSchema::parse(text).expect("contract")
}

/// One event as a test says it.
#[derive(Clone, Debug)]
pub struct Said {
    pub event: &'static str,
    pub operation: Operation,
    /// `ce_sequence`.
    pub version: u64,
    pub pin: String,
    pub registration: String,
    /// The child's name; for a death its date, for a revocation the record's type.
    pub value: String,
    pub office: String,
    /// What a correction lists as changed.
    pub changed: &'static [&'static str],
    /// `ce_subject`, where it is not the number.
    pub subject: Option<String>,
}

impl Said {
    fn new(event: &'static str, version: u64, pin: &str, value: &str) -> Self {
        Self {
            event,
            operation: Operation::Insert,
            version,
            pin: pin.to_owned(),
            registration: match event {
                DEATH => format!("d-{pin}"),
                CORRECTED => format!("c-{pin}"),
                _ => format!("b-{pin}"),
            },
            value: value.to_owned(),
            office: "00001".to_owned(),
            changed: &[],
            subject: None,
        }
    }

    pub fn birth(version: u64, pin: &str, name: &str) -> Self {
        Self::new(BIRTH, version, pin, name)
    }

    pub fn death(version: u64, pin: &str, day: &str) -> Self {
        Self::new(DEATH, version, pin, day)
    }

    /// Corrects given name and birth place of a person, as far as `changed` lists them; empty text stands for null.
    pub fn corrected(
        version: u64,
        pin: &str,
        (name, place): (&str, &str),
        changed: &'static [&'static str],
    ) -> Self {
        let office = place.to_owned();
        Self { changed, office, ..Self::new(CORRECTED, version, pin, name) }
    }

    /// The copy of a marriage that goes out for one spouse.
    pub fn married(version: u64, spouse: &str, registration: &str) -> Self {
        Self::new(MARRIAGE, version, spouse, "marriage").record(registration)
    }

    /// Voids the record that [`Said::birth`] or [`Said::death`] made for this person.
    pub fn revoked(version: u64, pin: &str, kind: &str) -> Self {
        let registration = format!("{}-{pin}", &kind[..1]);
        Self { registration, ..Self::new(REVOKED, version, pin, kind) }
    }

    pub fn of(self, operation: Operation) -> Self {
        Self { operation, ..self }
    }

    pub fn record(self, registration: &str) -> Self {
        Self { registration: registration.to_owned(), ..self }
    }

    pub fn office(self, office: &str) -> Self {
        Self { office: office.to_owned(), ..self }
    }
}

struct Codec {
    plan: EncodePlan,
    id: u32,
}

/// See the module.
pub struct World {
    pub folder: TempDir,
    pub log: Arc<dyn Log>,
    pub partitions: i32,
    writer: Box<dyn Writer>,
    /// Writers of other publishers, by their live topic.
    others: BTreeMap<String, Box<dyn Writer>>,
    codecs: BTreeMap<&'static str, Codec>,
    sent: u64,
}

impl World {
    pub async fn new(partitions: i32) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(folder.path().join("log.db")).expect("log"));
        let spec = |name: &str, partitions, compacted| TopicSpec {
            name: name.to_owned(),
            partitions,
            replication: 1,
            min_insync_replicas: 1,
            retention: None,
            compacted,
        };
        let specs =
            [spec("lt.positions", 1, true), spec(LIVE, partitions, false), spec(BULK, partitions, false)];
        log.create_topics(&specs).await.expect("topics");
        let mut codecs = BTreeMap::new();
        for topic in [LIVE, BULK] {
            for (name, schema) in [(FENCE_NAME, FENCE_SCHEMA), (HEARTBEAT_NAME, HEARTBEAT_SCHEMA)] {
                log.register_schema(topic, name, schema).await.expect("control schema");
            }
            for (event, slots) in CONTRACTS {
                let contract = contract(event);
                let id =
                    log.register_schema(topic, contract.full_name(), contract.text()).await.expect("schema");
                let slots: Vec<FieldPath> = slots.iter().map(|slot| FieldPath::new(*slot)).collect();
                let plan = EncodePlan::compile(contract.schema(), &slots).expect("plan");
                codecs.insert(event, Codec { plan, id });
            }
        }
        let writer = Self::open_writer(log.as_ref()).await;
        Self { folder, log, partitions, writer, others: BTreeMap::new(), codecs, sent: 0 }
    }

    async fn open_writer(log: &dyn Log) -> Box<dyn Writer> {
        let participant = ParticipantId::new("moj.civil-status").expect("participant");
        log.open_writer(&participant, &[LIVE.to_owned(), BULK.to_owned()]).await.expect("writer").0
    }

    /// Another participant publishes the same events in a live topic of its own; called again, it takes over from itself.
    pub async fn publisher(&mut self, participant: &str, topic: &str) {
        let spec = TopicSpec {
            name: topic.to_owned(),
            partitions: self.partitions,
            replication: 1,
            min_insync_replicas: 1,
            retention: None,
            compacted: false,
        };
        self.log.create_topics(&[spec]).await.expect("topic");
        for (name, schema) in [(FENCE_NAME, FENCE_SCHEMA), (HEARTBEAT_NAME, HEARTBEAT_SCHEMA)] {
            self.log.register_schema(topic, name, schema).await.expect("control schema");
        }
        let participant = ParticipantId::new(participant).expect("participant");
        let (writer, _) = self.log.open_writer(&participant, &[topic.to_owned()]).await.expect("writer");
        self.others.insert(topic.to_owned(), writer);
    }

    /// Another writer takes over: a new epoch in every partition.
    pub async fn next_writer(&mut self) {
        self.writer = Self::open_writer(self.log.as_ref()).await;
    }

    /// Covers what was said so far, so that the next writer need not read it back.
    pub async fn checkpoint(&mut self) {
        let body = lienthong_log::CheckpointBody {
            position: "s".into(),
            lineage: lienthong_contract::position::Lineage { parts: Vec::new() },
            lineage_epoch: 1,
            counter: 0,
        };
        let _leave = self.writer.checkpoint(&body).await.expect("checkpoint");
    }

    /// Takes everything before an offset of a live partition away, as retention does.
    pub fn trim(&self, partition: i32, before: i64) {
        let sql = rusqlite::Connection::open(self.folder.path().join("log.db")).expect("file");
        let lane = "(select lane.id from lane join topic on topic.id = lane.topic where name = ?1 and partition = ?2)";
        for statement in [
            format!("delete from batch where base_offset + count <= ?3 and lane = {lane}"),
            format!("update lane set low = ?3 where id = {lane}"),
        ] {
            sql.execute(&statement, rusqlite::params![LIVE, partition, before]).expect("trimmed");
        }
    }

    pub fn place(&self, topic: &str, pin: &str) -> TopicPartition {
        TopicPartition { topic: topic.into(), partition: murmur2::partition(pin.as_bytes(), self.partitions) }
    }

    /// Appends to the live lane in one go.
    pub async fn say(&mut self, said: &[Said]) {
        self.say_in(LIVE, said).await;
    }

    pub async fn say_in(&mut self, topic: &str, said: &[Said]) {
        let mut batch = Batch::default();
        for said in said {
            let value = self.value(said);
            self.push(&mut batch, topic, said, &value);
        }
        let writer = self.others.get_mut(topic).unwrap_or(&mut self.writer);
        writer.append(&batch).await.expect("append");
    }

    /// Appends an event whose value is these bytes.
    pub async fn say_raw(&mut self, said: &Said, value: &[u8]) {
        let mut batch = Batch::default();
        self.push(&mut batch, LIVE, said, value);
        self.writer.append(&batch).await.expect("append");
    }

    /// Appends a well-formed CloudEvent of a type that no agreement names.
    pub async fn say_unknown(&mut self, pin: &str) {
        let mut batch = Batch::default();
        let headers: [(&'static str, &[u8]); 2] =
            [("ce_specversion", b"1.0"), ("ce_type", b"civil_status.marriage.registered")];
        let record = NewRecord { key: pin.as_bytes(), headers: &headers, value: b"{}", time: NEW_YEAR };
        batch.push(&self.place(LIVE, pin), &record).expect("it fits");
        self.writer.append(&batch).await.expect("append");
    }

    pub async fn heartbeat(&mut self, time: i64) {
        self.writer.heartbeat(time).await.expect("heartbeat");
    }

    fn push(&mut self, batch: &mut Batch, topic: &str, said: &Said, value: &[u8]) {
        self.sent += 1;
        let id = format!("id-{}", self.sent);
        let version = format!("{:016}", said.version);
        let headers: [(&'static str, &[u8]); 6] = [
            ("ce_specversion", b"1.0"),
            ("ce_id", id.as_bytes()),
            ("ce_type", said.event.as_bytes()),
            ("ce_subject", said.subject.as_ref().unwrap_or(&said.pin).as_bytes()),
            ("ce_operation", said.operation.as_str().as_bytes()),
            ("ce_sequence", version.as_bytes()),
        ];
        let time = NEW_YEAR + said.version as i64;
        let record = NewRecord { key: said.pin.as_bytes(), headers: &headers, value, time };
        batch.push(&self.place(topic, &said.pin), &record).expect("it fits");
    }

    fn value(&self, said: &Said) -> Vec<u8> {
        let Said { pin, registration, value, office, .. } = said;
        let [pin, registration, value, office] =
            [pin, registration, value, office].map(|text| Cell::Str(text));
        let day = Cell::Date(20_454);
        let changed: Vec<Cell<'_>> = said.changed.iter().map(|name| Cell::Str(name)).collect();
        let row: Vec<Cell<'_>> = match said.event {
            BIRTH => {
                let fixed = [day, Cell::Str("female"), Cell::Str("2026-01"), Cell::Str(SECRET)];
                [&[pin, registration, value, office][..], &fixed].concat()
            }
            CORRECTED => {
                let optional = |cell| if cell == Cell::Str("") { Cell::Null } else { cell };
                let listed = Cell::List(&changed);
                vec![
                    pin,
                    registration,
                    day,
                    listed,
                    optional(value),
                    optional(office),
                    Cell::Str("correction"),
                    registration,
                ]
            }
            MARRIAGE => vec![pin, registration, value, office, day, Cell::Str("2026-01-01")],
            DEATH => vec![pin, registration, value, office, day, Cell::Str(SECRET)],
            _ => vec![pin, registration, value, Cell::Str(SECRET), day],
        };
        let codec = &self.codecs[said.event];
        let mut out = Vec::new();
        frame::write(codec.id, &mut out);
        codec.plan.encode(&row, &mut out).expect("fits the contract");
        out
    }
}

const CONTRACTS: [(&str, &[&str]); 5] = [
    (BIRTH, BIRTH_SLOTS),
    (DEATH, DEATH_SLOTS),
    (MARRIAGE, MARRIAGE_SLOTS),
    (REVOKED, REVOKED_SLOTS),
    (CORRECTED, CORRECTED_SLOTS),
];
const MARRIAGE_SLOTS: &[&str] =
    &["spouse1_pin", "registration_no", "kind", "office_code", "registered_on", "effective_date"];
const CORRECTED_SLOTS: &[&str] = &[
    "pin",
    "correction_no",
    "decided_on",
    "fields_changed",
    "given_name",
    "birth_place",
    "ground",
    "decision_no",
];
const BIRTH_SLOTS: &[&str] = &[
    "child.pin",
    "registration_no",
    "child.given_name",
    "office_code",
    "registered_on",
    "child.sex",
    "child.birth_date",
    "child.family_name",
];
const DEATH_SLOTS: &[&str] =
    &["deceased.pin", "registration_no", "death_date", "office_code", "registered_on", "cause_of_death"];
const REVOKED_SLOTS: &[&str] = &["pin", "registration_no", "record_type", "reason_code", "decided_on"];
