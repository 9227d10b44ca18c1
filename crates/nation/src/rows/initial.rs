//! The rows of the first day, one person after the other.

use std::collections::VecDeque;

use chrono::{Datelike as _, Days, NaiveDate};

use super::civil_status::{BirthEntry, Delivery};
use super::{Participation, insert};
use crate::country::{COUNTRY, LAST_DAY, MERGER, MERGER_DECREE, UNKNOWN_START, Unit};
use crate::nation::Nation;
use crate::person::{NONE, Sex};
use crate::start::ELECTRONIC;
use crate::tables::System;
use crate::write::{Field, RowWrite};

/// The first day's nation: the one at hand, or one made again.
enum Held<'a> {
    Here(&'a Nation),
    Again(Box<Nation>),
}

/// Rows of one system on the first day. See [`Nation::initial_rows`].
pub struct InitialRows<'a> {
    nation: Held<'a>,
    system: System,
    next: usize,
    ready: VecDeque<RowWrite>,
}

impl<'a> InitialRows<'a> {
    pub(crate) fn new(nation: &'a Nation, system: System) -> Self {
        let again = if nation.happened > 0 { Nation::new(nation.config.clone()).ok() } else { None };
        let held = again.map_or(Held::Here(nation), |again| Held::Again(Box::new(again)));
        Self { nation: held, system, next: 0, ready: VecDeque::new() }
    }
}

impl InitialRows<'_> {
    /// How many people (or units) have been asked for their rows, however many rows those are.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.next
    }
}

impl Iterator for InitialRows<'_> {
    type Item = RowWrite;

    fn next(&mut self) -> Option<RowWrite> {
        let nation = match &self.nation {
            Held::Here(nation) => nation,
            Held::Again(nation) => &**nation,
        };
        while self.ready.is_empty() {
            let at = self.next;
            self.next += 1;
            if self.system == System::AdminUnits {
                return unit(at);
            }
            let id = u32::try_from(at).ok().filter(|id| (*id as usize) < nation.people.len())?;
            nation.first_day(self.system, id, &mut self.ready);
        }
        self.ready.pop_front()
    }
}

impl Nation {
    fn first_day(&self, system: System, id: u32, rows: &mut VecDeque<RowWrite>) {
        let person = self.person(id);
        match system {
            System::CivilStatus => self.register_of_first_day(id, rows),
            System::Population if person.pin != 0 => {
                rows.push_back(self.person_row(id, "population.initial", person.registered, None));
            }
            System::Residence => {
                let days = self.chance(id, 71) % 7_000;
                let from = (self.config.start - Days::new(days)).max(person.registered);
                rows.push_back(self.residence_row(id, from, None));
            }
            System::Identity if person.card != 0 => {
                rows.push_back(self.card_row(id, self.first_card_issued(id), "first", None));
            }
            System::Insurance => {
                let year = NaiveDate::from_ymd_opt(self.config.start.year(), 1, 1);
                let from = year.unwrap_or(self.config.start).max(person.registered);
                if person.insured {
                    rows.push_back(self.health_card_row(id, from, None));
                }
                if person.participation != 0 {
                    let voluntary = self.chance(id, 72).is_multiple_of(10);
                    let scheme = if voluntary { "social_voluntary" } else { "social_compulsory" };
                    let from = self.config.start - Days::new(self.chance(id, 73) % 3_000);
                    rows.push_back(self.participation_row(id, &Participation { scheme, from }));
                }
            }
            System::Facilities => {
                if let Some(notice_no) = self.first_notices.get(&id) {
                    let minute = (self.chance(id, 76) % 1_440) as u32;
                    let delivery = Delivery { notice_no, minute, order: 1, plurality: 1 };
                    rows.push_back(self.birth_notice_row(id, &delivery));
                }
            }
            System::Population | System::Identity | System::AdminUnits => {}
        }
    }

    fn register_of_first_day(&self, id: u32, rows: &mut VecDeque<RowWrite>) {
        let person = self.person(id);
        if person.birth_no != 0 {
            let entry = BirthEntry {
                number: person.birth_no,
                on: person.registered,
                office: person.birth_office,
                informant: self.parent(id),
                notice_no: self.first_notices.get(&id).map(String::as_str),
                dossier: None,
            };
            rows.push_back(self.birth_row(id, &entry));
        }
        if person.spouse != NONE && person.sex == Sex::Female {
            let husband = self.person(person.spouse);
            let of_age = person.birth.max(husband.birth) + Days::new(18 * 366);
            let wed = (of_age + Days::new(self.chance(id, 74) % 3_650)).min(self.config.start - Days::new(1));
            if wed.year() >= ELECTRONIC || self.chance(id, 75) % 100 < 40 {
                let number = self.config.people + id + 1;
                rows.push_back(self.marriage_row("marriage", number, [person.spouse, id], wed, None));
            }
        }
    }
}

/// The rows of the administrative units on the first day of any nation, which need nobody to live yet.
pub fn unit_rows() -> impl Iterator<Item = RowWrite> {
    (0..).map_while(unit)
}

fn unit(at: usize) -> Option<RowWrite> {
    let former = COUNTRY.former.len();
    Some(match COUNTRY.former.get(at) {
        Some(unit) => unit_row(unit, true),
        None => unit_row(COUNTRY.current.get(at - former)?, false),
    })
}

/// A state of a unit: one that ended with the merger, or one that began with it.
fn unit_row(unit: &Unit, former: bool) -> RowWrite {
    let mut values: Vec<Field> = vec![
        ("level", unit.level.into()),
        ("code", unit.code.into()),
        ("valid_from", if former { UNKNOWN_START } else { MERGER }.into()),
        ("parent_code", Some(unit.parent).filter(|parent| !parent.is_empty()).into()),
        ("name", unit.name.into()),
        ("full_name", unit.full_name.into()),
    ];
    let (successors, extents) = if former { COUNTRY.successors(unit) } else { Default::default() };
    values.extend([("successors", successors.into()), ("whole_or_part", extents.into())]);
    if former {
        values.push(("valid_to", LAST_DAY.into()));
    } else if COUNTRY.is_merged(unit) {
        values.push(("decree_no", MERGER_DECREE.into()));
    }
    insert(System::AdminUnits, "admin_unit", values)
}
