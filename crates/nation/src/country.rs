//! The real administrative units before and after 1 July 2025, and how many live where.
//!
//! A present address uses the units of today; a birth before the merger was registered in a commune of then, and its province stays in
//! the first digits of the PIN for life. Seven codes of provinces changed their name in the merger, so a code means nothing without its date.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chrono::NaiveDate;

use crate::random::Random;

/// Resolution 202/2025/QH15 takes effect.
pub(crate) const MERGER: &str = "2025-07-01";
/// What made provinces of several former ones; which resolution made which commune is not in the data.
pub(crate) const MERGER_DECREE: &str = "202/2025/QH15";
/// The same as a day.
pub(crate) const MERGER_DAY: NaiveDate = match NaiveDate::from_ymd_opt(2025, 7, 1) {
    Some(day) => day,
    None => NaiveDate::MAX,
};
/// Last day of every former unit.
pub(crate) const LAST_DAY: &str = "2025-06-30";
/// EDTF: nobody wrote down when the former units came into force.
pub(crate) const UNKNOWN_START: &str = "..";

const FORMER: &str =
    include_str!("../../../docs/examples/admin-units/data/admin_units_before_2025-07-01.csv");
const CURRENT: &str = include_str!("../../../docs/examples/admin-units/data/admin_units_from_2025-07-01.csv");
const SUCCESSION: &str =
    include_str!("../../../docs/examples/admin-units/data/admin_unit_succession_2025.csv");

/// Former provinces and their people in thousands, rounded from the yearbooks of 2023 and 2024.
const PROVINCES: [(u8, u32); 63] = [
    (1, 8587),
    (2, 900),
    (4, 547),
    (6, 326),
    (8, 812),
    (10, 781),
    (11, 646),
    (12, 490),
    (14, 1313),
    (15, 856),
    (17, 880),
    (19, 1350),
    (20, 807),
    (22, 1381),
    (24, 1922),
    (25, 1530),
    (26, 1211),
    (27, 1517),
    (30, 1957),
    (31, 2105),
    (33, 1303),
    (34, 1882),
    (35, 885),
    (36, 1887),
    (37, 1018),
    (38, 3739),
    (40, 3442),
    (42, 1323),
    (44, 918),
    (45, 654),
    (46, 1166),
    (48, 1245),
    (49, 1526),
    (51, 1248),
    (52, 1506),
    (54, 877),
    (56, 1261),
    (58, 601),
    (60, 1258),
    (62, 591),
    (64, 1613),
    (66, 1932),
    (67, 681),
    (68, 1346),
    (70, 1045),
    (72, 1194),
    (74, 2823),
    (75, 3310),
    (77, 1187),
    (79, 9457),
    (80, 1743),
    (82, 1785),
    (83, 1299),
    (84, 1019),
    (86, 1028),
    (87, 1600),
    (89, 1906),
    (91, 1755),
    (92, 1259),
    (93, 728),
    (94, 1198),
    (95, 925),
    (96, 1207),
];

/// A unit as the data names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub(crate) code: &'static str,
    pub(crate) level: &'static str,
    pub(crate) parent: &'static str,
    pub(crate) name: &'static str,
    pub(crate) full_name: &'static str,
}

/// A commune of today.
#[derive(Clone, Copy)]
pub(crate) struct Commune {
    pub(crate) code: u32,
    pub(crate) province: u8,
    pub(crate) full_name: &'static str,
}

/// Both states of the country.
pub(crate) struct Country {
    pub(crate) former: Vec<Unit>,
    pub(crate) current: Vec<Unit>,
    /// Communes of today.
    pub(crate) communes: Vec<Commune>,
    /// Indexes of `communes` by province of today.
    by_province: BTreeMap<u8, Vec<u16>>,
    /// Codes of communes by province of then.
    former_communes: BTreeMap<u8, Vec<u32>>,
    /// Province of today by province of then, with the latter's people.
    provinces: Vec<(u8, u8, u32)>,
    /// Former provinces whose code is closed.
    pub(crate) closed: Vec<u8>,
    /// By level and code: codes of today, and how much of the unit went there.
    successors: BTreeMap<(&'static str, &'static str), Vec<(&'static str, &'static str)>>,
    /// Names of provinces: of then, of today.
    names: [BTreeMap<u8, &'static str>; 2],
}

/// The one country; read once.
pub(crate) static COUNTRY: LazyLock<Country> = LazyLock::new(Country::read);

impl Country {
    fn read() -> Self {
        let (former, current) = (units(FORMER), units(CURRENT));
        let mut successors: BTreeMap<_, Vec<(&'static str, &'static str)>> = BTreeMap::new();
        for line in SUCCESSION.lines().skip(1) {
            let mut cells = line.split(',');
            let mut next = || cells.next().unwrap_or_default();
            let (level, old, new, extent) = (next(), next(), next(), next());
            let known = successors.entry((level, old)).or_default();
            if !known.iter().any(|(code, _)| *code == new) {
                known.push((new, extent));
            }
        }
        let mut communes = Vec::new();
        let mut by_province: BTreeMap<u8, Vec<u16>> = BTreeMap::new();
        for unit in current.iter().filter(|unit| unit.level == "commune") {
            let province = number(unit.parent) as u8;
            let commune = Commune { code: number(unit.code), province, full_name: unit.full_name };
            by_province.entry(commune.province).or_default().push(communes.len() as u16);
            communes.push(commune);
        }
        let province_of = |code: u8| {
            let code = format!("{code:02}");
            successors.get(&("province", code.as_str())).map_or(0, |new| number(new[0].0) as u8)
        };
        let provinces: Vec<_> =
            PROVINCES.iter().map(|(code, people)| (*code, province_of(*code), *people)).collect();
        let closed =
            provinces.iter().map(|(old, ..)| *old).filter(|old| !by_province.contains_key(old)).collect();
        let former_communes = former_communes(&former);
        let names = [&former, &current].map(|units| {
            let provinces = units.iter().filter(|unit| unit.level == "province");
            provinces.map(|unit| (number(unit.code) as u8, unit.name)).collect()
        });
        Self { former, current, communes, by_province, former_communes, provinces, closed, successors, names }
    }

    /// A commune of today, a province as often as it has people.
    pub(crate) fn any_commune(&self, random: &mut Random) -> u16 {
        let at = random.weighted(self.provinces.iter().map(|(.., people)| *people));
        self.commune_of(self.provinces[at].1, random)
    }

    /// A commune of a province of today.
    pub(crate) fn commune_of(&self, province: u8, random: &mut Random) -> u16 {
        self.by_province.get(&province).map_or(0, |communes| *random.pick(communes))
    }

    /// A former province for somebody who lives in `province` today: mostly one that became it.
    pub(crate) fn birth_province(&self, province: u8, random: &mut Random) -> u8 {
        let near = random.percent(80);
        let people = |(_, new, people): &(u8, u8, u32)| if !near || *new == province { *people } else { 0 };
        self.provinces[random.weighted(self.provinces.iter().map(people))].0
    }

    /// A commune of a former province.
    pub(crate) fn former_commune(&self, province: u8, random: &mut Random) -> u32 {
        self.former_communes.get(&province).map_or(0, |communes| *random.pick(communes))
    }

    /// Name of a province, as it was called before the merger or since.
    pub(crate) fn province_name(&self, code: u8, since_merger: bool) -> &'static str {
        self.names[usize::from(since_merger)].get(&code).copied().unwrap_or_default()
    }

    /// Whether a province of today was made of several.
    pub(crate) fn is_merged(&self, unit: &Unit) -> bool {
        let former = self.provinces.iter().filter(|(_, new, _)| u32::from(*new) == number(unit.code));
        unit.level == "province" && former.count() > 1
    }

    /// Codes of the units that took over, and how much of the unit went to each, both joined by commas.
    pub(crate) fn successors(&self, unit: &Unit) -> (String, String) {
        let known = self.successors.get(&(unit.level, unit.code)).map_or(&[][..], Vec::as_slice);
        let (codes, extents): (Vec<&str>, Vec<&str>) = known.iter().copied().unzip();
        (codes.join(","), extents.join(","))
    }
}

fn former_communes(former: &[Unit]) -> BTreeMap<u8, Vec<u32>> {
    let districts = former.iter().filter(|unit| unit.level == "district");
    let province: BTreeMap<&str, u8> = districts.map(|unit| (unit.code, number(unit.parent) as u8)).collect();
    let mut communes: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
    for unit in former.iter().filter(|unit| unit.level == "commune") {
        if let Some(province) = province.get(unit.parent) {
            communes.entry(*province).or_default().push(number(unit.code));
        }
    }
    communes
}

fn units(text: &'static str) -> Vec<Unit> {
    let unit = |line: &'static str| {
        let mut cells = line.split(',');
        let mut next = || cells.next().unwrap_or_default();
        Unit { code: next(), level: next(), parent: next(), name: next(), full_name: next() }
    };
    text.lines().skip(1).map(unit).collect()
}

fn number(code: &str) -> u32 {
    code.bytes().fold(0, |sum, digit| sum * 10 + u32::from(digit & 15))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_every_province_has_communes_and_people() {
        let country = Country::read();
        assert_eq!((country.former.len(), country.current.len()), (63 + 696 + 10_035, 34 + 3_321));
        assert_eq!((country.communes.len(), country.by_province.len()), (3_321, 34));
        let merged = country.current.iter().filter(|unit| country.is_merged(unit));
        assert_eq!(merged.count(), 23, "eleven provinces stayed as they were");
        assert_eq!((country.former_communes.len(), country.closed.len()), (63, 29));
        for (old, new, _) in &country.provinces {
            assert!(country.by_province.contains_key(new), "former province {old} leads nowhere");
            assert!(country.former_communes.contains_key(old), "former province {old} has no communes");
        }
        for former in &country.former {
            let (codes, extents) = country.successors(former);
            let (codes, extents) = (codes.split(','), extents.split(','));
            assert_eq!(codes.count(), extents.clone().count(), "{}", former.code);
            assert!(
                extents.into_iter().all(|extent| ["", "whole", "part"].contains(&extent)),
                "{}",
                former.code
            );
        }
        let named = |unit: &&Unit| !unit.name.is_empty() && !unit.full_name.contains('"');
        assert!(country.former.iter().chain(&country.current).all(|unit| named(&unit)));
    }
}
