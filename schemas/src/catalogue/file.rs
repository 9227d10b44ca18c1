//! The catalogue as it stands in YAML, each name with its place. Its meaning is in the parent module.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::checks::ChecksFile;

pub(super) type Name = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogueFile {
    pub(super) purposes: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    pub(super) matching: Vec<Name>,
    pub(super) retention: BTreeMap<String, Spanned<RetentionFile>>,
    pub(super) families: BTreeMap<String, Spanned<FamilyFile>>,
    pub(super) events: BTreeMap<String, Spanned<EventFile>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FamilyFile {
    pub(super) title: String,
    pub(super) owner: Option<Name>,
    /// Only `publisher`, together with `publishers` and without `owner`.
    pub(super) per: Option<Name>,
    pub(super) publishers: Option<Vec<Name>>,
    pub(super) retention: Name,
    pub(super) topics: LanesFile,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetentionFile {
    pub(super) title: String,
    pub(super) live_days: u32,
    pub(super) bulk_days: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LanesFile {
    pub(super) live: Spanned<TopicFile>,
    pub(super) bulk: Spanned<TopicFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TopicFile {
    pub(super) partitions: u32,
    pub(super) replication: u16,
    pub(super) min_insync_replicas: u16,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventFile {
    pub(super) family: Name,
    pub(super) title: String,
    pub(super) legal_source: String,
    /// One of `subject` and `subjects`.
    pub(super) subject: Option<SubjectFile>,
    pub(super) subjects: Option<Vec<SubjectFile>>,
    pub(super) record_number: Option<Name>,
    pub(super) delta: Option<Name>,
    /// Only with `delta`.
    pub(super) before: Option<Name>,
    pub(super) classification: ClassesFile,
    pub(super) purposes: BTreeMap<String, Spanned<PurposeFile>>,
    pub(super) revokes: Option<RevokesFile>,
    #[serde(default)]
    pub(super) checks: ChecksFile,
    #[serde(default)]
    pub(super) standards: StandardsFile,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StandardsFile {
    pub(super) osia: Vec<String>,
    pub(super) dci: Vec<String>,
    pub(super) crvs: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClassesFile {
    pub(super) basic: Vec<Name>,
    pub(super) sensitive: Vec<Name>,
    pub(super) restricted: Vec<Name>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RevokesFile {
    pub(super) types: Vec<Name>,
    pub(super) record_number: Name,
    #[serde(rename = "match", default)]
    pub(super) matches: BTreeMap<String, Name>,
}

/// A list (the first that is not null), or `{compose: list}`.
pub(super) struct SubjectFile {
    pub(super) compose: bool,
    pub(super) fields: Vec<Name>,
}

/// `all`, a list, or `{fields: .., all_but: .., pseudonym: ..}`.
#[derive(Default)]
pub(super) struct PurposeFile {
    pub(super) all: bool,
    pub(super) fields: Vec<Name>,
    pub(super) all_but: Vec<Name>,
    pub(super) pseudonym: Vec<Name>,
}

// The two visitors below, and not `#[serde(untagged)]`: serde buffers the latter, and a buffered name has lost
// its line and column.

impl<'de> Deserialize<'de> for SubjectFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SubjectVisitor)
    }
}

struct SubjectVisitor;

impl<'de> Visitor<'de> for SubjectVisitor {
    type Value = SubjectFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of fields, or `{compose: [fields]}`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<SubjectFile, A::Error> {
        Ok(SubjectFile { compose: false, fields: names(seq)? })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SubjectFile, A::Error> {
        let mut fields = None;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "compose" => fields = Some(map.next_value()?),
                other => return Err(A::Error::unknown_field(other, &["compose"])),
            }
        }
        let fields = fields.ok_or_else(|| A::Error::missing_field("compose"))?;
        Ok(SubjectFile { compose: true, fields })
    }
}

impl<'de> Deserialize<'de> for PurposeFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PurposeVisitor)
    }
}

struct PurposeVisitor;

impl<'de> Visitor<'de> for PurposeVisitor {
    type Value = PurposeFile;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`all`, a list of fields, or `{fields: .., all_but: .., pseudonym: ..}`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<PurposeFile, E> {
        match text {
            "all" => Ok(PurposeFile { all: true, ..PurposeFile::default() }),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<PurposeFile, A::Error> {
        Ok(PurposeFile { fields: names(seq)?, ..PurposeFile::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PurposeFile, A::Error> {
        let mut purpose = PurposeFile::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "fields" => purpose.fields = map.next_value()?,
                "all_but" => purpose.all_but = map.next_value()?,
                "pseudonym" => purpose.pseudonym = map.next_value()?,
                other => return Err(A::Error::unknown_field(other, &["fields", "all_but", "pseudonym"])),
            }
        }
        Ok(purpose)
    }
}

fn names<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Vec<Name>, A::Error> {
    let mut names = Vec::new();
    while let Some(name) = seq.next_element()? {
        names.push(name);
    }
    Ok(names)
}
