//! People as rows of the ministries' tables. A row is made from the state whenever it is asked for, and is the same each time.

pub(crate) mod civil_status;
mod initial;
mod insurance;
mod people;

use chrono::{Datelike as _, NaiveDate};

pub use initial::{InitialRows, unit_rows};
pub(crate) use insurance::{Participation, object_code};

use crate::country::{COUNTRY, Commune, MERGER};
use crate::dirt::{Dirt, Spots};
use crate::nation::Nation;
use crate::person::{NONE, Person};
use crate::pin;
use crate::random::mixed;
use crate::tables::System;
use crate::write::{Field, Op, RowWrite, Value};
use crate::{dirt, names};

/// A new row; its key is read out of its values.
pub(crate) fn insert(system: System, table: &'static str, mut values: Vec<Field>) -> RowWrite {
    let key = system.tables().iter().find(|known| known.name == table).map_or(&[][..], |known| known.key);
    let of = |column: &&'static str| {
        let value = values.iter().find(|(name, _)| name == column);
        (*column, value.map_or(Value::Null, |(_, value)| value.clone()))
    };
    let key = key.iter().map(of).collect();
    values.retain(|(_, value)| *value != Value::Null);
    RowWrite { system, table, op: Op::Insert, key, values, dirt: Vec::new(), meant: Vec::new(), about: NONE }
}

/// Other values in a row.
pub(crate) fn update(system: System, table: &'static str, key: Field, values: Vec<Field>) -> RowWrite {
    RowWrite {
        system,
        table,
        op: Op::Update,
        key: vec![key],
        values,
        dirt: Vec::new(),
        meant: Vec::new(),
        about: NONE,
    }
}

/// An instant of a day, in the country's time.
pub(crate) fn instant(day: NaiveDate, minute: u32) -> Value {
    Value::from(format!("{day}T{:02}:{:02}:00+07:00", minute / 60, minute % 60))
}

/// Number of a civil status registration: year, office, number.
pub(crate) fn registration_no(day: NaiveDate, office: u32, number: u32) -> String {
    format!("{}/{office:05}/{number}", day.year())
}

/// Number of a residence file.
pub(crate) fn file_no(number: u32) -> Value {
    Value::from(format!("HK{number:09}"))
}

/// Number of a household.
pub(crate) fn household_no(number: u32) -> Value {
    Value::from(format!("HO{number:08}"))
}

/// Serial number of a card.
pub(crate) fn serial(number: u32) -> Value {
    Value::from(format!("CC{number:010}"))
}

/// Number of a participation.
pub(crate) fn participation_no(number: u32) -> Value {
    Value::from(format!("TG{number:09}"))
}

/// Number of a health card: ten digits, the holder's for life.
pub(crate) fn card_no(person: u32) -> Value {
    Value::from(format!("79{person:08}"))
}

impl Nation {
    pub(crate) fn person(&self, person: u32) -> &Person {
        &self.people[person as usize]
    }

    /// A PIN, or nothing while there is none.
    pub(crate) fn pin(&self, person: u32) -> Value {
        let pin = if person == NONE { 0 } else { self.person(person).pin };
        (pin != 0).then(|| pin::text(pin)).into()
    }

    pub(crate) fn full_name(&self, person: u32) -> Value {
        (person != NONE).then(|| self.person(person).name.full()).into()
    }

    /// A birth date as the registers know it: what is unknown stands as 01.
    pub(crate) fn birth_date(&self, person: u32) -> Value {
        use crate::person::Precision;
        let known = self.people.get(person as usize).and_then(|person| match person.precision {
            Precision::Day => Some(person.birth),
            Precision::Month => person.birth.with_day(1),
            Precision::Year => NaiveDate::from_ymd_opt(person.birth.year(), 1, 1),
        });
        known.into()
    }

    pub(crate) fn precision(&self, person: u32) -> Value {
        self.people.get(person as usize).map(|person| person.precision.as_str()).into()
    }

    pub(crate) fn commune(&self, household: u32) -> &'static Commune {
        &COUNTRY.communes[usize::from(self.households[household as usize].commune)]
    }

    pub(crate) fn street(&self, household: u32) -> String {
        let household = &self.households[household as usize];
        let streets = if self.config.canaries { names::CANARY_STREETS } else { names::STREETS };
        format!("{} {}", household.house, streets[usize::from(household.street) % streets.len()])
    }

    /// An address as one text.
    pub(crate) fn address_text(&self, household: u32) -> Value {
        let commune = self.commune(household);
        let province = COUNTRY.province_name(commune.province, true);
        Value::from(format!("{}, {}, {province}", self.street(household), commune.full_name))
    }

    /// An address in columns of those names.
    pub(crate) fn address(&self, household: u32, columns: [&'static str; 4]) -> [Field; 4] {
        let commune = self.commune(household);
        [
            (columns[0], Value::from(format!("{:02}", commune.province))),
            (columns[1], Value::from(format!("{:05}", commune.code))),
            (columns[2], Value::from(self.street(household))),
            (columns[3], Value::from(MERGER)),
        ]
    }

    /// Code of the facility that somebody goes to first.
    pub(crate) fn facility_of(&self, person: u32) -> String {
        let province = self.commune(self.person(person).household).province;
        format!("{province:02}{:03}", 1 + self.chance(person, 41) % 40)
    }

    /// A number for chance about a person.
    pub(crate) fn chance(&self, person: u32, salt: u64) -> u64 {
        mixed(self.config.seed, u64::from(person), salt)
    }

    /// Puts dirt on a person's row that is numbered in its table.
    pub(crate) fn spoil(&self, row: &mut RowWrite, person: u32, number: u32, spots: &Spots) {
        row.about = person;
        let number = u64::from(number);
        dirt::spoil(row, self.config.seed, number, spots, &self.config.dirt);
    }

    /// Says on a row with PIN, sex and birth date where they disagree.
    pub(crate) fn mark_pin(&self, row: &mut RowWrite, person: u32) {
        let person = self.person(person);
        if person.pin == 0 {
            return;
        }
        if !pin::year_agrees(person.pin, person.birth) {
            row.dirt.push(Dirt::PinYear);
        }
        if !pin::sex_agrees(person.pin, person.sex) {
            row.dirt.push(Dirt::PinSex);
        }
        if !pin::province_exists(person.pin) {
            row.dirt.push(Dirt::PinProvince);
        }
    }
}
