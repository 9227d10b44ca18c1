//! The first day: households with people in them, until there are enough.

use chrono::{Datelike as _, Days, NaiveDate};

use crate::country::{COUNTRY, MERGER_DAY};
use crate::names::{CANARY_PINS, Custom, Name};
use crate::nation::{Nation, Task};
use crate::person::{Household, Marital, NONE, Person, Precision, Relation, Sex};
use crate::pin::Flaw;
use crate::random::Random;

/// Ages of heads of households: from, to, weight.
const HEADS: [(u32, u32, u32); 7] =
    [(20, 29, 14), (30, 39, 27), (40, 49, 23), (50, 59, 17), (60, 69, 11), (70, 79, 5), (80, 95, 3)];
/// How many couples of a hundred have 0, 1, 2, 3, 4 children.
const CHILDREN: [u32; 5] = [12, 27, 43, 13, 5];
/// First year of the electronic civil status register.
pub(crate) const ELECTRONIC: i32 = 2016;

/// Who somebody is to be.
pub(crate) struct Newcomer {
    pub(crate) custom: Custom,
    pub(crate) sex: Sex,
    pub(crate) birth: NaiveDate,
    pub(crate) household: u32,
    pub(crate) relation: Relation,
    pub(crate) mother: u32,
    pub(crate) father: u32,
}

impl Nation {
    pub(crate) fn populate(&mut self) {
        if self.config.canaries {
            self.canary_people();
        }
        while self.people.len() < self.config.people as usize {
            self.household();
        }
    }

    /// The people whose PINs are canaries: each alone, each born to fit.
    fn canary_people(&mut self) {
        for pin in CANARY_PINS {
            let sex = if pin / 100_000_000 % 2 == 1 { Sex::Female } else { Sex::Male };
            let year = 1900 + (pin / 1_000_000 % 100) as i32;
            let household = self.new_household(None);
            let birth = NaiveDate::from_yo_opt(year, 1 + self.random.below(365)).unwrap_or(self.today);
            let (custom, relation) = (Custom::Canary, Relation::Head);
            let newcomer = Newcomer { custom, sex, birth, household, relation, mother: NONE, father: NONE };
            let id = self.enter(&newcomer);
            self.pins.take_this(*pin);
            let person = &mut self.people[id as usize];
            person.pin = *pin;
            person.birth_province = (pin / 1_000_000_000) as u8;
        }
    }

    pub(crate) fn new_household(&mut self, commune: Option<u16>) -> u32 {
        let commune = commune.unwrap_or_else(|| COUNTRY.any_commune(&mut self.random));
        let (street, house) = (self.random.below(30) as u8, self.random.between(1, 420) as u16);
        self.households.push(Household { commune, street, house, members: Vec::new() });
        self.households.len() as u32 - 1
    }

    /// One household: a head, most often a spouse, children, now and then a grandparent.
    fn household(&mut self) {
        let household = self.new_household(None);
        let province = self.commune(household).province;
        let custom = if self.config.canaries {
            Custom::Canary
        } else {
            Custom::of_province(province, &mut self.random)
        };
        let (low, high, _) = HEADS[self.random.weighted(HEADS.iter().map(|(.., weight)| *weight))];
        let age = self.random.between(low, high);
        let couple = match age {
            ..=24 => 35,
            25..=29 => 65,
            30..=59 => 84,
            60..=69 => 78,
            70..=79 => 60,
            _ => 35,
        };
        let couple = self.random.percent(couple);
        let sex = if couple || self.random.percent(45) { Sex::Male } else { Sex::Female };
        let birth = born(self.today, age, &mut self.random);
        let relation = Relation::Head;
        let (mother, father) = self.grandparents(custom, household, age, birth);
        let head = self.enter(&Newcomer { custom, sex, birth, household, relation, mother, father });
        let wife = if couple { self.wife(custom, household, head, age) } else { NONE };
        let mother = if couple || sex == Sex::Male { wife } else { head };
        let single_mother = !couple && sex == Sex::Female && age >= 25 && self.random.percent(45);
        if !couple && age >= 60 {
            self.people[head as usize].marital = Marital::Widowed;
        } else if single_mother {
            self.people[head as usize].marital = Marital::Divorced;
        }
        if mother != NONE && (couple || single_mother) {
            self.children(custom, household, mother, if couple { head } else { NONE });
        }
    }

    /// The head's parents, if they live here.
    fn grandparents(&mut self, custom: Custom, household: u32, age: u32, child: NaiveDate) -> (u32, u32) {
        if !(25..=58).contains(&age) || !self.random.percent(24) {
            return (NONE, NONE);
        }
        let (sex, relation) = (Sex::Female, Relation::Parent);
        let years = self.random.between(19, 34);
        let birth = before(child, years, &mut self.random);
        let mother =
            self.enter(&Newcomer { custom, sex, birth, household, relation, mother: NONE, father: NONE });
        if !self.random.percent(55) || self.people.len() >= self.config.people as usize {
            self.people[mother as usize].marital = Marital::Widowed;
            return (mother, NONE);
        }
        let birth = before(birth, 1, &mut self.random);
        let sex = Sex::Male;
        let father =
            self.enter(&Newcomer { custom, sex, birth, household, relation, mother: NONE, father: NONE });
        self.wed(father, mother);
        (mother, father)
    }

    fn wife(&mut self, custom: Custom, household: u32, head: u32, age: u32) -> u32 {
        if self.people.len() >= self.config.people as usize {
            return NONE;
        }
        let younger = self.random.below(7).min(age.saturating_sub(19));
        let birth = born(self.today, age - younger, &mut self.random);
        let (sex, relation) = (Sex::Female, Relation::Spouse);
        let wife =
            self.enter(&Newcomer { custom, sex, birth, household, relation, mother: NONE, father: NONE });
        self.wed(head, wife);
        wife
    }

    pub(crate) fn wed(&mut self, husband: u32, wife: u32) {
        for (one, other) in [(husband, wife), (wife, husband)] {
            let person = &mut self.people[one as usize];
            (person.spouse, person.marital) = (other, Marital::Married);
        }
    }

    /// Children who still live with their mother.
    fn children(&mut self, custom: Custom, household: u32, mother: u32, father: u32) {
        let count = self.random.weighted(CHILDREN.iter().copied());
        let mut birth = self.person(mother).birth;
        let mut years = self.random.between(19, 31);
        for _ in 0..count {
            birth = birth + Days::new(u64::from(years) * 365 + u64::from(self.random.between(1, 364)));
            years = self.random.between(1, 5);
            let full = self.people.len() >= self.config.people as usize;
            if full || birth > self.today || crate::person::age(self.person(mother).birth, birth) > 43 {
                return;
            }
            let age = crate::person::age(birth, self.today);
            if age < 19 || (age < 29 && self.random.percent(50)) {
                let sex = if self.random.below(1_000) < 528 { Sex::Male } else { Sex::Female };
                let relation = Relation::Child;
                self.enter(&Newcomer { custom, sex, birth, household, relation, mother, father });
                self.people[mother as usize].last_child = Some(birth);
            }
        }
    }

    /// Somebody of the first day, with papers.
    fn enter(&mut self, newcomer: &Newcomer) -> u32 {
        let age = crate::person::age(newcomer.birth, self.today);
        let old = newcomer.birth.year();
        let known = self.random.below(100);
        let precision = match old {
            ..=1949 if known < 45 => Precision::Year,
            ..=1949 if known < 55 => Precision::Month,
            1950..=1964 if known < 15 => Precision::Year,
            1950..=1964 if known < 19 => Precision::Month,
            _ => Precision::Day,
        };
        let late = self.random.percent(15);
        let wait = if late { self.random.between(61, 300) } else { self.random.between(1, 45) };
        let registered = (newcomer.birth + Days::new(u64::from(wait))).min(self.today);
        let id = self.add(newcomer, registered, precision);
        let recent = (self.today - registered).num_days() < 120;
        let later = recent && self.random.per_100k(self.config.dirt.pin_later * 5);
        let digitised = old >= ELECTRONIC || self.random.percent(40);
        if later {
            let wait = 1 + u64::from(self.random.below(2 * self.apart() as u32));
            self.arrange(wait, Task::AssignPin(id));
        } else {
            self.give_pin(id);
        }
        let carded = if age >= 14 {
            96
        } else if age >= 6 {
            55
        } else {
            30
        };
        let carded = self.random.percent(carded);
        let insured = self.random.percent(93);
        let works = (18..60).contains(&age) && self.random.percent(42);
        if recent && newcomer.mother != NONE && self.random.percent(90) {
            let notice = self.notice_no("GCS", newcomer.mother, newcomer.birth);
            self.first_notices.insert(id, notice);
        }
        let number = id + 1;
        let person = &mut self.people[id as usize];
        person.birth_no = if digitised { number } else { 0 };
        if person.pin != 0 {
            person.card = if carded { number } else { 0 };
            person.insured = insured;
            person.participation = if works { number } else { 0 };
            let issued = self.first_card_issued(id);
            let expires = self.card_lasts(id, issued);
            self.people[id as usize].card_expires = expires;
        }
        id
    }

    /// Somebody without papers, in their household.
    pub(crate) fn add(&mut self, newcomer: &Newcomer, registered: NaiveDate, precision: Precision) -> u32 {
        let id = self.people.len() as u32;
        let commune = self.commune(newcomer.household);
        let (birth_province, birth_office) = if registered >= MERGER_DAY {
            (commune.province, commune.code)
        } else {
            let province = COUNTRY.birth_province(commune.province, &mut self.random);
            (province, COUNTRY.former_commune(province, &mut self.random))
        };
        // A child has the father's family name, or the mother's where no father is known.
        let parent = if newcomer.father == NONE { newcomer.mother } else { newcomer.father };
        let family = self.people.get(parent as usize).map(|parent| parent.name);
        let year = newcomer.birth.year();
        let name = Name::draw(newcomer.custom, newcomer.sex, year, family, &mut self.random);
        let mother = self.people.get(newcomer.mother as usize);
        self.people.push(Person {
            pin: 0,
            name,
            birth: newcomer.birth,
            registered,
            precision,
            sex: newcomer.sex,
            ethnicity: mother.map_or(newcomer.custom.ethnicity(), |mother| mother.ethnicity),
            marital: Marital::Single,
            relation: newcomer.relation,
            alive: true,
            birth_province,
            birth_office,
            birth_no: 0,
            household: newcomer.household,
            mother: newcomer.mother,
            father: newcomer.father,
            spouse: NONE,
            file: id + 1,
            card: 0,
            card_expires: None,
            insured: false,
            participation: 0,
            last_child: None,
            free_from: 0,
        });
        self.households[newcomer.household as usize].members.push(id);
        self.living += 1;
        id
    }

    /// A PIN, which at a small rate says what is not so.
    pub(crate) fn give_pin(&mut self, id: u32) {
        let rates = &self.config.dirt;
        let flaws =
            [(Flaw::Year, rates.pin_year), (Flaw::Sex, rates.pin_sex), (Flaw::Province, rates.pin_province)];
        let mut flaw = Flaw::None;
        for (kind, rate) in flaws {
            if self.random.per_100k(rate) {
                flaw = kind;
            }
        }
        let (province, sex, birth) = {
            let person = self.person(id);
            (person.birth_province, person.sex, person.birth)
        };
        self.people[id as usize].pin = self.pins.take(province, sex, birth, flaw, &mut self.random);
    }

    /// Day on which the card of the first day was issued.
    pub(crate) fn first_card_issued(&self, id: u32) -> NaiveDate {
        let days = self.chance(id, 61) % 1_800;
        let issued = self.config.start - Days::new(days);
        issued.max(self.person(id).registered)
    }

    /// Last day of a card: the next of the birthdays at which it is renewed, or the one after when that is less than two years away
    /// (Law on Identification, article 21).
    pub(crate) fn card_lasts(&self, id: u32, issued: NaiveDate) -> Option<NaiveDate> {
        let person = self.person(id);
        let age = person.age(issued);
        let until = [14, 25, 40, 60].into_iter().find(|limit| *limit > age + 2)?;
        let year = person.birth.year() + until as i32;
        person.birth.with_year(year).or_else(|| NaiveDate::from_ymd_opt(year, 3, 1))
    }
}

/// A birthday of somebody of that age.
fn born(today: NaiveDate, age: u32, random: &mut Random) -> NaiveDate {
    before(today, age, random)
}

/// A day in the year that ends so many years before another.
fn before(day: NaiveDate, years: u32, random: &mut Random) -> NaiveDate {
    day - Days::new(u64::from(years) * 365 + u64::from(years / 4) + u64::from(random.below(365)))
}
