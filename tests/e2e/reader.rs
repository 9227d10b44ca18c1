//! A page of the documents, walked as a new user walks it: every block is run or written as it is printed, and what the page shows must be
//! what the commands say.

mod page;

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use page::{Block, Kind, blocks, same};

/// A reader at a terminal, in an empty folder.
pub(crate) struct Reader {
    page: &'static str,
    home: tempfile::TempDir,
    /// Where the last `cd` led to.
    folder: PathBuf,
    path: OsString,
    variables: Vec<(&'static str, String)>,
}

/// The repository's folder.
pub(crate) fn root() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?)
}

impl Reader {
    /// `variables` are what the page tells to set by hand.
    pub(crate) fn sit_down(page: &'static str, variables: &[(&'static str, &str)]) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let (folder, tools) = (home.path().join("empty"), home.path().join("tools"));
        std::fs::create_dir(&folder)?;
        std::fs::create_dir(&tools)?;
        let program = Path::new(env!("CARGO_BIN_EXE_lienthong"));
        let programs = program.parent().context("a program is in a folder")?.to_owned();
        let others = std::env::var_os("PATH").context("PATH is set")?;
        let path = std::env::join_paths([tools, programs].into_iter().chain(std::env::split_paths(&others)))?;
        let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Ok(Self { page, home, folder, path, variables })
    }

    /// Instead of in an empty folder, in a repository that holds this example and the contracts.
    pub(crate) fn in_repository_with(self, example: &str) -> Result<Self> {
        let parent = Path::new(example).parent().context("an example is in a folder")?;
        std::fs::create_dir_all(self.folder.join(parent))?;
        std::os::unix::fs::symlink(root()?.join("schemas"), self.folder.join("schemas"))?;
        let copied =
            Command::new("cp").arg("-r").arg(root()?.join(example)).arg(self.folder.join(parent)).status()?;
        ensure!(copied.success(), "{example} is not copied");
        // What somebody has left there who walked the page by hand.
        for left in ["var", "secrets"] {
            let left = self.folder.join(example).join(left);
            if left.exists() {
                std::fs::remove_dir_all(left)?;
            }
        }
        Ok(self)
    }

    /// A script in the place of a program that would need the network or much time.
    pub(crate) fn with_instead(self, program: &str, script: &str) -> Result<Self> {
        let file = self.home.path().join("tools").join(program);
        std::fs::write(&file, script)?;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755))?;
        Ok(self)
    }

    /// The programs that the page uses and their Debian packages must be there.
    pub(crate) fn needs(self, programs: &[(&str, &str)]) -> Result<Self> {
        for (program, package) in programs {
            ensure!(
                self.command(program).arg("--version").output().is_ok_and(|output| output.status.success()),
                "{} needs the command {program} (Debian: apt-get install {package}; `make setup` as root does it)",
                self.page
            );
        }
        Ok(self)
    }

    /// Where the last `cd` led to.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Walks the whole page; says how many mistakes it planted.
    pub(crate) fn walks(&mut self) -> Result<usize> {
        let text = std::fs::read_to_string(root()?.join(self.page))?;
        self.goes_through(&text)
    }

    /// Walks what stands under one heading of the second level.
    pub(crate) fn walks_part(&mut self, heading: &str) -> Result<()> {
        let text = std::fs::read_to_string(root()?.join(self.page))?;
        let mut inside = false;
        // Empty lines instead of the others, so that mistakes are told with the page's own numbers.
        let part = text.lines().fold(String::new(), |part, line| {
            inside = line.strip_prefix("## ").map_or(inside, |found| found == heading);
            part + if inside { line } else { "" } + "\n"
        });
        ensure!(!part.trim().is_empty(), "{} has no part {heading}", self.page);
        self.goes_through(&part).map(|_| ())
    }

    fn goes_through(&mut self, text: &str) -> Result<usize> {
        let page = self.page;
        let (mut shown, mut mistakes): (Option<String>, usize) = (None, 0);
        for block in blocks(text).with_context(|| format!("{page} cannot be read"))? {
            match block.kind {
                Kind::Typed => shown = Some(self.types(&block)?),
                Kind::File => self.writes(&block)?,
                Kind::Mistake => {
                    mistakes += 1;
                    shown = Some(self.errs(&block)?);
                }
                Kind::Shown => {
                    let Some(found) = shown.take() else {
                        bail!("{page}:{}: nothing was typed that could say this", block.line)
                    };
                    same(&block.text, &found)
                        .with_context(|| format!("{page}:{}: the page differs", block.line))?;
                }
            }
        }
        Ok(mistakes)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env("PATH", &self.path);
        // What the reader's page does not set must not help or disturb.
        for name in ["LIENTHONG_LOG", "LIENTHONG_LOG_FORMAT", "GPLX_DB", "ADMIN_UNITS_DB", "NSO_DB"] {
            command.env_remove(name);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Types a block, both of its outputs on the same terminal; stays in the folder that it leads to and keeps the variables that it sets.
    fn types(&mut self, block: &Block) -> Result<String> {
        let (end, kept) = (self.home.path().join("folder"), self.home.path().join("variables"));
        std::fs::File::options().append(true).create(true).open(&kept)?;
        let (page, line, kept) = (self.page, block.line, kept.display());
        let script = format!(
            "exec 2>&1\n. '{kept}'\nset -euo pipefail\n{}pwd >'{}'\n\
             declare -p | grep -E '^declare -[-x] [a-z_A-Z]+=\"[^\"]*\"$' | grep -vE ' (BASH|SHELLOPTS|_|PWD|OLDPWD)' >'{kept}'\n",
            block.text,
            end.display()
        );
        let output = self.command("bash").arg("-c").arg(script).output()?;
        let said = seen(&String::from_utf8(output.stdout)?);
        ensure!(output.status.success(), "{page}:{line}: ended with {}: {said}", output.status);
        self.folder = PathBuf::from(std::fs::read_to_string(end)?.trim_end());
        Ok(said)
    }

    /// Writes a block to the file that its first line names.
    fn writes(&self, block: &Block) -> Result<()> {
        let name = block.file()?;
        std::fs::write(self.folder.join(name), &block.text)
            .with_context(|| format!("{}:{}: {name} cannot be written", self.page, block.line))
    }

    /// Changes a file as a block of differences says, checks the site, and takes the change back.
    fn errs(&self, block: &Block) -> Result<String> {
        let (page, line) = (self.page, block.line);
        let file = self.folder.join(block.file()?);
        let right = std::fs::read_to_string(&file)?;
        let (before, after) = block.change();
        ensure!(
            right.matches(&before).count() == 1,
            "{page}:{line}: what is taken away must stand in the file once"
        );
        std::fs::write(&file, right.replace(&before, &after))?;
        let output = self.command("lienthong").arg("check").output()?;
        std::fs::write(&file, right)?;
        ensure!(output.stdout.is_empty(), "{page}:{line}: mistakes go to standard error");
        let said = seen(&String::from_utf8(output.stderr)?);
        ensure!(output.status.code() == Some(2), "{page}:{line}: {}: {said}", output.status);
        Ok(said)
    }
}

/// What a reader sees, without the lines of the program's log.
fn seen(output: &str) -> String {
    let is_log = |line: &&str| {
        let mut words = line.split_whitespace();
        let begins_with_a_time =
            words.next().is_some_and(|time| time.starts_with("20") && time.ends_with('Z'));
        begins_with_a_time && words.next().is_some_and(|level| matches!(level, "INFO" | "WARN"))
    };
    output.lines().filter(|line| !is_log(line)).fold(String::new(), |text, line| text + line + "\n")
}
