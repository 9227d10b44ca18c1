//! A whole site: every file read, checked and compiled, every mistake told at once.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lienthong_schemas::check::ContractTexts;
use lienthong_schemas::{Catalogue, Problem};

use crate::agreement::{self, Subscriber};
use crate::keys::Keys;
use crate::log_address::LogAddress;
use crate::ministry::{self, Participant};
use crate::node::{self, Node, Place};
use crate::reader::{Reader, Text};
use crate::secret::Surroundings;
use crate::settings::{self, Folder, Routing, Telemetry};
use crate::{contracts, files};

/// Name of the file that makes a folder a site.
pub const FILE: &str = "lienthong.yaml";

/// What the command line sets in place of the files.
#[derive(Clone, Default)]
pub struct Overrides {
    /// The log's address, in its one-line form. Without it the variable `LIENTHONG_LOG` counts, then the file.
    pub log: Option<String>,
}

// The address may hold a password.
impl fmt::Debug for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overrides").field("log", &self.log.as_ref().map(|_| "***")).finish()
    }
}

/// One organisation's configuration, without a mistake.
#[derive(Clone)]
pub struct Site {
    /// `vn.example`.
    pub name: String,
    /// Contracts.
    pub catalogue: Arc<Catalogue>,
    /// The log.
    pub log: LogAddress,
    /// Where processes tell of themselves.
    pub telemetry: Telemetry,
    /// How routers share their work.
    pub route: Routing,
    participants: Vec<Participant>,
    subscribers: Vec<Subscriber>,
    keys: Result<Keys, Problem>,
    warnings: Vec<Problem>,
}

impl Site {
    /// Reads, checks and compiles a site with this process's environment. Key files may be missing: see [`Site::keys`].
    ///
    /// # Errors
    /// Every problem of every file, by file and place.
    pub fn load(folder: &Path, overrides: &Overrides) -> Result<Self, Vec<Problem>> {
        Self::load_with(folder, overrides, &|name| std::env::var(name).ok())
    }

    /// As [`Site::load`], with these environment variables.
    ///
    /// # Errors
    /// As [`Site::load`].
    pub fn load_with(
        folder: &Path,
        overrides: &Overrides,
        variables: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<Problem>> {
        let mut loader =
            Loader { around: Surroundings { folder, variables }, problems: Vec::new(), warnings: Vec::new() };
        let site = loader.site(overrides);
        let Loader { mut problems, mut warnings, .. } = loader;
        warnings.sort();
        match site {
            Some(site) if problems.is_empty() => Ok(Self { warnings, ..site }),
            _ => {
                problems.sort();
                problems.dedup();
                Err(problems)
            }
        }
    }

    /// The texts of a site's contracts, or of those that ship where it has none: for looking at them when they may be broken.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn contract_texts(folder: &Path) -> Result<ContractTexts, Vec<Problem>> {
        let around = Surroundings { folder, variables: &|_| None };
        let mut loader = Loader { around, problems: Vec::new(), warnings: Vec::new() };
        let mut schemas = None;
        loader.file(&folder.join(FILE), |reader, root| {
            schemas = Some(settings::read(reader, root, true).folders.schemas);
            // Mistakes in the rest of the file are for `check` to tell.
            reader.problems.clear();
        });
        let Some(schemas) = schemas else { return Err(loader.problems) };
        contract_texts(&folder.join(schemas.path))
    }

    /// A site's subscribers, compiled against other contracts than its own; `None` when the folder is no site.
    ///
    /// # Errors
    /// Every problem of the site's settings and agreements under those contracts.
    pub fn subscribers_under(
        folder: &Path,
        catalogue: &Catalogue,
    ) -> Option<Result<Vec<Subscriber>, Vec<Problem>>> {
        if !folder.join(FILE).is_file() {
            return None;
        }
        let variables = |name: &str| std::env::var(name).ok();
        let around = Surroundings { folder, variables: &variables };
        let mut loader = Loader { around, problems: Vec::new(), warnings: Vec::new() };
        let mut settings = None;
        loader.file(&folder.join(FILE), |reader, root| settings = Some(settings::read(reader, root, true)));
        let subscribers = match settings {
            Some(settings) => loader.subscribers(&settings.folders.agreements, Some(catalogue)),
            None => Vec::new(),
        };
        Some(if loader.problems.is_empty() { Ok(subscribers) } else { Err(loader.problems) })
    }

    /// Ids of the publishing participants, in order.
    pub fn participants(&self) -> impl Iterator<Item = &str> {
        self.participants.iter().map(|participant| participant.participant.as_str())
    }

    /// A publishing participant by its id.
    #[must_use]
    pub fn participant(&self, id: &str) -> Option<&Participant> {
        self.participants.iter().find(|participant| participant.participant.as_str() == id)
    }

    /// Subscribers, in order.
    pub fn subscribers(&self) -> impl Iterator<Item = &Subscriber> {
        self.subscribers.iter()
    }

    /// A subscriber by its id.
    #[must_use]
    pub fn subscriber(&self, id: &str) -> Option<&Subscriber> {
        self.subscribers.iter().find(|subscriber| subscriber.id == id)
    }

    /// The site's keys.
    ///
    /// # Errors
    /// A key file is not there yet; the problem says how it is made.
    pub fn keys(&self) -> Result<&Keys, Problem> {
        self.keys.as_ref().map_err(Clone::clone)
    }

    /// What is allowed and deserves a second look, by file and place.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.warnings.iter()
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Site");
        shown.field("log", &self.log).field("participants", &self.participants);
        shown.field("subscribers", &self.subscribers).finish_non_exhaustive()
    }
}

/// An id with the place where it was first given.
type Known = Vec<(String, String, Place)>;

struct Loader<'s> {
    around: Surroundings<'s>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Loader<'_> {
    fn site(&mut self, overrides: &Overrides) -> Option<Site> {
        let other_log = overrides.log.clone().or_else(|| (self.around.variables)("LIENTHONG_LOG"));
        let mut found = None;
        self.file(&self.around.folder.join(FILE), |reader, root| {
            found = Some(settings::read(reader, root, other_log.is_some()));
        });
        let settings = found?;
        let log = match &other_log {
            Some(text) => self.other_log(text),
            None => settings.log,
        };
        let catalogue = self.catalogue(&settings.folders.schemas);
        let participants = self.participants(&settings.folders.ministries, catalogue.as_ref());
        let subscribers = self.subscribers(&settings.folders.agreements, catalogue.as_ref());
        Some(Site {
            name: settings.name?,
            catalogue: Arc::new(catalogue?),
            log: log?,
            telemetry: settings.telemetry,
            route: settings.route,
            participants,
            subscribers,
            keys: settings.keys?,
            warnings: Vec::new(),
        })
    }

    /// Reads one file; what the closure finds is kept.
    fn file(&mut self, path: &Path, read: impl FnOnce(&mut Reader<'_>, &Node)) {
        let shown = files::shown(path);
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let fix = "name the folder of a site with --site, and make its files readable";
                let message = format!("the file cannot be read: {}", error.kind());
                self.problems.push(Problem::new(&shown, (0, 0), message, fix));
                return;
            }
        };
        match node::parse(&text) {
            Ok(root) => {
                let mut reader = Reader::new(shown, &text, self.around);
                read(&mut reader, &root);
                self.problems.append(&mut reader.problems);
                self.warnings.append(&mut reader.warnings);
            }
            Err((at, message)) => self.problems.push(Problem::new(&shown, at, message, "correct the YAML")),
        }
    }

    fn other_log(&mut self, text: &str) -> Option<LogAddress> {
        match LogAddress::parse(text, self.around.folder) {
            Ok(address) => Some(address),
            Err((message, fix)) => {
                self.problems.push(Problem::new("--log or LIENTHONG_LOG", (0, 0), message, fix));
                None
            }
        }
    }

    fn catalogue(&mut self, folder: &Folder) -> Option<Catalogue> {
        let loaded = contracts::load(&self.around.folder.join(&folder.path)).unwrap_or_else(|| {
            if let Some(at) = folder.at {
                let file = files::shown(&self.around.folder.join(FILE));
                let message = format!(
                    "`{}` does not exist, so the contracts that ship are used",
                    folder.path.display()
                );
                self.warnings.push(Problem::new(&file, at, message, "correct the path, or leave it out"));
            }
            contracts::shipped()
        });
        loaded.map_err(|problems| self.problems.extend(problems)).ok()
    }

    fn participants(&mut self, folder: &Folder, catalogue: Option<&Catalogue>) -> Vec<Participant> {
        let mut participants = Vec::new();
        let mut known = Known::new();
        for path in self.yaml(folder) {
            self.file(&path, |reader, root| {
                let Some(file) = ministry::read(reader, root) else { return };
                once(reader, &mut known, "participant", file.id.as_ref());
                participants
                    .extend(catalogue.and_then(|catalogue| ministry::compile(reader, &file, catalogue)));
            });
        }
        participants
    }

    fn subscribers(&mut self, folder: &Folder, catalogue: Option<&Catalogue>) -> Vec<Subscriber> {
        let mut subscribers = Vec::new();
        let (mut ids, mut agreements) = (Known::new(), Known::new());
        for path in self.yaml(folder) {
            self.file(&path, |reader, root| {
                let Some(file) = agreement::read(reader, root) else { return };
                once(reader, &mut ids, "subscriber", file.subscriber.as_ref());
                once(reader, &mut agreements, "agreement", file.agreement.as_ref());
                subscribers
                    .extend(catalogue.and_then(|catalogue| agreement::compile(reader, &file, catalogue)));
            });
        }
        subscribers
    }

    /// The YAML files of a folder. One that is named must exist; a default one need not.
    fn yaml(&mut self, folder: &Folder) -> Vec<PathBuf> {
        let path = self.around.folder.join(&folder.path);
        if path.is_dir() {
            return files::yaml(&path, &mut self.problems);
        }
        if let Some(at) = folder.at {
            let file = files::shown(&self.around.folder.join(FILE));
            let message = format!("the folder `{}` does not exist", folder.path.display());
            self.problems.push(Problem::new(&file, at, message, "create it, or correct the path"));
        }
        Vec::new()
    }
}

/// The texts of a folder of contracts with its catalogue and history; those that ship when there is no such folder.
///
/// # Errors
/// Files that cannot be read.
pub fn contract_texts(folder: &Path) -> Result<ContractTexts, Vec<Problem>> {
    if !folder.is_dir() {
        return Ok(ContractTexts::shipped());
    }
    let (texts, problems) = contracts::texts(folder);
    if problems.is_empty() { Ok(texts) } else { Err(problems) }
}

fn once(reader: &mut Reader<'_>, known: &mut Known, what: &str, id: Option<&Text>) {
    let Some(id) = id else { return };
    match known.iter().find(|(known, ..)| *known == id.value) {
        Some((_, file, (line, column))) => {
            let message = format!("{what} `{}` stands at {file}:{line}:{column} already", id.raw);
            reader.problem(id.at, message, "give it another id, or put both files into one");
        }
        None => known.push((id.value.clone(), reader.file.clone(), id.at)),
    }
}
