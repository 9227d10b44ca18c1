//! `tail`: decoded events of a family, by the reading rule. Values are redacted unless asked for, and then the reading is audited.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use bumpalo::Bump;
use lienthong_contract::event::header;
use lienthong_contract::sink::OffsetState;
use lienthong_log::{Log, LogBatch, RecordRef, TopicPartition};
use lienthong_schemas::{Cell, DecodePlan, FieldPath, RecordSchema, date, frame, nearest};
use serde_json::{Map, Value, json};

use super::Context;
use crate::args::Tail;
use crate::exit::{Code, Failure};
use crate::output;
use crate::status_record::now;

const COLUMNS: [&str; 8] =
    ["time", "topic", "offset", "operation", "event", "subject", "quality_flags", "values"];
const FETCH_BYTES: usize = 1 << 20;
const FOLLOW: Duration = Duration::from_millis(200);

pub(super) async fn run(context: &Context, options: &Tail) -> Result<(), Failure> {
    let catalogue = &context.site.catalogue;
    let Some(family) = catalogue.family(&options.family) else {
        let near = nearest(&options.family, catalogue.families().map(|family| family.name.as_str()));
        let hint = near.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        return Err(Failure::new(
            Code::Configuration,
            format!("there is no family {}{hint}", options.family),
        ));
    };
    let since = match options.from.as_deref() {
        Some(text) => Some(date::parse_timestamp(text).ok_or_else(|| {
            Failure::new(Code::Configuration, "--from takes an RFC 3339 time, such as 2026-09-01T00:00:00Z")
        })?),
        None => None,
    };
    let subject = subject(options)?;
    let log = context.log()?;
    if options.show_values {
        audit(log.as_ref(), &options.family, subject.is_some()).await?;
    }
    let keys = context.keys()?;
    let printer = Printer {
        output: context.output,
        show_values: options.show_values,
        subject,
        since,
        hash: keys.subject.derive("tail"),
        log: Arc::clone(&log),
        plans: HashMap::new(),
        left: options.limit.unwrap_or(u64::MAX),
    };
    let partitions: Vec<TopicPartition> = family
        .topics()
        .flat_map(|(topic, spec)| {
            let topic: Arc<str> = topic.into();
            (0..i32::try_from(spec.partitions).unwrap_or(i32::MAX))
                .map(move |partition| TopicPartition { topic: Arc::clone(&topic), partition })
        })
        .collect();
    follow(context, options, partitions, printer).await
}

async fn follow(
    context: &Context,
    options: &Tail,
    partitions: Vec<TopicPartition>,
    mut printer: Printer,
) -> Result<(), Failure> {
    let mut states: Vec<_> =
        partitions.into_iter().map(|partition| (partition, OffsetState::START)).collect();
    loop {
        let mut moved = false;
        for (partition, state) in &mut states {
            let batch = printer.log.read(partition, *state, FETCH_BYTES).await?;
            moved |= batch.next_offset > state.next_offset;
            *state = lienthong_log::marks::state_after(state, &batch);
            printer.print(&batch).await?;
            if printer.left == 0 {
                return Ok(());
            }
            if context.shutdown.is_cancelled() {
                return Err(Failure::interrupted());
            }
        }
        if moved {
            continue;
        }
        if !options.follow {
            return Ok(());
        }
        tokio::select! {
            () = tokio::time::sleep(FOLLOW) => {}
            () = context.shutdown.cancelled() => return Err(Failure::interrupted()),
        }
    }
}

/// The subject never stands on the command line, where others could see it.
fn subject(options: &Tail) -> Result<Option<String>, Failure> {
    match options.subject.as_deref() {
        None => Ok(None),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            Ok(Some(text.trim().to_owned()))
        }
        Some(_) => Err(Failure::new(
            Code::Configuration,
            "--subject takes only -: the subject is read from standard input",
        )),
    }
}

async fn audit(log: &dyn Log, family: &str, one_subject: bool) -> Result<(), Failure> {
    let entry = json!({
        "action": "tail --show-values",
        "family": family,
        "one_subject": one_subject,
        "user": std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned()),
        "at": now(),
    });
    log.publish("lt.audit", b"tail", &[], entry.to_string().as_bytes()).await?;
    Ok(())
}

struct Printer {
    output: output::Output,
    show_values: bool,
    subject: Option<String>,
    since: Option<i64>,
    hash: lienthong_contract::keys::HashKey,
    log: Arc<dyn Log>,
    plans: HashMap<u32, Arc<Decoder>>,
    left: u64,
}

struct Decoder {
    paths: Vec<FieldPath>,
    plan: DecodePlan,
}

impl Printer {
    async fn print(&mut self, batch: &LogBatch) -> Result<(), Failure> {
        for entry in &batch.entries {
            let record = batch.record(entry).map_err(anyhow::Error::new)?;
            let other = self.subject.as_deref().is_some_and(|subject| subject.as_bytes() != record.key);
            if self.left == 0 || other || self.since.is_some_and(|since| record.time < since) {
                continue;
            }
            self.left -= 1;
            let values = self.values(&record).await?;
            let text = |name: &str| record.header(name).map(String::from_utf8_lossy);
            let subject = if self.show_values {
                String::from_utf8_lossy(record.key).into_owned()
            } else {
                self.hash.hash(&[record.key]).hex()
            };
            let place = format!("{}/{}", batch.source.topic, batch.source.partition);
            let row = [
                json!(text(header::TIME)),
                json!(place),
                json!(entry.offset),
                json!(text(header::OPERATION)),
                json!(text(header::TYPE)),
                json!(subject),
                json!(text(header::QUALITY_FLAGS)),
                values,
            ];
            output::line(self.output, &COLUMNS, &row);
        }
        Ok(())
    }

    async fn values(&mut self, record: &RecordRef<'_>) -> Result<Value, Failure> {
        let (id, datum) = frame::read(record.value).map_err(anyhow::Error::new)?;
        let decoder = self.decoder(id).await?;
        let (arena, mut cells) = (Bump::new(), Vec::new());
        decoder.plan.decode(datum, &arena, &mut cells).map_err(anyhow::Error::new)?;
        let values: Map<String, Value> = decoder
            .paths
            .iter()
            .zip(&cells)
            .map(|(path, cell)| (path.as_str().to_owned(), self.value(cell)))
            .collect();
        Ok(values.into())
    }

    async fn decoder(&mut self, id: u32) -> Result<Arc<Decoder>, Failure> {
        if let Some(known) = self.plans.get(&id) {
            return Ok(Arc::clone(known));
        }
        let schema = RecordSchema::parse(&self.log.schema(id).await?).map_err(anyhow::Error::new)?;
        let paths: Vec<FieldPath> = schema.leaf_paths().map(|field| field.path.clone()).collect();
        let plan =
            DecodePlan::compile(schema.schema(), schema.schema(), &paths).map_err(anyhow::Error::new)?;
        let decoder = Arc::new(Decoder { paths, plan });
        self.plans.insert(id, Arc::clone(&decoder));
        Ok(decoder)
    }

    fn value(&self, cell: &Cell<'_>) -> Value {
        if !self.show_values {
            return if cell.is_null() { Value::Null } else { json!(format!("{cell:?}")) };
        }
        let written = |write: &dyn Fn(&mut String)| {
            let mut text = String::new();
            write(&mut text);
            json!(text)
        };
        match cell {
            Cell::Null => Value::Null,
            Cell::Bool(value) => json!(value),
            Cell::I64(value) => json!(value),
            Cell::F64(value) => json!(value),
            Cell::Str(text) => json!(text),
            Cell::Date(days) => written(&|out| date::format_date(*days, out)),
            Cell::Timestamp(micros) => written(&|out| date::format_timestamp(*micros, out)),
            Cell::Time(micros) => json!(micros),
            Cell::List(items) => items.iter().map(|item| self.value(item)).collect(),
            Cell::Bytes(_) | Cell::Decimal(_) | Cell::Uuid(_) => json!(format!("{cell:?}")),
        }
    }
}
