//! Insurance that begins, goes on, changes its employer or ends.

use super::chain::single;
use crate::nation::Nation;
use crate::rows::{Participation, card_no, object_code, participation_no, update};
use crate::tables::System;
use crate::write::{RowWrite, Step, Value};

impl Nation {
    /// Something about the insurance of anybody at all.
    pub(crate) fn insure_anybody(&mut self) -> Option<Vec<Step>> {
        let id = match self.find(|_, _, _| true) {
            Some(id) => id,
            None => self.find_any()?,
        };
        self.touch(&[id]);
        let works = self.person(id).participation != 0;
        let working_age = (18..60).contains(&self.years(id));
        let rows = match self.random.below(10) {
            0..=2 if works => self.stop_work(id),
            3..=4 if works => {
                let mut rows = self.stop_work(id);
                rows.extend(self.start_work(id));
                rows
            }
            0..=5 if working_age && !works => self.start_work(id),
            _ => self.go_on(id),
        };
        single(System::Insurance, rows)
    }

    fn stop_work(&mut self, id: u32) -> Vec<RowWrite> {
        let person = &mut self.people[id as usize];
        let key = ("participation_no", participation_no(person.participation));
        person.participation = 0;
        let end = vec![("status", Value::from("stopped")), ("valid_to", self.today.into())];
        let mut rows = vec![update(System::Insurance, "participation", key, end)];
        rows.extend(self.object_row(id));
        rows
    }

    fn start_work(&mut self, id: u32) -> Vec<RowWrite> {
        self.people[id as usize].participation = self.number();
        let scheme = if self.random.percent(12) { "social_voluntary" } else { "social_compulsory" };
        let mut rows = vec![self.participation_row(id, &Participation { scheme, from: self.today })];
        rows.extend(self.object_row(id));
        rows
    }

    /// The group of insured on a health card follows from work.
    fn object_row(&self, id: u32) -> Option<RowWrite> {
        let person = self.person(id);
        let object = object_code(self.years(id), person.participation != 0);
        let change = vec![("object_code", object.into())];
        person.insured.then(|| update(System::Insurance, "health_card", ("card_no", card_no(id)), change))
    }

    /// A first health card, or another stretch of the one there is.
    fn go_on(&mut self, id: u32) -> Vec<RowWrite> {
        if self.person(id).insured {
            let changes = self.renewed_cover(id);
            return vec![update(System::Insurance, "health_card", ("card_no", card_no(id)), changes)];
        }
        self.people[id as usize].insured = true;
        vec![self.health_card_row(id, self.today, None)]
    }

    /// What a wrong death had ended.
    pub(crate) fn resume_insurance(&self, id: u32) -> Vec<RowWrite> {
        let person = self.person(id);
        let mut rows = Vec::new();
        if person.insured {
            let changes = self.renewed_cover(id);
            rows.push(update(System::Insurance, "health_card", ("card_no", card_no(id)), changes));
        }
        if person.participation != 0 {
            let key = ("participation_no", participation_no(person.participation));
            let again = vec![("status", Value::from("active")), ("valid_to", Value::Null)];
            rows.push(update(System::Insurance, "participation", key, again));
        }
        rows
    }
}
