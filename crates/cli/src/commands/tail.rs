//! `tail`: decoded events of a family, by the reading rule. Values are redacted unless asked for, and then the reading is audited.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use bumpalo::Bump;
use lienthong_contract::event::header;
use lienthong_contract::sink::OffsetState;
use lienthong_log::{Log, LogBatch, RecordRef, TopicPartition};
use lienthong_schemas::{Cell, DecodePlan, FieldPath, RecordSchema, date, frame, nearest, shown_reason};
use serde_json::{Map, Value, json};

use super::{Context, audit};
use crate::args::Tail;
use crate::exit::{Code, Failure};
use crate::output;

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
            format!("there is no family {}{hint}", lienthong_schemas::shown(&options.family)),
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
    let mut states = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let state = beginning(printer.log.as_ref(), &partition, printer.since).await?;
        states.push((partition, state));
    }
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

/// Where to begin: at the time that was asked for, or as early as the log allows. A time lies in the middle of a writer's records:
/// reading begins at a place before it that a checkpoint vouches for, and what is older is passed over.
async fn beginning(
    log: &dyn Log,
    source: &TopicPartition,
    since: Option<i64>,
) -> Result<OffsetState, Failure> {
    let marks = log.watermarks(source).await?;
    let wanted = match since {
        None => 0,
        Some(time) => log.offset_at(source, time).await?.unwrap_or(marks.high),
    };
    let state = log.start_at(source, wanted).await?;
    // Whether what is gone was later than the time that was asked for, nobody knows.
    if state.next_offset > wanted || (marks.low > 0 && wanted <= marks.low) {
        let TopicPartition { topic, partition } = source;
        tracing::warn!(%topic, partition, offset = state.next_offset, "begins here: what stood before is gone or cannot be judged");
    }
    Ok(state)
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
    let what = json!({"family": family, "one_subject": one_subject});
    audit::write(log, "tail --show-values", what).await
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
        let value = if self.show_values { shown } else { redacted };
        let values: Map<String, Value> = decoder
            .paths
            .iter()
            .zip(&cells)
            .map(|(path, cell)| (path.as_str().to_owned(), value(cell)))
            .collect();
        Ok(values.into())
    }

    async fn decoder(&mut self, id: u32) -> Result<Arc<Decoder>, Failure> {
        if let Some(known) = self.plans.get(&id) {
            return Ok(Arc::clone(known));
        }
        let unfit = |error: &dyn std::fmt::Display| {
            let why = shown_reason(&error.to_string());
            let fix = "see who else writes to the registry";
            Failure::new(Code::Halted, format!("schema {id} is no contract of the bus: {why}; fix: {fix}"))
        };
        let schema = RecordSchema::parse(&self.log.schema(id).await?).map_err(|error| unfit(&error))?;
        let paths: Vec<FieldPath> = schema.leaf_paths().map(|field| field.path.clone()).collect();
        let plan = DecodePlan::compile(schema.schema(), schema.schema(), &paths);
        let plan = plan.map_err(|error| unfit(&error))?;
        let decoder = Arc::new(Decoder { paths, plan });
        self.plans.insert(id, Arc::clone(&decoder));
        Ok(decoder)
    }
}

/// A value as JSON has it, else as a text column would: decimals with all digits, bytes in hexadecimal.
fn shown(cell: &Cell<'_>) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Bool(value) => json!(value),
        Cell::I64(value) => json!(value),
        Cell::F64(value) => json!(value),
        Cell::List(items) => items.iter().map(shown).collect(),
        Cell::Str(_)
        | Cell::Bytes(_)
        | Cell::Decimal(_)
        | Cell::Uuid(_)
        | Cell::Date(_)
        | Cell::Time(_)
        | Cell::Timestamp(_) => json!(lienthong_connectors::render(cell)),
    }
}

/// What may be told of a value that is not shown.
fn redacted(cell: &Cell<'_>) -> Value {
    if cell.is_null() { Value::Null } else { json!(format!("{cell:?}")) }
}

#[cfg(test)]
mod tests {
    use lienthong_schemas::Decimal;

    use super::*;

    #[test]
    fn every_kind_of_value_is_shown_when_asked_for_and_only_then() {
        let list = [Cell::Str("x"), Cell::Null, Cell::Bytes(&[0, 255])];
        let cases = [
            (Cell::Null, json!(null)),
            (Cell::Bool(true), json!(true)),
            (Cell::I64(-42), json!(-42)),
            (Cell::F64(1.5), json!(1.5)),
            (Cell::Decimal(Decimal { unscaled: &[0xcf, 0xc7], scale: 3 }), json!("-12.345")),
            (Cell::Str("Xã 1"), json!("Xã 1")),
            (Cell::Bytes(&[0, 255, 16]), json!("00ff10")),
            (Cell::Date(9_196), json!("1995-03-07")),
            (Cell::Time(86_399_000_001), json!("23:59:59.000001")),
            (Cell::Timestamp(0), json!("1970-01-01T00:00:00.000000Z")),
            (Cell::Uuid([0x14; 16]), json!("14141414-1414-1414-1414-141414141414")),
            (Cell::List(&list), json!(["x", null, "00ff"])),
        ];
        for (cell, expected) in cases {
            assert_eq!(shown(&cell), expected, "{}", cell.kind());
            if !cell.is_null() {
                assert_ne!(redacted(&cell), expected, "{}", cell.kind());
            }
        }
    }
}
