//! `make dev-up` and `make dev-down`, with the servers of the tests: what they print is what a user types.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::database::Database;

struct Dev {
    base: PathBuf,
    _folder: tempfile::TempDir,
}

impl Dev {
    fn run(&self, script: &str) -> Result<Output> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/dev").join(script);
        let output = Command::new(&script)
            .env("LIENTHONG_DEV_DIR", &self.base)
            .env("LIENTHONG_BIN", env!("CARGO_BIN_EXE_lienthong"))
            .output()
            .with_context(|| script.display().to_string())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{} ended with {}: {said}", script.display(), output.status);
        Ok(output)
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // A test that failed leaves no database behind; one that passed has nothing left.
        let _down = self.run("down");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dev_up_prints_works_and_dev_down_takes_everything_away() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let dev = Dev { base: folder.path().join("dev"), _folder: folder };
    let told = String::from_utf8(dev.run("up")?.stdout)?;
    let again = String::from_utf8(dev.run("up")?.stdout)?;
    assert_eq!(told, again, "a second time it says the same and changes nothing");
    let commands: Vec<&str> = told.lines().filter_map(|line| line.trim().strip_prefix("$ ")).collect();
    assert_eq!(commands.len(), 3, "{told}");
    let mut last = String::new();
    for command in commands {
        let line = format!(". {}/env; {command}", dev.base.display());
        let output = Command::new("sh").args(["-c", &line]).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{command} ended with {}: {said}", output.status);
        last = String::from_utf8(output.stdout)?;
    }
    assert!(last.contains("Phường Ba Đình") && last.contains("(3 rows)"), "{last}");

    let nso = told
        .lines()
        .find_map(|line| line.trim().strip_prefix("subscribers  NSO_URL="))
        .context(told.clone())?;
    assert!(Database::open(nso).await.is_ok());
    dev.run("down")?;
    assert!(!dev.base.exists());
    assert!(Database::open(nso).await.is_err(), "the databases are gone");
    Ok(())
}
