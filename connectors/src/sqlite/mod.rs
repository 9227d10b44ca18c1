//! One SQLite file: outbox source and sink.

mod catalogue;
mod error;
mod file;
mod joins;
mod load;
mod outbox_removal;
mod poll;
mod position;
mod prepare;
mod reader;
mod sink;
mod sink_admin;
mod sink_check;
mod source;
mod source_admin;
mod statements;
mod triggers;
mod value;
mod writes;

#[cfg(test)]
mod sink_tests;
#[cfg(test)]
mod source_safety_tests;
#[cfg(test)]
mod source_tests;

pub(crate) use sink::SqliteSink;
pub(crate) use sink_admin::SqliteSinkAdmin;
pub(crate) use source::SqliteSource;
pub(crate) use source_admin::SqliteSourceAdmin;

/// Whether a text is a position of this kind, in the outbox of `lineage`.
pub(crate) fn is_position(position: &lienthong_contract::position::Position, lineage: &str) -> bool {
    position::OutboxPosition::parse(position, lineage).is_ok()
}
