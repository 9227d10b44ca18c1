//! `--output json`: every command speaks JSON, a line at a time.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::commands::ready;
use crate::site::{PARTICIPANT, Site};

/// Runs a command for a program; gives its exit code and each line as JSON.
fn said(site: &Site, arguments: &[&str]) -> Result<(Option<i32>, Vec<Value>)> {
    let output = site.run(&[arguments, &["--output", "json"]].concat())?;
    let text = String::from_utf8(output.stdout)?;
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("{arguments:?} says {line}")))
        .collect::<Result<_>>()?;
    Ok((output.status.code(), lines))
}

/// What a command says, in the order in which the commands of a new site are run: its arguments, a place in its first line, and
/// what stands there.
const COMMANDS: [(&[&str], &str, &str); 16] = [
    (&["check"], "/0/checked", "contracts"),
    (&["keys", "new"], "/written", "false"),
    (&["schema", "check"], "/mistakes", "0"),
    (&["topics", "list"], "/0/compacted", "false"),
    (&["topics", "create"], "/0/differences", ""),
    (&["topics", "describe"], "/0/differences", ""),
    (&["schema", "register"], "/0/id", "1"),
    (&["connect", PARTICIPANT, "--print-ddl"], "/participant", PARTICIPANT),
    (&["connect", PARTICIPANT, "--prepare"], "/prepared", "true"),
    (&["connect", PARTICIPANT, "--once"], "/events", "3"),
    (&["route", "--print-ddl"], "/subscriber", "nso.statistics"),
    (&["route", "--prepare"], "/prepared", "true"),
    (&["route", "--once"], "/0/events", "3"),
    (&["status"], "/1/events", "3"),
    (&["tail", "admin_unit"], "/operation", "snapshot"),
    (&["tail", "admin_unit", "--show-values", "--limit", "1"], "/operation", "snapshot"),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_command_says_json_to_programs() -> Result<()> {
    let mut ready = ready().await?;
    ready.owner.insert(3).await?;
    for (arguments, place, expected) in COMMANDS {
        let (code, lines) = said(&ready.site, arguments)?;
        ensure!(code == Some(0), "{arguments:?} ended with {code:?}: {lines:?}");
        let first = lines.first().with_context(|| format!("{arguments:?} says nothing"))?;
        let found = first.pointer(place).with_context(|| format!("{arguments:?} has no {place}: {first}"))?;
        let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
        assert_eq!(text, expected, "{arguments:?} {place}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_files_are_json_to_programs_with_their_places() -> Result<()> {
    let ready = ready().await?;
    ready.site.write("ministries/second.yaml", "participant: homeaffairs.admin-units\norganisatoin: X\n")?;
    for arguments in [&["check"][..], &["schema", "check"], &["route", "--once"]] {
        let (code, lines) = said(&ready.site, arguments)?;
        assert_eq!((code, lines.len()), (Some(2), 1), "{arguments:?}: {lines:?}");
        let mistakes = lines[0].as_array().context("an array")?;
        let found = mistakes.iter().any(|mistake| {
            let file = mistake["file"].as_str().unwrap_or_default();
            file.ends_with("second.yaml") && mistake["line"] == 2 && mistake["column"] == 1
        });
        ensure!(
            found && mistakes.iter().all(|mistake| mistake["fix"].is_string()),
            "{arguments:?}: {lines:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_status_is_a_stream_of_objects() -> Result<()> {
    let mut ready = ready().await?;
    ready.owner.insert(1).await?;
    ready.site.prepare()?;
    ready.site.succeed(&["connect", PARTICIPANT, "--once"])?;
    let mut watching =
        ready.site.command(&["status", "--watch", "--output", "json"]).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(watching.stdout.take().context("its output")?).lines();
    for turn in 0..2 {
        let line = lines.next().context("a line a turn")??;
        let object: Value = serde_json::from_str(&line)?;
        assert_eq!(object["name"], PARTICIPANT, "turn {turn}");
    }
    watching.kill()?;
    watching.wait()?;
    Ok(())
}
