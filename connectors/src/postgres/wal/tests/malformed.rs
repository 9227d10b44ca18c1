//! Values that a server would not send are refused, in either form.

use bumpalo::Bump;
use lienthong_contract::Cell;

use super::super::types::{Type, Types};
use super::super::{binary, text};
use crate::text::render;

/// A type's oid, a rule, and what breaks it as text and as bytes.
type Case = (u32, &'static str, &'static [&'static str], &'static [&'static [u8]]);

#[test]
fn a_value_of_the_wrong_length_or_content_is_refused_by_its_rule() {
    let arena = Bump::new();
    let of = |oid| Types::default().get(oid).expect("a built-in type");
    let cases: [Case; 12] = [
        (16, "not-a-boolean", &["", "true", "T"], &[&[], &[2], &[0, 1]]),
        (20, "not-an-integer", &["", "1.5", "9223372036854775808"], &[&[], &[1], &[0; 3], &[0; 9]]),
        (26, "not-an-integer", &["", "x"], &[&[], &[0; 2], &[0; 8]]),
        (701, "not-a-float", &["", "1,5"], &[&[], &[0; 2], &[0; 16]]),
        (1082, "not-a-date", &["", "2026-02-30", "2026-1"], &[&[], &[0; 8], &[0x7f, 0xff, 0xff, 0xfe]]),
        (1083, "not-a-time-of-day", &["", "25:00:00"], &[&[], &[0; 4], &[0xff; 8]]),
        (1266, "not-a-time-of-day", &[], &[&[], &[0; 8], &[0xff; 12], &[0x7f; 12]]),
        (
            1184,
            "not-a-timestamp",
            &["", "2026-09-07", "2026-09-07 03:02:11+07"],
            &[&[], &[0; 4], &[0x7f, 255, 255, 255, 255, 255, 255, 254]],
        ),
        (2950, "not-a-uuid", &["", "x"], &[&[], &[0; 15], &[0; 17]]),
        (17, "not-bytes", &["", "\\x0", "\\000"], &[]),
        (25, "not-text", &[], &[&[0xff], &[0xed, 0xa0, 0x80]]),
        (869, "not-in-binary-form", &[], &[&[], &[2, 8, 0, 4, 10, 0, 0, 1]]),
    ];
    for (oid, rule, texts, bytes) in cases {
        for wrong in texts {
            assert_eq!(text::read(wrong.as_bytes(), &of(oid), &arena), Err(rule), "{oid}: {wrong}");
        }
        for wrong in bytes {
            assert_eq!(binary::read(wrong, &of(oid), &arena), Err(rule), "{oid}: {wrong:02x?}");
        }
    }
}

#[test]
fn a_number_that_is_none_is_refused() {
    let arena = Bump::new();
    let of = Types::default().get(1700).expect("numeric");
    let number = |count: i16, weight: i16, sign: u16, scale: u16, groups: &[u16]| {
        let head = [count.to_be_bytes(), weight.to_be_bytes(), sign.to_be_bytes(), scale.to_be_bytes()];
        [head.concat(), groups.iter().flat_map(|group| group.to_be_bytes()).collect()].concat()
    };
    let whole = number(2, 0, 0x4000, 2, &[1, 2_300]);
    assert_eq!(binary::read(&whole, &of, &arena).map(|cell| render(&cell)), Ok(Some("-1.23".to_owned())));
    let zero = number(0, -7, 0, 0, &[]);
    assert_eq!(binary::read(&zero, &of, &arena).map(|cell| render(&cell)), Ok(Some("0".to_owned())));
    let wrong = [
        number(1, 0, 0x1000, 0, &[1]),
        number(1, 0, 0xc000, 0, &[1]),
        number(0, 0, 0xd000, 0, &[]),
        number(1, 0, 0, 16_384, &[1]),
        number(1, 0, 0, 0xffff, &[1]),
        number(2, 0, 0, 0, &[1]),
        number(-1, 0, 0, 0, &[]),
        number(1, 0, 0, 0, &[10_000]),
        [&whole[..], &[0]].concat(),
        whole[..9].to_vec(),
        whole[..7].to_vec(),
    ];
    for bytes in wrong {
        assert_eq!(binary::read(&bytes, &of, &arena), Err("not-a-number"), "{bytes:02x?}");
    }
    // The highest place that the form can name.
    let greatest = number(1, i16::MAX, 0, 0, &[1]);
    let Ok(Cell::Decimal(great)) = binary::read(&greatest, &of, &arena) else { panic!("a number") };
    assert_eq!((great.scale, great.unscaled.len()), (0, 54_425));
}

fn list_of_texts() -> Type {
    Types::default().get(1009).expect("text[]")
}

#[test]
fn text_that_is_no_array_is_refused() {
    let arena = Bump::new();
    let wrong = [
        "",
        "{",
        "}",
        "{a",
        "{a,",
        "{a,}x",
        "{\"a}",
        "{\"a\\",
        "{{a}",
        "{a}}",
        "{\"a\"b}",
        "[0:1]",
        "[0:1]=",
        "a",
        "{{{{{{{a}}}}}}}",
        "{a{b}}",
    ];
    for of in wrong {
        assert_eq!(text::read(of.as_bytes(), &list_of_texts(), &arena), Err("not-a-list"), "{of}");
    }
    assert_eq!(text::read(b"{\xff}", &list_of_texts(), &arena), Err("not-text"));
    let deep = "{".repeat(1_000_000);
    assert_eq!(text::read(deep.as_bytes(), &list_of_texts(), &arena), Err("not-a-list"));
}

/// Dimensions with their sizes, and elements.
fn array(sizes: &[i32], elements: &[Option<&str>]) -> Vec<u8> {
    let mut out = [(sizes.len() as u32).to_be_bytes(), [0; 4], [0, 0, 0, 25]].concat();
    for size in sizes {
        out.extend([size.to_be_bytes(), 7i32.to_be_bytes()].concat());
    }
    for element in elements {
        out.extend(element.map_or(-1, |text| text.len() as i32).to_be_bytes());
        out.extend(element.unwrap_or_default().as_bytes());
    }
    out
}

#[test]
fn bytes_that_are_no_array_are_refused() {
    let arena = Bump::new();
    let read = |bytes: &[u8]| {
        let bytes = arena.alloc_slice_copy(bytes);
        binary::read(bytes, &list_of_texts(), &arena)
    };
    let whole = array(&[2, 1], &[Some("ạ"), None]);
    assert_eq!(read(&whole).map(|cell| render(&cell)), Ok(Some("[[\"ạ\"],[null]]".to_owned())));
    assert!(matches!(read(&array(&[], &[])), Ok(Cell::List([]))));
    for cut in 0..whole.len() {
        assert_eq!(read(&whole[..cut]), Err("not-a-list"));
    }
    let texts = [Some("a"); 8];
    let wrong = [
        array(&[1], &texts),
        array(&[0], &[]),
        array(&[2, 0], &[]),
        array(&[-1], &[]),
        array(&[1; 7], &[Some("a")]),
        array(&[i32::MAX, i32::MAX, i32::MAX], &texts),
        array(&[i32::MAX], &texts),
        [&whole[..], &[0]].concat(),
    ];
    for bytes in wrong {
        assert_eq!(read(&bytes), Err("not-a-list"), "{bytes:02x?}");
    }
    assert!(arena.allocated_bytes() < 1 << 20, "a count takes no memory before there is something to count");
}
