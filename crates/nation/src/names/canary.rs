//! Words and numbers that occur nowhere but in a nation of canaries. A search for them through everything that a system puts out finds
//! what it should have kept for itself.
//!
//! They look like the real thing, letters with two marks and all, but no real name, street or illness is spelled so.

use std::sync::LazyLock;

use super::Pool;

/// Everything that names are made of here.
pub(super) const POOLS: &[Pool] = &[FAMILY, MIDDLE, GIVEN];

pub(super) const FAMILY: Pool =
    &[("Nguyểngh", 34), ("Trầuơn", 20), ("Lểuyn", 16), ("Phạuơm", 12), ("Huyễch", 10), ("Vỗuơng", 8)];
pub(super) const MIDDLE: Pool = &[("Thỵuên", 5), ("Vẵuơn", 5), ("Ngợuyc", 3), ("Điểuyn", 2)];
pub(super) const GIVEN: Pool = &[
    ("Khuyểuh", 5),
    ("Thoẵngh", 5),
    ("Nhượuck", 4),
    ("Đoảuynh", 4),
    ("Quyễuch", 4),
    ("Lưỡuyng", 3),
    ("Tuyệuck", 3),
    ("Hoẵuynh", 3),
];
/// All streets.
pub(crate) const STREETS: &[&str] =
    &["Ngõ Khuyễnh Đượngh", "Phố Hoặuyt Thợuyng", "Thôn Đỗuych Nhẫuyn", "Ấp Trễuyng Vẫuych"];
/// All causes of death.
pub(crate) const CAUSES: &[&str] =
    &["Chứng khuyệuch phế quảuyn", "Hội chứng nhượuyng tủy đỗuych", "Viêm đoảuych hạuynh"];
/// All phone numbers.
pub(crate) const PHONES: &[&str] = &["0977318264", "0961840273", "0938617402", "0916402738"];
/// PINs of the first people, who live alone and were born to fit: former Hà Nội, Hồ Chí Minh City, Đà Nẵng, Thanh Hóa.
pub(crate) const PINS: &[u64] = &[
    1_085_730_194,
    1_191_482_937,
    79_079_615_302,
    79_188_907_415,
    48_094_263_708,
    48_183_519_026,
    38_072_846_135,
    38_176_350_982,
];

/// Every canary as it stands in the data.
pub(crate) fn all() -> &'static [&'static str] {
    static ALL: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let names = POOLS.iter().flat_map(|pool| pool.iter().map(|(word, _)| *word));
        names.chain([STREETS, CAUSES, PHONES, PINS_TEXT].concat()).collect()
    });
    &ALL
}

/// [`PINS`] as text.
const PINS_TEXT: &[&str] = &[
    "001085730194",
    "001191482937",
    "079079615302",
    "079188907415",
    "048094263708",
    "048183519026",
    "038072846135",
    "038176350982",
];

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_normalization::is_nfc;

    #[test]
    fn canaries_are_normal_text_and_their_numbers_agree() {
        assert!(all().iter().all(|canary| is_nfc(canary)));
        let texts: Vec<String> = PINS.iter().map(|pin| crate::pin::text(*pin)).collect();
        assert_eq!(texts, PINS_TEXT);
        let is_word = |canary: &&&str| !canary.chars().all(|c| c.is_ascii_digit());
        assert!(all().iter().filter(is_word).all(|word| !word.is_ascii()));
    }
}
