//! Personal identification numbers: 3 digits of the province of birth registration, 1 of century and sex, 2 of the birth year, 6 at random
//! (Decree 137/2015/ND-CP, article 13). Nothing checks them: there is no check digit.

use std::collections::HashSet;

use chrono::{Datelike as _, NaiveDate};

use crate::person::Sex;
use crate::random::Random;

/// Codes of provinces that no list ever had.
const NEVER: [u32; 4] = [3, 5, 7, 9];

/// What a PIN says about its holder that is not so.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    Year,
    Sex,
    Province,
}

/// The numbers that are taken.
pub(crate) struct Pins(HashSet<u64>);

impl Pins {
    pub(crate) fn new(people: usize) -> Self {
        Self(HashSet::with_capacity(people + people / 8))
    }

    /// A number that nobody has.
    pub(crate) fn take(
        &mut self,
        province: u8,
        sex: Sex,
        birth: NaiveDate,
        flaw: Flaw,
        random: &mut Random,
    ) -> u64 {
        let province = if flaw == Flaw::Province { *random.pick(&NEVER) } else { u32::from(province) };
        let years = if flaw == Flaw::Year { random.between(1, 3) as i32 } else { 0 };
        let year = (birth.year() - years).max(1900) as u32;
        let odd = u32::from((sex == Sex::Female) != (flaw == Flaw::Sex));
        let head = province * 1_000 + ((year - 1900) / 100 * 2 + odd) * 100 + year % 100;
        loop {
            let pin = u64::from(head) * 1_000_000 + u64::from(random.below(1_000_000));
            if pin != 0 && self.0.insert(pin) {
                return pin;
            }
        }
    }

    /// Takes a number that is given.
    pub(crate) fn take_this(&mut self, pin: u64) -> bool {
        self.0.insert(pin)
    }
}

/// Whether the sex digit of a PIN agrees.
pub(crate) fn sex_agrees(pin: u64, sex: Sex) -> bool {
    (pin / 100_000_000 % 2 == 1) == (sex == Sex::Female)
}

/// Whether century and year of a PIN agree.
pub(crate) fn year_agrees(pin: u64, birth: NaiveDate) -> bool {
    let year = 1900 + (pin / 100_000_000 % 10 / 2) * 100 + pin / 1_000_000 % 100;
    i64::try_from(year) == Ok(i64::from(birth.year()))
}

/// Whether the first three digits are a province.
pub(crate) fn province_exists(pin: u64) -> bool {
    !NEVER.contains(&((pin / 1_000_000_000) as u32))
}

/// Twelve digits.
pub(crate) fn text(pin: u64) -> String {
    format!("{pin:012}")
}
