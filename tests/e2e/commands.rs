//! The binary's manners: exit codes, output for programs, help, and a clean stop.

use std::time::{Duration, Instant};

use anyhow::Result;
use lienthong_testkit::database::Database;
use serde_json::Value;

use crate::nation::{Publisher, create_copy};
use crate::site::{Engine, PARTICIPANT, Site};

struct Ready {
    site: Site,
    owner: Publisher,
    publisher: String,
    subscriber: String,
    _folder: tempfile::TempDir,
}

async fn ready() -> Result<Ready> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
    let (publisher, subscriber) = (url("publisher.db"), url("subscriber.db"));
    let site = Site::new(Engine::Embedded, &publisher, &[("nso.statistics", &subscriber)])?;
    let owner = Publisher::create(&publisher).await?;
    create_copy(&subscriber).await?;
    Ok(Ready { site, owner, publisher, subscriber, _folder: folder })
}

fn code(output: &std::process::Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_stops_cleanly_within_ten_seconds_of_sigterm_with_exit_code_130() -> Result<()> {
    let mut ready = ready().await?;
    ready.owner.insert(100).await?;
    ready.site.prepare()?;
    for arguments in [&["connect", PARTICIPANT][..], &["route"]] {
        let mut child = ready.site.start(arguments)?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        let asked = Instant::now();
        let kill = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        assert!(kill.success());
        let status = child.wait()?;
        assert_eq!(status.code(), Some(130), "{arguments:?}");
        assert!(asked.elapsed() < Duration::from_secs(10), "{arguments:?} took {:?}", asked.elapsed());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_a_file_stops_every_command_with_exit_code_2_and_all_mistakes_at_once() -> Result<()> {
    let ready = ready().await?;
    ready.site.write("ministries/second.yaml", "participant: homeaffairs.admin-units\norganisatoin: X\n")?;
    for arguments in
        [&["check"][..], &["connect", PARTICIPANT, "--once"], &["route", "--once"], &["topics", "create"]]
    {
        let output = ready.site.run(arguments)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(code(&output), 2, "{arguments:?}: {said}");
        assert!(said.contains("second.yaml:2:1"), "{said}");
        assert!(said.contains("organisation"), "the nearest name: {said}");
        assert!(said.contains("second.yaml:1:"), "the duplicate id: {said}");
    }
    assert!(!ready.site.path("var/lienthong.db").exists(), "nothing was started");
    let (agreements, ministries) = (ready.site.path("agreements"), ready.site.path("ministries"));
    let check = |folder: &std::path::Path| ready.site.run(&["check", &folder.display().to_string()]);
    assert_eq!(code(&check(&agreements)?), 0, "the mistakes are elsewhere");
    assert_eq!(code(&check(&ministries)?), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_do_not_exist_are_told_with_the_nearest_one() -> Result<()> {
    let ready = ready().await?;
    let output = ready.site.run(&["connect", "homeaffairs.admin-unit", "--once"])?;
    assert_eq!(code(&output), 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean homeaffairs.admin-units?"));
    let output = ready.site.run(&["route", "nso.statistic", "--once"])?;
    assert_eq!(code(&output), 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean nso.statistics?"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_prepare_makes_is_asked_for_with_exit_code_3_and_the_command() -> Result<()> {
    let ready = ready().await?;
    ready.site.succeed(&["topics", "create"])?;
    ready.site.succeed(&["schema", "register"])?;
    let output = ready.site.run(&["connect", PARTICIPANT, "--once"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(code(&output), 3, "{said}");
    assert!(said.contains("--prepare"), "{said}");
    let output = ready.site.run(&["route", "--once"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(code(&output), 3, "{said}");
    assert!(said.contains("lienthong route --prepare"), "{said}");

    ready.site.prepare()?;
    Database::open(&ready.subscriber)
        .await?
        .run(&["alter table admin_unit_copy drop column full_name".to_owned()])
        .await?;
    let output = ready.site.run(&["route", "--once"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(code(&output), 3, "{said}");
    assert!(said.to_lowercase().contains("add column"), "the DDL: {said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_are_missing_are_exit_code_5_until_they_are_created() -> Result<()> {
    let ready = ready().await?;
    assert_eq!(code(&ready.site.run(&["topics", "describe"])?), 5);
    ready.site.succeed(&["topics", "create"])?;
    ready.site.succeed(&["topics", "describe"])?;
    ready.site.succeed(&["topics", "create"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_away_is_exit_code_4_after_the_timeout() -> Result<()> {
    let ready = ready().await?;
    ready.site.prepare()?;
    let address = "kafka://127.0.0.1:1?registry=http://127.0.0.1:1";
    let output = ready.site.run(&["--log", address, "--timeout", "3", "connect", PARTICIPANT, "--once"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(code(&output), 4, "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_get_json_and_values_stay_redacted_unless_asked_for() -> Result<()> {
    let mut ready = ready().await?;
    ready.owner.insert(3).await?;
    ready.site.prepare()?;
    ready.site.succeed(&["connect", PARTICIPANT, "--once"])?;
    ready.site.succeed(&["route", "--once"])?;

    let output = ready.site.run(&["status", "--output", "json"])?;
    let status: Value = serde_json::from_slice(&output.stdout)?;
    let rows = status.as_array().expect("an array");
    assert_eq!(rows.len(), 2, "a connector and a subscription: {status}");
    let connector = |row: &&Value| row["name"] == PARTICIPANT && row["events"] == 3 && row["retained"] == 0;
    assert!(rows.iter().any(|row| connector(&row)), "{status}");
    assert!(
        rows.iter().any(|row| row["name"] == "nso.statistics/admin_unit" && row["events"] == 3),
        "{status}"
    );

    let output = ready.site.run(&["tail", "admin_unit", "--output", "json"])?;
    let text = String::from_utf8(output.stdout)?;
    assert_eq!(text.lines().count(), 3);
    assert!(!text.contains("Xã 1"), "redacted: {text}");
    for line in text.lines() {
        let event: Value = serde_json::from_str(line)?;
        assert_eq!(event["event"], "admin_unit.changed");
        assert_eq!(event["operation"], "snapshot");
    }
    let output = ready.site.run(&["tail", "admin_unit", "--show-values", "--limit", "3"])?;
    assert!(String::from_utf8(output.stdout)?.contains("Xã 1"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_breaks_its_contract_is_set_aside_sealed_and_the_stream_goes_on() -> Result<()> {
    let ready = ready().await?;
    let mut owner = Database::open(&ready.publisher).await?;
    let mark = "BÍ-MẬT-RIÊNG-TƯ";
    owner
        .run(&[
            format!("insert into admin_unit (level, code, valid_from, name, full_name) values ('{mark}', '00001', '2025-07-01', 'a', 'b')"),
            "insert into admin_unit (level, code, valid_from, name, full_name) values ('commune', '00002', '2025-07-01', 'a', 'b')".to_owned(),
        ])
        .await?;
    ready.site.prepare()?;
    let output = ready.site.run(&["connect", PARTICIPANT, "--once"])?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(code(&output), 5, "{said}");
    assert!(said.contains("1 rows broke their contract"), "{said}");
    assert!(!said.contains(mark), "values stay out of messages");
    ready.site.succeed(&["route", "--once"])?;
    let rows = Database::open(&ready.subscriber).await?.rows("select code from admin_unit_copy").await?;
    assert_eq!(rows, vec![vec![Some("00002".to_owned())]]);
    let log = std::fs::read(ready.site.path("var/lienthong.db"))?;
    let holds = |text: &[u8]| log.windows(text.len()).any(|window| window == text);
    assert!(!holds(mark.as_bytes()), "the quarantined values are sealed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_made_once_and_readable_by_their_owner_alone() -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let ready = ready().await?;
    let key = ready.site.path("secrets/subject.key");
    let before = std::fs::read(&key)?;
    ready.site.succeed(&["keys", "new"])?;
    assert_eq!(std::fs::read(&key)?, before, "existing keys are left alone");
    assert_eq!(std::fs::metadata(&key)?.permissions().mode() & 0o777, 0o600);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn help_shows_an_example_for_every_command_and_completions_exist() -> Result<()> {
    let ready = ready().await?;
    for command in ["check", "connect", "route", "status", "topics", "tail", "schema", "keys", "completions"]
    {
        let output = ready.site.run(&[command, "--help"])?;
        let text = String::from_utf8(output.stdout)?;
        assert!(text.contains("Example"), "{command}: {text}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let output = ready.site.run(&["completions", shell])?;
        assert!(String::from_utf8(output.stdout)?.contains("lienthong"), "{shell}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_are_printed_for_a_cluster_only_and_names_that_nobody_has_are_refused() -> Result<()> {
    let ready = ready().await?;
    let output = ready.site.run(&["topics", "acls"])?;
    assert_eq!(code(&output), 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("the file system's rights"));
    let cluster = "kafka://127.0.0.1:9?registry=http://127.0.0.1:9&prefix=p.";
    let acls = |more: &[&str]| {
        let mut arguments = vec!["topics", "acls", "--log", cluster];
        arguments.extend(more);
        ready.site.run(&arguments)
    };
    let output = acls(&["--principal", "lienthong.routr=User:r"])?;
    assert_eq!(code(&output), 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean lienthong.router?"));
    // Nobody has to be there: the rights follow from the files.
    let output = acls(&["--principal", "lienthong.router=User:CN=it's", "--output", "json"])?;
    assert_eq!(code(&output), 0);
    let rows: Value = serde_json::from_slice(&output.stdout)?;
    let has = |role: &str, name: &str, operations: Value| {
        let mut rows = rows.as_array().into_iter().flatten();
        rows.any(|row| row["role"] == role && row["name"] == name && row["operations"] == operations)
    };
    assert!(has(PARTICIPANT, "p.lt.admin_unit.live", serde_json::json!(["Read", "Write"])), "{rows}");
    assert!(has("lienthong.router", "p.lt.admin_unit.live", serde_json::json!(["Read"])), "{rows}");
    assert!(has("lienthong.router", "p.lienthong.nso.statistics.admin_unit", serde_json::json!(["Read"])));
    let output = acls(&["--principal", "lienthong.router=User:CN=it's"])?;
    let script = String::from_utf8(output.stdout)?;
    assert!(script.contains(r"--allow-principal 'User:CN=it'\''s'"), "{script}");
    Ok(())
}
