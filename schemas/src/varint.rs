//! Avro's integers: zigzag, seven bits a byte, at most ten bytes.

/// Why an integer could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VarintError {
    Truncated,
    TooLong,
}

/// Appends an int or a long; both have one encoding.
#[inline]
pub(crate) fn write(value: i64, out: &mut Vec<u8>) {
    let mut bits = ((value << 1) ^ (value >> 63)) as u64;
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

/// Reads a long and says how many bytes it took.
#[inline]
pub(crate) fn read(bytes: &[u8]) -> Result<(i64, usize), VarintError> {
    // Lengths, symbols, tags and small numbers are one byte.
    match bytes.first() {
        Some(first) if *first < 0x80 => Ok((unzigzag(u64::from(*first)), 1)),
        _ => read_long(bytes),
    }
}

fn read_long(bytes: &[u8]) -> Result<(i64, usize), VarintError> {
    let mut bits = 0u64;
    for (index, byte) in bytes.iter().take(10).enumerate() {
        // The tenth byte has room for one bit only.
        if index == 9 && *byte > 1 {
            return Err(VarintError::TooLong);
        }
        bits |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((unzigzag(bits), index + 1));
        }
    }
    Err(if bytes.len() < 10 { VarintError::Truncated } else { VarintError::TooLong })
}

#[inline]
fn unzigzag(bits: u64) -> i64 {
    (bits >> 1) as i64 ^ -((bits & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_range_read_back() {
        for value in
            [0, -1, 1, 63, 64, -64, -65, i64::from(i32::MIN), i64::from(i32::MAX), i64::MIN, i64::MAX]
        {
            let mut out = Vec::new();
            write(value, &mut out);
            assert_eq!(read(&out), Ok((value, out.len())), "{value}");
            out.push(7);
            assert_eq!(read(&out), Ok((value, out.len() - 1)), "{value}");
        }
    }

    #[test]
    fn cut_and_endless_integers_are_refused() {
        assert_eq!(read(&[]), Err(VarintError::Truncated));
        assert_eq!(read(&[0x80, 0x80]), Err(VarintError::Truncated));
        assert_eq!(read(&[0xff; 10]), Err(VarintError::TooLong));
        assert_eq!(read(&[0xff; 12]), Err(VarintError::TooLong));
        // Ten bytes whose last has more than the one bit that is left of 64.
        let wide = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02];
        assert_eq!(read(&wide), Err(VarintError::TooLong));
    }
}
