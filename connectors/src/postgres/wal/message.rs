//! Messages of `pgoutput`, protocol version 1, without a copy.
//!
//! <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>

use super::cursor::{Cursor, Fault, Malformed};
use super::tuple::Tuple;

/// From 1970, where the bus counts from, to 2000, where PostgreSQL does.
pub(crate) const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A place in the write-ahead log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lsn(pub(crate) u64);

/// One message. A row's `Debug` would show personal data, so there is none.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// A committed transaction begins.
    Begin {
        /// Where its commit stands.
        commit: Lsn,
        /// Commit time, microseconds since 1970 UTC.
        time: i64,
        /// Transaction id without its epoch.
        xid: u32,
    },
    /// A transaction ends.
    Commit {
        /// None is in use.
        flags: u8,
        /// Where the commit stands.
        commit: Lsn,
        /// Where the next transaction can begin: what is confirmed to the server once this one is safe.
        end: Lsn,
        /// Commit time, microseconds since 1970 UTC.
        time: i64,
    },
    /// The transaction was replicated from elsewhere.
    Origin {
        /// Its commit there.
        commit: Lsn,
        /// The origin's name.
        name: &'a str,
    },
    /// What the rows that follow look like; comes before a table's first row and after each change of it.
    Relation(Relation<'a>),
    /// A type that is not built in, by the name of what is behind a domain.
    Type {
        /// As in [`Column::type_oid`].
        oid: u32,
        /// Empty for `pg_catalog`.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// A new row.
    Insert {
        /// The table.
        relation: u32,
        /// All of the row.
        new: Tuple<'a>,
    },
    /// A changed row.
    Update {
        /// The table.
        relation: u32,
        /// With full replica identity the whole row, with another one only when the identity changed.
        old: Option<Old<'a>>,
        /// The row as it is now.
        new: Tuple<'a>,
    },
    /// A row that is gone.
    Delete {
        /// The table.
        relation: u32,
        /// What is known of it.
        old: Old<'a>,
    },
    /// Emptied tables.
    Truncate {
        /// With all that refers to them.
        cascade: bool,
        /// Sequences begin anew.
        restart_identity: bool,
        /// The tables.
        relations: Vec<u32>,
    },
    /// What `pg_logical_emit_message` was given.
    Emitted {
        /// Part of a transaction, or by itself.
        transactional: bool,
        /// Where it stands.
        lsn: Lsn,
        /// Who it is for.
        prefix: &'a str,
        /// The rest.
        content: &'a [u8],
    },
}

/// A row as it was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Old<'a> {
    /// Only the columns of the replica identity have their values; the others are null in the message, whatever they were.
    Key(Tuple<'a>),
    /// All of it.
    Full(Tuple<'a>),
}

/// Which columns of an old row a message holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Those of the primary key; none when there is no such key.
    Default,
    /// None: the server refuses updates and deletes.
    Nothing,
    /// All.
    Full,
    /// Those of a chosen unique index.
    Index,
}

/// A table as the server describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relation<'a> {
    /// The table's oid.
    pub(crate) oid: u32,
    /// Empty for `pg_catalog`.
    pub(crate) namespace: &'a str,
    /// Its name.
    pub(crate) name: &'a str,
    /// What old rows hold.
    pub(crate) identity: Identity,
    /// The published columns in the order of the tuples.
    pub(crate) columns: Vec<Column<'a>>,
}

/// A column of a [`Relation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column<'a> {
    /// Whether it is part of the replica identity.
    pub(crate) identity: bool,
    /// Its name.
    pub(crate) name: &'a str,
    /// Its type, which may be a domain.
    pub(crate) type_oid: u32,
    /// The type's modifier, -1 for none.
    pub(crate) modifier: i32,
}

/// Flags, an empty name with its end, two numbers.
const LEAST_COLUMN: usize = 10;

impl<'a> Message<'a> {
    /// Reads all of `bytes` as one message.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes);
        let message = body(&mut cursor)?;
        cursor.end()?;
        Ok(message)
    }
}

fn body<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, Malformed> {
    let start = *cursor;
    Ok(match cursor.byte()? {
        b'B' => Message::Begin { commit: lsn(cursor)?, time: time(cursor)?, xid: cursor.u32()? },
        b'C' => Message::Commit {
            flags: cursor.byte()?,
            commit: lsn(cursor)?,
            end: lsn(cursor)?,
            time: time(cursor)?,
        },
        b'O' => Message::Origin { commit: lsn(cursor)?, name: cursor.name()? },
        b'R' => Message::Relation(relation(cursor)?),
        b'Y' => Message::Type { oid: cursor.u32()?, namespace: cursor.name()?, name: cursor.name()? },
        b'I' => Message::Insert { relation: cursor.u32()?, new: new_row(cursor)? },
        b'U' => Message::Update {
            relation: cursor.u32()?,
            old: if cursor.rest().first() == Some(&b'N') { None } else { Some(old_row(cursor)?) },
            new: new_row(cursor)?,
        },
        b'D' => Message::Delete { relation: cursor.u32()?, old: old_row(cursor)? },
        b'T' => truncate(cursor)?,
        b'M' => emitted(cursor)?,
        _ => return Err(start.fault(Fault::Tag)),
    })
}

fn lsn(cursor: &mut Cursor<'_>) -> Result<Lsn, Malformed> {
    cursor.u64().map(Lsn)
}

fn time(cursor: &mut Cursor<'_>) -> Result<i64, Malformed> {
    let start = *cursor;
    cursor.i64()?.checked_add(EPOCH_MICROS).ok_or(start.fault(Fault::Time))
}

fn new_row<'a>(cursor: &mut Cursor<'a>) -> Result<Tuple<'a>, Malformed> {
    let start = *cursor;
    match cursor.byte()? {
        b'N' => Tuple::read(cursor),
        _ => Err(start.fault(Fault::Tag)),
    }
}

fn old_row<'a>(cursor: &mut Cursor<'a>) -> Result<Old<'a>, Malformed> {
    let start = *cursor;
    match cursor.byte()? {
        b'K' => Tuple::read(cursor).map(Old::Key),
        b'O' => Tuple::read(cursor).map(Old::Full),
        _ => Err(start.fault(Fault::Tag)),
    }
}

fn relation<'a>(cursor: &mut Cursor<'a>) -> Result<Relation<'a>, Malformed> {
    let (oid, namespace, name) = (cursor.u32()?, cursor.name()?, cursor.name()?);
    let identity = identity(cursor)?;
    let count = cursor.count16(LEAST_COLUMN)?;
    let mut columns = Vec::with_capacity(count);
    for _ in 0..count {
        columns.push(Column {
            identity: cursor.byte()? & 1 == 1,
            name: cursor.name()?,
            type_oid: cursor.u32()?,
            modifier: cursor.i32()?,
        });
    }
    Ok(Relation { oid, namespace, name, identity, columns })
}

fn identity(cursor: &mut Cursor<'_>) -> Result<Identity, Malformed> {
    let start = *cursor;
    Ok(match cursor.byte()? {
        b'd' => Identity::Default,
        b'n' => Identity::Nothing,
        b'f' => Identity::Full,
        b'i' => Identity::Index,
        _ => return Err(start.fault(Fault::Tag)),
    })
}

fn truncate<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, Malformed> {
    let count = cursor.count32(4)?;
    let options = cursor.byte()?;
    // The options stand between the count and what it counts.
    if cursor.rest().len() / 4 < count {
        return Err(cursor.fault(Fault::Short));
    }
    let mut relations = Vec::with_capacity(count);
    for _ in 0..count {
        relations.push(cursor.u32()?);
    }
    Ok(Message::Truncate { cascade: options & 1 != 0, restart_identity: options & 2 != 0, relations })
}

fn emitted<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, Malformed> {
    let (flags, lsn, prefix) = (cursor.byte()?, lsn(cursor)?, cursor.name()?);
    let length = cursor.count32(1)?;
    Ok(Message::Emitted { transactional: flags & 1 == 1, lsn, prefix, content: cursor.take(length)? })
}
