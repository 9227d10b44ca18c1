//! Marriages and divorces.

use super::chain::Chain;
use crate::nation::Nation;
use crate::person::{Marital, NONE, Person, Relation, Sex};
use crate::tables::System;
use crate::write::{Step, Value};

impl Nation {
    /// Two people marry and one of them moves in with the other.
    pub(crate) fn marriage(&mut self) -> Option<Vec<Step>> {
        let today = self.today;
        let can = |person: &Person, sex: Sex, age: u32| {
            person.sex == sex && person.spouse == NONE && (age..70).contains(&person.age(today))
        };
        let man = self.find(|nation, _, person| {
            can(person, Sex::Male, 20) && nation.household_is_idle(person.household)
        })?;
        let (birth, home, mother) = {
            let person = self.person(man);
            (person.birth, person.household, person.mother)
        };
        let woman = self.find(|nation, id, person| {
            let near = (person.birth - birth).num_days().abs() < 12 * 365;
            let strangers = person.household != home && (mother == NONE || person.mother != mother);
            can(person, Sex::Female, 18)
                && near
                && strangers
                && nation.household_is_idle(person.household)
                && nation.can_leave(id)
        })?;
        let mut chain = Chain::open(self, home);
        let number = self.number();
        let row = self.marriage_row("marriage", number, [man, woman], today, chain.code());
        chain.step(self, System::CivilStatus, 0, vec![row]);
        self.wed(man, woman);
        self.status_rows([man, woman], "married", &mut chain);
        self.move_in(woman, man, &mut chain);
        self.touch(&[man, woman]);
        chain.steps()
    }

    /// What the population database writes about both.
    fn status_rows(&mut self, pair: [u32; 2], status: &'static str, chain: &mut Chain) {
        let mut rows = Vec::new();
        for (one, other) in [(pair[0], pair[1]), (pair[1], pair[0])] {
            let spouse = if status == "married" { self.pin(other) } else { Value::Null };
            let changes = vec![("marital_status", Value::from(status)), ("spouse_pin", spouse)];
            let reason = "civil_status.marriage.changed";
            rows.extend(self.person_update(one, "marital_status", changes, reason, chain.code()));
        }
        chain.step(self, System::Population, 400, rows);
    }

    fn move_in(&mut self, id: u32, host: u32, chain: &mut Chain) {
        let home = self.person(host).household;
        let (old, code) = (self.person(id).household, self.commune(home).code);
        let province = self.commune(old).province;
        let mut rows = self.end_residence(id, "moved", Some(code), chain.code()).to_vec();
        let changed = self.leave(id);
        rows.extend(changed.iter().map(|member| self.relation_row(*member)));
        chain.step(self, System::Residence, 500, rows);
        let head = self.person(host).relation == Relation::Head;
        self.settle(id, home, Some(if head { Relation::Spouse } else { Relation::Other }));
        let row = self.residence_row(id, self.today, chain.code());
        chain.step(self, System::Residence, 500, vec![row]);
        let cards = self.first_facilities(&[id], province);
        chain.step(self, System::Insurance, 300, cards);
        self.touch(&changed);
    }

    /// Two people part; where they live is another matter.
    pub(crate) fn divorce(&mut self) -> Option<Vec<Step>> {
        let one = self.find(|nation, _, person| {
            person.spouse != NONE && person.age(nation.today) < 65 && nation.is_free(person.spouse)
        })?;
        let other = self.person(one).spouse;
        let pair = if self.person(one).sex == Sex::Male { [one, other] } else { [other, one] };
        let mut chain = Chain::open(self, self.person(one).household);
        let number = self.number();
        let row = self.marriage_row("divorce", number, pair, self.today, chain.code());
        chain.step(self, System::CivilStatus, 0, vec![row]);
        for id in pair {
            let person = &mut self.people[id as usize];
            (person.spouse, person.marital) = (NONE, Marital::Divorced);
        }
        self.status_rows(pair, "divorced", &mut chain);
        self.touch(&pair);
        chain.steps()
    }
}
