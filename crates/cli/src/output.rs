//! Tables and sentences for people, JSON for programs. Whatever a command says on standard output goes through here, so that every
//! line of `--output json` is JSON: one array for a table, one object per line for a stream and for what has been done.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use comfy_table::{Cell, ContentArrangement, Table, presets};
use lienthong_contract::retained::Size;
use lienthong_schemas::Problem;
use serde_json::{Map, Value, json};

use crate::exit::Failure;

/// `--output`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Readable.
    Table,
    /// JSON, one object per line for streams.
    Json,
}

/// `--color`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    fn wanted(self) -> bool {
        match self {
            Self::Auto => std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    color: bool,
}

impl Output {
    pub(crate) fn new(format: Format, color: Color) -> Self {
        Self { format, color: color.wanted() }
    }

    /// `--output`.
    pub(crate) fn format(self) -> Format {
        self.format
    }

    /// Whether a program reads.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }
}

/// Prints rows: a table, or one JSON array of objects.
pub(crate) fn rows(output: Output, columns: &[&str], rows: &[Vec<Value>]) {
    match output.format {
        Format::Table => println!("{}", table(output, columns, rows)),
        Format::Json => {
            let objects: Vec<Value> = rows.iter().map(|row| object(columns, row)).collect();
            println!("{}", Value::from(objects));
        }
    }
}

/// A table for people.
pub(crate) fn table(output: Output, columns: &[&str], rows: &[Vec<Value>]) -> Table {
    let mut table = Table::new();
    if output.color {
        table.enforce_styling();
    }
    table.load_style(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(columns.iter().map(|column| heading(column)));
    for row in rows {
        table.add_row(columns.iter().zip(row).map(|(column, value)| styled(column, value, output.color)));
    }
    table
}

/// Prints rows again and again: a table each time, or a stream of objects.
pub(crate) fn again(output: Output, columns: &[&str], rows: &[Vec<Value>]) {
    match output.format {
        Format::Table => self::rows(output, columns, rows),
        Format::Json => rows.iter().for_each(|row| line(output, columns, row)),
    }
}

/// Prints what has been done or made: a sentence or text, or one object.
pub(crate) fn done(output: Output, text: &str, object: &Value) {
    match output.format {
        Format::Table => println!("{text}"),
        Format::Json => println!("{object}"),
    }
}

/// Tells mistakes in files: lines on standard error when the command fails, or an array of objects.
pub(crate) fn mistakes<'a>(output: Output, problems: impl IntoIterator<Item = &'a Problem>) -> Failure {
    let problems = problems.into_iter();
    match output.format {
        Format::Table => Failure::problems(problems.map(ToString::to_string).collect()),
        Format::Json => {
            let row = |Problem { file, line, column, message, fix }: &Problem| {
                vec![json!(file), json!(line), json!(column), json!(message), json!(fix)]
            };
            let found: Vec<_> = problems.map(row).collect();
            rows(output, &["file", "line", "column", "mistake", "fix"], &found);
            Failure::problems(Vec::new())
        }
    }
}

/// Prints one object of a stream.
pub(crate) fn line(output: Output, columns: &[&str], row: &[Value]) {
    match output.format {
        Format::Table => println!("{}", row.iter().map(cell).collect::<Vec<_>>().join("  ")),
        Format::Json => println!("{}", object(columns, row)),
    }
}

pub(crate) fn object(columns: &[&str], row: &[Value]) -> Value {
    columns.iter().map(|column| (*column).to_owned()).zip(row.iter().cloned()).collect::<Map<_, _>>().into()
}

/// States stand out: green is well, yellow waits, red needs somebody.
fn styled(column: &str, value: &Value, color: bool) -> Cell {
    let cell = Cell::new(measure(column, value).unwrap_or_else(|| cell(value)));
    let state = match value.as_str() {
        Some("live") => Some(comfy_table::Color::Green),
        Some("making" | "starting" | "catching-up" | "waiting") => Some(comfy_table::Color::Yellow),
        Some("halted" | "unreachable") => Some(comfy_table::Color::Red),
        _ => None,
    };
    match state {
        Some(state) if color => cell.fg(state),
        _ => cell,
    }
}

/// How long ago something was: a number for programs, with its unit in the name.
const AGE: &str = "_age_seconds";
/// How long something takes.
const LENGTH: &str = "_seconds";

/// How much something takes up, and how fast that grows.
const SIZE: &str = "_bytes";
const RATE: &str = "_bytes_per_second";

/// Names for programs without what people are told beside each value.
fn heading(column: &str) -> String {
    let unit = [AGE, LENGTH, RATE, SIZE].into_iter().find_map(|unit| column.strip_suffix(unit));
    unit.unwrap_or(column).replace('_', " ")
}

/// A time or size with its unit, as people read it.
fn measure(column: &str, value: &Value) -> Option<String> {
    if column.ends_with(SIZE) {
        return value.as_u64().map(|bytes| Size(bytes).to_string());
    }
    if column.ends_with(RATE) {
        let sign = if value.as_i64()? < 0 { "-" } else { "" };
        return value.as_i64().map(|bytes| format!("{sign}{}/s", Size(bytes.unsigned_abs())));
    }
    if column.starts_with("days_") {
        return value.as_f64().map(|days| format!("{days:.1}"));
    }
    let seconds = value.as_f64().filter(|_| column.ends_with(LENGTH))?;
    Some(if column.ends_with(AGE) {
        format!("{seconds:.1} s ago")
    } else {
        format!("{:.0} ms", seconds * 1e3)
    })
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_to_programs_and_has_its_unit_for_people() {
        let columns = ["log_bytes", "log_growth_bytes_per_second", "days_to_loss"];
        let row = [json!(3 << 29), json!(-2048), json!(12.3456)];
        let shown = table(Output::new(Format::Table, Color::Never), &columns, &[row.to_vec()]).to_string();
        for part in ["log ", "1.5 GiB", "log growth ", "-2 KiB/s", "days to loss", "12.3 "] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(!shown.contains("bytes"), "{shown}");
    }

    #[test]
    fn a_time_is_a_number_to_programs_and_has_its_unit_for_people() {
        let columns = ["name", "last_event_age_seconds", "lag_p50_seconds"];
        let row = [json!("a"), json!(1.25), json!(0.012)];
        let object = object(&columns, &row);
        assert_eq!(
            (&object["last_event_age_seconds"], &object["lag_p50_seconds"]),
            (&json!(1.25), &json!(0.012))
        );
        let shown = table(Output::new(Format::Table, Color::Never), &columns, &[row.to_vec()]).to_string();
        assert!(
            shown.contains("last event ") && shown.contains("1.2 s ago") && shown.contains("12 ms"),
            "{shown}"
        );
        assert!(!shown.contains("seconds"), "{shown}");
        let unknown = [json!("a"), Value::Null, Value::Null];
        assert!(
            table(Output::new(Format::Table, Color::Never), &columns, &[unknown.to_vec()])
                .to_string()
                .contains('-')
        );
    }
}
