//! Why the demo cannot go on.

/// Texts name files and tables, never values.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A file of the demo's folder.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// What the system says.
        reason: std::io::Error,
    },
    /// One of the demo's databases.
    #[error("{database}: {reason}")]
    Database {
        /// Whose.
        database: String,
        /// What went wrong, without SQLite's own text: a trigger that somebody has added may say anything.
        reason: String,
    },
    /// The nation cannot be made as asked.
    #[error(transparent)]
    Nation(#[from] lienthong_nation::ConfigError),
    /// The folder holds another nation.
    #[error(
        "{folder} holds a nation with {held}, not {asked}; fix: leave the option out, or choose another --dir"
    )]
    Other {
        /// The demo's folder.
        folder: String,
        /// What it was made with.
        held: String,
        /// What was asked for.
        asked: String,
    },
    /// The folder's nation was made by another version.
    #[error(
        "{folder} was made by another version of the demo, whose tables or whose history of a nation differ; fix: choose another --dir, or \
         delete {folder}"
    )]
    Layout {
        /// The demo's folder.
        folder: String,
    },
}

/// Names the database of an error.
pub(crate) fn database(name: &str) -> impl Fn(rusqlite::Error) -> DemoError + '_ {
    move |error| DemoError::Database { database: name.to_owned(), reason: describe(&error) }
}

fn describe(error: &rusqlite::Error) -> String {
    match error.sqlite_error() {
        Some(failure) => {
            let code = failure.extended_code;
            format!("SQLite {code}: {}", rusqlite::ffi::code_to_str(code))
        }
        None => "an unexpected answer of SQLite".to_owned(),
    }
}
