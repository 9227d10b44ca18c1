//! Arrays in both forms, as lists of lists. Where their bounds begin is not kept, as it is not in JSON.

use bumpalo::Bump;
use lienthong_contract::Cell;

use super::super::decode::DIMENSIONS;
use super::cursor::{Cursor, Malformed};
use super::types::Type;
use super::{binary, text};

/// What every breach is called.
const NOT_A_LIST: &str = "not-a-list";

/// Reads `{a,"b c",NULL}`, `[0:1]={1,2}`, `{{1},{2}}`; the array is the list at `depth`.
pub(super) fn text<'a>(
    text: &'a str,
    (element, delimiter): (&Type, u8),
    depth: usize,
    arena: &'a Bump,
) -> Result<Cell<'a>, &'static str> {
    let bounds = if text.starts_with('[') { text.find('=').ok_or(NOT_A_LIST)? + 1 } else { 0 };
    let mut reader = TextReader { text, at: bounds, element, delimiter, arena };
    if reader.next() != Some(b'{') {
        return Err(NOT_A_LIST);
    }
    let list = reader.list((depth, DIMENSIONS))?;
    if reader.at == text.len() { Ok(list) } else { Err(NOT_A_LIST) }
}

struct TextReader<'t, 'a> {
    text: &'a str,
    at: usize,
    element: &'t Type,
    delimiter: u8,
    arena: &'a Bump,
}

impl<'a> TextReader<'_, 'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Behind the opening brace of a list at `depth`, which may hold fewer than `dimensions` levels more.
    fn list(&mut self, (depth, dimensions): (usize, usize)) -> Result<Cell<'a>, &'static str> {
        let mut cells = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Cell::List(&[]));
        }
        loop {
            cells.push(match self.peek() {
                Some(b'{') if dimensions > 1 => {
                    self.at += 1;
                    self.list((depth + 1, dimensions - 1))?
                }
                Some(b'{') | None => return Err(NOT_A_LIST),
                Some(b'"') => {
                    self.at += 1;
                    let text = self.quoted()?;
                    text::element(text, self.element, depth, self.arena)?
                }
                Some(_) => match self.bare()? {
                    "NULL" => Cell::Null,
                    text => text::element(text, self.element, depth, self.arena)?,
                },
            });
            match self.next() {
                Some(b'}') => return Ok(Cell::List(self.arena.alloc_slice_copy(&cells))),
                Some(byte) if byte == self.delimiter => {}
                _ => return Err(NOT_A_LIST),
            }
        }
    }

    /// Up to what ends an element without quotes.
    fn bare(&mut self) -> Result<&'a str, &'static str> {
        let rest = &self.text[self.at..];
        let ends = |byte: u8| byte == self.delimiter || byte == b'}';
        let length = rest.bytes().position(ends).ok_or(NOT_A_LIST)?;
        self.at += length;
        Ok(&rest[..length])
    }

    /// Behind a quote, up to the next one. A backslash stands before what is meant as it is.
    fn quoted(&mut self) -> Result<&'a str, &'static str> {
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.next().ok_or(NOT_A_LIST)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.next().ok_or(NOT_A_LIST)?;
                }
                _ => {}
            }
        }
        let inner = &self.text[start..self.at - 1];
        if !escaped {
            return Ok(inner);
        }
        let mut text = String::with_capacity(inner.len());
        let mut characters = inner.chars();
        while let Some(character) = characters.next() {
            text.extend(if character == '\\' { characters.next() } else { Some(character) });
        }
        Ok(self.arena.alloc_str(&text))
    }
}

/// Reads dimensions and elements, each in binary form; the array is the list at `depth`.
pub(super) fn binary<'a>(
    bytes: &'a [u8],
    element: &Type,
    depth: usize,
    arena: &'a Bump,
) -> Result<Cell<'a>, &'static str> {
    let mut cursor = Cursor::new(bytes);
    let sizes = sizes(&mut cursor).map_err(|_| NOT_A_LIST)?.ok_or(NOT_A_LIST)?;
    let list = match sizes.as_slice() {
        [] => Cell::List(&[]),
        sizes => level(&mut cursor, sizes, (element, depth), arena)?,
    };
    cursor.end().map(|()| list).map_err(|_| NOT_A_LIST)
}

/// The size of each dimension; `None` when there are more elements than bytes for them, or dimensions without any.
fn sizes(cursor: &mut Cursor<'_>) -> Result<Option<Vec<usize>>, Malformed> {
    let (dimensions, _has_nulls, _element) = (cursor.u32()? as usize, cursor.i32()?, cursor.u32()?);
    if dimensions > DIMENSIONS {
        return Ok(None);
    }
    let mut sizes = Vec::with_capacity(dimensions);
    for _ in 0..dimensions {
        sizes.push(cursor.u32()? as usize);
        let _lower_bound = cursor.i32()?;
    }
    let elements = sizes.iter().try_fold(1usize, |all, size| all.checked_mul(*size));
    let possible = 1..=cursor.rest().len() / 4;
    Ok((sizes.is_empty() || elements.is_some_and(|count| possible.contains(&count))).then_some(sizes))
}

fn level<'a>(
    cursor: &mut Cursor<'a>,
    sizes: &[usize],
    (element, depth): (&Type, usize),
    arena: &'a Bump,
) -> Result<Cell<'a>, &'static str> {
    let (size, inner) = sizes.split_first().ok_or(NOT_A_LIST)?;
    let cells = arena.alloc_slice_fill_copy(*size, Cell::Null);
    for cell in cells.iter_mut() {
        *cell = if inner.is_empty() {
            match cursor.i32().map_err(|_| NOT_A_LIST)? {
                -1 => Cell::Null,
                length => {
                    let length = usize::try_from(length).map_err(|_| NOT_A_LIST)?;
                    binary::element(cursor.take(length).map_err(|_| NOT_A_LIST)?, element, depth, arena)?
                }
            }
        } else {
            level(cursor, inner, (element, depth + 1), arena)?
        };
    }
    Ok(Cell::List(cells))
}
