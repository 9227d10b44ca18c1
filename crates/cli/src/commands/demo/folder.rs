//! Where the demo lies: the user's folder, or one that goes away when nobody needs to look into it.

use std::path::{Path, PathBuf};

use lienthong_demo::Verdict;
use lienthong_schemas::counted;
use serde_json::json;

use crate::exit::{Code, Failure};
use crate::output::{self, Output};
use crate::signals::Stop;

/// How often a folder that is in use is removed.
const TRIES: usize = 50;

pub(super) enum Folder {
    Kept(PathBuf),
    Passing(tempfile::TempDir),
}

impl Folder {
    /// A passing folder goes away also when a second signal ends the process.
    pub(super) fn new(dir: Option<&Path>, stop: &Stop) -> Result<Self, Failure> {
        let folder = match dir {
            Some(dir) => {
                std::fs::create_dir_all(dir)?;
                Self::Kept(dir.canonicalize()?)
            }
            None => Self::Passing(tempfile::tempdir()?),
        };
        let passing = matches!(folder, Self::Passing(_)).then(|| folder.path().to_owned());
        let told = stop.insisted.set(Box::new(move || {
            tracing::warn!("ended at once: what was committed is not delivered, and the check was not done");
            if let Some(path) = &passing {
                remove(path);
            }
        }));
        debug_assert!(told.is_ok(), "one command per process");
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Passing(folder) => folder.path(),
        }
    }

    /// Ends the demo: tells where to look further, when something is left to look at.
    pub(super) fn end(self, output: Output, outcome: Result<Verdict, Failure>) -> Result<(), Failure> {
        let outcome = outcome.and_then(|verdict| differences(&verdict));
        let code = outcome.as_ref().err().map(Failure::code);
        let path = match (self, code) {
            // Nothing has begun in it.
            (_, Some(Code::Configuration)) => None,
            (Self::Kept(path), _) => Some(path),
            (Self::Passing(_), None | Some(Code::Interrupted)) => None,
            (Self::Passing(folder), Some(_)) => Some(folder.keep()),
        };
        if let Some(path) = path {
            output::done(output, &commands(&path), &json!({"folder": path}));
        }
        outcome
    }
}

/// Everything is still running and may put a file beside those that have just gone; without its folder nothing can.
fn remove(path: &Path) {
    for _ in 0..TRIES {
        if std::fs::remove_dir_all(path).is_ok() || !path.exists() {
            return;
        }
    }
    tracing::warn!(folder = %path.display(), "the temporary folder could not be removed");
}

fn differences(verdict: &Verdict) -> Result<(), Failure> {
    match verdict.differences.len() {
        0 => Ok(()),
        count => {
            let line = format!("the check found {}", counted(count, "difference"));
            Err(Failure::new(Code::Differences, line))
        }
    }
}

/// How to look inside.
fn commands(folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "Everything is in {folder}:\n  lienthong status --site {folder}\n  \
         lienthong tail civil_status --site {folder} --limit 5\n  \
         sqlite3 {folder}/var/subscriber.vss.insurance.db \"select * from insured_child limit 5\"\n  \
         lienthong demo --dir {folder} --for 30s"
    )
}

impl From<lienthong_demo::DemoError> for Failure {
    fn from(error: lienthong_demo::DemoError) -> Self {
        use lienthong_demo::DemoError;
        let code = match &error {
            DemoError::File { .. } | DemoError::Database { .. } => Code::Unexpected,
            DemoError::Nation(_) | DemoError::Other { .. } | DemoError::Layout { .. } => Code::Configuration,
        };
        Self::new(code, error.to_string())
    }
}
