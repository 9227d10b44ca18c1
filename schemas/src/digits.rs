//! Numbers as text of a width, without the machinery of formatting: every event carries a dozen of them.

/// Appends a decimal number, with leading zeros to `width` digits; a longer one keeps its own.
pub fn decimal(value: u64, width: usize, out: &mut String) {
    number(value, 10, width, out);
}

/// Appends a number in base 16, lower case, with leading zeros to `width` digits; a longer one keeps its own.
pub fn hex(value: u64, width: usize, out: &mut String) {
    number(value, 16, width, out);
}

/// The longest number has 20 digits.
const LONGEST: usize = 20;

fn number(mut value: u64, base: u64, width: usize, out: &mut String) {
    let mut digits = [b'0'; LONGEST];
    let mut at = LONGEST;
    loop {
        at -= 1;
        digits[at] = b"0123456789abcdef"[(value % base) as usize];
        value /= base;
        if value == 0 {
            break;
        }
    }
    let from = at.min(LONGEST.saturating_sub(width));
    // ASCII is always text.
    out.push_str(std::str::from_utf8(&digits[from..]).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_library_writes_them() {
        for value in [0, 1, 9, 10, 255, 1_000_000, u64::from(u32::MAX), u64::MAX] {
            for width in [1, 2, 6, 16, 20] {
                let mut out = String::from("x");
                decimal(value, width, &mut out);
                out.push('-');
                hex(value, width, &mut out);
                assert_eq!(out, format!("x{value:0width$}-{value:0width$x}"));
            }
        }
    }
}
