//! PostgreSQL 14 or later: sources by outbox and by log, and the sink.

mod asked;
mod captured;
mod catalogue;
mod clock;
mod column_mode;
mod decode;
mod error;
mod fitted;
mod joins;
mod keyed;
mod ledger;
mod ledger_mode;
mod look;
mod offsets;
mod outbox_check;
mod outbox_ddl;
mod outbox_removal;
mod poll;
mod position;
mod receipts;
mod session;
mod sink;
mod sink_check;
mod sink_ddl;
mod source;
mod source_admin;
mod staging;
mod statements;
mod stream;
mod wal;

#[cfg(test)]
mod sink_tests;

pub(crate) use sink::PostgresSink;
pub(crate) use sink_ddl::PostgresSinkAdmin;
pub(crate) use source::PostgresSource;
pub(crate) use source_admin::PostgresSourceAdmin;
pub(crate) use stream::is_set_aside;
pub(crate) use stream::{LogSource, LogSourceAdmin};
pub(crate) use wal::is_message as is_stream_message;

/// Whether a text is a position of this kind, in the outbox or the log of `lineage`.
pub(crate) fn is_position(position: &lienthong_contract::position::Position, lineage: &str) -> bool {
    position::OutboxPosition::parse(position, lineage).is_ok() || stream::is_position(position, lineage)
}
