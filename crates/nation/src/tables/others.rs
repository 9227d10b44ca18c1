//! Tables of population, residence, identity, insurance, health and administrative units.

use super::Table;

/// The national population database.
pub(super) const POPULATION: &[Table] = &[
    Table { name: "person", key: &["pin"], create: PERSON },
    Table { name: "person_update", key: &["update_no"], create: PERSON_UPDATE },
    Table { name: "pin_reissue", key: &["decision_no"], create: PIN_REISSUE },
];
/// The residence database. A registration that has ended keeps its row with the status `ended`.
pub(super) const RESIDENCE: &[Table] = &[
    Table { name: "permanent_residence", key: &["residence_file_no"], create: PERMANENT_RESIDENCE },
    Table { name: "deregistration", key: &["deregistration_no"], create: DEREGISTRATION },
];
/// The card database. `card_status` is a journal: what became of a card, line by line.
pub(super) const IDENTITY: &[Table] = &[
    Table { name: "identity_card", key: &["serial"], create: IDENTITY_CARD },
    Table { name: "card_status", key: &["status_no"], create: CARD_STATUS },
];
/// The national insurance database. Amounts and accounts are not here: they have no way onto the bus.
pub(super) const INSURANCE: &[Table] = &[
    Table { name: "health_card", key: &["card_no"], create: HEALTH_CARD },
    Table { name: "participation", key: &["participation_no"], create: PARTICIPATION },
    Table { name: "benefit_decision", key: &["decision_no"], create: BENEFIT_DECISION },
];
/// Notices of health facilities.
pub(super) const FACILITIES: &[Table] = &[
    Table { name: "birth_notice", key: &["birth_notice_no"], create: BIRTH_NOTICE },
    Table { name: "death_notice", key: &["notice_no"], create: DEATH_NOTICE },
];
/// Administrative units, one row for each state of a unit.
pub(super) const ADMIN_UNITS: &[Table] =
    &[Table { name: "admin_unit", key: &["level", "code", "valid_from"], create: ADMIN_UNIT }];

const PERSON: &str = "create table person (
    pin text not null primary key, family_name text, middle_name text, given_name text not null, full_name text not null,
    sex text not null, birth_date text not null, birth_date_precision text not null default 'D',
    birth_registration_place text, place_of_origin text, ethnicity_code text, nationality_code text not null,
    old_id_number text, marital_status text not null default 'single',
    mother_pin text, father_pin text, spouse_pin text, phone text,
    life_status text not null default 'alive', death_date text, death_date_precision text,
    origin_event text not null, created_on text not null, dossier_code text)";

const PERSON_UPDATE: &str = "create table person_update (
    update_no text not null primary key, pin text not null, updated_on text not null,
    identity_changed integer not null default 0, fields_changed text not null,
    family_name text, middle_name text, given_name text, sex text, birth_date text, birth_date_precision text,
    marital_status text, life_status text, death_date text, death_date_precision text,
    reason text not null, dossier_code text)";

const PIN_REISSUE: &str = "create table pin_reissue (
    decision_no text not null primary key, old_pin text not null, new_pin text not null, reason text not null,
    effective_at text not null, dossier_code text)";

const PERMANENT_RESIDENCE: &str = "create table permanent_residence (
    residence_file_no text not null primary key, pin text, household_id text, relation_to_head text,
    province_code text, commune_code text, street text, unit_version text,
    valid_from text not null, status text not null default 'registered', dossier_code text)";

const DEREGISTRATION: &str = "create table deregistration (
    deregistration_no text not null primary key, residence_file_no text not null, pin text, reason text not null,
    reason_group text not null, deregistered_on text not null, next_commune_code text,
    status text not null default 'registered', dossier_code text)";

const IDENTITY_CARD: &str = "create table identity_card (
    serial text not null primary key, pin text not null, card_kind text not null, issued_on text not null,
    expires_on text, issue_place text, reason text, dossier_code text)";

const CARD_STATUS: &str = "create table card_status (
    status_no text not null primary key, serial text not null, pin text not null, status text not null,
    changed_at text not null, dossier_code text)";

const HEALTH_CARD: &str = "create table health_card (
    card_no text not null primary key, pin text, full_name text, object_code text not null,
    valid_from text not null, valid_to text, first_facility_code text, status text not null default 'issued', dossier_code text)";

const PARTICIPATION: &str = "create table participation (
    participation_no text not null primary key, pin text, scheme text not null, status text not null,
    valid_from text not null, valid_to text, employer_code text, dossier_code text)";

const BENEFIT_DECISION: &str = "create table benefit_decision (
    decision_no text not null primary key, pin text not null, benefit_kind text not null, decided_on text not null,
    outcome text not null, fund text not null, payee_pin text, dossier_code text)";

const BIRTH_NOTICE: &str = "create table birth_notice (
    birth_notice_no text not null primary key, facility_code text not null, issued_at text not null,
    birth_at text not null, birth_place text,
    mother_pin text, mother_alt_id_kind text, mother_alt_id text, mother_full_name text,
    mother_birth_date text, mother_birth_date_precision text, mother_ethnicity_code text, mother_residence text,
    mother_insurance_no text, child_sex text not null, child_weight_g integer, child_intended_name text,
    child_birth_order integer not null default 1, child_plurality integer not null default 1, notes text, replaces text)";

const DEATH_NOTICE: &str = "create table death_notice (
    notice_no text not null primary key, facility_code text not null, issued_at text not null,
    death_date text not null, death_date_precision text not null default 'D', death_time text,
    decedent_pin text, decedent_alt_id_kind text, decedent_alt_id text, decedent_full_name text,
    decedent_birth_date text, decedent_birth_date_precision text, decedent_sex text not null, decedent_residence text,
    death_place text, cause_text text, is_prehospital integer not null default 0, replaces text)";

/// The same table as in the example of the administrative units.
const ADMIN_UNIT: &str = "create table admin_unit (
    level text not null, code text not null, valid_from text not null, valid_to text,
    parent_code text, name text not null, full_name text not null, successors text not null default '',
    whole_or_part text not null default '', decree_no text,
    primary key (level, code, valid_from))";
