//! Capture from the write-ahead log: a publication says which tables, a replication slot keeps the log until it is let go.

mod admin;
mod asked;
mod attached;
mod change;
mod check;
mod connection;
mod first;
mod kept;
mod load;
mod looked;
mod partitions;
mod position;
mod proof;
mod published;
mod removal;
mod retained;
mod session;
mod setup;
mod silence;
mod source;
mod tables;
mod timelines;
mod visible;

#[cfg(test)]
mod tests;

pub(crate) use admin::LogSourceAdmin;
pub(crate) use source::LogSource;

/// Whether bytes are a change that was set aside.
pub(crate) fn is_set_aside(bytes: &[u8]) -> bool {
    kept::read(bytes).is_some()
}

/// Whether a text is a position of this kind in `log`.
pub(super) fn is_position(position: &lienthong_contract::position::Position, log: &str) -> bool {
    position::LogPosition::parse(position, log).is_ok()
}
