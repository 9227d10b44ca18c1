//! The values of one row in a message.

use super::cursor::{Cursor, Fault, Malformed};

/// One value as it stands in the message. Its `Debug` would show personal data, so it has none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// Null.
    Null,
    /// Stored out of line and not changed, so that the server has not read it; only in an update's new row.
    Unchanged,
    /// In the form of the type's output function.
    Text(&'a [u8]),
    /// In the form of the type's send function.
    Binary(&'a [u8]),
}

/// The values of one row, in the order of the relation's columns. Its `Debug` would show personal data, so it has none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tuple<'a> {
    count: usize,
    /// As many values as counted, each of them complete: [`Tuple::read`] has seen to it.
    values: &'a [u8],
}

impl<'a> Tuple<'a> {
    /// Checks every value and keeps them where they are.
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let count = cursor.count16(1)?;
        let start = *cursor;
        for _ in 0..count {
            value(cursor)?;
        }
        Ok(Self { count, values: cursor.since(&start) })
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// All values in order.
    pub(crate) fn values(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.values);
        (0..self.count).map_while(move |_| value(&mut cursor).ok())
    }
}

fn value<'a>(cursor: &mut Cursor<'a>) -> Result<Value<'a>, Malformed> {
    let start = *cursor;
    Ok(match cursor.byte()? {
        b'n' => Value::Null,
        b'u' => Value::Unchanged,
        b't' => Value::Text(sized(cursor)?),
        b'b' => Value::Binary(sized(cursor)?),
        _ => return Err(start.fault(Fault::Tag)),
    })
}

fn sized<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Malformed> {
    let length = cursor.count32(1)?;
    cursor.take(length)
}
