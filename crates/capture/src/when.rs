//! Conditions against the tables as the database has them. Pure.

use lienthong_contract::predicate::{Predicate, PredicateField, PredicateType};
use lienthong_contract::source::TableCapture;

use crate::publication::Publication;
use crate::run::CaptureError;

/// Judges every `when` by the types of its table's columns, where the database tells them: one that compares a text with a number has
/// no answer for any row, and would set every row aside. `types` gives a table's, empty where only a row tells.
///
/// # Errors
/// The first condition that does not suit its table.
pub(crate) fn check(
    publications: &[Publication],
    tables: &[TableCapture],
    types: impl Fn(usize) -> Vec<PredicateType>,
) -> Result<(), CaptureError> {
    for publication in publications {
        let Some(when) = &publication.when else { continue };
        let (table, types) = (&tables[publication.table], types(publication.table));
        let field = |(at, path): (usize, &String)| PredicateField {
            path: path.clone(),
            kind: types.get(at).copied().unwrap_or(PredicateType::Any),
            nullable: true,
        };
        let fields: Vec<PredicateField> = table.columns.iter().enumerate().map(field).collect();
        if let Err(error) = Predicate::compile(&when.text, None, &fields) {
            return Err(CaptureError::When {
                place: when.place.clone(),
                message: error.message,
                table: table.table.clone(),
            });
        }
    }
    Ok(())
}
