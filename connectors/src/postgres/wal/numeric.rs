//! Exact numbers in binary form: digits of base ten thousand, the place of the first, a sign, and the digits behind the point.

use bumpalo::Bump;
use lienthong_contract::Decimal;

use super::cursor::Cursor;
use crate::decimal;

/// Decimal digits in one of the base ten thousand.
const WIDTH: usize = 4;
/// The most that a number can have behind the point.
const GREATEST_SCALE: u16 = 16_383;

/// `None` for what is no number (NaN, the infinities) and for what is malformed.
pub(super) fn read<'a>(bytes: &[u8], arena: &'a Bump) -> Option<Decimal<'a>> {
    let mut cursor = Cursor::new(bytes);
    let count = usize::try_from(cursor.i16().ok()?).ok()?;
    // The first group counts ten thousand to this power.
    let weight = i32::from(cursor.i16().ok()?);
    let sign = cursor.i16().ok()?;
    let scale = u16::try_from(cursor.i16().ok()?).ok().filter(|scale| *scale <= GREATEST_SCALE)?;
    let groups: Vec<u16> =
        cursor.rest().chunks(2).map(|group| group.try_into().map_or(u16::MAX, u16::from_be_bytes)).collect();
    if !matches!(sign, 0 | 0x4000) || groups.len() != count || groups.iter().any(|group| *group > 9_999) {
        return None;
    }
    // From the highest group before the point, or the first behind it, down as far as the scale goes; zero where none is written.
    let top = weight.max(-1);
    let place = |power: i32| {
        usize::try_from(weight - power).ok().and_then(|at| groups.get(at)).copied().unwrap_or_default()
    };
    let digits = (0i32..).flat_map(|down| {
        let group = place(top - down);
        [group / 1_000, group / 100 % 10, group / 10 % 10, group % 10]
    });
    let count = (top + 1) as usize * WIDTH + usize::from(scale);
    let digits = digits.take(count).map(|digit| digit as u8);
    decimal::from_digits(sign != 0, digits, (count, scale.into()), arena)
}
