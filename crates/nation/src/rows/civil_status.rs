//! Rows of the civil status register and of the notices of health facilities.

use chrono::NaiveDate;

use super::{card_no, insert, instant, registration_no};
use crate::country::{COUNTRY, MERGER_DAY};
use crate::dirt::Spots;
use crate::names::{CANARY_CAUSES, CAUSES};
use crate::nation::Nation;
use crate::person::NONE;
use crate::tables::System;
use crate::write::{Field, RowWrite, Value};

const BIRTH: Spots = Spots {
    names: &[
        "child_family_name",
        "child_middle_name",
        "child_given_name",
        "mother_full_name",
        "father_full_name",
    ],
    pin: Some("child_pin"),
    date: Some("registered_on"),
    birth: Some("child_birth_date"),
    province: Some("requested_province_code"),
    placeholder: Some(("child_origin", "không rõ")),
};
const DEATH: Spots = Spots {
    names: &["deceased_full_name"],
    pin: None,
    date: None,
    birth: Some("deceased_birth_date"),
    province: Some("last_province_code"),
    placeholder: None,
};
const NOTICE: Spots = Spots {
    names: &["mother_full_name", "decedent_full_name", "child_intended_name"],
    pin: None,
    date: None,
    birth: None,
    province: None,
    placeholder: Some(("mother_insurance_no", "0000000000")),
};

/// A birth as the facility notes it.
pub(crate) struct Delivery<'a> {
    pub(crate) notice_no: &'a str,
    pub(crate) minute: u32,
    pub(crate) order: u32,
    pub(crate) plurality: u32,
}

/// A birth as it is registered.
#[derive(Clone, Copy)]
pub(crate) struct BirthEntry<'a> {
    pub(crate) number: u32,
    pub(crate) on: NaiveDate,
    pub(crate) office: u32,
    pub(crate) informant: (u32, &'static str),
    pub(crate) notice_no: Option<&'a str>,
    pub(crate) dossier: Option<&'a str>,
}

/// A death as it is registered.
pub(crate) struct DeathEntry<'a> {
    pub(crate) registration_no: &'a str,
    pub(crate) died: NaiveDate,
    pub(crate) minute: Option<u32>,
    pub(crate) cause: &'static str,
    pub(crate) informant: (u32, &'static str),
    pub(crate) notice_no: Option<&'a str>,
    pub(crate) dossier: &'a str,
}

impl Nation {
    /// Number of the registration of a person's birth.
    pub(crate) fn birth_registration_no(&self, id: u32) -> Option<String> {
        let person = self.person(id);
        (person.birth_no != 0)
            .then(|| registration_no(person.registered, person.birth_office, person.birth_no))
    }

    /// A birth in the register.
    pub(crate) fn birth_row(&self, id: u32, entry: &BirthEntry<'_>) -> RowWrite {
        let person = self.person(id);
        let modern = entry.on >= MERGER_DAY;
        let place = COUNTRY.province_name(person.birth_province, modern);
        let late = (entry.on - person.birth).num_days() > 60;
        let mut values: Vec<Field> = vec![
            ("registration_no", registration_no(entry.on, entry.office, entry.number).into()),
            ("office_code", format!("{:05}", entry.office).into()),
            ("registered_on", entry.on.into()),
            ("is_late", late.into()),
            ("status", "registered".into()),
            ("child_pin", self.pin(id)),
            ("child_family_name", person.name.family().into()),
            ("child_middle_name", person.name.middle().into()),
            ("child_given_name", person.name.given().into()),
            ("child_sex", person.sex.as_str().into()),
            ("child_birth_date", self.birth_date(id)),
            ("child_birth_date_precision", self.precision(id)),
            ("child_birth_place", place.into()),
            ("child_ethnicity_code", format!("{:02}", person.ethnicity).into()),
            ("child_nationality_code", "VN".into()),
            ("child_origin", place.into()),
            ("mother_pin", self.pin(person.mother)),
            ("mother_full_name", self.full_name(person.mother)),
            ("mother_birth_date", self.birth_date(person.mother)),
            ("mother_birth_date_precision", self.precision(person.mother)),
            ("father_pin", self.pin(person.father)),
            ("father_full_name", self.full_name(person.father)),
            ("father_birth_date", self.birth_date(person.father)),
            ("father_birth_date_precision", self.precision(person.father)),
            ("informant_pin", self.pin(entry.informant.0)),
            ("informant_relation", entry.informant.1.into()),
            ("birth_notice_no", entry.notice_no.map(str::to_owned).into()),
            ("dossier_code", entry.dossier.map(str::to_owned).into()),
        ];
        if entry.dossier.is_some() {
            let columns = [
                "requested_province_code",
                "requested_commune_code",
                "requested_street",
                "requested_unit_version",
            ];
            values.extend(self.address(person.household, columns));
        }
        let mut row = insert(System::CivilStatus, "birth_registration", values);
        self.mark_pin(&mut row, id);
        self.spoil(&mut row, id, entry.number, &BIRTH);
        row
    }

    /// The facility's notice of a birth.
    pub(crate) fn birth_notice_row(&self, id: u32, delivery: &Delivery<'_>) -> RowWrite {
        let (person, mother) = (self.person(id), self.person(self.person(id).mother));
        let chance = self.chance(id, 51);
        let weighed = !chance.is_multiple_of(50);
        let province = self.commune(mother.household).province;
        let values = vec![
            ("birth_notice_no", delivery.notice_no.to_owned().into()),
            ("facility_code", self.facility_of(person.mother).into()),
            ("issued_at", instant(person.birth + chrono::Days::new(1), 600)),
            ("birth_at", instant(person.birth, delivery.minute)),
            ("birth_place", COUNTRY.province_name(province, true).into()),
            ("mother_pin", self.pin(person.mother)),
            ("mother_full_name", self.capitals(person.mother)),
            ("mother_birth_date", self.birth_date(person.mother)),
            ("mother_birth_date_precision", self.precision(person.mother)),
            ("mother_ethnicity_code", format!("{:02}", mother.ethnicity).into()),
            ("mother_residence", self.address_text(mother.household)),
            ("mother_insurance_no", mother.insured.then(|| card_no(person.mother)).into()),
            ("child_sex", person.sex.as_str().into()),
            ("child_weight_g", weighed.then_some(2_300 + (chance / 50 % 1_700) as u32).into()),
            ("child_intended_name", person.name.full().into()),
            ("child_birth_order", delivery.order.into()),
            ("child_plurality", delivery.plurality.into()),
            ("notes", (!weighed).then_some("Không cân").into()),
        ];
        let mut row = insert(System::Facilities, "birth_notice", values);
        self.spoil(&mut row, id, id, &NOTICE);
        row
    }

    /// A name as the forms of health facilities want it (Circular 22/2025/TT-BYT). Canaries stay findable as they are.
    fn capitals(&self, id: u32) -> Value {
        let name = self.person(id).name.full();
        if self.config.canaries { name } else { name.to_uppercase() }.into()
    }

    /// A cause of death.
    pub(crate) fn cause(&self, id: u32) -> &'static str {
        let causes = if self.config.canaries { CANARY_CAUSES } else { CAUSES };
        causes[(self.chance(id, 52) % causes.len() as u64) as usize]
    }

    /// The facility's notice of a death.
    pub(crate) fn death_notice_row(&self, id: u32, notice_no: &str, entry: &DeathEntry<'_>) -> RowWrite {
        let person = self.person(id);
        let values = vec![
            ("notice_no", notice_no.to_owned().into()),
            ("facility_code", self.facility_of(id).into()),
            ("issued_at", instant(entry.died + chrono::Days::new(1), 540)),
            ("death_date", entry.died.into()),
            ("death_date_precision", "D".into()),
            ("death_time", entry.minute.map(time).into()),
            ("decedent_pin", self.pin(id)),
            ("decedent_full_name", self.capitals(id)),
            ("decedent_birth_date", self.birth_date(id)),
            ("decedent_birth_date_precision", self.precision(id)),
            ("decedent_sex", person.sex.as_str().into()),
            ("decedent_residence", self.address_text(person.household)),
            ("death_place", COUNTRY.province_name(self.commune(person.household).province, true).into()),
            ("cause_text", entry.cause.into()),
            ("is_prehospital", self.chance(id, 53).is_multiple_of(12).into()),
        ];
        let mut row = insert(System::Facilities, "death_notice", values);
        self.spoil(&mut row, id, id, &Spots { placeholder: Some(("cause_text", "không rõ")), ..NOTICE });
        row
    }

    /// A death in the register.
    pub(crate) fn death_row(&self, id: u32, entry: &DeathEntry<'_>) -> RowWrite {
        let person = self.person(id);
        let late = (self.today - entry.died).num_days() > 15;
        let mut values: Vec<Field> = vec![
            ("registration_no", entry.registration_no.to_owned().into()),
            ("office_code", format!("{:05}", self.commune(person.household).code).into()),
            ("registered_on", self.today.into()),
            ("is_late", late.into()),
            ("status", "registered".into()),
            ("deceased_pin", self.pin(id)),
            ("deceased_full_name", person.name.full().into()),
            ("deceased_sex", person.sex.as_str().into()),
            ("deceased_birth_date", self.birth_date(id)),
            ("deceased_birth_date_precision", self.precision(id)),
            ("deceased_nationality_code", "VN".into()),
            ("death_date", entry.died.into()),
            ("death_date_precision", "D".into()),
            ("death_time", entry.minute.map(time).into()),
            ("death_place", COUNTRY.province_name(self.commune(person.household).province, true).into()),
            ("cause_of_death", entry.cause.into()),
            ("notice_no", entry.notice_no.map(str::to_owned).into()),
            ("informant_pin", self.pin(entry.informant.0)),
            ("informant_relation", entry.informant.1.into()),
            ("spouse_pin", self.pin(person.spouse)),
            ("dossier_code", entry.dossier.to_owned().into()),
        ];
        let columns = ["last_province_code", "last_commune_code", "last_street", "last_unit_version"];
        values.extend(self.address(person.household, columns));
        let mut row = insert(System::CivilStatus, "death_registration", values);
        self.mark_pin(&mut row, id);
        self.spoil(&mut row, id, id, &DEATH);
        row
    }

    /// A marriage or a divorce in the register.
    pub(crate) fn marriage_row(
        &self,
        kind: &'static str,
        number: u32,
        pair: [u32; 2],
        on: NaiveDate,
        dossier: Option<&str>,
    ) -> RowWrite {
        let office = self.commune(self.person(pair[0]).household).code;
        let decision = (kind == "divorce").then(|| format!("{number}/QĐST-HNGĐ"));
        let values = vec![
            ("registration_no", registration_no(on, office, number).into()),
            ("kind", kind.into()),
            ("office_code", format!("{office:05}").into()),
            ("registered_on", on.into()),
            ("effective_date", on.into()),
            ("effective_date_precision", "D".into()),
            ("decision_no", decision.into()),
            ("status", "registered".into()),
            ("spouse1_pin", self.pin(pair[0])),
            ("spouse1_full_name", self.full_name(pair[0])),
            ("spouse2_pin", self.pin(pair[1])),
            ("spouse2_full_name", self.full_name(pair[1])),
            ("dossier_code", dossier.map(str::to_owned).into()),
        ];
        insert(System::CivilStatus, "marriage_registration", values)
    }

    /// The informant of somebody's birth: a parent who is known.
    pub(crate) fn parent(&self, id: u32) -> (u32, &'static str) {
        let person = self.person(id);
        match (person.father, person.mother) {
            (NONE, NONE) => (NONE, "other"),
            (NONE, mother) => (mother, "mother"),
            (father, _) => (father, "father"),
        }
    }
}

fn time(minute: u32) -> Value {
    Value::from(format!("{:02}:{:02}:00", minute / 60, minute % 60))
}
