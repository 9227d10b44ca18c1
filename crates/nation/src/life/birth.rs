//! Births: notice, registration, population, residence, health card, card; and the PIN that comes later.

use chrono::Days;

use super::chain::Chain;
use crate::dirt::Dirt;
use crate::names::Custom;
use crate::nation::{Nation, Task};
use crate::person::{NONE, Precision, Relation, Sex};
use crate::rows::civil_status::{BirthEntry, Delivery};
use crate::rows::{file_no, update};
use crate::start::Newcomer;
use crate::tables::System;
use crate::write::{RowWrite, Step, Value};

impl Nation {
    /// A birth; twins in one of eighty.
    pub(crate) fn birth(&mut self) -> Option<Vec<Step>> {
        let unmarried = self.random.percent(8);
        let mother = self.find(|nation, _, person| {
            let father = person.spouse;
            let married = father != NONE && nation.is_free(father);
            nation.can_bear(person) && if unmarried { father == NONE } else { married }
        })?;
        let father = self.person(mother).spouse;
        let plurality = if self.random.below(80) == 0 { 2 } else { 1 };
        let born = self.today - Days::new(u64::from(self.random.between(1, 12)));
        let late = self.random.percent(12);
        let born = if late { born - Days::new(u64::from(self.random.between(60, 200))) } else { born };
        let household = self.person(mother).household;
        let mut chain = Chain::open(self, household);
        let mut children = Vec::new();
        for _ in 0..plurality {
            children.push(self.newborn(mother, father, born));
        }
        self.people[mother as usize].last_child = Some(born);
        let notices = self.birth_notices(&children, &mut chain);
        self.register_births(&children, &notices, &mut chain);
        let mut touched = children;
        touched.push(mother);
        touched.extend(Some(father).filter(|father| *father != NONE));
        self.touch(&touched);
        chain.steps()
    }

    /// A child in its mother's household, with a PIN unless it comes later.
    fn newborn(&mut self, mother: u32, father: u32, birth: chrono::NaiveDate) -> u32 {
        let sex = if self.random.below(1_000) < 528 { Sex::Male } else { Sex::Female };
        let parent = self.person(mother);
        let (household, relation) = match parent.relation {
            Relation::Head | Relation::Spouse => (parent.household, Relation::Child),
            Relation::Child | Relation::Parent | Relation::Other => (parent.household, Relation::Other),
        };
        let custom = self.custom_of(mother);
        let newcomer = Newcomer { custom, sex, birth, household, relation, mother, father };
        let id = self.add(&newcomer, self.today, Precision::Day);
        let number = self.number();
        let file = self.number();
        let person = &mut self.people[id as usize];
        (person.birth_no, person.file) = (number, file);
        if self.random.per_100k(self.config.dirt.pin_later) {
            let later = self.apart() + u64::from(self.random.below(60));
            self.arrange(later, Task::AssignPin(id));
        } else {
            self.give_pin(id);
        }
        id
    }

    /// By which custom somebody's children are named.
    pub(crate) fn custom_of(&mut self, id: u32) -> Custom {
        if self.config.canaries {
            return Custom::Canary;
        }
        let (ethnicity, household) = (self.person(id).ethnicity, self.person(id).household);
        let south = self.commune(household).province >= 45;
        let customs =
            [Custom::Tay, Custom::Thai, Custom::Hmong, Custom::Khmer, Custom::Ede, Custom::SingleToken];
        let kinh = if south { Custom::KinhSouth } else { Custom::KinhNorth };
        customs.into_iter().find(|custom| custom.ethnicity() == ethnicity).unwrap_or(kinh)
    }

    /// The facility's notices; one of ten children is born elsewhere.
    fn birth_notices(&mut self, children: &[u32], chain: &mut Chain) -> Vec<Option<String>> {
        if self.random.percent(10) {
            return vec![None; children.len()];
        }
        let mut numbers = Vec::new();
        let mut writes = Vec::new();
        for (order, child) in children.iter().enumerate() {
            let (mother, birth) = (self.person(*child).mother, self.person(*child).birth);
            let notice_no = self.notice_no("GCS", mother, birth);
            let delivery = Delivery {
                notice_no: &notice_no,
                minute: self.random.below(1_440),
                order: order as u32 + 1,
                plurality: children.len() as u32,
            };
            writes.push(self.birth_notice_row(*child, &delivery));
            numbers.push(Some(notice_no));
        }
        chain.early(self, System::Facilities, writes);
        numbers
    }

    fn register_births(&mut self, children: &[u32], notices: &[Option<String>], chain: &mut Chain) {
        let mut rows = Vec::new();
        for (child, notice) in children.iter().zip(notices) {
            let entry = BirthEntry {
                number: self.person(*child).birth_no,
                on: self.today,
                office: self.person(*child).birth_office,
                informant: self.parent(*child),
                notice_no: notice.as_deref(),
                dossier: chain.code(),
            };
            rows.push(self.birth_row(*child, &entry));
        }
        chain.step(self, System::CivilStatus, 500, rows);
        let duplicate = children.len() == 1 && self.random.per_100k(self.config.dirt.duplicate);
        let second = duplicate.then(|| self.second_dossier(children[0], notices[0].as_deref(), chain));
        let with_pin: Vec<u32> =
            children.iter().copied().filter(|child| self.person(*child).pin != 0).collect();
        self.enter_population(&with_pin, chain);
        let residence =
            children.iter().map(|child| self.residence_row(*child, self.today, chain.code())).collect();
        chain.step(self, System::Residence, 400, residence);
        self.insure_children(&with_pin, chain);
        if let Some(number) = second {
            let record = ("birth", "birth_registration");
            let rows = self.revocation(record, &number, Value::Null, "duplicate", chain.code());
            chain.step(self, System::CivilStatus, 2_500, rows);
        }
    }

    /// The other parent registers the same birth elsewhere, without knowing the PIN. Returns the registration's number.
    fn second_dossier(&mut self, child: u32, notice: Option<&str>, chain: &mut Chain) -> String {
        let number = self.number();
        let office = self.commune(self.person(child).household).code;
        let mother = self.person(child).mother;
        let entry = BirthEntry {
            number,
            on: self.today,
            office,
            informant: (mother, "mother"),
            notice_no: notice,
            dossier: chain.code(),
        };
        let mut row = self.birth_row(child, &entry);
        row.values.retain(|(name, _)| *name != "child_pin");
        row.meant.retain(|(name, _)| *name != "child_pin");
        // It is void before anybody would mend it, so what is refused of it would never be published.
        row.mend();
        row.dirt.retain(|dirt| !matches!(dirt, Dirt::PinYear | Dirt::PinSex | Dirt::PinProvince));
        row.dirt.push(Dirt::Duplicate);
        chain.step(self, System::CivilStatus, 300, vec![row]);
        crate::rows::registration_no(self.today, office, number)
    }

    /// Children with a PIN in the population database.
    fn enter_population(&mut self, children: &[u32], chain: &mut Chain) {
        let origin = "civil_status.birth.registered";
        let row = |child: &u32| self.person_row(*child, origin, self.today, chain.code());
        let rows = children.iter().map(row).collect();
        chain.step(self, System::Population, 400, rows);
    }

    /// Health cards for all, identity cards for some.
    fn insure_children(&mut self, children: &[u32], chain: &mut Chain) {
        for child in children {
            self.people[*child as usize].insured = true;
        }
        let rows =
            children.iter().map(|child| self.health_card_row(*child, self.today, chain.code())).collect();
        chain.step(self, System::Insurance, 500, rows);
        let mut cards = Vec::new();
        for child in children {
            if self.random.percent(45) {
                cards.push(self.new_card(*child, "first", chain.code()));
            }
        }
        chain.step(self, System::Identity, 700, cards);
    }

    /// A child that was registered without a PIN gets one, and what waited for it.
    pub(crate) fn assign_pin(&mut self, id: u32) -> Vec<Step> {
        self.give_pin(id);
        let mut chain = Chain::open(self, self.person(id).household);
        self.enter_population(&[id], &mut chain);
        if let Some(number) = self.birth_registration_no(id) {
            let key = ("registration_no", Value::from(number));
            let pin = vec![("child_pin", self.pin(id))];
            let row = self.marked(update(System::CivilStatus, "birth_registration", key, pin), id);
            chain.step(self, System::CivilStatus, 300, vec![row]);
        }
        let key = ("residence_file_no", file_no(self.person(id).file));
        let row = update(System::Residence, "permanent_residence", key, vec![("pin", self.pin(id))]);
        chain.step(self, System::Residence, 300, vec![row]);
        self.insure_children(&[id], &mut chain);
        chain.steps().unwrap_or_default()
    }

    fn marked(&self, mut row: RowWrite, id: u32) -> RowWrite {
        self.mark_pin(&mut row, id);
        row
    }
}
