//! A database that nobody here designed is plugged in with one YAML file, as docs/examples/foreign-database says step by step.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::database::Database;

/// The example's commands on a copy of the package's file.
struct Walk {
    folder: tempfile::TempDir,
}

impl Walk {
    fn begin() -> Result<Self> {
        let file = std::env::var("LIENTHONG_TEST_FOREIGN_DB")
            .context("LIENTHONG_TEST_FOREIGN_DB must name dataset.db of the Python package vietnamadminunits 1.0.4; `make test` fetches it")?;
        let folder = tempfile::tempdir()?;
        std::fs::copy(file, folder.path().join("dataset.db"))?;
        let walk = Self { folder };
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let example = root.join("docs/examples/foreign-database");
        for part in ["ministries", "agreements"] {
            std::fs::create_dir(walk.path(part))?;
            for file in std::fs::read_dir(example.join(part))? {
                let file = file?.path();
                let name = file.file_name().context("a file has a name")?;
                std::fs::copy(&file, walk.path(part).join(name))?;
            }
        }
        let yaml = std::fs::read_to_string(example.join("lienthong.yaml"))?
            .replace("../../../schemas", &root.join("schemas").display().to_string());
        std::fs::write(walk.path("lienthong.yaml"), yaml)?;
        Ok(walk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn url(&self, name: &str) -> String {
        format!("sqlite:{}", self.path(name).display())
    }

    fn lienthong(&self, arguments: &[&str]) -> Result<()> {
        let output = Command::new(env!("CARGO_BIN_EXE_lienthong"))
            .arg("--site")
            .arg(self.folder.path())
            .args(arguments)
            .env("DATASET_DB", self.path("dataset.db"))
            .env("NSO_DB", self.path("nso.db"))
            .env_remove("LIENTHONG_LOG")
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success(),
            "lienthong {} ended with {}: {said}",
            arguments.join(" "),
            output.status
        );
        Ok(())
    }

    fn travel(&self) -> Result<()> {
        self.lienthong(&["connect", "homeaffairs.admin-units", "--once"])?;
        self.lienthong(&["route", "--once"])
    }
}

async fn own_tables(url: &str) -> Result<Vec<Vec<Option<String>>>> {
    let query = "select name, sql from sqlite_master where type = 'table' and name like 'admin\\_units%' escape '\\' order by name";
    Database::open(url).await?.rows(query).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_database_is_plugged_in_with_one_file_and_its_own_tables_stay_as_they_are() -> Result<()>
{
    let walk = Walk::begin()?;
    let (dataset, nso) = (walk.url("dataset.db"), walk.url("nso.db"));
    let before = own_tables(&dataset).await?;
    let table = "create table commune (code text primary key, province_code text, name text, full_name text)";
    Database::open(&nso).await?.run(&[table.to_owned()]).await?;
    for step in [
        &["keys", "new"][..],
        &["check"],
        &["connect", "homeaffairs.admin-units", "--prepare"],
        &["route", "--prepare"],
        &["topics", "create"],
        &["schema", "register"],
    ] {
        walk.lienthong(step)?;
    }
    assert_eq!(own_tables(&dataset).await?, before, "the owner's tables are unchanged");
    walk.travel()?;
    let wanted = "select wardCode, provinceCode, wardShort, ward from admin_units order by wardCode";
    let copied = "select code, province_code, name, full_name from commune order by code";
    let expected = Database::open(&dataset).await?.rows(wanted).await?;
    assert_eq!(expected.len(), 3_321);
    assert!(Database::open(&nso).await?.rows(copied).await? == expected, "the copy differs");

    let changes = [
        "update admin_units set wardShort = 'Hồng Hà (mới)' where wardCode = '00097'",
        "delete from admin_units where wardCode = '00004'",
        "insert into admin_units (wardCode, provinceCode, wardShort, ward) values ('99999', '01', 'Mới', 'Phường Mới')",
    ];
    Database::open(&dataset).await?.run(&changes.map(str::to_owned)).await?;
    walk.travel()?;
    let expected = Database::open(&dataset).await?.rows(wanted).await?;
    assert!(
        Database::open(&nso).await?.rows(copied).await? == expected,
        "the copy differs after the changes"
    );
    Ok(())
}
