//! Corrections of names and birth dates, and the PIN that may follow.

use chrono::{Datelike as _, NaiveDate};

use super::chain::Chain;
use crate::nation::Nation;
use crate::person::Precision;
use crate::pin::Flaw;
use crate::rows::{card_no, file_no, update};
use crate::tables::System;
use crate::write::{Field, Step, Value};

/// What `fields_changed` says of a correction of the one and of the other.
const NAME: &str = "middle_name,given_name";
const BIRTH: &str = "birth_date";

impl Nation {
    /// Somebody's name or birth date is corrected, and the correction goes round.
    pub(crate) fn correction(&mut self) -> Option<Vec<Step>> {
        let id = self.find(|_, _, person| person.birth_no != 0)?;
        let mut chain = Chain::open(self, self.person(id).household);
        let of_name = self.random.percent(70);
        let held = self.held(id, of_name);
        let (fields, year_changed) = if of_name {
            self.correct_name(id);
            (NAME, None)
        } else {
            (BIRTH, Some(self.correct_birth(id)))
        };
        let changes = self.held(id, of_name);
        self.decide(id, fields, &held, &changes, &mut chain);
        let reason = "civil_status.person.corrected";
        let mut population = changes.clone();
        if year_changed.is_none() {
            population.push(("full_name", self.full_name(id)));
        }
        let rows = self.person_update(id, fields, population, reason, chain.code());
        chain.step(self, System::Population, 400, rows.to_vec());
        if year_changed == Some(true) && self.config.reissue_pins {
            self.reissue(id, &mut chain);
        }
        if year_changed.is_none() && self.person(id).insured {
            let name = vec![("full_name", self.full_name(id))];
            let row = update(System::Insurance, "health_card", ("card_no", card_no(id)), name);
            chain.step(self, System::Insurance, 400, vec![row]);
        }
        if self.person(id).card != 0 {
            let rows = self.replace_card(id, Some("replaced"), "changed", chain.code());
            chain.step(self, System::Identity, 600, rows);
        }
        self.touch(&[id]);
        chain.steps()
    }

    /// What the registers hold of the name or of the birth.
    fn held(&self, id: u32, of_name: bool) -> Vec<Field> {
        if of_name {
            let name = self.person(id).name;
            return vec![("middle_name", name.middle().into()), ("given_name", name.given().into())];
        }
        vec![("birth_date", self.birth_date(id)), ("birth_date_precision", self.precision(id))]
    }

    /// Another middle or given name.
    fn correct_name(&mut self, id: u32) {
        let custom = self.custom_of(id);
        let (name, sex, year) = {
            let person = self.person(id);
            (person.name, person.sex, person.birth.year())
        };
        let name = name.corrected(custom, sex, year, &mut self.random);
        self.people[id as usize].name = name;
    }

    /// A birth date that becomes whole, or another year. Whether the year changed.
    fn correct_birth(&mut self, id: u32) -> bool {
        let person = self.person(id);
        if person.precision != Precision::Day {
            self.people[id as usize].precision = Precision::Day;
            return false;
        }
        let earlier = person.birth.with_year(person.birth.year() - 1);
        let birth = earlier.unwrap_or(person.birth);
        let known = person.birth;
        // A year earlier never makes a child older than its mother's youth allows, nor a mother younger.
        let mother = self.people.get(person.mother as usize);
        let fits = mother.is_none_or(|mother| crate::person::age(mother.birth, birth) >= 16);
        if fits && birth != known {
            self.people[id as usize].birth = birth;
        }
        fits && birth != known
    }

    /// The decision, and the register of births as it stands after it.
    fn decide(
        &mut self,
        id: u32,
        fields: &'static str,
        held: &[Field],
        changes: &[Field],
        chain: &mut Chain,
    ) {
        let number = self.number();
        let office = self.commune(self.person(id).household).code;
        let mut decision: Vec<Field> = vec![
            ("correction_no", Value::from(format!("CC{number:09}"))),
            ("registration_no", self.birth_registration_no(id).into()),
            ("pin", self.pin(id)),
            ("office_code", format!("{office:05}").into()),
            ("ground", "correction".into()),
            ("fields_changed", fields.into()),
            ("decision_no", format!("{number}/QĐ-UBND").into()),
            ("decided_on", self.today.into()),
            ("dossier_code", chain.code().map(str::to_owned).into()),
        ];
        decision.extend(changes.iter().cloned());
        let before = |(name, value): &Field| Some((before_column(name)?, value.clone()));
        decision.extend(held.iter().filter_map(before));
        let mut rows = vec![crate::rows::insert(System::CivilStatus, "correction", decision)];
        if let Some(registration_no) = self.birth_registration_no(id) {
            let of_child = |(name, value): &Field| Some((child_column(name)?, value.clone()));
            let values = changes.iter().filter_map(of_child).collect();
            let key = ("registration_no", Value::from(registration_no));
            rows.push(update(System::CivilStatus, "birth_registration", key, values));
        }
        if fields == BIRTH {
            rows.iter_mut().for_each(|row| self.mark_pin(row, id));
        }
        chain.step(self, System::CivilStatus, 0, rows);
    }

    /// A new PIN wherever the old one is the person's own key.
    fn reissue(&mut self, id: u32, chain: &mut Chain) {
        let (province, sex, birth): (u8, _, NaiveDate) = {
            let person = self.person(id);
            (person.birth_province, person.sex, person.birth)
        };
        let new = self.pins.take(province, sex, birth, Flaw::None, &mut self.random);
        let old = self.pin(id);
        let decision = self.reissue_row(id, new, chain.code());
        self.people[id as usize].pin = new;
        let pin = self.pin(id);
        let person = update(System::Population, "person", ("pin", old), vec![("pin", pin.clone())]);
        chain.step(self, System::Population, 400, vec![decision, person]);
        if let Some(number) = self.birth_registration_no(id) {
            let key = ("registration_no", Value::from(number));
            let row =
                update(System::CivilStatus, "birth_registration", key, vec![("child_pin", pin.clone())]);
            chain.step(self, System::CivilStatus, 400, vec![row]);
        }
        let key = ("residence_file_no", file_no(self.person(id).file));
        let row = update(System::Residence, "permanent_residence", key, vec![("pin", pin.clone())]);
        chain.step(self, System::Residence, 400, vec![row]);
        let mut rows = Vec::new();
        if self.person(id).insured {
            let values = vec![("pin", pin.clone())];
            rows.push(update(System::Insurance, "health_card", ("card_no", card_no(id)), values));
        }
        let participation = self.person(id).participation;
        if participation != 0 {
            let key = ("participation_no", crate::rows::participation_no(participation));
            rows.push(update(System::Insurance, "participation", key, vec![("pin", pin)]));
        }
        chain.step(self, System::Insurance, 400, rows);
    }
}

/// The column of the birth register that holds a field of the person.
fn child_column(field: &str) -> Option<&'static str> {
    match field {
        "middle_name" => Some("child_middle_name"),
        "given_name" => Some("child_given_name"),
        "birth_date" => Some("child_birth_date"),
        "birth_date_precision" => Some("child_birth_date_precision"),
        _ => None,
    }
}

/// The column of the decision that holds what a field was before.
fn before_column(field: &str) -> Option<&'static str> {
    match field {
        "middle_name" => Some("before_middle_name"),
        "given_name" => Some("before_given_name"),
        "birth_date" => Some("before_birth_date"),
        "birth_date_precision" => Some("before_birth_date_precision"),
        _ => None,
    }
}
