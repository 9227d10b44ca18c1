//! Tables of the electronic civil status register.

use super::Table;

/// Registrations stay for ever: a revoked one gets the status `revoked`.
pub(super) const TABLES: &[Table] = &[
    Table { name: "birth_registration", key: &["registration_no"], create: BIRTH_REGISTRATION },
    Table { name: "death_registration", key: &["registration_no"], create: DEATH_REGISTRATION },
    Table { name: "marriage_registration", key: &["registration_no"], create: MARRIAGE_REGISTRATION },
    Table { name: "correction", key: &["correction_no"], create: CORRECTION },
    Table { name: "revocation", key: &["decision_no"], create: REVOCATION },
];

const BIRTH_REGISTRATION: &str = "create table birth_registration (
    registration_no text not null primary key, office_code text not null, registered_on text not null,
    is_late integer not null default 0, status text not null default 'registered',
    child_pin text, child_family_name text, child_middle_name text, child_given_name text not null,
    child_sex text not null, child_birth_date text not null, child_birth_date_precision text not null default 'D',
    child_birth_place text, child_ethnicity_code text, child_nationality_code text, child_origin text,
    mother_pin text, mother_full_name text, mother_birth_date text, mother_birth_date_precision text,
    father_pin text, father_full_name text, father_birth_date text, father_birth_date_precision text,
    informant_pin text, informant_relation text, birth_notice_no text,
    requested_province_code text, requested_commune_code text, requested_street text, requested_unit_version text,
    dossier_code text)";

const DEATH_REGISTRATION: &str = "create table death_registration (
    registration_no text not null primary key, office_code text not null, registered_on text not null,
    is_late integer not null default 0, status text not null default 'registered',
    deceased_pin text, deceased_full_name text, deceased_sex text, deceased_birth_date text,
    deceased_birth_date_precision text, deceased_nationality_code text,
    death_date text not null, death_date_precision text not null default 'D', death_time text, death_place text,
    cause_of_death text, notice_no text,
    last_province_code text, last_commune_code text, last_street text, last_unit_version text,
    informant_pin text, informant_relation text, spouse_pin text, dossier_code text)";

const MARRIAGE_REGISTRATION: &str = "create table marriage_registration (
    registration_no text not null primary key, kind text not null, office_code text not null,
    registered_on text not null, effective_date text not null, effective_date_precision text not null default 'D',
    decision_no text, status text not null default 'registered',
    spouse1_pin text, spouse1_full_name text not null, spouse2_pin text, spouse2_full_name text not null,
    dossier_code text)";

/// What the columns of values hold counts only for those that `fields_changed` lists, joined by commas; so do those of what was
/// held before.
const CORRECTION: &str = "create table correction (
    correction_no text not null primary key, registration_no text, pin text, office_code text not null,
    ground text not null, fields_changed text not null, decision_no text not null, decided_on text not null,
    family_name text, middle_name text, given_name text, sex text, birth_date text, birth_date_precision text,
    before_family_name text, before_middle_name text, before_given_name text, before_sex text, before_birth_date text,
    before_birth_date_precision text, dossier_code text)";

const REVOCATION: &str = "create table revocation (
    decision_no text not null primary key, registration_no text not null, pin text, record_type text not null,
    reason_code text not null, decided_on text not null, dossier_code text)";
