//! Vietnamese names: how often which family name, middle and given name occurs, by sex, generation, people and region.
//!
//! Frequencies of family names follow the published counts (Nguyễn 31 %, Trần 11 %, Lê 9 %); the split into family, middle and given name is
//! a convention that not every people of the country shares.

mod canary;
mod kinh;
mod peoples;
mod places;

use std::sync::LazyLock;

pub(crate) use canary::{CAUSES as CANARY_CAUSES, PHONES as CANARY_PHONES, PINS as CANARY_PINS};
pub(crate) use canary::{STREETS as CANARY_STREETS, all as canaries};
pub(crate) use places::{CAUSES, STREETS};

use crate::person::Sex;
use crate::random::Random;

/// Words and how often each occurs among them.
type Pool = &'static [(&'static str, u32)];

/// No such part.
const NO_WORD: u16 = u16::MAX;

/// A name as indexes of words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name {
    family: u16,
    middle: u16,
    given: u16,
    /// Written given name first, as the Ê Đê do: H'Hen Niê.
    given_first: bool,
}

/// By whose custom somebody is named.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Custom {
    KinhNorth,
    KinhSouth,
    Tay,
    Thai,
    Hmong,
    Khmer,
    Ede,
    /// One word and no more, as among the Ba Na and the Xơ Đăng.
    SingleToken,
    Canary,
}

impl Custom {
    /// The people's code in the national list.
    pub(crate) fn ethnicity(self) -> u8 {
        match self {
            Custom::KinhNorth | Custom::KinhSouth | Custom::Canary => 1,
            Custom::Tay => 2,
            Custom::Thai => 3,
            Custom::Khmer => 5,
            Custom::Hmong => 8,
            Custom::Ede => 12,
            Custom::SingleToken => 13,
        }
    }

    /// The custom of a household in a province of today.
    pub(crate) fn of_province(province: u8, random: &mut Random) -> Custom {
        let roll = random.below(100);
        let (first, second): ((Custom, u32), (Custom, u32)) = match province {
            4 | 8 | 19 | 20 => ((Custom::Tay, 40), (Custom::Hmong, 8)),
            11 | 12 | 14 | 15 => ((Custom::Thai, 32), (Custom::Hmong, 26)),
            25 | 38 | 40 => ((Custom::Thai, 9), (Custom::Hmong, 1)),
            66 => ((Custom::Ede, 20), (Custom::Tay, 6)),
            51 | 52 => ((Custom::SingleToken, 20), (Custom::Ede, 4)),
            48 | 68 => ((Custom::SingleToken, 5), (Custom::Ede, 2)),
            86 | 91 | 92 | 96 => ((Custom::Khmer, 13), (Custom::Tay, 0)),
            _ => ((Custom::Tay, 1), (Custom::Thai, 1)),
        };
        if roll < first.1 {
            first.0
        } else if roll < first.1 + second.1 {
            second.0
        } else if province < 45 {
            Custom::KinhNorth
        } else {
            Custom::KinhSouth
        }
    }
}

/// Every word that a name can be made of, once.
struct Words {
    words: Vec<&'static str>,
}

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let pools = kinh::POOLS.iter().chain(peoples::POOLS).chain(canary::POOLS);
    let mut words: Vec<&'static str> = pools.flat_map(|pool| pool.iter().map(|(word, _)| *word)).collect();
    words.sort_unstable();
    words.dedup();
    Words { words }
});

fn word(index: u16) -> Option<&'static str> {
    WORDS.words.get(usize::from(index)).copied()
}

fn draw(pool: Pool, random: &mut Random) -> u16 {
    let (word, _) = pool[random.weighted(pool.iter().map(|(_, weight)| *weight))];
    WORDS.words.binary_search(&word).map_or(NO_WORD, |index| index as u16)
}

impl Name {
    /// A name for somebody born in a year; children take the family name that they are given.
    pub(crate) fn draw(
        custom: Custom,
        sex: Sex,
        year: i32,
        family: Option<Name>,
        random: &mut Random,
    ) -> Name {
        let pools = pools(custom, sex, year);
        let of = |pool: Pool, random: &mut Random| if pool.is_empty() { NO_WORD } else { draw(pool, random) };
        let own = of(pools.family, random);
        // Among the Ê Đê not everybody's clan stands in the papers: Y Bhiông.
        let clanless = custom == Custom::Ede && random.percent(30);
        let middle = if random.percent(pools.middle_percent) { of(pools.middle, random) } else { NO_WORD };
        Name {
            family: if clanless { NO_WORD } else { family.map_or(own, |name| name.family) },
            middle,
            given: of(pools.given, random),
            given_first: custom == Custom::Ede,
        }
    }

    /// The same person's name as it should have been: another middle or given name.
    pub(crate) fn corrected(self, custom: Custom, sex: Sex, year: i32, random: &mut Random) -> Name {
        let other = Name::draw(custom, sex, year, Some(self), random);
        if self.middle == NO_WORD || random.percent(50) {
            Name { given: other.given, ..self }
        } else {
            Name { middle: other.middle, ..self }
        }
    }

    pub(crate) fn family(self) -> Option<&'static str> {
        word(self.family)
    }

    pub(crate) fn middle(self) -> Option<&'static str> {
        word(self.middle)
    }

    pub(crate) fn given(self) -> &'static str {
        word(self.given).unwrap_or_default()
    }

    pub(crate) fn full(self) -> String {
        let parts = if self.given_first {
            [Some(self.given()), self.middle(), self.family()]
        } else {
            [self.family(), self.middle(), Some(self.given())]
        };
        let parts: Vec<&str> = parts.into_iter().flatten().collect();
        parts.join(" ")
    }
}

/// What a name is drawn from.
struct Pools {
    family: Pool,
    middle: Pool,
    middle_percent: u32,
    given: Pool,
}

fn pools(custom: Custom, sex: Sex, year: i32) -> Pools {
    let (middle, given) = kinh::by_generation(sex, year);
    let male = sex == Sex::Male;
    let of = |family, middle, middle_percent, given| Pools { family, middle, middle_percent, given };
    match custom {
        Custom::KinhNorth => of(kinh::FAMILY_NORTH, middle, 97, given),
        Custom::KinhSouth => of(kinh::FAMILY_SOUTH, middle, 96, given),
        Custom::Tay => of(peoples::FAMILY_TAY, middle, 97, given),
        Custom::Thai => of(peoples::FAMILY_THAI, middle, 97, given),
        Custom::Hmong if male => of(peoples::FAMILY_HMONG, &[("A", 1)], 85, peoples::GIVEN_HMONG_MALE),
        Custom::Hmong => of(peoples::FAMILY_HMONG, &[("Thị", 1)], 90, peoples::GIVEN_HMONG_FEMALE),
        Custom::Khmer if male => of(peoples::FAMILY_KHMER, &[], 0, peoples::GIVEN_KHMER_MALE),
        Custom::Khmer => of(peoples::FAMILY_KHMER, &[("Thị", 1)], 40, peoples::GIVEN_KHMER_FEMALE),
        Custom::Ede if male => of(peoples::CLAN_EDE, &[], 0, peoples::GIVEN_EDE_MALE),
        Custom::Ede => of(peoples::CLAN_EDE, &[], 0, peoples::GIVEN_EDE_FEMALE),
        Custom::SingleToken => of(&[], &[], 0, peoples::GIVEN_SINGLE),
        Custom::Canary => of(canary::FAMILY, canary::MIDDLE, 90, canary::GIVEN),
    }
}
