//! A table of one contract whose columns are its leaves, and an encoder over it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bumpalo::Bump;
use lienthong_capture::Publication;
use lienthong_capture::encode::{Encoder, EncoderParts};
use lienthong_capture::publication::{Field, FieldSource, Subject};
use lienthong_capture::quarantine::{QuarantineKeys, Quarantined};
use lienthong_contract::keys::{HashKey, SealKey};
use lienthong_contract::source::{Place, RowChange, RowOp, RowVisitor as _, TableCapture};
use lienthong_log::record::RecordRef;
use lienthong_schemas::quality::Checks;
use lienthong_schemas::{
    Cell, DecodePlan, EncodePlan, FieldPath, FieldType, QualityPlan, RecordSchema, SubjectRule, date, frame,
};

/// The key under which quarantined rows of these tests are sealed.
pub(crate) fn seal_key() -> SealKey {
    SealKey::new([2; 32])
}

/// One record as it would go into the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) id: String,
    pub(crate) operation: String,
    pub(crate) subject: String,
    pub(crate) partition: i32,
    pub(crate) flags: Option<String>,
    pub(crate) correlation: Option<String>,
    pub(crate) causation: Option<String>,
    pub(crate) looked_up: Option<String>,
    /// The counter within `ce_sequence`.
    pub(crate) counter: u64,
    pub(crate) sequence: String,
    /// Transaction, order in it, and how many it has.
    pub(crate) transaction: [Option<String>; 3],
    value: Vec<u8>,
}

/// An encoder over one table.
pub(crate) struct Table {
    schema: RecordSchema,
    columns: Vec<String>,
    encoder: Encoder,
    /// Of the changes to come.
    pub(crate) place: Option<Place>,
    /// Of the changes to come: their id, and that of the delete which they go on from.
    pub(crate) named: (&'static str, Option<&'static str>),
    /// Of the changes to come: places of the columns that were looked up.
    pub(crate) looked_up: &'static [usize],
}

/// A row: columns that are not null.
pub(crate) type Row<'r> = &'r [(&'r str, &'r str)];

impl Table {
    pub(crate) fn new(schema: &str, checks: &Checks, subjects: &[SubjectRule]) -> Self {
        Self::with(schema, checks, subjects, &[])
    }

    fn with(schema: &str, checks: &Checks, subjects: &[SubjectRule], collected: &[&str]) -> Self {
        let schema = RecordSchema::parse(schema).unwrap();
        let leaves: Vec<_> = schema.leaf_paths().cloned().collect();
        let slots: Vec<FieldPath> = leaves.iter().map(|leaf| leaf.path.clone()).collect();
        let columns: Vec<String> = slots.iter().map(|path| path.as_str().replace('.', "_")).collect();
        let field = |(column, leaf): (usize, &lienthong_schemas::Field)| Field {
            path: leaf.path.as_str().to_owned(),
            kind: leaf.kind.clone(),
            nullable: leaf.nullable,
            source: match leaf.kind {
                FieldType::List => FieldSource::List { column, separator: ",".to_owned() },
                _ => FieldSource::Column(column),
            },
        };
        let slot = |path: &FieldPath| slots.iter().position(|known| known == path).unwrap();
        let publication = Publication {
            event: "probe.changed".to_owned(),
            family: "probe".to_owned(),
            stem: "probe".to_owned(),
            entry: 0,
            table: 0,
            when: None,
            correlation: columns.iter().position(|column| column == "dossier_code"),
            fields: leaves.iter().enumerate().map(field).collect(),
            subjects: subjects
                .iter()
                .map(|rule| Subject { rule: rule.clone(), slots: rule.fields().iter().map(slot).collect() })
                .collect(),
            full_name: schema.full_name().to_owned(),
            schema_text: schema.text().to_owned(),
            quality: QualityPlan::compile(checks, &schema, &slots),
            plan: EncodePlan::compile(schema.schema(), &slots).unwrap(),
        };
        let table = TableCapture::new("probe", vec![columns[0].clone()], columns.clone());
        let encoder = Encoder::new(EncoderParts {
            urn: "urn:lienthong:test.probe".to_owned(),
            tables: [table].into(),
            publications: [publication].into(),
            schema_ids: vec![(7, 8)],
            partitions: BTreeMap::from([(Arc::from("lt.probe.live"), 12), (Arc::from("lt.probe.bulk"), 12)]),
            keys: QuarantineKeys { subject: HashKey::new([1; 32]), seal: seal_key() },
            lineage_epoch: 1,
            writer_epoch: 3,
            counter: 0,
            collected: collected.iter().map(|id| Box::from(*id)).collect(),
            traces: lienthong_telemetry::Traces::default(),
        });
        Self { schema, columns, encoder: encoder.unwrap(), place: None, named: ("41", None), looked_up: &[] }
    }

    /// One change, on the given instant.
    pub(crate) fn change(&mut self, at: &str, before: Option<Row<'_>>, after: Option<Row<'_>>) {
        self.given((self.named.0, false), at, before, after);
    }

    /// One change under an id, or one that only passes.
    pub(crate) fn given(
        &mut self,
        (id, passed): (&str, bool),
        at: &str,
        before: Option<Row<'_>>,
        after: Option<Row<'_>>,
    ) {
        let cells = |row: Row<'_>| -> Vec<Cell<'static>> {
            let value = |column: &String| row.iter().find(|(name, _)| name.replace('.', "_") == *column);
            let text = |(_, text): &(&str, &str)| Cell::Str(text.to_string().leak());
            self.columns.iter().map(|column| value(column).map_or(Cell::Null, text)).collect()
        };
        let (before, after) = (before.map(cells), after.map(cells));
        let op = match (&before, &after) {
            (None, _) => RowOp::Insert,
            (Some(_), Some(_)) => RowOp::Update,
            (Some(_), None) => RowOp::Delete,
        };
        let change = RowChange {
            table: 0,
            op,
            id,
            moved_from: self.named.1,
            time: date::parse_timestamp(at).unwrap(),
            place: self.place,
            before: before.as_deref(),
            after: after.as_deref(),
            broken: &[],
            looked_up: self.looked_up,
        };
        if passed { self.encoder.passed(&change) } else { self.encoder.row(&change) }
    }

    /// The transaction of the changes before has ended.
    pub(crate) fn end(&mut self) {
        self.encoder.transaction_end();
    }

    /// The same, with events that stand in the log already.
    pub(crate) fn collected(schema: &str, subjects: &[SubjectRule], ids: &[&str]) -> Self {
        Self::with(schema, &Checks::default(), subjects, ids)
    }

    /// What was encoded since the last call.
    pub(crate) fn sent(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        for part in self.encoder.take().0.into_iter().flat_map(|batch| batch.parts) {
            let mut at = 0;
            for _ in 0..part.count {
                let (record, next) = RecordRef::read(&part.body, at).unwrap();
                at = next;
                let header =
                    |name: &str| record.header(name).map(|value| String::from_utf8(value.to_vec()).unwrap());
                assert_eq!(header("ce_subject").unwrap().as_bytes(), record.key);
                sent.push(Sent {
                    id: header("ce_id").unwrap(),
                    operation: header("ce_operation").unwrap(),
                    subject: header("ce_subject").unwrap(),
                    partition: part.target.partition,
                    flags: header("ce_qualityflags"),
                    correlation: header("ce_correlationid"),
                    causation: header("ce_causationid"),
                    looked_up: header("lt_lookup"),
                    counter: header("ce_sequence").unwrap().rsplit('-').next().unwrap().parse().unwrap(),
                    sequence: header("ce_sequence").unwrap(),
                    transaction: ["id", "order", "count"]
                        .map(|what| header(&format!("ce_transaction{what}"))),
                    value: record.value.to_vec(),
                });
            }
        }
        sent
    }

    /// What was set aside since the last call.
    pub(crate) fn set_aside(&mut self) -> Vec<Quarantined> {
        std::mem::take(&mut self.encoder.quarantined)
    }

    /// A text of a sent event.
    pub(crate) fn text(&self, sent: &Sent, path: &str) -> Option<String> {
        let schema = self.schema.schema();
        let plan = DecodePlan::compile(schema, schema, &[path.into()]).unwrap();
        let (arena, mut cells) = (Bump::new(), Vec::new());
        plan.decode_exact(frame::read(&sent.value).unwrap().1, &arena, &mut cells).unwrap();
        match cells[0] {
            Cell::Null => None,
            Cell::Str(text) => Some(text.to_owned()),
            cell => panic!("{path} is a {}", cell.kind()),
        }
    }
}
