//! Values in the form of their type's output function, in a session with [`super::SETTINGS`].

use bumpalo::Bump;
use lienthong_contract::Cell;

use super::super::decode::{self, DIMENSIONS, Reading, Stamps};
use super::array;
use super::types::Type;

/// As output functions write them.
const STAMPS: Stamps = (' ', "+00");

/// Reads one value; the error is the broken rule.
pub(super) fn read<'a>(bytes: &'a [u8], of: &Type, arena: &'a Bump) -> Result<Cell<'a>, &'static str> {
    element(utf8(bytes)?, of, 0, arena)
}

/// Text of a value.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(bytes).map_err(|_| "not-text")
}

/// Reads a value with `depth` lists around it.
pub(super) fn element<'a>(
    text: &'a str,
    of: &Type,
    depth: usize,
    arena: &'a Bump,
) -> Result<Cell<'a>, &'static str> {
    match of {
        Type::List { element, delimiter } => array::text(text, (element, *delimiter), depth + 1, arena),
        Type::Unreadable => Err("unreadable-type"),
        Type::Scalar { reading, .. } => match reading {
            Reading::Bool => match text {
                "t" => Ok(Cell::Bool(true)),
                "f" => Ok(Cell::Bool(false)),
                _ => Err("not-a-boolean"),
            },
            Reading::Json => json(text, depth, arena),
            _ => decode::scalar(text, reading, STAMPS, arena),
        },
    }
}

/// JSON as the outbox reads it inside a row: without the blanks around it, `null` as null, and in an array a list as a list.
pub(super) fn json<'a>(text: &'a str, depth: usize, arena: &'a Bump) -> Result<Cell<'a>, &'static str> {
    let raw = text.trim_matches([' ', '\t', '\n', '\r']);
    if (1..DIMENSIONS).contains(&depth) && raw.starts_with('[') {
        return decode::list(raw, &Reading::Json, depth + 1, arena);
    }
    decode::value(raw, &Reading::Json, arena)
}
