//! docs/tutorials/first-ministry.md, walked as a new user walks it: every block of the page is run or written as it is printed, and what
//! the page shows must be what the commands say.

mod page;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use lienthong_testkit::postgres::TestDatabase;

use page::{Block, Kind, blocks, same};

const PAGE: &str = "docs/tutorials/first-ministry.md";

/// How many planted mistakes the page promises.
const MISTAKES: usize = 10;

/// A reader at a terminal, in an empty folder.
struct Reader {
    home: tempfile::TempDir,
    /// Where the last `cd` led to.
    folder: PathBuf,
    path: std::ffi::OsString,
    /// The empty PostgreSQL database of one part of the page.
    degrees: TestDatabase,
}

impl Reader {
    async fn sit_down() -> Result<Self> {
        let home = tempfile::tempdir()?;
        let folder = home.path().join("empty");
        std::fs::create_dir(&folder)?;
        let program = Path::new(env!("CARGO_BIN_EXE_lienthong"));
        let programs = program.parent().context("a program is in a folder")?.to_owned();
        let others = std::env::var_os("PATH").context("PATH is set")?;
        let path = std::env::join_paths(std::iter::once(programs).chain(std::env::split_paths(&others)))?;
        let reader = Self { home, folder, path, degrees: TestDatabase::create().await? };
        for (program, package) in [("sqlite3", "sqlite3"), ("psql", "postgresql-client")] {
            ensure!(
                reader.command(program).arg("--version").output().is_ok_and(|output| output.status.success()),
                "the tutorial needs the command {program} (Debian: apt-get install {package}; `make setup` as root does it)"
            );
        }
        Ok(reader)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).env("PATH", &self.path).env("DEGREES_DB", self.degrees.url());
        // What the reader's page does not set must not help or disturb.
        for name in ["LIENTHONG_LOG", "LIENTHONG_LOG_FORMAT", "GPLX_DB"] {
            command.env_remove(name);
        }
        command
    }

    /// Types a block, both of its outputs on the same terminal; stays in the folder that it leads to.
    fn types(&mut self, block: &Block) -> Result<String> {
        let end = self.home.path().join("folder");
        let script = format!("exec 2>&1\nset -euo pipefail\n{}pwd >'{}'\n", block.text, end.display());
        let output = self.command("bash").arg("-c").arg(script).output()?;
        let said = seen(&String::from_utf8(output.stdout)?);
        ensure!(output.status.success(), "{PAGE}:{}: ended with {}: {said}", block.line, output.status);
        self.folder = PathBuf::from(std::fs::read_to_string(end)?.trim_end());
        Ok(said)
    }

    /// Writes a block to the file that its first line names.
    fn writes(&self, block: &Block) -> Result<()> {
        let name = block.file()?;
        std::fs::write(self.folder.join(name), &block.text)
            .with_context(|| format!("{PAGE}:{}: {name} cannot be written", block.line))
    }

    /// Changes a file as a block of differences says, checks the site, and takes the change back.
    fn errs(&self, block: &Block) -> Result<String> {
        let file = self.folder.join(block.file()?);
        let right = std::fs::read_to_string(&file)?;
        let (before, after) = block.change();
        ensure!(
            right.matches(&before).count() == 1,
            "{PAGE}:{}: what is taken away must stand in the file once",
            block.line
        );
        std::fs::write(&file, right.replace(&before, &after))?;
        let output = self.command("lienthong").arg("check").output()?;
        std::fs::write(&file, right)?;
        ensure!(output.stdout.is_empty(), "{PAGE}:{}: mistakes go to standard error", block.line);
        let said = seen(&String::from_utf8(output.stderr)?);
        ensure!(output.status.code() == Some(2), "{PAGE}:{}: {}: {said}", block.line, output.status);
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

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorial_of_the_first_ministry_runs_as_it_is_printed() -> Result<()> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PAGE))?;
    let mut reader = Reader::sit_down().await?;
    let (mut shown, mut mistakes): (Option<String>, usize) = (None, 0);
    for block in blocks(&text).with_context(|| format!("{PAGE} cannot be read"))? {
        match block.kind {
            Kind::Typed => shown = Some(reader.types(&block)?),
            Kind::File => reader.writes(&block)?,
            Kind::Mistake => {
                mistakes += 1;
                shown = Some(reader.errs(&block)?);
            }
            Kind::Shown => {
                let Some(found) = shown.take() else {
                    bail!("{PAGE}:{}: nothing was typed that could say this", block.line)
                };
                same(&block.text, &found)
                    .with_context(|| format!("{PAGE}:{}: the page differs", block.line))?;
            }
        }
    }
    assert_eq!(mistakes, MISTAKES);
    let left: Vec<_> = std::fs::read_dir(&reader.folder)?.collect::<std::io::Result<_>>()?;
    assert!(left.is_empty(), "the page leaves {left:?} behind");
    Ok(())
}
