//! Rows of population, residence and identity.

use chrono::{Datelike as _, NaiveDate};

use super::{file_no, household_no, insert, instant, serial, update};
use crate::country::{COUNTRY, MERGER_DAY};
use crate::dirt::Spots;
use crate::names::CANARY_PHONES;
use crate::nation::Nation;
use crate::person::NONE;
use crate::pin;
use crate::tables::System;
use crate::write::{Field, RowWrite, Value};

const PERSON: Spots = Spots {
    names: &["family_name", "middle_name", "given_name", "full_name"],
    pin: None,
    date: None,
    birth: Some("birth_date"),
    province: None,
    placeholder: Some(("old_id_number", "N/A")),
};

const RESIDENCE: Spots = Spots {
    names: &["street"],
    pin: Some("pin"),
    date: Some("valid_from"),
    birth: None,
    province: Some("province_code"),
    placeholder: Some(("street", "không rõ")),
};

impl Nation {
    /// The population database's row of somebody who has a PIN.
    pub(crate) fn person_row(
        &self,
        id: u32,
        origin: &'static str,
        day: NaiveDate,
        dossier: Option<&str>,
    ) -> RowWrite {
        let person = self.person(id);
        let modern = person.registered >= MERGER_DAY;
        let origin_of = if person.father == NONE { person } else { self.person(person.father) };
        let origin_modern = origin_of.registered >= MERGER_DAY;
        let adult = person.age(self.today) >= 14;
        let values: Vec<Field> = vec![
            ("pin", self.pin(id)),
            ("family_name", person.name.family().into()),
            ("middle_name", person.name.middle().into()),
            ("given_name", person.name.given().into()),
            ("full_name", person.name.full().into()),
            ("sex", person.sex.as_str().into()),
            ("birth_date", self.birth_date(id)),
            ("birth_date_precision", self.precision(id)),
            ("birth_registration_place", COUNTRY.province_name(person.birth_province, modern).into()),
            ("place_of_origin", COUNTRY.province_name(origin_of.birth_province, origin_modern).into()),
            ("ethnicity_code", format!("{:02}", person.ethnicity).into()),
            ("nationality_code", "VN".into()),
            ("old_id_number", self.old_id(id).into()),
            ("marital_status", person.marital.as_str().into()),
            ("mother_pin", self.pin(person.mother)),
            ("father_pin", self.pin(person.father)),
            ("spouse_pin", self.pin(person.spouse)),
            ("phone", adult.then(|| self.phone(id)).into()),
            ("life_status", "alive".into()),
            ("origin_event", origin.into()),
            ("created_on", day.into()),
            ("dossier_code", dossier.map(str::to_owned).into()),
        ];
        let mut row = insert(System::Population, "person", values);
        self.mark_pin(&mut row, id);
        self.spoil(&mut row, id, id, &PERSON);
        row
    }

    /// The nine-digit number of those who had one.
    fn old_id(&self, id: u32) -> Option<String> {
        let person = self.person(id);
        let had = person.registered.year() < 2002;
        had.then(|| format!("{:02}{:07}", person.birth_province, self.chance(id, 31) % 10_000_000))
    }

    fn phone(&self, id: u32) -> String {
        let chance = self.chance(id, 32);
        if self.config.canaries {
            return CANARY_PHONES[(chance % CANARY_PHONES.len() as u64) as usize].to_owned();
        }
        format!("0{}{:08}", [3, 7, 8, 9][(chance % 4) as usize], chance / 4 % 100_000_000)
    }

    /// What changed about somebody, as a row of its own beside the change itself.
    pub(crate) fn person_update(
        &mut self,
        id: u32,
        fields_changed: &'static str,
        changes: Vec<Field>,
        reason: &'static str,
        dossier: Option<&str>,
    ) -> [RowWrite; 2] {
        let identity = ["family_name", "middle_name", "given_name", "birth_date", "sex"];
        let number = self.number();
        let key = ("pin", self.pin(id));
        let mut journal: Vec<Field> = vec![
            ("update_no", Value::from(format!("CN{number:09}"))),
            ("pin", self.pin(id)),
            ("updated_on", self.today.into()),
            ("identity_changed", changes.iter().any(|(name, _)| identity.contains(name)).into()),
            ("fields_changed", fields_changed.into()),
        ];
        let known = |name: &&str| !["full_name", "spouse_pin"].contains(name);
        journal.extend(changes.iter().filter(|(name, _)| known(name)).cloned());
        journal.push(("reason", reason.into()));
        journal.push(("dossier_code", dossier.map(str::to_owned).into()));
        let dated = changes.iter().any(|(name, _)| *name == "birth_date");
        let mut rows = [
            update(System::Population, "person", key, changes),
            insert(System::Population, "person_update", journal),
        ];
        if dated {
            rows.iter_mut().for_each(|row| self.mark_pin(row, id));
        }
        rows
    }

    /// Where somebody is registered from a day on.
    pub(crate) fn residence_row(&self, id: u32, from: NaiveDate, dossier: Option<&str>) -> RowWrite {
        let person = self.person(id);
        let mut values: Vec<Field> = vec![
            ("residence_file_no", file_no(person.file)),
            ("pin", self.pin(id)),
            ("household_id", household_no(person.household)),
            ("relation_to_head", person.relation.as_str().into()),
            ("valid_from", from.into()),
            ("status", "registered".into()),
            ("dossier_code", dossier.map(str::to_owned).into()),
        ];
        let columns = ["province_code", "commune_code", "street", "unit_version"];
        values.extend(self.address(person.household, columns));
        let mut row = insert(System::Residence, "permanent_residence", values);
        self.spoil(&mut row, id, person.file, &RESIDENCE);
        row
    }

    /// The end of a registration: the row itself, and why.
    pub(crate) fn end_residence(
        &mut self,
        id: u32,
        reason: &'static str,
        next_commune: Option<u32>,
        dossier: Option<&str>,
    ) -> [RowWrite; 2] {
        let number = self.number();
        let file = file_no(self.person(id).file);
        let end = insert(
            System::Residence,
            "deregistration",
            vec![
                ("deregistration_no", Value::from(format!("XT{number:09}"))),
                ("residence_file_no", file.clone()),
                ("pin", self.pin(id)),
                ("reason", reason.into()),
                ("reason_group", if reason == "death" { "death" } else { "moved" }.into()),
                ("deregistered_on", self.today.into()),
                ("next_commune_code", next_commune.map(|code| format!("{code:05}")).into()),
                ("status", "registered".into()),
                ("dossier_code", dossier.map(str::to_owned).into()),
            ],
        );
        let key = ("residence_file_no", file);
        [update(System::Residence, "permanent_residence", key, vec![("status", "ended".into())]), end]
    }

    /// A card as it is issued.
    pub(crate) fn card_row(
        &self,
        id: u32,
        issued: NaiveDate,
        reason: &'static str,
        dossier: Option<&str>,
    ) -> RowWrite {
        let person = self.person(id);
        let under14 = person.age(issued) < 14;
        let values = vec![
            ("serial", serial(person.card)),
            ("pin", self.pin(id)),
            ("card_kind", if under14 { "under14" } else { "card" }.into()),
            ("issued_on", issued.into()),
            ("expires_on", person.card_expires.into()),
            ("issue_place", "Bộ Công an".into()),
            ("reason", reason.into()),
            ("dossier_code", dossier.map(str::to_owned).into()),
        ];
        insert(System::Identity, "identity_card", values)
    }

    /// What became of a person's card.
    pub(crate) fn card_status(&mut self, id: u32, status: &'static str, dossier: Option<&str>) -> RowWrite {
        let number = self.number();
        let values = vec![
            ("status_no", Value::from(format!("TT{number:09}"))),
            ("serial", serial(self.person(id).card)),
            ("pin", self.pin(id)),
            ("status", status.into()),
            ("changed_at", instant(self.today, 480 + number % 480)),
            ("dossier_code", dossier.map(str::to_owned).into()),
        ];
        insert(System::Identity, "card_status", values)
    }

    /// Another number in the place of a person's PIN.
    pub(crate) fn reissue_row(&mut self, id: u32, new: u64, dossier: Option<&str>) -> RowWrite {
        let number = self.number();
        let values = vec![
            ("decision_no", Value::from(format!("QD{number:09}"))),
            ("old_pin", self.pin(id)),
            ("new_pin", pin::text(new).into()),
            ("reason", "birth_year".into()),
            ("effective_at", instant(self.today, 600)),
            ("dossier_code", dossier.map(str::to_owned).into()),
        ];
        insert(System::Population, "pin_reissue", values)
    }
}
