//! What is wrong with real registers, made on purpose: every kind has a rate, and every row says what is wrong with it.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization as _;

use crate::config::DirtRates;
use crate::country::COUNTRY;
use crate::random::{hit, mixed};
use crate::write::{RowWrite, Value};

/// Kinds of dirt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dirt {
    /// Text in NFD: letters and marks apart.
    Nfd,
    /// The tone mark on the other vowel: Hoà for Hòa.
    TonePlacement,
    /// i for y: Mĩ for Mỹ.
    IForY,
    /// A second dossier of one birth.
    Duplicate,
    /// The PIN names another birth year.
    PinYear,
    /// The PIN names the other sex.
    PinSex,
    /// The PIN begins with a province that never was.
    PinProvince,
    /// An address of today in a province whose code is closed.
    RetiredProvince,
    /// "0000000000", "không rõ", "N/A".
    Placeholder,
    /// PIN in full-width digits.
    WidePin,
    /// PIN of eleven digits.
    ShortPin,
    /// A date that no calendar has.
    ImpossibleDate,
    /// A birth that is still to come.
    FutureDate,
}

impl Dirt {
    /// All of them.
    pub const ALL: [Dirt; 13] = [
        Dirt::Nfd,
        Dirt::TonePlacement,
        Dirt::IForY,
        Dirt::Duplicate,
        Dirt::PinYear,
        Dirt::PinSex,
        Dirt::PinProvince,
        Dirt::RetiredProvince,
        Dirt::Placeholder,
        Dirt::WidePin,
        Dirt::ShortPin,
        Dirt::ImpossibleDate,
        Dirt::FutureDate,
    ];

    /// Whether the bus refuses a row with it; the rest it lets through, marked.
    #[must_use]
    pub fn is_rejected(self) -> bool {
        matches!(self, Dirt::WidePin | Dirt::ShortPin | Dirt::ImpossibleDate)
    }
}

/// How many rows have which dirt.
pub type DirtCounts = BTreeMap<Dirt, u64>;

/// Columns of a row that dirt can get into.
#[derive(Clone, Copy, Default)]
pub(crate) struct Spots {
    /// Names of people.
    pub(crate) names: &'static [&'static str],
    /// A PIN that may be mistyped.
    pub(crate) pin: Option<&'static str>,
    /// A whole date that may be mistyped.
    pub(crate) date: Option<&'static str>,
    /// A birth date that may be mistyped into the future.
    pub(crate) birth: Option<&'static str>,
    /// Code of a present province.
    pub(crate) province: Option<&'static str>,
    /// A column and what stands there when nobody knows.
    pub(crate) placeholder: Option<(&'static str, &'static str)>,
}

/// Puts dirt on a row. What it gets depends on the nation's seed and the row's number in its table only, so a row that is made twice is
/// the same row.
pub(crate) fn spoil(row: &mut RowWrite, seed: u64, number: u64, spots: &Spots, rates: &DirtRates) {
    let about = mixed(seed, number, row.table.len() as u64 * 256 + u64::from(row.table.as_bytes()[0]));
    let lucky = |dirt: Dirt, rate: u32| hit(about, dirt as u64, 7, rate);
    let names = spots.names;
    let tone = lucky(Dirt::TonePlacement, rates.tone_placement);
    let spelling = lucky(Dirt::IForY, rates.i_for_y);
    if tone && change(row, names, other_tone_place) {
        row.dirt.push(Dirt::TonePlacement);
    }
    if spelling && change(row, names, i_for_y) {
        row.dirt.push(Dirt::IForY);
    }
    if lucky(Dirt::Nfd, rates.nfd) && change(row, names, |text| text.nfd().collect()) {
        row.dirt.push(Dirt::Nfd);
    }
    if let Some(pin) = spots.pin {
        if lucky(Dirt::WidePin, rates.wide_pin) {
            refuse(row, pin, Dirt::WidePin, wide);
        } else if lucky(Dirt::ShortPin, rates.short_pin) {
            refuse(row, pin, Dirt::ShortPin, |pin| pin.chars().take(11).collect());
        }
    }
    if let Some(date) = spots.date
        && lucky(Dirt::ImpossibleDate, rates.impossible_date)
    {
        refuse(row, date, Dirt::ImpossibleDate, |day| format!("{}-02-30", &day[..4]));
    } else if let Some(birth) = spots.birth
        && lucky(Dirt::FutureDate, rates.future_date)
        && change(row, &[birth], |day| format!("29{}", &day[2..]))
    {
        row.dirt.push(Dirt::FutureDate);
    }
    if let Some(province) = spots.province
        && lucky(Dirt::RetiredProvince, rates.retired_province)
    {
        let closed = &COUNTRY.closed;
        let code = closed[(mixed(about, 1, 1) % closed.len() as u64) as usize];
        if change(row, &[province], |_| format!("{code:02}")) {
            row.dirt.push(Dirt::RetiredProvince);
        }
    }
    if let Some((column, text)) = spots.placeholder
        && lucky(Dirt::Placeholder, rates.placeholder)
    {
        row.values.retain(|(name, _)| *name != column);
        row.values.push((column, Value::from(text)));
        row.dirt.push(Dirt::Placeholder);
    }
}

/// Makes a value one that the bus refuses, and keeps what was meant.
fn refuse(row: &mut RowWrite, column: &'static str, dirt: Dirt, rewrite: impl Fn(&str) -> String) {
    let meant = row.value(column).cloned();
    if change(row, &[column], rewrite) {
        row.dirt.push(dirt);
        row.meant.extend(meant.map(|value| (column, value)));
    }
}

/// Rewrites the texts of some columns; whether any became another.
fn change(row: &mut RowWrite, columns: &[&str], rewrite: impl Fn(&str) -> String) -> bool {
    let mut changed = false;
    for (name, value) in &mut row.values {
        if let Some(text) = value.as_text().filter(|_| columns.contains(name)) {
            let new = rewrite(text);
            if new != text {
                *value = Value::from(new);
                changed = true;
            }
        }
    }
    changed
}

/// Endings of words whose tone mark is written on the first vowel by one school and on the second by the other.
const TONE_PLACES: [(&str, &str); 15] = [
    ("òa", "oà"),
    ("óa", "oá"),
    ("ỏa", "oả"),
    ("õa", "oã"),
    ("ọa", "oạ"),
    ("òe", "oè"),
    ("óe", "oé"),
    ("ỏe", "oẻ"),
    ("õe", "oẽ"),
    ("ọe", "oẹ"),
    ("ùy", "uỳ"),
    ("úy", "uý"),
    ("ủy", "uỷ"),
    ("ũy", "uỹ"),
    ("ụy", "uỵ"),
];

/// Words that are written with y or with i.
const I_AND_Y: [(&str, &str); 12] = [
    ("Mỹ", "Mĩ"),
    ("Quý", "Quí"),
    ("Kỳ", "Kì"),
    ("Lý", "Lí"),
    ("Vy", "Vi"),
    ("Ly", "Li"),
    ("Hy", "Hi"),
    ("Sỹ", "Sĩ"),
    ("Vỹ", "Vĩ"),
    ("Thy", "Thi"),
    ("My", "Mi"),
    ("Kỷ", "Kỉ"),
];

fn by_word(text: &str, word: impl Fn(&str) -> String) -> String {
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn other_tone_place(text: &str) -> String {
    by_word(text, |word| {
        for (old, new) in TONE_PLACES {
            if let Some(start) = word.strip_suffix(old) {
                return format!("{start}{new}");
            }
        }
        word.to_owned()
    })
}

fn i_for_y(text: &str) -> String {
    by_word(text, |word| I_AND_Y.iter().find(|(y, _)| *y == word).map_or(word, |(_, i)| i).to_owned())
}

fn wide(text: &str) -> String {
    let wide = |digit: char| digit.to_digit(10).and_then(|n| char::from_u32(0xff10 + n)).unwrap_or(digit);
    text.chars().map(wide).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling_changes_whole_words_only() {
        assert_eq!(other_tone_place("Hòa Thủy Quý Hoàng"), "Hoà Thuỷ Quý Hoàng");
        assert_eq!(i_for_y("Lê Quý Mỹ Lyn"), "Lê Quí Mĩ Lyn");
        assert_eq!(wide("0012"), "００１２");
    }
}
