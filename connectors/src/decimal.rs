//! Exact decimals between digits and the two's complement bytes of a cell, of any length.

use bumpalo::Bump;
use lienthong_contract::Decimal;

/// Reads `-12.340`; the scale is the number of digits behind the point. `None` when it is no decimal number.
pub(crate) fn parse<'a>(text: &str, arena: &'a Bump) -> Option<Decimal<'a>> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    let point = digits.iter().position(|byte| *byte == b'.');
    let scale = point.map_or(0, |at| digits.len() - at - 1);
    let count = digits.len() - usize::from(point.is_some());
    if count == 0 || !digits.iter().enumerate().all(|(at, byte)| byte.is_ascii_digit() || Some(at) == point) {
        return None;
    }
    let number = digits.iter().filter(|byte| **byte != b'.').map(|byte| byte - b'0');
    from_digits(negative, number, (count, scale), arena)
}

/// The number of `count` digits, of which the last `scale` stand behind the point. `None` when the scale is beyond 32 bits.
pub(crate) fn from_digits<'a>(
    negative: bool,
    digits: impl Iterator<Item = u8>,
    (count, scale): (usize, usize),
    arena: &'a Bump,
) -> Option<Decimal<'a>> {
    let mut bytes = if count <= 38 {
        let value = digits.fold(0i128, |sum, digit| sum * 10 + i128::from(digit));
        value.to_be_bytes().to_vec()
    } else {
        wide_bytes(digits)
    };
    if negative {
        negate(&mut bytes);
    }
    Some(Decimal { unscaled: arena.alloc_slice_copy(minimal(&bytes)), scale: u32::try_from(scale).ok()? })
}

/// Magnitude of decimal digits, big endian, with a leading zero byte for the sign.
fn wide_bytes(digits: impl Iterator<Item = u8>) -> Vec<u8> {
    let mut limbs: Vec<u32> = Vec::new();
    let mut append = |factor: u32, part: u32| {
        let mut carry = u64::from(part);
        for limb in &mut limbs {
            let sum = u64::from(*limb) * u64::from(factor) + carry;
            *limb = sum as u32;
            carry = sum >> 32;
        }
        if carry > 0 {
            limbs.push(carry as u32);
        }
    };
    // A number may have a hundred thousand digits: as many at once as a limb takes.
    let (mut factor, mut part) = (1, 0);
    for digit in digits {
        factor *= 10;
        part = part * 10 + u32::from(digit);
        if factor == 1_000_000_000 {
            append(factor, part);
            (factor, part) = (1, 0);
        }
    }
    append(factor, part);
    std::iter::once(0).chain(limbs.iter().rev().flat_map(|limb| limb.to_be_bytes())).collect()
}

/// Two's complement of the same width.
fn negate(bytes: &mut [u8]) {
    let mut carry = true;
    for byte in bytes.iter_mut().rev() {
        let (sum, carried) = (!*byte).overflowing_add(u8::from(carry));
        *byte = sum;
        carry = carried;
    }
}

/// The fewest bytes of the same number; zero is one zero byte.
fn minimal(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, second, ..] = rest {
        let redundant = (*first == 0 && second & 0x80 == 0) || (*first == 0xff && second & 0x80 != 0);
        if !redundant {
            break;
        }
        rest = &rest[1..];
    }
    if rest.is_empty() { &[0] } else { rest }
}

/// The digits of a decimal, with as many behind the point as the scale says.
pub(crate) fn format(decimal: &Decimal<'_>) -> String {
    let bytes = minimal(decimal.unscaled);
    let negative = bytes[0] & 0x80 != 0;
    let mut magnitude = bytes.to_vec();
    if negative {
        // One more byte, so that the smallest negative number of this width has a magnitude.
        magnitude.insert(0, 0xff);
        negate(&mut magnitude);
    }
    let mut digits = decimal_digits(magnitude);
    let scale = decimal.scale as usize;
    while digits.len() <= scale {
        digits.push(b'0');
    }
    let mut text = String::with_capacity(digits.len() + 2);
    if negative {
        text.push('-');
    }
    for (at, digit) in digits.iter().enumerate().rev() {
        text.push(char::from(*digit));
        if at == scale && scale > 0 {
            text.push('.');
        }
    }
    text
}

/// Digits of a magnitude, the last one first; at least one.
fn decimal_digits(mut magnitude: Vec<u8>) -> Vec<u8> {
    let mut digits = Vec::new();
    loop {
        let mut remainder = 0u16;
        for byte in &mut magnitude {
            let part = remainder * 256 + u16::from(*byte);
            *byte = (part / 10) as u8;
            remainder = part % 10;
        }
        digits.push(b'0' + remainder as u8);
        if magnitude.iter().all(|byte| *byte == 0) {
            return digits;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_survive_the_round_trip_at_any_length() {
        let arena = Bump::new();
        let long = "-123456789012345678901234567890123456789012345678901234567890.12345";
        for text in ["0", "0.00", "-0.01", "1", "-1", "127", "128", "-128", "-129", "12345.678900", long] {
            let decimal = parse(text, &arena).unwrap();
            assert_eq!(format(&decimal), text);
        }
        assert_eq!(parse("128", &arena).unwrap().unscaled, [0, 128]);
        assert_eq!(parse("-128", &arena).unwrap().unscaled, [128]);
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        let arena = Bump::new();
        for text in ["", "-", ".", "1.2.3", "1e5", "NaN", "Infinity", "１"] {
            assert!(parse(text, &arena).is_none(), "{text}");
        }
    }
}
