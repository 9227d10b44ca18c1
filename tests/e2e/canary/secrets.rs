//! What must not get out: canaries, and every number by which the ministries know a person, a household, a paper or a record about them.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use lienthong_demo::PARTICIPANTS;
use lienthong_nation::Nation;

use super::nationwide::Nationwide;
use super::{postgres, registry};
use crate::search::Searcher;

/// Columns of such numbers, by the ends of their names.
const NUMBERS: [&str; 9] = [
    "pin",
    // Of registrations, notices, decisions, files, cards, participations.
    "_no",
    "serial",
    "household_id",
    "old_id_number",
    "alt_id",
    "dossier_code",
    "phone",
    "replaces",
];
/// Columns of which a text must be searched for, so that no rule below loses a kind of number.
const KINDS: [&str; 14] = [
    "birth_registration.registration_no",
    "birth_registration.dossier_code",
    "birth_registration.birth_notice_no",
    "death_registration.registration_no",
    "marriage_registration.registration_no",
    "person.old_id_number",
    "person_update.update_no",
    "permanent_residence.residence_file_no",
    "permanent_residence.household_id",
    "identity_card.serial",
    "health_card.card_no",
    "participation.participation_no",
    "birth_notice.birth_notice_no",
    "birth_notice.mother_insurance_no",
];
/// So many digits are nobody's by chance, wherever they stand.
const LONG: usize = 11;
/// So many are nobody's by chance when they stand alone: fractions of seconds have as many, and stand behind a point.
const SHORT: usize = 9;
/// With letters and signs in it, a text is told from others by so many characters.
const MIXED: usize = 9;

/// What a text is searched as.
enum Searched {
    Anywhere,
    Alone,
    Never,
}

/// "N/A", "không rõ" and "0000000000" stand where nothing is known.
fn searched(text: &str) -> Searched {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let length = text.chars().count();
    if text.bytes().all(|byte| text.as_bytes().first() == Some(&byte)) {
        return Searched::Never;
    }
    match (digits, text.bytes().any(|byte| byte.is_ascii_digit())) {
        (true, _) if length >= LONG => Searched::Anywhere,
        (true, _) if length >= SHORT => Searched::Alone,
        (false, true) if length >= MIXED => Searched::Anywhere,
        _ => Searched::Never,
    }
}

/// A searcher for all of it.
pub(super) async fn searcher(nation: &Nationwide) -> Result<Searcher> {
    let mut anywhere: BTreeSet<String> = Nation::canaries().iter().map(|text| (*text).to_owned()).collect();
    anywhere.extend([postgres::PASSWORD, registry::CODE].map(str::to_owned));
    let (mut alone, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    let columns = "select m.name, c.name from sqlite_master m join pragma_table_info(m.name) c
        where m.type = 'table' and m.name not like 'lienthong%' and m.name not like 'demo%'";
    for publisher in PARTICIPANTS {
        let mut database = nation.database(publisher).await?;
        for row in database.rows(columns).await? {
            let [Some(table), Some(column)] = row.as_slice() else { continue };
            if !NUMBERS.iter().any(|end| column.ends_with(end)) {
                continue;
            }
            let rows = database.rows(&format!("select distinct {column} from {table}")).await?;
            for text in rows.into_iter().flatten().flatten() {
                // Twice where it stands in two tables.
                let _new = match searched(&text) {
                    Searched::Anywhere => anywhere.insert(text),
                    Searched::Alone => alone.insert(text),
                    Searched::Never => continue,
                };
                kinds.insert(format!("{table}.{column}"));
            }
        }
    }
    ensure!(anywhere.len() > 1200 && alone.len() > 300, "{} and {} texts", anywhere.len(), alone.len());
    let missing: Vec<&str> = KINDS.into_iter().filter(|kind| !kinds.contains(*kind)).collect();
    ensure!(missing.is_empty(), "no number of {missing:?} is searched for");
    Ok(Searcher::new(anywhere.iter().map(String::as_str), alone.iter().map(String::as_str)))
}
