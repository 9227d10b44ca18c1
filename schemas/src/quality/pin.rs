//! Personal identification numbers: 12 digits by law; their structure is a hint.

/// Provinces of births, by the codes of 2016; a newborn after the merger of 2025 may still get any of them.
const PROVINCES: [u16; 63] = [
    1, 2, 4, 6, 8, 10, 11, 12, 14, 15, 17, 19, 20, 22, 24, 25, 26, 27, 30, 31, 33, 34, 35, 36, 37, 38, 40,
    42, 44, 45, 46, 48, 49, 51, 52, 54, 56, 58, 60, 62, 64, 66, 67, 68, 70, 72, 74, 75, 77, 79, 80, 82, 83,
    84, 86, 87, 89, 91, 92, 93, 94, 95, 96,
];

/// What the digits of a number say. Shows nothing in `Debug`: it is personal data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    province: u16,
    century_and_sex: u8,
    year: u8,
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pin(***)")
    }
}

impl Pin {
    /// Reads 12 ASCII digits that are not all the same; the text is taken as it stands, nothing is normalised before.
    #[must_use]
    pub fn parse(text: &str) -> Option<Pin> {
        let digits: &[u8; 12] = text.as_bytes().try_into().ok()?;
        if !digits.iter().all(u8::is_ascii_digit) || digits.iter().all(|digit| *digit == digits[0]) {
            return None;
        }
        let value = |place: usize| digits[place] - b'0';
        Some(Pin {
            province: u16::from(value(0)) * 100 + u16::from(value(1)) * 10 + u16::from(value(2)),
            century_and_sex: value(3),
            year: value(4) * 10 + value(5),
        })
    }

    /// First year of the century that the number says.
    #[must_use]
    pub fn century(self) -> u16 {
        1_900 + 100 * u16::from(self.century_and_sex / 2)
    }

    /// Last two digits of the birth year that the number says.
    #[must_use]
    pub fn year_of_century(self) -> u8 {
        self.year
    }

    /// Whether the number says female.
    #[must_use]
    pub fn is_female(self) -> bool {
        self.century_and_sex % 2 == 1
    }

    /// Province of the registered birth; a country's code for a birth registered abroad.
    #[must_use]
    pub fn province(self) -> u16 {
        self.province
    }
}

/// Whether the first three digits are a province's.
#[must_use]
pub fn is_known_province(code: u16) -> bool {
    PROVINCES.binary_search(&code).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digit_four_holds_century_and_sex() {
        let read = |text| Pin::parse(text).map(|pin| (pin.century(), pin.is_female(), pin.year_of_century()));
        assert_eq!(read("001326000001"), Some((2_000, true, 26)));
        assert_eq!(read("079200000001"), Some((2_000, false, 0)));
        assert_eq!(read("015099000001"), Some((1_900, false, 99)));
        assert_eq!(read("001932600000"), Some((2_300, true, 32)));
    }

    #[test]
    fn sixty_three_provinces_are_known_and_the_gaps_between_them_are_not() {
        assert_eq!((1..=96).filter(|code| is_known_province(*code)).count(), 63);
        for gap in [0, 3, 5, 7, 9, 13, 97, 999] {
            assert!(!is_known_province(gap), "{gap}");
        }
    }

    #[test]
    fn debug_hides_the_number() {
        assert_eq!(format!("{:?}", Pin::parse("001326000001")), "Some(Pin(***))");
    }
}
