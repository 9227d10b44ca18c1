//! Which event led to another one, for `ce_causationid`: the delete under the former key to the insert under the new one.

use lienthong_contract::source::RowChange;

/// Events of the delete that came last.
#[derive(Debug, Default)]
pub(crate) struct Causes {
    /// The change.
    change: String,
    gone: Vec<Gone>,
}

#[derive(Debug)]
struct Gone {
    publication: usize,
    subject: Box<str>,
    id: Box<str>,
}

impl Causes {
    /// A change is at hand.
    pub(crate) fn begin(&mut self, row: &RowChange<'_>) {
        if row.moved_from != Some(self.change.as_str()) {
            self.gone.clear();
            self.change.clear();
            self.change.push_str(row.id);
        }
    }

    /// It is told by a delete event.
    pub(crate) fn gone(&mut self, publication: usize, subject: &str, id: &str) {
        self.gone.push(Gone { publication, subject: subject.into(), id: id.into() });
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.gone.len()
    }

    /// Takes back what came behind so many.
    pub(crate) fn undo(&mut self, len: usize) {
        self.gone.truncate(len);
    }

    /// The delete event that an insert of the same entry goes on from: that of its subject, or the first; empty where there is none.
    pub(crate) fn of(&self, publication: usize, subject: &str) -> &str {
        let own = || self.gone.iter().filter(|gone| gone.publication == publication);
        let cause = own().find(|gone| *gone.subject == *subject).or_else(|| own().next());
        cause.map_or("", |gone| &gone.id)
    }
}
