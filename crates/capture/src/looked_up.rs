//! Which of an event's fields were looked up. Pure.

use crate::publication::Publication;

/// The fields whose values were looked up, as their header says them.
pub(crate) fn describe(columns: &[usize], publication: &Publication, out: &mut String) {
    out.clear();
    if columns.is_empty() {
        return;
    }
    for field in
        publication.fields.iter().filter(|field| field.source.columns().any(|at| columns.contains(&at)))
    {
        let comma = if out.is_empty() { "" } else { "," };
        out.extend([comma, &field.path]);
    }
}
