//! Column types of a target, per kind.

use lienthong_contract::target::CellKind;

use crate::kind::{Postgres, Sqlite};

/// What a subscriber declares and how a test reads it back.
pub(crate) trait TargetTypes {
    /// Whether a statement can change a column's type.
    const ALTERS_TYPES: bool;

    /// The column type that holds a cell kind without loss.
    fn column_type(kind: CellKind) -> &'static str;

    /// A column type that cannot hold it; `None` where every type can.
    fn wrong_type(kind: CellKind) -> Option<&'static str>;

    /// SQL for a bytes column as lower-case hexadecimal text.
    fn hex(column: &str) -> String;

    /// SQL for any column as the text of the suite.
    fn text(column: &str, kind: CellKind) -> String;

    /// Statements for a trigger that refuses a value of a column; its message quotes the value where the kind can do that.
    fn raising_trigger(table: &str, column: &str, value: &str) -> Vec<String>;
}

impl TargetTypes for Postgres {
    const ALTERS_TYPES: bool = true;

    fn column_type(kind: CellKind) -> &'static str {
        match kind {
            CellKind::Bool => "boolean",
            CellKind::Integer => "bigint",
            CellKind::Float => "double precision",
            CellKind::Decimal => "numeric",
            CellKind::Text => "text",
            CellKind::Bytes => "bytea",
            CellKind::Date => "date",
            CellKind::Time => "time",
            CellKind::Timestamp => "timestamptz",
            CellKind::Uuid => "uuid",
            CellKind::TextList => "text[]",
        }
    }

    fn wrong_type(kind: CellKind) -> Option<&'static str> {
        Some(match kind {
            CellKind::Bytes => "date",
            _ => "bytea",
        })
    }

    fn hex(column: &str) -> String {
        format!("encode({column}, 'hex')")
    }

    fn text(column: &str, kind: CellKind) -> String {
        match kind {
            CellKind::Bytes => Self::hex(column),
            CellKind::Timestamp => {
                format!("to_char({column} at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
            }
            CellKind::Time => format!("to_char({column}, 'HH24:MI:SS.US')"),
            CellKind::TextList => format!("to_json({column})::text"),
            _ => format!("{column}::text"),
        }
    }

    fn raising_trigger(table: &str, column: &str, value: &str) -> Vec<String> {
        vec![
            format!(
                "create function refuse() returns trigger language plpgsql as $$ begin if new.{column} = '{value}' then \
                 raise exception 'no %', new.{column} using detail = new.{column}, hint = new.{column}; end if; return new; end $$"
            ),
            format!(
                "create trigger refuse before insert or update on {table} for each row execute function refuse()"
            ),
        ]
    }
}

impl TargetTypes for Sqlite {
    const ALTERS_TYPES: bool = false;

    fn column_type(kind: CellKind) -> &'static str {
        match kind {
            CellKind::Bool | CellKind::Integer => "integer",
            CellKind::Float => "real",
            CellKind::Bytes => "blob",
            CellKind::Decimal
            | CellKind::Text
            | CellKind::Date
            | CellKind::Time
            | CellKind::Timestamp
            | CellKind::Uuid
            | CellKind::TextList => "text",
        }
    }

    fn wrong_type(kind: CellKind) -> Option<&'static str> {
        Some(match kind {
            CellKind::Integer | CellKind::Bool | CellKind::Bytes | CellKind::Float => "text",
            _ => "integer",
        })
    }

    fn hex(column: &str) -> String {
        format!("lower(hex({column}))")
    }

    fn text(column: &str, kind: CellKind) -> String {
        match kind {
            CellKind::Bytes => format!("case when {column} is not null then {} end", Self::hex(column)),
            CellKind::Bool => format!("case {column} when 1 then 'true' when 0 then 'false' end"),
            _ => format!("cast({column} as text)"),
        }
    }

    fn raising_trigger(table: &str, column: &str, value: &str) -> Vec<String> {
        let refuse = format!("begin select raise(abort, 'no {value}'); end");
        vec![format!("create trigger refuse before insert on {table} when new.{column} = '{value}' {refuse}")]
    }
}
