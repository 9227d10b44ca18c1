//! Bytes that are read from front to back, with the place of what is wrong.

use std::fmt;

/// What is wrong with a message, and at which byte. Never holds what stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// Bytes before the part that is wrong.
    pub(crate) at: usize,
    /// What is wrong.
    pub(crate) fault: Fault,
}

/// The ways in which a message can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It ends in the middle of a field.
    Short,
    /// It goes on behind its last field.
    Trailing,
    /// A message, a tuple or a value is of no known kind.
    Tag,
    /// A length or a count is negative.
    Negative,
    /// A name has no end.
    Endless,
    /// A name is not UTF-8.
    NotUtf8,
    /// A time is beyond what can be counted.
    Time,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fault = match self.fault {
            Fault::Short => "the message is too short",
            Fault::Trailing => "the message is too long",
            Fault::Tag => "an unknown kind",
            Fault::Negative => "a negative length",
            Fault::Endless => "a name without end",
            Fault::NotUtf8 => "a name that is not UTF-8",
            Fault::Time => "a time out of range",
        };
        write!(f, "{fault} at byte {}", self.at)
    }
}

impl std::error::Error for Malformed {}

/// Reads big endian numbers, names and lengths.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the first byte.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// What was read since `from`, which was here before.
    pub(super) fn since(&self, from: &Self) -> &'a [u8] {
        self.bytes.get(from.at..self.at).unwrap_or_default()
    }

    /// An error at the byte that is read next.
    pub(super) fn fault(&self, fault: Fault) -> Malformed {
        Malformed { at: self.at, fault }
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let taken = self.rest().get(..count).ok_or(self.fault(Fault::Short))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let start = *self;
        self.take(N)?.try_into().map_err(|_| start.fault(Fault::Short))
    }

    /// One byte.
    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Two bytes, signed.
    pub(super) fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    /// Four bytes, signed.
    pub(super) fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    /// Four bytes, unsigned.
    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// Eight bytes, signed.
    pub(super) fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    /// Eight bytes, unsigned.
    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }

    /// A count in two bytes of things that take at least `each` bytes: no more than there can be.
    pub(super) fn count16(&mut self, each: usize) -> Result<usize, Malformed> {
        let start = *self;
        let count = self.i16()?;
        self.bounded(start, i32::from(count), each)
    }

    /// A count in four bytes of things that take at least `each` bytes: no more than there can be.
    pub(super) fn count32(&mut self, each: usize) -> Result<usize, Malformed> {
        let start = *self;
        let count = self.i32()?;
        self.bounded(start, count, each)
    }

    fn bounded(&self, start: Self, count: i32, each: usize) -> Result<usize, Malformed> {
        let count = usize::try_from(count).map_err(|_| start.fault(Fault::Negative))?;
        if self.rest().len() / each < count { Err(self.fault(Fault::Short)) } else { Ok(count) }
    }

    /// Text up to a zero byte.
    pub(super) fn name(&mut self) -> Result<&'a str, Malformed> {
        let start = *self;
        let end = self.rest().iter().position(|byte| *byte == 0).ok_or(self.fault(Fault::Endless))?;
        let name = self.take(end)?;
        self.byte()?;
        std::str::from_utf8(name).map_err(|_| start.fault(Fault::NotUtf8))
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.rest().is_empty() { Ok(()) } else { Err(self.fault(Fault::Trailing)) }
    }
}
