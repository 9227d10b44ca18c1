//! Cards: the first one, one that ran out, one that was lost.

use super::chain::Chain;
use crate::nation::Nation;
use crate::tables::System;
use crate::write::{RowWrite, Step};

impl Nation {
    /// A card for somebody who needs one, else for somebody who lost theirs.
    pub(crate) fn card(&mut self) -> Option<Vec<Step>> {
        let lost = self.random.percent(15);
        let id = self.find(|nation, _, person| {
            let out = person.card_expires.is_some_and(|day| day <= nation.today);
            if lost { person.card != 0 } else { person.card == 0 || out }
        });
        let id = match id {
            Some(id) => id,
            None => self.find(|_, _, person| person.card != 0)?,
        };
        let mut chain = Chain::open(self, self.person(id).household);
        let expired = self.person(id).card_expires.is_some_and(|day| day <= self.today);
        let (status, reason) = match (self.person(id).card, expired) {
            (0, _) => (None, "first"),
            (_, true) => (Some("expired"), "renewed"),
            (..) => (Some("lost"), "replaced"),
        };
        let rows = self.replace_card(id, status, reason, chain.code());
        chain.step(self, System::Identity, 0, rows);
        self.touch(&[id]);
        chain.steps()
    }

    /// A new card, and what became of the old one.
    pub(crate) fn replace_card(
        &mut self,
        id: u32,
        status: Option<&'static str>,
        reason: &'static str,
        dossier: Option<&str>,
    ) -> Vec<RowWrite> {
        let mut rows = Vec::new();
        if let Some(status) = status {
            rows.push(self.card_status(id, status, dossier));
        }
        rows.push(self.new_card(id, reason, dossier));
        rows
    }

    pub(crate) fn new_card(&mut self, id: u32, reason: &'static str, dossier: Option<&str>) -> RowWrite {
        let number = self.number();
        let expires = self.card_lasts(id, self.today);
        let person = &mut self.people[id as usize];
        (person.card, person.card_expires) = (number, expires);
        self.card_row(id, self.today, reason, dossier)
    }
}
