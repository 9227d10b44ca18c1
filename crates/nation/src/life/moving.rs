//! Moves: a household to another address, or somebody grown to an address of their own.

use super::chain::Chain;
use crate::country::COUNTRY;
use crate::nation::Nation;
use crate::person::{NONE, Relation};
use crate::rows::{card_no, update};
use crate::tables::System;
use crate::write::{Step, Value};

/// Larger households stay where they are: a move is one transaction.
const LARGEST: usize = 9;

impl Nation {
    pub(crate) fn moving(&mut self) -> Option<Vec<Step>> {
        let alone = self.random.percent(45);
        let id = self.find(|nation, id, person| {
            let members = nation.households[person.household as usize].members.len();
            let grown = person.age(nation.today) >= 18;
            let fits = if alone {
                person.spouse == NONE && person.relation != Relation::Head && nation.can_leave(id)
            } else {
                members <= LARGEST
            };
            grown && fits && nation.household_is_idle(person.household)
        })?;
        let old = self.person(id).household;
        let same_province = self.random.percent(65);
        let province = self.commune(old).province;
        let commune = if same_province {
            COUNTRY.commune_of(province, &mut self.random)
        } else {
            COUNTRY.any_commune(&mut self.random)
        };
        let mut chain = Chain::open(self, old);
        let movers = if alone { vec![id] } else { self.households[old as usize].members.clone() };
        self.relocate(&movers, commune, alone, &mut chain);
        let cards = self.first_facilities(&movers, province);
        chain.step(self, System::Insurance, 500, cards);
        self.touch(&movers);
        chain.steps()
    }

    /// The movers leave the register at the old address and enter it at the new one.
    fn relocate(&mut self, movers: &[u32], commune: u16, alone: bool, chain: &mut Chain) {
        let code = COUNTRY.communes[usize::from(commune)].code;
        let mut rows = Vec::new();
        for id in movers {
            rows.extend(self.end_residence(*id, "moved", Some(code), chain.code()));
        }
        chain.step(self, System::Residence, 0, rows);
        let household = self.new_household(Some(commune));
        for id in movers {
            let old = self.person(*id).household;
            self.households[old as usize].members.retain(|member| member != id);
            self.settle(*id, household, if alone { Some(Relation::Head) } else { None });
        }
        let rows = movers.iter().map(|id| self.residence_row(*id, self.today, chain.code())).collect();
        chain.step(self, System::Residence, 700, rows);
    }

    /// Somebody who has left a household enters another, under a new file.
    pub(crate) fn settle(&mut self, id: u32, household: u32, relation: Option<Relation>) {
        let file = self.number();
        let person = &mut self.people[id as usize];
        (person.household, person.file) = (household, file);
        person.relation = relation.unwrap_or(person.relation);
        self.households[household as usize].members.push(id);
    }

    /// In another province another facility is the first to go to.
    pub(crate) fn first_facilities(&self, movers: &[u32], old_province: u8) -> Vec<crate::write::RowWrite> {
        let mut rows = Vec::new();
        for id in movers {
            let person = self.person(*id);
            let province = self.commune(person.household).province;
            if person.insured && province != old_province {
                let facility = Value::from(self.facility_of(*id));
                let change = vec![("first_facility_code", facility)];
                rows.push(update(System::Insurance, "health_card", ("card_no", card_no(*id)), change));
            }
        }
        rows
    }
}
