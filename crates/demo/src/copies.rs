//! Every table of every subscriber: how the subscriber made it, and what it must hold, as SQL over the ministries' own databases.
//!
//! `expected` names as its first column the key of the ministry's row, then the copy's columns in the order of `actual`, the copy's
//! key first. Rows come in the order of writing; of two with one key in the copy the later counts. `edtf(date, precision)` and
//! `token(text)` are functions of the check.

use lienthong_nation::System;

/// One table of one subscriber.
pub(crate) struct Copy {
    pub(crate) subscriber: &'static str,
    pub(crate) table: &'static str,
    /// The subscriber's own DDL. `own_note` is a column that no agreement names.
    pub(crate) create: &'static str,
    /// Columns of the key in `actual`.
    pub(crate) key: usize,
    pub(crate) actual: &'static str,
    /// Where the rows come from.
    pub(crate) system: System,
    pub(crate) origin: &'static str,
    pub(crate) expected: &'static str,
}

macro_rules! copy {
    ($subscriber:literal, $table:literal from $system:ident.$origin:literal, key $key:literal,
     $create:literal, $actual:literal, $expected:literal) => {
        Copy {
            subscriber: $subscriber,
            table: $table,
            create: concat!("create table if not exists ", $table, " (own_note text, ", $create, ")"),
            key: $key,
            actual: concat!("select ", $actual, " from ", $table),
            system: System::$system,
            origin: $origin,
            expected: $expected,
        }
    };
}

/// All of them.
pub(crate) const COPIES: [Copy; 29] = [
    copy!("mps.population", "birth" from CivilStatus."birth_registration", key 1,
        "registration_no text primary key, office_code text, registered_on text, pin text, family_name text, middle_name text,
         given_name text, sex text, birth_date text, ethnicity_code text, mother_pin text, father_pin text",
        "registration_no, office_code, registered_on, pin, family_name, middle_name, given_name, sex, birth_date, ethnicity_code,
         mother_pin, father_pin",
        "select registration_no, registration_no, office_code, registered_on, child_pin, child_family_name, child_middle_name,
         child_given_name, child_sex, edtf(child_birth_date, child_birth_date_precision), child_ethnicity_code, mother_pin, father_pin
         from moj.birth_registration where status = 'registered'"),
    copy!("mps.population", "death" from CivilStatus."death_registration", key 1,
        "registration_no text primary key, pin text, death_date text, death_place text, spouse_pin text",
        "registration_no, pin, death_date, death_place, spouse_pin",
        "select registration_no, registration_no, deceased_pin, edtf(death_date, death_date_precision), death_place, spouse_pin
         from moj.death_registration where status = 'registered'"),
    copy!("mps.population", "marriage" from CivilStatus."marriage_registration", key 1,
        "registration_no text primary key, kind text, effective_date text, spouse1_pin text, spouse2_pin text",
        "registration_no, kind, effective_date, spouse1_pin, spouse2_pin",
        "select registration_no, registration_no, kind, edtf(effective_date, effective_date_precision), spouse1_pin, spouse2_pin
         from moj.marriage_registration where status = 'registered'"),
    copy!("mps.population", "correction" from CivilStatus."correction", key 1,
        "correction_no text primary key, pin text, decided_on text, middle_name text, given_name text, birth_date text,
         middle_name_before text, given_name_before text, birth_date_before text",
        "correction_no, pin, decided_on, middle_name, given_name, birth_date, middle_name_before, given_name_before, birth_date_before",
        "select correction_no, correction_no, pin, decided_on, middle_name, given_name, edtf(birth_date, birth_date_precision),
         before_middle_name, before_given_name, edtf(before_birth_date, before_birth_date_precision) from moj.correction"),
    copy!("mps.population", "residence" from Residence."permanent_residence", key 1,
        "residence_file_no text primary key, pin text, household_id text, relation_to_head text, province_code text, commune_code text,
         street text, valid_from text",
        "residence_file_no, pin, household_id, relation_to_head, province_code, commune_code, street, valid_from",
        "select residence_file_no, residence_file_no, pin, household_id, relation_to_head, province_code, commune_code, street, valid_from
         from res.permanent_residence where status = 'registered'"),
    copy!("mps.population", "card" from Identity."identity_card", key 1,
        "serial text primary key, pin text, card_kind text, issued_on text, expires_on text, lienthong_version text",
        "serial, pin, card_kind, issued_on, expires_on",
        "select serial, serial, pin, card_kind, issued_on, expires_on from idc.identity_card"),
    copy!("mps.population", "unit" from AdminUnits."admin_unit", key 3,
        "level text not null, code text not null, valid_from text not null, valid_to text, name text,
         decree_no text, primary key (level, code, valid_from)",
        "level, code, valid_from, valid_to, name, decree_no",
        "select level || '/' || code || '/' || valid_from, level, code, valid_from, valid_to, name, decree_no from adm.admin_unit"),
    copy!("vss.insurance", "insured_child" from CivilStatus."birth_registration", key 1,
        "registration_no text primary key, child_pin text, ho text, chu_dem text, ten text, gioi_tinh text, ngay_sinh date, mother_pin text,
         province_code text, commune_code text",
        "registration_no, child_pin, ho, chu_dem, ten, gioi_tinh, ngay_sinh, mother_pin, province_code, commune_code",
        "select registration_no, registration_no, child_pin, child_family_name, child_middle_name, child_given_name, child_sex,
         iif(child_birth_date_precision = 'D', child_birth_date, null), mother_pin, requested_province_code, requested_commune_code
         from moj.birth_registration where status = 'registered'"),
    copy!("vss.insurance", "ended_by_death" from CivilStatus."death_registration", key 1,
        "registration_no text primary key, pin text, death_date text, voided_at text",
        "registration_no, pin, death_date, voided_at is not null",
        "select registration_no, registration_no, deceased_pin, edtf(death_date, death_date_precision), status <> 'registered'
         from moj.death_registration"),
    copy!("vss.insurance", "residence" from Residence."permanent_residence", key 1,
        "residence_file_no text primary key, pin text, province_code text, commune_code text, street text, valid_from date,
         lienthong_version text",
        "residence_file_no, pin, province_code, commune_code, street, valid_from",
        "select residence_file_no, residence_file_no, pin, province_code, commune_code, street, valid_from
         from res.permanent_residence where status = 'registered'"),
    copy!("moh.ehr", "health_book" from CivilStatus."birth_registration", key 1,
        "registration_no text primary key, pin text, birth_date text, sex text, mother_pin text",
        "registration_no, pin, birth_date, sex, mother_pin",
        "select registration_no, registration_no, child_pin, edtf(child_birth_date, child_birth_date_precision), child_sex, mother_pin
         from moj.birth_registration where status = 'registered'"),
    copy!("moh.ehr", "closed_book" from CivilStatus."death_registration", key 1,
        "registration_no text primary key, pin text, death_date text, cause_of_death text",
        "registration_no, pin, death_date, cause_of_death",
        "select registration_no, registration_no, deceased_pin, edtf(death_date, death_date_precision), cause_of_death
         from moj.death_registration where status = 'registered'"),
    copy!("moh.ehr", "health_card" from Insurance."health_card", key 1,
        "card_no text primary key, pin text, object_code text, valid_from date, valid_to date, first_facility_code text, status text,
         lienthong_version text",
        "card_no, pin, object_code, valid_from, valid_to, first_facility_code, status",
        "select card_no, card_no, pin, object_code, valid_from, valid_to, first_facility_code, status from vss.health_card"),
    copy!("moh.social-protection", "child" from CivilStatus."birth_registration", key 1,
        "registration_no text primary key, pin text, mother_pin text, father_pin text",
        "registration_no, pin, mother_pin, father_pin",
        "select registration_no, registration_no, child_pin, mother_pin, father_pin
         from moj.birth_registration where status = 'registered'"),
    copy!("moh.social-protection", "deceased" from CivilStatus."death_registration", key 1,
        "registration_no text primary key, pin text, death_date text, informant_pin text",
        "registration_no, pin, death_date, informant_pin",
        "select registration_no, registration_no, deceased_pin, edtf(death_date, death_date_precision), informant_pin
         from moj.death_registration where status = 'registered'"),
    copy!("moh.social-protection", "residence" from Residence."permanent_residence", key 1,
        "residence_file_no text primary key, pin text, province_code text, commune_code text, street text",
        "residence_file_no, pin, province_code, commune_code, street",
        "select residence_file_no, residence_file_no, pin, province_code, commune_code, street
         from res.permanent_residence where status = 'registered'"),
    copy!("moh.social-protection", "participation" from Insurance."participation", key 1,
        "participation_no text primary key, pin text, scheme text, status text",
        "participation_no, pin, scheme, status",
        "select participation_no, participation_no, pin, scheme, status from vss.participation"),
    copy!("mof.tax", "taxpayer" from Population."person", key 1,
        "pin text primary key, family_name text, middle_name text, given_name text, sex text, birth_date text",
        "pin, family_name, middle_name, given_name, sex, birth_date",
        "select pin, pin, family_name, middle_name, given_name, sex, edtf(birth_date, birth_date_precision) from pop.person"),
    copy!("mof.tax", "dependant" from CivilStatus."birth_registration", key 1,
        "registration_no text primary key, child_pin text, mother_pin text, father_pin text",
        "registration_no, child_pin, mother_pin, father_pin",
        "select registration_no, registration_no, child_pin, mother_pin, father_pin
         from moj.birth_registration where status = 'registered'"),
    copy!("mof.tax", "employment" from Insurance."participation", key 1,
        "participation_no text primary key, pin text, employer_code text, valid_from date, valid_to date",
        "participation_no, pin, employer_code, valid_from, valid_to",
        "select participation_no, participation_no, pin, employer_code, valid_from, valid_to from vss.participation"),
    copy!("nso.statistics", "birth" from CivilStatus."birth_registration", key 1,
        "token text primary key, office_code text, registered_on date, sex text, birth_date text, ethnicity_code text",
        "token, office_code, registered_on, sex, birth_date, ethnicity_code",
        "select registration_no, token(registration_no), office_code, registered_on, child_sex,
         edtf(child_birth_date, child_birth_date_precision), child_ethnicity_code
         from moj.birth_registration where status = 'registered'"),
    copy!("nso.statistics", "death" from CivilStatus."death_registration", key 1,
        "token text primary key, person text, office_code text, death_date text, cause_of_death text, sex text",
        "token, person, office_code, death_date, cause_of_death, sex",
        "select registration_no, token(registration_no), token(deceased_pin), office_code, edtf(death_date, death_date_precision),
         cause_of_death, deceased_sex from moj.death_registration where status = 'registered'"),
    copy!("nso.statistics", "residence" from Residence."permanent_residence", key 1,
        "token text primary key, person text, commune_code text, valid_from date",
        "token, person, commune_code, valid_from",
        "select residence_file_no, token(residence_file_no), token(pin), commune_code, valid_from
         from res.permanent_residence where status = 'registered'"),
    copy!("bank.sample", "ask_customer" from Population."person_update", key 1,
        "customer text primary key, changed boolean, since date",
        "customer, changed, since",
        "select update_no, token(pin), identity_changed, updated_on from pop.person_update where identity_changed = 1 order by rowid"),
    copy!("psp.cases", "birth_notice" from Facilities."birth_notice", key 1,
        "birth_notice_no text primary key, facility_code text, mother_pin text",
        "birth_notice_no, facility_code, mother_pin",
        "select birth_notice_no, birth_notice_no, facility_code, mother_pin from moh.birth_notice"),
    copy!("psp.cases", "death_notice" from Facilities."death_notice", key 1,
        "notice_no text primary key, pin text",
        "notice_no, pin",
        "select notice_no, notice_no, decedent_pin from moh.death_notice"),
    copy!("psp.cases", "birth_step" from CivilStatus."birth_registration", key 1,
        "registration_no text primary key, office_code text, registered_on date, is_late boolean, pin text, birth_notice_no text,
         voided_at text",
        "registration_no, office_code, registered_on, is_late, pin, birth_notice_no, voided_at is not null",
        "select registration_no, registration_no, office_code, registered_on, is_late, child_pin, birth_notice_no, status <> 'registered'
         from moj.birth_registration"),
    copy!("psp.cases", "death_step" from CivilStatus."death_registration", key 1,
        "registration_no text primary key, office_code text, registered_on date, pin text, notice_no text, voided_at text",
        "registration_no, office_code, registered_on, pin, notice_no, voided_at is not null",
        "select registration_no, registration_no, office_code, registered_on, deceased_pin, notice_no, status <> 'registered'
         from moj.death_registration"),
    copy!("psp.cases", "benefit_step" from Insurance."benefit_decision", key 1,
        "decision_no text primary key, pin text, outcome text",
        "decision_no, pin, outcome",
        "select decision_no, decision_no, pin, outcome from vss.benefit_decision"),
];
