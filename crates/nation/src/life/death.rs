//! Deaths: notice, registration, population, residence, card, insurance, benefit; and deaths registered for the wrong person.

use chrono::Days;

use super::chain::Chain;
use crate::nation::Nation;
use crate::person::{Marital, NONE, Relation};
use crate::random::mixed;
use crate::rows::civil_status::DeathEntry;
use crate::rows::{card_no, file_no, participation_no, registration_no, update};
use crate::tables::System;
use crate::write::{RowWrite, Step, Value};

/// Deaths a year among 100,000 of an age, roughly.
fn mortality(age: u32) -> u32 {
    match age {
        0 => 1_200,
        1..=14 => 40,
        15..=39 => 120,
        40..=59 => 500,
        60..=69 => 1_500,
        70..=79 => 4_000,
        80..=89 => 10_000,
        _ => 25_000,
    }
}

/// Who can die today: nobody whose death leaves children alone, and never so many that the nation dies out.
fn can_die(nation: &Nation, id: u32) -> bool {
    let person = nation.person(id);
    let spouse = person.spouse;
    (spouse == NONE || nation.is_free(spouse))
        && nation.household_is_idle(person.household)
        && nation.can_leave(id)
}

impl Nation {
    /// A death with all that follows.
    pub(crate) fn death(&mut self) -> Option<Vec<Step>> {
        if self.living * 2 < self.config.people {
            return None;
        }
        let id = self.find(|nation, id, person| {
            let lot = mixed(nation.chance(id, 81), nation.happened, 81) % u64::from(mortality(u32::MAX));
            lot < u64::from(mortality(person.age(nation.today))) && can_die(nation, id)
        })?;
        let household = self.person(id).household;
        let mut chain = Chain::open(self, household);
        let members = self.households[household as usize].members.clone();
        let spouse = self.person(id).spouse;
        let registration = self.register_death(id, true, &mut chain);
        self.mark_deceased(id, registration.died, spouse, &mut chain);
        self.end_residence_of_dead(id, &mut chain);
        self.end_papers(id, registration.died, &mut chain);
        self.benefit(id, registration.informant, &mut chain);
        self.bury(id, spouse);
        self.touch(&members);
        self.touch(&[id]);
        if spouse != NONE {
            self.touch(&[spouse]);
        }
        chain.steps()
    }

    /// Who brings the news: the spouse, else somebody grown of the household.
    fn informant(&self, id: u32) -> (u32, &'static str) {
        let person = self.person(id);
        if person.spouse != NONE {
            return (person.spouse, "spouse");
        }
        let members = &self.households[person.household as usize].members;
        let other = members.iter().copied().find(|other| *other != id && self.years(*other) >= 18);
        other.map_or((NONE, "other"), |other| {
            let child = self.person(other).mother == id || self.person(other).father == id;
            (other, if child { "child" } else { "relative" })
        })
    }

    /// Notice and registration.
    fn register_death(&mut self, id: u32, noticed: bool, chain: &mut Chain) -> Registered {
        let late = self.random.percent(30);
        let days = if late { self.random.between(16, 90) } else { self.random.between(0, 12) };
        let earliest = self.person(id).birth.max(self.person(id).registered);
        let died = (self.today - Days::new(u64::from(days))).max(earliest);
        let informant = self.informant(id);
        let noticed = noticed && self.random.percent(60);
        let office = self.commune(self.person(id).household).code;
        let notice_no = noticed.then(|| self.notice_no("GBT", id, died));
        let number = self.number();
        let number = registration_no(self.today, office, number);
        let minute = self.random.percent(70).then(|| self.random.below(1_440));
        let dossier = chain.dossier.clone();
        let entry = DeathEntry {
            registration_no: &number,
            died,
            minute,
            cause: self.cause(id),
            informant,
            notice_no: notice_no.as_deref(),
            dossier: &dossier,
        };
        if let Some(notice_no) = &notice_no {
            let row = self.death_notice_row(id, notice_no, &entry);
            chain.early(self, System::Facilities, vec![row]);
        }
        let row = self.death_row(id, &entry);
        chain.step(self, System::CivilStatus, 500, vec![row]);
        Registered { number, died, informant }
    }

    /// The population database says that somebody is dead, and somebody else widowed.
    fn mark_deceased(&mut self, id: u32, died: chrono::NaiveDate, spouse: u32, chain: &mut Chain) {
        let changes = vec![
            ("life_status", Value::from("deceased")),
            ("death_date", died.into()),
            ("death_date_precision", "D".into()),
        ];
        let reason = "civil_status.death.registered";
        let mut rows =
            self.person_update(id, "life_status,death_date", changes, reason, chain.code()).to_vec();
        if spouse != NONE {
            let changes = vec![("marital_status", Value::from("widowed")), ("spouse_pin", Value::Null)];
            rows.extend(self.person_update(spouse, "marital_status", changes, reason, chain.code()));
        }
        chain.step(self, System::Population, 400, rows);
    }

    fn end_residence_of_dead(&mut self, id: u32, chain: &mut Chain) {
        let mut rows = self.end_residence(id, "death", None, chain.code()).to_vec();
        let changed = self.leave(id);
        rows.extend(changed.into_iter().map(|member| self.relation_row(member)));
        chain.step(self, System::Residence, 500, rows);
    }

    /// Somebody's relation to the head, as it is now.
    pub(crate) fn relation_row(&self, id: u32) -> RowWrite {
        let key = ("residence_file_no", file_no(self.person(id).file));
        let relation = self.person(id).relation.as_str();
        update(System::Residence, "permanent_residence", key, vec![("relation_to_head", relation.into())])
    }

    /// Card and insurance end.
    fn end_papers(&mut self, id: u32, died: chrono::NaiveDate, chain: &mut Chain) {
        if self.person(id).card != 0 {
            let row = self.card_status(id, "revoked", chain.code());
            chain.step(self, System::Identity, 300, vec![row]);
        }
        let rows = self.stop_insurance(id, died);
        chain.step(self, System::Insurance, 400, rows);
    }

    /// Rows that end whatever insurance somebody has.
    fn stop_insurance(&self, id: u32, on: chrono::NaiveDate) -> Vec<RowWrite> {
        let person = self.person(id);
        let mut rows = Vec::new();
        if person.insured {
            let end = vec![("status", Value::from("withdrawn")), ("valid_to", on.into())];
            rows.push(update(System::Insurance, "health_card", ("card_no", card_no(id)), end));
        }
        if person.participation != 0 {
            let end = vec![("status", Value::from("stopped")), ("valid_to", on.into())];
            let key = ("participation_no", participation_no(person.participation));
            rows.push(update(System::Insurance, "participation", key, end));
        }
        rows
    }

    /// Funeral support for all who were insured, a survivor's benefit for some.
    fn benefit(&mut self, id: u32, informant: (u32, &'static str), chain: &mut Chain) {
        let (payee, insured) = (self.pin(informant.0), self.person(id).insured);
        if !insured || informant.0 == NONE {
            return;
        }
        let dossier = chain.dossier.clone();
        let mut rows = vec![self.benefit_row(id, "funeral", payee.clone(), &dossier)];
        if self.person(id).participation != 0 {
            let kind = if self.random.percent(50) { "survivor_once" } else { "survivor_monthly" };
            rows.push(self.benefit_row(id, kind, payee, &dossier));
        }
        chain.step(self, System::Insurance, 1_500, rows);
    }

    fn bury(&mut self, id: u32, spouse: u32) {
        self.living -= 1;
        let person = &mut self.people[id as usize];
        (person.alive, person.spouse) = (false, NONE);
        if spouse != NONE {
            let spouse = &mut self.people[spouse as usize];
            (spouse.spouse, spouse.marital) = (NONE, Marital::Widowed);
        }
    }

    /// A death registered for somebody who lives, all that follows, and the way back.
    pub(crate) fn wrong_death(&mut self) -> Option<Vec<Step>> {
        let id = self.find(|nation, _, person| {
            person.age(nation.today) >= 30 && person.spouse == NONE && person.relation != Relation::Head
        });
        let id = match id {
            Some(id) => id,
            None => self.find(|nation, _, person| person.age(nation.today) >= 30 && person.spouse == NONE)?,
        };
        let mut chain = Chain::open(self, self.person(id).household);
        let registered = self.register_death(id, false, &mut chain);
        self.mark_deceased(id, registered.died, NONE, &mut chain);
        let ended = self.end_residence(id, "death", None, chain.code());
        let deregistration = ended[1].key[0].clone();
        chain.step(self, System::Residence, 500, ended.to_vec());
        self.end_papers(id, registered.died, &mut chain);
        self.take_back(id, &registered.number, deregistration, &mut chain);
        self.touch(&[id]);
        chain.steps()
    }

    /// The registration is revoked and everybody puts things back.
    fn take_back(&mut self, id: u32, number: &str, ended: (&'static str, Value), chain: &mut Chain) {
        let pin = self.pin(id);
        let record = ("death", "death_registration");
        let rows = self.revocation(record, number, pin, "wrong_person", chain.code());
        chain.step(self, System::CivilStatus, 3_000, rows);
        let alive = vec![
            ("life_status", Value::from("alive")),
            ("death_date", Value::Null),
            ("death_date_precision", Value::Null),
        ];
        let reason = "civil_status.record.revoked";
        let rows = self.person_update(id, "life_status,death_date", alive, reason, chain.code());
        chain.step(self, System::Population, 300, rows.to_vec());
        let file = ("residence_file_no", file_no(self.person(id).file));
        let again = vec![("status", Value::from("registered"))];
        let rows = vec![
            update(System::Residence, "permanent_residence", file, again),
            update(System::Residence, "deregistration", ended, vec![("status", "cancelled".into())]),
        ];
        chain.step(self, System::Residence, 300, rows);
        if self.person(id).card != 0 {
            let row = self.card_status(id, "valid", chain.code());
            chain.step(self, System::Identity, 300, vec![row]);
        }
        let rows = self.resume_insurance(id);
        chain.step(self, System::Insurance, 300, rows);
    }
}

/// A registration that was made.
struct Registered {
    number: String,
    died: chrono::NaiveDate,
    informant: (u32, &'static str),
}
