//! The contracts that ship with the bus, compiled in: the binary can check and demonstrate them without a folder.

use std::collections::BTreeMap;

use crate::catalogue::Catalogue;
use crate::problem::Problem;
use crate::schema::RecordSchema;

/// Name of the control record that carries freshness.
pub const HEARTBEAT: &str = "lienthong.heartbeat";
/// Name of the control record that fences a partition.
pub const FENCE: &str = "lienthong.fence";

/// The shipped files as text.
#[derive(Clone, Copy, Debug)]
pub struct BundledTexts {
    /// `schemas/catalogue.yaml`.
    pub catalogue: &'static str,
    /// Event name and contract of every `schemas/avro/<family>/<event>.avsc`, control records included.
    pub schemas: &'static [(&'static str, &'static str)],
}

macro_rules! contracts {
    ($($event:literal => $file:literal,)*) => {
        &[$(($event, include_str!(concat!("../avro/", $file, ".avsc"))),)*]
    };
}

/// The shipped files.
#[must_use]
pub fn bundled_texts() -> BundledTexts {
    BundledTexts {
        catalogue: include_str!("../catalogue.yaml"),
        schemas: contracts! {
            "admin_unit.changed" => "admin_unit/changed",
            "benefit.decision.made" => "benefit/decision.made",
            "cadre.employment.changed" => "cadre/employment.changed",
            "case.step.changed" => "case/step.changed",
            "civil_status.birth.registered" => "civil_status/birth.registered",
            "civil_status.death.registered" => "civil_status/death.registered",
            "civil_status.legacy.digitised" => "civil_status/legacy.digitised",
            "civil_status.marriage.changed" => "civil_status/marriage.changed",
            "civil_status.person.corrected" => "civil_status/person.corrected",
            "civil_status.record.revoked" => "civil_status/record.revoked",
            "degree.status.changed" => "degree/status.changed",
            "driving_licence.status.changed" => "driving_licence/status.changed",
            "entry_permit.status.changed" => "entry_permit/status.changed",
            "health.birth_notice.issued" => "health/birth_notice.issued",
            "health.death_notice.issued" => "health/death_notice.issued",
            "identity.card.issued" => "identity/card.issued",
            "identity.card.status_changed" => "identity/card.status_changed",
            "insurance.health_card.issued" => "insurance/health_card.issued",
            "insurance.participation.changed" => "insurance/participation.changed",
            "judicial.certificate.issued" => "judicial/certificate.issued",
            "land.right.changed" => "land/right.changed",
            "population.person.created" => "population/person.created",
            "population.person.updated" => "population/person.updated",
            "population.pin.reissued" => "population/pin.reissued",
            "quality.mismatch.reported" => "quality/mismatch.reported",
            "residence.address.recoded" => "residence/address.recoded",
            "residence.permanent.deregistered" => "residence/permanent.deregistered",
            "residence.permanent.registered" => "residence/permanent.registered",
            "residence.temporary.changed" => "residence/temporary.changed",
            "social_protection.beneficiary.changed" => "social_protection/beneficiary.changed",
            "vaccination.dose.recorded" => "vaccination/dose.recorded",
            "vehicle.registration.changed" => "vehicle/registration.changed",
            "lienthong.fence" => "lienthong/fence",
            "lienthong.heartbeat" => "lienthong/heartbeat",
        },
    }
}

/// The contracts of control records and events, parsed, by event name.
///
/// # Errors
/// When a shipped file is broken; a test keeps that from happening.
pub fn bundled_schemas() -> Result<BTreeMap<String, RecordSchema>, Vec<Problem>> {
    let mut schemas = BTreeMap::new();
    let mut problems = Vec::new();
    for (event, text) in bundled_texts().schemas {
        match RecordSchema::parse(text) {
            Ok(schema) => {
                schemas.insert((*event).to_owned(), schema);
            }
            Err(error) => {
                let file = format!("{}.avsc", event.replacen('.', "/", 1));
                problems.push(Problem::new(&file, (0, 0), error.to_string(), "correct the contract"));
            }
        }
    }
    if problems.is_empty() { Ok(schemas) } else { Err(problems) }
}

/// The shipped catalogue with its contracts.
///
/// # Errors
/// As [`bundled_schemas`].
pub fn bundled() -> Result<Catalogue, Vec<Problem>> {
    Catalogue::parse("catalogue.yaml", bundled_texts().catalogue, &bundled_schemas()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::Access;
    use crate::check::lint;
    use crate::path::FieldPath;

    fn shown(problems: &[Problem]) -> String {
        problems.iter().map(|problem| format!("{problem}\n")).collect()
    }

    #[test]
    fn the_shipped_catalogue_and_contracts_are_without_fault() {
        let catalogue = bundled().unwrap_or_else(|problems| panic!("{}", shown(&problems)));
        assert_eq!(catalogue.events().count(), 32);
        assert_eq!(catalogue.families().count(), 19);
        assert_eq!(catalogue.purposes().len(), 19);
        for (event, text) in bundled_texts().schemas {
            assert_eq!(shown(&lint(event, text)), "", "{event}");
        }
    }

    #[test]
    fn every_contract_file_is_bundled() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("avro");
        let mut files = Vec::new();
        for family in std::fs::read_dir(root).unwrap() {
            let family = family.unwrap();
            for file in std::fs::read_dir(family.path()).unwrap() {
                let file = file.unwrap().file_name().into_string().unwrap();
                let event = file.strip_suffix(".avsc").unwrap();
                files.push(format!("{}.{event}", family.file_name().into_string().unwrap()));
            }
        }
        files.sort();
        let mut bundled: Vec<_> = bundled_texts().schemas.iter().map(|(event, _)| *event).collect();
        bundled.sort_unstable();
        assert_eq!(files, bundled);
    }

    #[test]
    fn purposes_see_what_they_need_and_no_more() {
        let catalogue = bundled().unwrap();
        let death = catalogue.event("civil_status.death.registered").unwrap();
        let cause = FieldPath::new("cause_of_death");
        assert_eq!(death.access("P9", &cause), Access::Plain);
        for purpose in ["P1", "P4", "P11", "P17", "P99"] {
            assert_eq!(death.access(purpose, &cause), Access::Denied, "{purpose}");
        }
        assert_eq!(death.access("P13", &FieldPath::new("deceased.pin")), Access::Pseudonym);
        // Nobody has a basis for telling banks and operators of a death.
        for event in ["civil_status.death.registered", "civil_status.record.revoked"] {
            assert!(!catalogue.event(event).unwrap().purposes().contains_key("P11"), "{event}");
        }
        assert_eq!(death.access("P1", &FieldPath::new("deceased")), Access::Plain);
        assert_eq!(death.access("P4", &FieldPath::new("deceased")), Access::Denied);
        assert_eq!(catalogue.revoked_by("civil_status.death.registered").count(), 1);
    }

    #[test]
    fn whoever_is_told_of_deaths_sees_who_lives_and_nobody_sees_religion() {
        let catalogue = bundled().unwrap();
        let person = catalogue.event("population.person.updated").unwrap();
        for field in ["life_status", "death_date"] {
            let field = FieldPath::new(field);
            let sees = |id: &&String| person.access(id, &field) != Access::Denied;
            let seeing: Vec<_> = catalogue.purposes().keys().filter(sees).collect();
            assert_eq!(seeing, ["P10", "P16", "P6", "P7", "P8", "P9"], "{field}");
        }
        for purpose in catalogue.purposes().keys() {
            for field in ["religion_code", "ethnicity_code"] {
                let access = person.access(purpose, &FieldPath::new(field));
                assert_eq!(access, Access::Denied, "{purpose} {field}");
            }
        }
    }

    #[test]
    fn what_a_person_was_called_before_a_correction_is_for_the_population_database_alone() {
        let catalogue = bundled().unwrap();
        let corrected = catalogue.event("civil_status.person.corrected").unwrap();
        let inside: Vec<_> = corrected.schema.leaf_paths().map(|leaf| &leaf.path).collect();
        let before: Vec<_> = inside.iter().filter(|path| path.lies_in("before")).collect();
        assert_eq!(before.len(), 11);
        for field in before {
            let sees = |id: &&String| corrected.access(id, field) != Access::Denied;
            let seeing: Vec<_> = catalogue.purposes().keys().filter(sees).collect();
            assert_eq!(seeing, ["P1"], "{field}");
        }
    }

    /// A code is read with the table of units of its day.
    #[test]
    fn whoever_holds_codes_of_units_may_have_the_units() {
        let catalogue = bundled().unwrap();
        let units = catalogue.event("admin_unit.changed").unwrap();
        let code = FieldPath::new("code");
        for event in catalogue.events().filter(|event| event.family == "residence") {
            for (purpose, fields) in event.purposes() {
                let holds = |path: &FieldPath| path.as_str().ends_with("commune_code");
                if fields.plain.iter().any(holds) {
                    assert_eq!(units.access(purpose, &code), Access::Plain, "{} {purpose}", event.name);
                }
            }
        }
    }

    #[test]
    fn notices_of_health_facilities_show_no_more_than_each_purpose_needs() {
        let catalogue = bundled().unwrap();
        let seeing = |event: &str, field: &str| -> Vec<String> {
            let event = catalogue.event(event).unwrap();
            let sees = |purpose: &&String| event.access(purpose, &FieldPath::new(field)) != Access::Denied;
            catalogue.purposes().keys().filter(sees).cloned().collect()
        };
        let (birth, death) = ("health.birth_notice.issued", "health.death_notice.issued");
        for leaf in catalogue.event(birth).unwrap().schema.leaf_paths() {
            if leaf.path.as_str().starts_with("surrogate.") {
                assert_eq!(seeing(birth, leaf.path.as_str()), ["P19"], "{}", leaf.path);
            }
        }
        assert_eq!(seeing(birth, "mother.insurance_no"), ["P19"]);
        assert_eq!(seeing(birth, "notes"), Vec::<String>::new());
        assert_eq!(seeing(birth, "child.weight_g"), ["P13"]);
        assert_eq!(seeing(death, "cause_text"), ["P19"]);
        assert_eq!(seeing(death, "death_place"), ["P1", "P19"]);
    }
}
