//! Rows of the insurance database.

use chrono::{Datelike as _, NaiveDate};

use super::{card_no, insert, participation_no};
use crate::dirt::Spots;
use crate::nation::Nation;
use crate::tables::System;
use crate::write::{RowWrite, Value};

const HEALTH_CARD: Spots = Spots {
    names: &["full_name"],
    pin: Some("pin"),
    date: Some("valid_from"),
    birth: None,
    province: None,
    placeholder: None,
};

/// A stretch of insurance.
pub(crate) struct Participation {
    pub(crate) scheme: &'static str,
    pub(crate) from: NaiveDate,
}

/// Code of the group of insured that somebody belongs to.
pub(crate) fn object_code(age: u32, works: bool) -> &'static str {
    match age {
        0..=5 => "TE1",
        6..=17 => "HS4",
        _ if works => "DN4",
        75.. => "BT2",
        60.. => "HT3",
        _ => "GD4",
    }
}

impl Nation {
    /// Last day of a health card from its first: the year's end, and for small children the September in which they turn six.
    fn cover_ends(&self, id: u32, from: NaiveDate) -> Option<NaiveDate> {
        let person = self.person(id);
        if person.age(from) < 6 {
            return NaiveDate::from_ymd_opt(person.birth.year() + 6, 9, 30);
        }
        NaiveDate::from_ymd_opt(from.year(), 12, 31)
    }

    /// A health card from a day on.
    pub(crate) fn health_card_row(&self, id: u32, from: NaiveDate, dossier: Option<&str>) -> RowWrite {
        let person = self.person(id);
        let values = vec![
            ("card_no", card_no(id)),
            ("pin", self.pin(id)),
            ("full_name", person.name.full().into()),
            ("object_code", object_code(person.age(from), person.participation != 0).into()),
            ("valid_from", from.into()),
            ("valid_to", self.cover_ends(id, from).into()),
            ("first_facility_code", self.facility_of(id).into()),
            ("status", "issued".into()),
            ("dossier_code", dossier.map(str::to_owned).into()),
        ];
        let mut row = insert(System::Insurance, "health_card", values);
        self.spoil(&mut row, id, id, &HEALTH_CARD);
        row
    }

    /// The columns of a health card that goes on.
    pub(crate) fn renewed_cover(&self, id: u32) -> Vec<(&'static str, Value)> {
        let person = self.person(id);
        let works = person.participation != 0;
        vec![
            ("object_code", object_code(person.age(self.today), works).into()),
            ("valid_from", self.today.into()),
            ("valid_to", self.cover_ends(id, self.today).into()),
            ("status", "reissued".into()),
        ]
    }

    /// A participation that has begun.
    pub(crate) fn participation_row(&self, id: u32, stretch: &Participation) -> RowWrite {
        let number = self.person(id).participation;
        let employer = (stretch.scheme == "social_compulsory")
            .then(|| format!("DN{:06}", self.chance(number, 42) % u64::from(1 + self.config.people / 20)));
        let values = vec![
            ("participation_no", participation_no(number)),
            ("pin", self.pin(id)),
            ("scheme", stretch.scheme.into()),
            ("status", "active".into()),
            ("valid_from", stretch.from.into()),
            ("employer_code", employer.into()),
        ];
        insert(System::Insurance, "participation", values)
    }

    /// What is paid after a death, and to whom.
    pub(crate) fn benefit_row(
        &mut self,
        id: u32,
        kind: &'static str,
        payee: Value,
        dossier: &str,
    ) -> RowWrite {
        let number = self.number();
        let outcome = if number.is_multiple_of(12) { "refused" } else { "granted" };
        let fund = if self.person(id).age(self.today) >= 75 { "social_protection" } else { "insurance" };
        let values = vec![
            ("decision_no", Value::from(format!("BH{number:09}"))),
            ("pin", self.pin(id)),
            ("benefit_kind", kind.into()),
            ("decided_on", self.today.into()),
            ("outcome", outcome.into()),
            ("fund", fund.into()),
            ("payee_pin", payee),
            ("dossier_code", dossier.to_owned().into()),
        ];
        insert(System::Insurance, "benefit_decision", values)
    }
}
