//! What publishing databases lack is found before a connector starts, all at once.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::nation::Publisher;
use crate::retained_log::{says, world};
use crate::site::{Engine, PARTICIPANT, Site};

const CHECK: [&str; 2] = ["check", "--online"];

#[tokio::test(flavor = "multi_thread")]
async fn all_that_a_connector_would_refuse_is_told_at_once_with_what_to_run() -> Result<()> {
    let mut this = world("").await?;
    this.server.configure(&["wal_level = replica"])?;
    this.server.restart().await?;
    let (code, said) = this.said(&CHECK)?;
    ensure!(code == Some(3), "{code:?} {said}");
    says(
        &said,
        &[
            "alter system set wal_level = logical",
            "alter table \"public\".\"residence\" replica identity full",
            "replication slot residence does not exist; fix: lienthong connect mps.residence --prepare",
            "publication lienthong_mps_residence does not exist",
        ],
    )?;
    let output = this.site.run(&[&CHECK[..], &["--output", "json"]].concat())?;
    let found: Value = serde_json::from_slice(&output.stdout)?;
    let found = found.as_array().context("an array")?;
    ensure!(found.len() >= 4, "each by itself: {found:?}");
    ensure!(found.iter().all(|row| row["participant"] == "mps.residence" && row["weight"] == "halts"));
    this.server.configure(&["wal_level = logical"])?;
    this.server.restart().await?;
    this.server.run(&["alter table residence replica identity full"]).await?;
    this.site.prepare()?;
    let (code, said) = this.said(&CHECK)?;
    ensure!(code == Some(0) && said.contains("publishing databases"), "{code:?} {said}");
    this.server.stop().await?;
    let (code, said) = this.said(&CHECK)?;
    ensure!(code == Some(4) && said.contains("mps.residence is unreachable"), "{code:?} {said}");
    let (code, said) = this.said(&["check", "--online", "agreements"])?;
    ensure!(code == Some(2), "{code:?} {said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_that_is_not_there_is_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let site =
        Site::new(Engine::Embedded, &url("publisher.db"), &[("nso.statistics", &url("subscriber.db"))])?;
    Publisher::create(&url("publisher.db")).await?;
    let output = site.run(&CHECK)?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(3), "{said}");
    says(&said, &["lienthong_outbox", &format!("lienthong connect {PARTICIPANT} --prepare")])?;
    site.succeed(&["connect", PARTICIPANT, "--prepare"])?;
    site.succeed(&CHECK)
}
