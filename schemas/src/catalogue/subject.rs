//! The subject of an event: what it is ordered, partitioned and deduplicated by.

use crate::cell::Cell;
use crate::date;
use crate::path::FieldPath;
use crate::uuid_text;

/// Whether a path holds a personal identification number: its last part is `pin` or ends in `_pin`, as in `holder_pin`.
/// Such a value is the subject as it stands, so that all events about a person share one order; every other key gets
/// its kind in front, so that a registration number can never be taken for a person.
#[must_use]
pub fn is_person(path: &FieldPath) -> bool {
    let last = path.last();
    last == "pin" || last.ends_with("_pin")
}

/// Longest subject in bytes. It is a record's key and one of its headers, and part of every look at a ledger; a longer one is no key.
pub const MAX_SUBJECT_BYTES: usize = 1024;

/// How the subject key of an event is found in its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectRule {
    /// The first field that is not null: `001326000001`, or `registration_no:123`.
    First(Vec<FieldPath>),
    /// All fields, joined: `commune/00004/2025-07-01`.
    Compose(Vec<FieldPath>),
}

impl SubjectRule {
    /// The fields that the rule looks at, in its order.
    #[must_use]
    pub fn fields(&self) -> &[FieldPath] {
        match self {
            SubjectRule::First(fields) | SubjectRule::Compose(fields) => fields,
        }
    }

    /// The subject of a row. `None` when no field (or, for a composed key, not every field) holds a value that
    /// can be a key; empty text cannot.
    pub fn subject<'c>(&self, mut lookup: impl FnMut(&FieldPath) -> Cell<'c>) -> Option<String> {
        match self {
            SubjectRule::First(fields) => fields.iter().find_map(|field| {
                let mut key = String::new();
                if !is_person(field) {
                    key.push_str(field.last());
                    key.push(':');
                }
                append(&lookup(field), &mut key).then_some(key)
            }),
            SubjectRule::Compose(fields) => {
                let mut key = String::new();
                for (index, field) in fields.iter().enumerate() {
                    if index > 0 {
                        key.push('/');
                    }
                    let mut part = String::new();
                    if !append(&lookup(field), &mut part) {
                        return None;
                    }
                    escape(&part, &mut key);
                }
                Some(key)
            }
        }
    }
}

/// Appends a key's text; false when the cell cannot be a key.
fn append(cell: &Cell<'_>, out: &mut String) -> bool {
    match cell {
        Cell::Str(text) if !text.is_empty() => out.push_str(text),
        Cell::I64(number) => out.push_str(&number.to_string()),
        Cell::Date(days) => date::format_date(*days, out),
        Cell::Uuid(uuid) => out.extend(uuid_text::format(uuid).iter().map(|byte| char::from(*byte))),
        _ => return false,
    }
    true
}

/// Keeps `("a/b", "c")` and `("a", "b/c")` two keys.
fn escape(part: &str, out: &mut String) {
    for character in part.chars() {
        match character {
            '/' => out.push_str("%2F"),
            '%' => out.push_str("%25"),
            other => out.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_field_with_a_value_is_the_subject() {
        let rule = SubjectRule::First(vec!["child.pin".into(), "registration_no".into()]);
        let with = |pin: Cell<'static>| {
            rule.subject(|path| if path.last() == "pin" { pin } else { Cell::Str("123") })
        };
        assert_eq!(with(Cell::Str("001326000001")).as_deref(), Some("001326000001"));
        assert_eq!(with(Cell::Null).as_deref(), Some("registration_no:123"));
        assert_eq!(with(Cell::Str("")).as_deref(), Some("registration_no:123"));
        assert_eq!(rule.subject(|_| Cell::Null), None);
    }

    #[test]
    fn a_person_has_one_key_whatever_the_field_is_called() {
        let key = |field: &str| SubjectRule::First(vec![field.into()]).subject(|_| Cell::Str("001326000001"));
        for field in ["pin", "child.pin", "holder_pin", "old_pin"] {
            assert_eq!(key(field).as_deref(), Some("001326000001"), "{field}");
        }
        assert_eq!(key("spin").as_deref(), Some("spin:001326000001"));
    }

    #[test]
    fn a_composed_key_needs_every_part_and_keeps_them_apart() {
        let rule = SubjectRule::Compose(vec!["level".into(), "code".into(), "valid_from".into()]);
        let key = |code: Cell<'static>| {
            rule.subject(|path| match path.as_str() {
                "level" => Cell::Str("commune"),
                "code" => code,
                _ => Cell::Date(20_270),
            })
        };
        assert_eq!(key(Cell::Str("00004")).as_deref(), Some("commune/00004/2025-07-01"));
        assert_eq!(key(Cell::Str("a/b%")).as_deref(), Some("commune/a%2Fb%25/2025-07-01"));
        assert_eq!(key(Cell::Null), None);
    }
}
