//! The example of docs/examples/admin-units, run by its script and by its page as a reader would.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::postgres::TestDatabase;

use crate::reader::{Reader, root};
use crate::site::{Engine, log_address};

/// A minute, as promised, for optimised programs; those of the tests mostly are not, and share the machine with other tests.
const AT_MOST: Duration = Duration::from_secs(if cfg!(debug_assertions) { 180 } else { 60 });

/// In the place of cargo: knows the packages, and has built the programs already.
pub(crate) const BUILDS: &str = concat!(
    "#!/bin/sh\nset -e\nprograms=$(dirname \"$(PATH=${PATH#*:} command -v lienthong)\")\nCARGO='",
    env!("CARGO"),
    "'\nMANIFEST='",
    env!("CARGO_MANIFEST_DIR"),
    r#"/../../Cargo.toml'
[ "$1 $2" = "build --release" ]
shift 2
mkdir -p target/release
while [ $# -gt 0 ]; do
  case $1 in
  -p) "$CARGO" pkgid --offline --manifest-path "$MANIFEST" "$2" >/dev/null ;;
  --bin)
    built=$programs/examples/$2
    [ -x "$built" ] || built=$programs/$2
    [ -x "$built" ]
    ln -s "$built" target/release/ ;;
  *) exit 1 ;;
  esac
  shift 2
done
"#
);

/// The owner's side, which cargo builds beside the tests of this package.
fn admin_units() -> Result<PathBuf> {
    let built = Path::new(env!("CARGO_BIN_EXE_lienthong"));
    let program = built.parent().context("a program is in a folder")?.join("examples/admin-units");
    ensure!(
        program.exists(),
        "it needs {}: cargo build -p lienthong-cli --example admin-units",
        program.display()
    );
    Ok(program)
}

fn script() -> Result<PathBuf> {
    Ok(root()?.join("deploy/dev/example-admin-units"))
}

#[test]
fn the_example_of_the_merger_runs_by_its_script_and_says_how_long_it_took() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let began = Instant::now();
    let output = Command::new(script()?)
        .arg(env!("CARGO_BIN_EXE_lienthong"))
        .arg(admin_units()?)
        .env("DEMO_DIR", folder.path())
        .output()?;
    let took = began.elapsed();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{said}");
    println!("{took:?}");
    ensure!(said.contains("It took ") && said.contains(" s. Everything is kept in"), "{said}");
    ensure!(took < AT_MOST, "it took {took:?}");
    Ok(())
}

#[test]
fn the_script_of_the_example_says_which_program_is_missing_and_how_to_build_it() -> Result<()> {
    let output = Command::new(script()?).arg("/nowhere/lienthong").output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("/nowhere/lienthong") && said.contains("cargo build"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_merger_runs_by_hand_as_its_page_is_printed() -> Result<()> {
    admin_units()?;
    let subscriber = TestDatabase::create().await?;
    let log = log_address(Engine::Kafka);
    let told = [("MERGER_LOG", log.as_str()), ("PSP_DB", subscriber.url())];
    let mut reader = Reader::sit_down("docs/examples/admin-units/README.md", &told)?
        .in_repository_with("docs/examples/admin-units")?
        .with_instead("cargo", BUILDS)?
        .needs(&[("sqlite3", "sqlite3"), ("psql", "postgresql-client")])?;
    reader.walks()?;
    Ok(())
}
