//! Tables for people, JSON for programs.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use comfy_table::{Cell, ContentArrangement, Table, presets};
use serde_json::{Map, Value};

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
}

/// Prints rows: a table, or one JSON array of objects.
pub(crate) fn rows(output: Output, columns: &[&str], rows: &[Vec<Value>]) {
    match output.format {
        Format::Table => {
            let mut table = Table::new();
            if output.color {
                table.enforce_styling();
            }
            table
                .load_style(presets::UTF8_HORIZONTAL_ONLY)
                .set_content_arrangement(ContentArrangement::Dynamic);
            table.set_header(columns.iter().map(|column| column.replace('_', " ")));
            for row in rows {
                table.add_row(row.iter().map(|value| styled(value, output.color)));
            }
            println!("{table}");
        }
        Format::Json => {
            let objects: Vec<Value> = rows.iter().map(|row| object(columns, row)).collect();
            println!("{}", Value::from(objects));
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

fn object(columns: &[&str], row: &[Value]) -> Value {
    columns.iter().map(|column| (*column).to_owned()).zip(row.iter().cloned()).collect::<Map<_, _>>().into()
}

/// States stand out: green is well, yellow waits, red needs somebody.
fn styled(value: &Value, color: bool) -> Cell {
    let cell = Cell::new(cell(value));
    let state = match value.as_str() {
        Some("live") => Some(comfy_table::Color::Green),
        Some("starting" | "catching-up" | "waiting") => Some(comfy_table::Color::Yellow),
        Some("halted" | "unreachable") => Some(comfy_table::Color::Red),
        _ => None,
    };
    match state {
        Some(state) if color => cell.fg(state),
        _ => cell,
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
