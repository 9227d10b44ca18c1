//! `connect --unprepare`: what `--prepare` made goes again, with the codes and words of every command.

use anyhow::{Result, ensure};
use lienthong_testkit::database::Database;

use crate::commands::ready;
use crate::site::PARTICIPANT;

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_is_taken_out_once_its_changes_are_published_or_given_up() -> Result<()> {
    let mut ready = ready().await?;
    ready.site.prepare()?;
    ready.owner.insert(3).await?;
    let unprepare = ["connect", PARTICIPANT, "--unprepare"];
    let run = |more: &[&str]| -> Result<(Option<i32>, String)> {
        let output = ready.site.run(&[&unprepare[..], more].concat())?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.code(), String::from_utf8(said)?))
    };
    for more in [&[][..], &["--print-ddl"]] {
        let (code, said) = run(more)?;
        ensure!(code == Some(3) && said.contains("3 changes (admin_unit: 3)"), "{code:?} {said}");
        ensure!(said.contains("--once") && said.contains("--lose-unpublished"), "{said}");
    }
    ready.site.succeed(&["connect", PARTICIPANT, "--once"])?;
    let (code, script) = run(&["--print-ddl"])?;
    ensure!(
        code == Some(0) && script.contains("DROP TRIGGER") && !script.contains("\"admin_unit\""),
        "{script}"
    );
    let (code, said) = run(&["--output", "json"])?;
    ensure!(code == Some(0) && said.contains("\"prepared\":false"), "{code:?} {said}");
    let (code, said) = run(&[])?;
    ensure!(code == Some(0) && said.contains("gone"), "again: {code:?} {said}");
    let left = "select name from sqlite_master where name like 'lienthong%'";
    ensure!(Database::open(&ready.publisher).await?.rows(left).await?.is_empty(), "something is left");

    let output = ready.site.run(&["connect", PARTICIPANT, "--once"])?;
    ensure!(output.status.code() == Some(3), "{}", output.status);
    ready.site.succeed(&["connect", PARTICIPANT, "--prepare"])?;
    let output = ready.site.run(&["connect", PARTICIPANT, "--once"])?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(3) && said.contains("lineage"), "its history has ended: {said}");
    ready.owner.insert(1).await?;
    ready.site.succeed(&[&unprepare[..], &["--lose-unpublished"]].concat())?;
    for wrong in [
        &["connect", PARTICIPANT, "--lose-unpublished"][..],
        &["connect", PARTICIPANT, "--unprepare", "--prepare"],
    ] {
        ensure!(ready.site.run(wrong)?.status.code() == Some(2), "{wrong:?}");
    }
    Ok(())
}
