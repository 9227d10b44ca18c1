//! What a new user reads first, walked as a new user walks it: README.md's site and docs/tutorials/first-ministry.md.

use anyhow::Result;
use lienthong_testkit::database::Database;
use lienthong_testkit::postgres::TestDatabase;

use crate::reader::Reader;

/// How many planted mistakes the page promises.
const MISTAKES: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorial_of_the_first_ministry_runs_as_it_is_printed() -> Result<()> {
    // The empty PostgreSQL database of one part of the page.
    let degrees = TestDatabase::create().await?;
    let mut reader = Reader::sit_down("docs/tutorials/first-ministry.md", &[("DEGREES_DB", degrees.url())])?
        .needs(&[("sqlite3", "sqlite3"), ("psql", "postgresql-client")])?;
    assert_eq!(reader.walks()?, MISTAKES);
    let left: Vec<_> = std::fs::read_dir(reader.folder())?.collect::<std::io::Result<_>>()?;
    assert!(left.is_empty(), "the page leaves {left:?} behind");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_site_of_the_readme_runs_as_it_is_printed() -> Result<()> {
    let mut reader = Reader::sit_down("README.md", &[])?.needs(&[("sqlite3", "sqlite3")])?;
    reader.walks_part("A site")?;
    let copy = format!("sqlite:{}", reader.folder().join("var/nso.db").display());
    let rows = Database::open(&copy).await?.rows("select level, code, valid_from, name from unit").await?;
    assert_eq!(rows, [["province", "01", "..", "Hà Nội"].map(|text| Some(text.to_owned())).to_vec()]);
    Ok(())
}
