//! Life as it goes on: each kind of happening finds the people whom it can concern, changes them, and says what is written where.

mod birth;
mod card;
mod chain;
mod correction;
mod death;
mod insurance;
mod moving;
mod pair;
mod undo;
mod unit;

use crate::nation::Nation;
use crate::person::{Person, Sex};
use crate::write::{Kind, Step};

/// How often a happening looks for people before it gives way to another kind.
const TRIES: u32 = 600;

impl Nation {
    /// A happening of a kind; none when it finds nobody.
    pub(crate) fn happen(&mut self, kind: Kind) -> Option<Vec<Step>> {
        match kind {
            Kind::Birth => self.birth(),
            Kind::Death => self.death(),
            Kind::WrongDeath => self.wrong_death(),
            Kind::Move => self.moving(),
            Kind::Marriage => self.marriage(),
            Kind::Divorce => self.divorce(),
            Kind::Correction => self.correction(),
            Kind::Card => self.card(),
            Kind::Insurance => self.insure_anybody(),
            Kind::UnitRenamed => self.unit_renamed(),
            Kind::PinAssigned | Kind::Repair => None,
        }
    }

    /// Somebody free of whom something is true, by chance.
    pub(crate) fn find(&mut self, fits: impl Fn(&Nation, u32, &Person) -> bool) -> Option<u32> {
        let all = self.people.len() as u32;
        for _ in 0..TRIES {
            let id = self.random.below(all);
            if self.is_free(id) && fits(self, id, self.person(id)) {
                return Some(id);
            }
        }
        None
    }

    /// Somebody free among those who live; looks at everybody.
    pub(crate) fn find_any(&mut self) -> Option<u32> {
        let all = self.people.len() as u32;
        let first = self.random.below(all);
        (0..all).map(|step| (first + step) % all).find(|id| self.is_free(*id))
    }

    /// Whether every member of a household may be concerned.
    pub(crate) fn household_is_idle(&self, household: u32) -> bool {
        self.households[household as usize].members.iter().all(|member| self.is_idle(*member))
    }

    /// Whether a household can do without somebody: no children stay behind alone.
    pub(crate) fn can_leave(&self, id: u32) -> bool {
        let household = &self.households[self.person(id).household as usize];
        let mut others = household.members.iter().filter(|member| **member != id).peekable();
        others.peek().is_none() || others.any(|member| self.person(*member).age(self.today) >= 18)
    }

    /// Years of age today.
    pub(crate) fn years(&self, id: u32) -> u32 {
        self.person(id).age(self.today)
    }

    /// Takes somebody out of their household. When that was its head, another adult becomes it; those whose relation to the head changed
    /// come back.
    pub(crate) fn leave(&mut self, id: u32) -> Vec<u32> {
        use crate::person::Relation;
        let household = self.person(id).household as usize;
        self.households[household].members.retain(|member| *member != id);
        if self.person(id).relation != Relation::Head {
            return Vec::new();
        }
        let members = self.households[household].members.clone();
        let Some(head) = members.iter().copied().max_by_key(|member| self.years(*member)) else {
            return Vec::new();
        };
        for member in &members {
            let person = self.person(*member);
            let relation = if *member == head {
                Relation::Head
            } else if person.spouse == head {
                Relation::Spouse
            } else if person.mother == head || person.father == head {
                Relation::Child
            } else {
                Relation::Other
            };
            self.people[*member as usize].relation = relation;
        }
        members
    }

    /// Whether somebody can bear a child today.
    pub(crate) fn can_bear(&self, person: &Person) -> bool {
        let age = person.age(self.today);
        let rested = person.last_child.is_none_or(|last| (self.today - last).num_days() > 330);
        person.sex == Sex::Female && (19..=42).contains(&age) && rested
    }
}
