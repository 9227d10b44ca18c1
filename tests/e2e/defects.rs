//! A panic, whichever process it happens in: exit code 1, its place, and nothing of the row in hand.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::commands::ready;
use crate::site::PARTICIPANT;

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_ends_every_process_in_the_same_way_and_the_next_one_goes_on() -> Result<()> {
    let mut ready = ready().await?;
    ready.site.prepare()?;
    ready.owner.insert(3).await?;
    for (stage, once) in
        [("capture", &["connect", PARTICIPANT, "--once"][..]), ("route", &["route", "--once"])]
    {
        for format in ["text", "json"] {
            let panics =
                [("LIENTHONG_TEST_PANIC", stage), ("RUST_BACKTRACE", "0"), ("LIENTHONG_LOG_FORMAT", format)];
            let output = ready.site.run_with(&panics, once)?;
            let said = String::from_utf8(output.stderr)?;
            ensure!(output.status.code() == Some(1), "{stage}: {} {said}", output.status);
            let place = "a defect of this program at crates/contract/src/provoke.rs:";
            ensure!(said.contains(place) && said.contains("report it"), "{stage}: {said}");
            ensure!(!said.contains("panicked") && !said.contains("asked for"), "{stage}: {said}");
            let json = said
                .lines()
                .all(|line| serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()));
            ensure!(json == (format == "json"), "{stage}: {said}");
        }
        ready.site.succeed(once)?;
    }
    Ok(())
}
