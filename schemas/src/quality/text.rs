//! Texts: no NUL, bounded, and in Unicode's normal form C.

use bumpalo::Bump;
use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick, is_nfd};

use super::rules::{Rule, rule};
use crate::cell::Cell;

/// A text that is not as it should be on the road: what to carry instead, and what to say.
pub(super) struct Mended<'a> {
    pub(super) cell: Cell<'a>,
    pub(super) rule: &'static Rule,
}

/// Looks at a text, or at every text of a list. `None`: it can go as it is, which costs no copy.
///
/// # Errors
/// The rule that refuses it.
pub(super) fn judge<'a>(
    cell: &Cell<'a>,
    max_length: usize,
    arena: &'a Bump,
) -> Result<Option<Mended<'a>>, &'static Rule> {
    match cell {
        Cell::Str(text) => {
            Ok(one(text, max_length, arena)?.map(|(text, rule)| Mended { cell: Cell::Str(text), rule }))
        }
        Cell::List(items) => list(items, max_length, arena),
        _ => Ok(None),
    }
}

fn list<'a>(
    items: &'a [Cell<'a>],
    max_length: usize,
    arena: &'a Bump,
) -> Result<Option<Mended<'a>>, &'static Rule> {
    let mut copy: Option<(&'a mut [Cell<'a>], &'static Rule)> = None;
    for (index, item) in items.iter().enumerate() {
        let Some(mended) = judge(item, max_length, arena)? else { continue };
        let (copy, _) = copy.get_or_insert_with(|| (arena.alloc_slice_copy(items), mended.rule));
        copy[index] = mended.cell;
    }
    Ok(copy.map(|(items, rule)| Mended { cell: Cell::List(items), rule }))
}

fn one<'a>(
    text: &'a str,
    max_length: usize,
    arena: &'a Bump,
) -> Result<Option<(&'a str, &'static Rule)>, &'static Rule> {
    if text.contains('\0') {
        return Err(&rule::NUL_CHARACTER);
    }
    if text.is_ascii() || is_nfc(text) {
        // A character has at least one byte, so most texts need no counting.
        let fits = text.len() <= max_length || text.chars().count() <= max_length;
        return if fits { Ok(None) } else { Err(&rule::TOO_LONG) };
    }
    // Bounded before it is copied: a character of NFC comes from at most four others of at most four bytes each.
    if text.len() > max_length.saturating_mul(16) {
        return Err(&rule::TOO_LONG);
    }
    let mut composed = bumpalo::collections::String::with_capacity_in(text.len(), arena);
    composed.extend(text.nfc());
    let composed = composed.into_bump_str();
    if composed.chars().count() > max_length {
        return Err(&rule::TOO_LONG);
    }
    Ok(Some((composed, finding(text))))
}

/// Letters of Vietnamese and of its neighbours in Latin script: composed, and unchanged by NFC whatever stands beside them.
fn is_plain(character: char) -> bool {
    character < '\u{300}' || ('\u{1e00}'..='\u{1eff}').contains(&character)
}

fn is_nfc(text: &str) -> bool {
    // Two comparisons per character instead of the look-ups of all Unicode.
    if text.chars().all(is_plain) {
        return true;
    }
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => true,
        IsNormalized::No => false,
        IsNormalized::Maybe => unicode_normalization::is_nfc(text),
    }
}

/// One finding per text: the one that says most.
fn finding(text: &str) -> &'static Rule {
    if text.contains(['\u{340}', '\u{341}']) {
        &rule::DEPRECATED_TONE_MARK
    } else if is_nfd(text) {
        &rule::NOT_NFC
    } else {
        &rule::MIXED_NORMALISATION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(text: &str, max_length: usize) -> Result<(String, Option<&'static str>), &'static str> {
        let arena = Bump::new();
        match one(text, max_length, &arena) {
            Ok(None) => Ok((text.to_owned(), None)),
            Ok(Some((mended, rule))) => Ok((mended.to_owned(), Some(rule.id))),
            Err(rule) => Err(rule.id),
        }
    }

    #[test]
    fn every_form_of_a_name_is_carried_as_one() {
        for (written, rule) in
            [("Hóa", None), ("Ho\u{301}a", Some("not-nfc")), ("Ho\u{341}a", Some("deprecated-tone-mark"))]
        {
            assert_eq!(carried(written, 10), Ok(("Hóa".to_owned(), rule)));
        }
        let mixed = carried("Trần Bi\u{300}nh", 10);
        assert_eq!(mixed, Ok(("Trần Bình".to_owned(), Some("mixed-normalisation"))));
    }

    #[test]
    fn the_short_way_takes_only_what_nfc_leaves_alone() {
        for character in (0..=0x2000).filter_map(char::from_u32).filter(|character| is_plain(*character)) {
            let alone = [character].into_iter();
            assert!(is_nfc_quick(alone) == IsNormalized::Yes, "U+{:04X}", u32::from(character));
        }
        assert!("Nguyễn Đỗ Thị Quỳnh Như".chars().all(is_plain) && !is_plain('\u{301}'));
    }

    #[test]
    fn length_is_counted_in_characters_of_what_is_carried() {
        assert_eq!(carried("Nguyễn", 6), Ok(("Nguyễn".to_owned(), None)));
        assert_eq!(carried("Nguyễn", 5), Err("too-long"));
        assert_eq!(carried("Nguye\u{302}\u{303}n", 6).map(|(_, rule)| rule), Ok(Some("not-nfc")));
        assert_eq!(carried("Nguye\u{302}\u{303}n", 5), Err("too-long"));
        assert_eq!(carried(&"\u{301}".repeat(100), 3), Err("too-long"));
    }

    #[test]
    fn a_text_that_is_right_costs_no_copy() {
        let arena = Bump::new();
        let before = arena.allocated_bytes();
        for text in ["Nguyễn Thị Minh Khai", "Y Bhiông", "K'Brơi", ""] {
            assert!(judge(&Cell::Str(text), 100, &arena).is_ok_and(|mended| mended.is_none()));
        }
        assert_eq!(arena.allocated_bytes(), before);
    }

    #[test]
    fn texts_inside_a_list_are_judged_too() {
        let arena = Bump::new();
        let items = [Cell::Str("a"), Cell::Str("Ho\u{301}a")];
        let mended = judge(&Cell::List(&items), 10, &arena).ok().flatten().map(|mended| mended.cell);
        assert!(mended == Some(Cell::List(&[Cell::Str("a"), Cell::Str("Hóa")])));
        let items = [Cell::Str("a\0")];
        assert!(judge(&Cell::List(&items), 10, &arena).is_err_and(|rule| rule.id == "nul-character"));
    }
}
