//! A database that nobody here designed is plugged in with one YAML file, as docs/examples/foreign-database says step by step.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::database::Database;

use crate::examples::BUILDS;
use crate::reader::Reader;

const EXAMPLE: &str = "docs/examples/foreign-database";

/// Tests have no network: the package is made of the file at hand.
const PIP: &str = r#"#!/bin/sh
set -e
PATH=${PATH#*:}
[ "$2" = pip ] || exec python3 "$@"
[ "$*" = "-m pip download --no-deps vietnamadminunits==1.0.4" ]
mkdir -p made/vietnamadminunits/data
cp "$LIENTHONG_TEST_FOREIGN_DB" made/vietnamadminunits/data/dataset.db
cd made
exec python3 -m zipfile -c ../vietnamadminunits-1.0.4-py3-none-any.whl vietnamadminunits
"#;

fn url(path: &Path) -> String {
    format!("sqlite:{}", path.display())
}

async fn own_tables(url: &str) -> Result<Vec<Vec<Option<String>>>> {
    let query = "select name, sql from sqlite_master where type = 'table' and name like 'admin\\_units%' escape '\\' order by name";
    Database::open(url).await?.rows(query).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_database_is_plugged_in_with_one_file_and_its_own_tables_stay_as_they_are() -> Result<()>
{
    let file = std::env::var("LIENTHONG_TEST_FOREIGN_DB")
        .context("LIENTHONG_TEST_FOREIGN_DB must name dataset.db of the Python package vietnamadminunits 1.0.4; `make test` fetches it")?;
    let mut reader = Reader::sit_down("docs/examples/foreign-database/README.md", &[])?
        .in_repository_with(EXAMPLE)?
        .with_instead("cargo", BUILDS)?
        .with_instead("python3", PIP)?
        .needs(&[("sqlite3", "sqlite3"), ("python3", "python3")])?;
    reader.walks()?;

    let found = reader.folder().join("var/foreign");
    let (dataset, nso) = (url(&found.join("vietnamadminunits/data/dataset.db")), url(&found.join("nso.db")));
    let whole = tempfile::tempdir()?;
    let untouched = whole.path().join("dataset.db");
    std::fs::copy(file, &untouched)?;
    assert_eq!(
        own_tables(&dataset).await?,
        own_tables(&url(&untouched)).await?,
        "the owner's tables are unchanged"
    );
    let wanted = "select wardCode, provinceCode, wardShort, ward from admin_units order by wardCode";
    let copied = "select code, province_code, name, full_name from commune order by code";
    let expected = Database::open(&dataset).await?.rows(wanted).await?;
    ensure!(expected.len() == 3_321, "{} units", expected.len());
    ensure!(Database::open(&nso).await?.rows(copied).await? == expected, "the copy differs");
    Ok(())
}
