//! Exact decimals as Avro has them: a two's complement integer, big endian, and a scale.
//!
//! One number has one form on the wire, the fewest bytes that hold it, as Java's `BigInteger` writes it:
//! otherwise equal rows would differ in their bytes, keys and digests.

use crate::cell::Decimal;

/// Why a decimal does not fit its contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Digits after the point would be lost.
    Scale,
    /// More digits than the precision has, or wider than its fixed.
    Precision,
}

/// Powers of ten that 128 bits hold: 10^0 to 10^38.
const MAX_POWER: usize = 38;

/// The fewest bytes of the same number; zero is one zero byte.
pub(crate) fn minimal(unscaled: &[u8]) -> &[u8] {
    let mut bytes = unscaled;
    while let [first, second, ..] = bytes {
        let redundant = (*first == 0 && second & 0x80 == 0) || (*first == 0xff && second & 0x80 != 0);
        if !redundant {
            break;
        }
        bytes = &bytes[1..];
    }
    if bytes.is_empty() { &[0] } else { bytes }
}

/// The number with the contract's scale, checked against its precision, in the fewest bytes, handed to `write`.
pub(crate) fn fit(
    decimal: &Decimal<'_>,
    scale: u32,
    precision: usize,
    write: impl FnOnce(&[u8]),
) -> Result<(), Misfit> {
    let bytes = minimal(decimal.unscaled);
    match narrow(bytes) {
        Some(value) if precision <= MAX_POWER => {
            let value = rescale(value, decimal.scale, scale)?;
            if value.unsigned_abs() >= 10u128.pow(precision as u32) {
                return Err(Misfit::Precision);
            }
            write(minimal(&value.to_be_bytes()));
            Ok(())
        }
        _ => fit_wide(bytes, decimal.scale, scale, precision, write),
    }
}

/// The number, if 128 bits hold it.
fn narrow(bytes: &[u8]) -> Option<i128> {
    if bytes.len() > 16 {
        return None;
    }
    let fill = if bytes[0] & 0x80 == 0 { 0 } else { 0xff };
    let mut wide = [fill; 16];
    wide[16 - bytes.len()..].copy_from_slice(bytes);
    Some(i128::from_be_bytes(wide))
}

fn rescale(value: i128, from: u32, to: u32) -> Result<i128, Misfit> {
    if from == to || value == 0 {
        return Ok(value);
    }
    let power = 10i128.checked_pow(from.abs_diff(to));
    if from < to {
        power.and_then(|power| value.checked_mul(power)).ok_or(Misfit::Precision)
    } else {
        // A divisor beyond 128 bits cannot divide a non-zero number of 128 bits.
        let power = power.ok_or(Misfit::Scale)?;
        if value % power == 0 { Ok(value / power) } else { Err(Misfit::Scale) }
    }
}

/// The same for numbers beyond 128 bits: rare enough to be done digit by digit.
fn fit_wide(
    bytes: &[u8],
    from: u32,
    to: u32,
    precision: usize,
    write: impl FnOnce(&[u8]),
) -> Result<(), Misfit> {
    let negative = bytes[0] & 0x80 != 0;
    let mut magnitude = if negative { negate(bytes) } else { bytes.to_vec() };
    for _ in to..from {
        if divide_by_ten(&mut magnitude) != 0 {
            return Err(Misfit::Scale);
        }
    }
    if magnitude.iter().any(|byte| *byte != 0) {
        // Each step adds a digit, so more steps than the precision has digits need not be tried.
        if (to.saturating_sub(from)) as usize > precision {
            return Err(Misfit::Precision);
        }
        for _ in from..to {
            multiply_by_ten(&mut magnitude);
        }
    }
    if digits(magnitude.clone()) > precision {
        return Err(Misfit::Precision);
    }
    // A leading zero byte keeps the magnitude positive; `minimal` takes it away again.
    magnitude.insert(0, 0);
    let signed = if negative { negate(&magnitude) } else { magnitude };
    write(minimal(&signed));
    Ok(())
}

/// Two's complement of the same width.
fn negate(bytes: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
    for byte in out.iter_mut().rev() {
        let (sum, carried) = byte.overflowing_add(1);
        *byte = sum;
        if !carried {
            break;
        }
    }
    out
}

fn divide_by_ten(magnitude: &mut [u8]) -> u16 {
    let mut remainder = 0u16;
    for byte in magnitude {
        let part = remainder * 256 + u16::from(*byte);
        *byte = (part / 10) as u8;
        remainder = part % 10;
    }
    remainder
}

fn multiply_by_ten(magnitude: &mut Vec<u8>) {
    let mut carry = 0u16;
    for byte in magnitude.iter_mut().rev() {
        let part = u16::from(*byte) * 10 + carry;
        *byte = part as u8;
        carry = part >> 8;
    }
    if carry > 0 {
        magnitude.insert(0, carry as u8);
    }
}

fn digits(mut magnitude: Vec<u8>) -> usize {
    let mut count = 0;
    while magnitude.iter().any(|byte| *byte != 0) {
        divide_by_ten(&mut magnitude);
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(unscaled: &[u8], from: u32, to: u32, precision: usize) -> Result<Vec<u8>, Misfit> {
        let mut out = Vec::new();
        fit(&Decimal { unscaled, scale: from }, to, precision, |bytes| out.extend_from_slice(bytes))?;
        Ok(out)
    }

    #[test]
    fn redundant_bytes_go_and_the_sign_stays() {
        assert_eq!(minimal(&[0, 0, 0x12]), [0x12]);
        assert_eq!(minimal(&[0, 0x80]), [0, 0x80]);
        assert_eq!(minimal(&[0xff, 0xff, 0x80]), [0x80]);
        assert_eq!(minimal(&[0xff, 0x7f]), [0xff, 0x7f]);
        assert_eq!(minimal(&[]), [0]);
        assert_eq!(minimal(&[0, 0]), [0]);
        assert_eq!(minimal(&[0xff]), [0xff]);
    }

    #[test]
    fn a_scale_is_changed_only_without_loss() {
        assert_eq!(fitted(&[125], 1, 2, 10), Ok(vec![0x04, 0xe2]));
        assert_eq!(fitted(&[0x04, 0xe2], 2, 1, 10), Ok(vec![125]));
        assert_eq!(fitted(&[125], 1, 0, 10), Err(Misfit::Scale));
        assert_eq!(fitted(&[0x83], 1, 2, 10), Ok(vec![0xfb, 0x1e]));
        assert_eq!(fitted(&[0], 4_000_000_000, 0, 1), Ok(vec![0]));
    }

    #[test]
    fn the_precision_counts_digits_of_either_sign() {
        assert_eq!(fitted(&[99], 0, 0, 2), Ok(vec![99]));
        assert_eq!(fitted(&[100], 0, 0, 2), Err(Misfit::Precision));
        assert_eq!(fitted(&[0x9c], 0, 0, 2), Err(Misfit::Precision));
        assert_eq!(fitted(&[0x9d], 0, 0, 2), Ok(vec![0x9d]));
        assert_eq!(fitted(&[1], 0, 4_000_000_000, 10), Err(Misfit::Precision));
    }

    #[test]
    fn wide_numbers_follow_the_same_rules() {
        for negative in [false, true] {
            let mut wide = vec![0x01; 20];
            if negative {
                wide = negate(&wide);
            }
            assert_eq!(fitted(&wide, 0, 0, 60), Ok(wide.clone()));
            assert_eq!(fitted(&wide, 0, 0, 45), Err(Misfit::Precision));
            let scaled = fitted(&wide, 0, 3, 60).unwrap();
            assert_eq!(fitted(&scaled, 3, 0, 60), Ok(wide.clone()));
            assert_eq!(fitted(&[wide.as_slice(), &[1]].concat(), 1, 0, 60), Err(Misfit::Scale));
        }
    }

    #[test]
    fn both_ways_agree_where_they_meet() {
        for value in [0i128, 1, -1, 127, 128, -128, -129, 12_345, -99_999] {
            let bytes = value.to_be_bytes();
            let mut wide = Vec::new();
            fit_wide(minimal(&bytes), 2, 5, 50, |bytes| wide.extend_from_slice(bytes)).unwrap();
            assert_eq!(fitted(&bytes, 2, 5, 38), Ok(wide), "{value}");
        }
    }
}
