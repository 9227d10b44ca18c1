//! The binary's manners: exit codes, output for programs, help, and a clean stop.

use std::time::{Duration, Instant};

use anyhow::Result;
use lienthong_testkit::database::Database;
use serde_json::Value;

use crate::nation::{Publisher, create_copy};
use crate::site::{Engine, PARTICIPANT, Site};
use crate::stops::is;

pub(crate) struct Ready {
    pub(crate) site: Site,
    pub(crate) owner: Publisher,
    pub(crate) publisher: String,
    subscriber: String,
    _folder: tempfile::TempDir,
}

pub(crate) async fn ready() -> Result<Ready> {
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
        let name = if arguments.len() == 2 { PARTICIPANT } else { "nso.statistics/admin_unit" };
        is(&ready.site, name, "live").await?;
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
async fn a_topic_that_is_not_as_its_contract_says_halts_whoever_would_use_it_with_exit_code_3() -> Result<()>
{
    let mut ready = ready().await?;
    ready.site.prepare()?;
    ready.owner.insert(10).await?;
    let log = format!("sqlite:{}", ready.site.path("var/lienthong.db").display());
    let change = async |sql: &str| {
        let statements: Vec<String> = sql.split(';').map(str::to_owned).collect();
        Database::open(&log).await?.run(&statements).await
    };
    for (spoil, mend, words) in [
        (
            "update topic set compacted = 0 where name = 'lt.positions'",
            "update topic set compacted = 1 where name = 'lt.positions'",
            ["lt.positions: the clean-up", "is delete; it should be compact"],
        ),
        (
            "update topic set partitions = partitions + 1 where name = 'lt.admin_unit.live';
             insert into lane(topic, partition) select id, partitions - 1 from topic where name = 'lt.admin_unit.live'",
            "delete from lane where partition > 0 and topic = (select id from topic where name = 'lt.admin_unit.live');
             update topic set partitions = 1 where name = 'lt.admin_unit.live'",
            ["lt.admin_unit.live: the number of partitions", "it should be"],
        ),
        (
            "update topic set retention_ms = retention_ms - 1000 where name = 'lt.admin_unit.live'",
            "update topic set retention_ms = retention_ms + 1000 where name = 'lt.admin_unit.live'",
            ["lt.admin_unit.live: the retention", "it should be"],
        ),
    ] {
        change(spoil).await?;
        for arguments in [&["connect", PARTICIPANT, "--once"][..], &["route", "--once"]] {
            let output = ready.site.run(arguments)?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(code(&output), 3, "{arguments:?}: {said}");
            assert!(words.iter().all(|word| said.contains(word)) && said.contains("fix: "), "{said}");
        }
        change(mend).await?;
    }
    // What keeps more than asked is used, and told.
    change("update topic set retention_ms = retention_ms + 1000 where name = 'lt.admin_unit.live'").await?;
    let output = ready.site.run(&["connect", PARTICIPANT, "--once"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(code(&output), 0, "{said}");
    assert!(said.contains("lt.admin_unit.live: the retention"), "{said}");
    ready.site.succeed(&["route", "--once"])
}

#[tokio::test(flavor = "multi_thread")]
async fn after_retention_a_tail_and_a_new_subscription_begin_at_the_oldest_place_and_say_so() -> Result<()> {
    let mut ready = ready().await?;
    ready.site.prepare()?;
    for _ in 0..3 {
        ready.owner.insert(10).await?;
        ready.site.succeed(&["connect", PARTICIPANT, "--once"])?;
    }
    let log = format!("sqlite:{}", ready.site.path("var/lienthong.db").display());
    let mut file = Database::open(&log).await?;
    let lane =
        "(select lane.id from lane join topic on topic.id = lane.topic where name = 'lt.admin_unit.live')";
    let first = format!("(select min(base_offset + count) from batch where kind = 0 and lane = {lane})");
    file.run(&[
        format!("update lane set low = {first} where id = {lane}"),
        format!(
            "delete from batch where lane = {lane} and base_offset < (select low from lane where id = {lane})"
        ),
    ])
    .await?;
    drop(file);
    let ahead = ["tail", "admin_unit", "--output", "json"];
    for more in [&[][..], &["--from", "2020-01-01T00:00:00Z"]] {
        let output = ready.site.run(&[&ahead[..], more].concat())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(code(&output), 0, "{said}");
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        let live = shown.lines().filter(|line| line.contains("lt.admin_unit.live")).count();
        assert_eq!(live, 20, "{said}");
        assert!(said.contains("begins here"), "{said}");
    }
    let output = ready.site.run(&[&ahead[..], &["--from", "2100-01-01T00:00:00Z"]].concat())?;
    assert_eq!((code(&output), output.stdout.len()), (0, 0));
    let output = ready.site.run(&["route", "--once"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(code(&output), 0, "{said}");
    assert!(said.contains("begins here"), "{said}");
    let rows = Database::open(&ready.subscriber).await?.rows("select code from admin_unit_copy").await?;
    assert_eq!(rows.len(), 30, "the first ten come from the first load, in the other lane");
    let output = ready.site.run(&["status", "--output", "json"])?;
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(shown.contains("the log no longer held what stood before"), "{shown}");
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
    assert!(said.contains("1 row broke the contract"), "{said}");
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

/// check, connect, route, demo, snapshot, status, tail, completions; one of quarantine; four of topics, four of schema, two of keys.
const LEAVES: usize = 8 + 1 + 4 + 4 + 2;

/// The names under `Commands:`.
fn listed(help: &str) -> impl Iterator<Item = String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let lines = lines.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn help_shows_an_example_for_every_command_and_completions_exist() -> Result<()> {
    let ready = ready().await?;
    let help = |words: &[String]| -> Result<String> {
        let words: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        Ok(String::from_utf8(ready.site.run(&words)?.stdout)?)
    };
    // From the program down to the leaves of its tree, as its own help lists them.
    let (mut asked, mut leaves) = (vec![Vec::new()], 0);
    while let Some(words) = asked.pop() {
        let text = help(&words)?;
        let below: Vec<String> = listed(&text).filter(|name| name != "help").collect();
        assert!(words.is_empty() || text.contains("\nExample"), "{words:?}: {text}");
        leaves += usize::from(below.is_empty());
        asked.extend(below.into_iter().map(|name| [&words[..], &[name]].concat()));
    }
    assert_eq!(leaves, LEAVES, "commands that do something");
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
    assert!(
        has(PARTICIPANT, "p.lt.admin_unit.live", serde_json::json!(["Read", "Write", "DescribeConfigs"])),
        "{rows}"
    );
    let reads = serde_json::json!(["Read", "DescribeConfigs"]);
    assert!(has("lienthong.router", "p.lt.admin_unit.live", reads), "{rows}");
    assert!(has("lienthong.router", "p.lienthong.nso.statistics.admin_unit", serde_json::json!(["Read"])));
    let output = acls(&["--principal", "lienthong.router=User:CN=it's"])?;
    let script = String::from_utf8(output.stdout)?;
    assert!(script.contains(r"--allow-principal 'User:CN=it'\''s'"), "{script}");
    Ok(())
}

/// `(exit code, standard output, standard error)`.
fn said(output: &std::process::Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (code(output), text(&output.stdout), text(&output.stderr))
}

/// The site with contracts of its own, which a test may break.
fn with_own_contracts(site: &Site) -> Result<std::path::PathBuf> {
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    let own = site.path("schemas");
    for part in ["avro/admin_unit", "avro/lienthong", "history/admin_unit.changed"] {
        std::fs::create_dir_all(own.join(part))?;
        for file in std::fs::read_dir(shipped.join(part))? {
            let file = file?;
            std::fs::copy(file.path(), own.join(part).join(file.file_name()))?;
        }
    }
    let text = std::fs::read_to_string(shipped.join("catalogue.yaml"))?;
    let part = |from: &str, to: &str| -> String {
        let start = text.find(from).unwrap_or_default();
        let end = text[start + 1..].find(to).map_or(text.len(), |end| start + 1 + end);
        text[start..end].to_owned()
    };
    let catalogue = [
        part("purposes:", "\nfamilies:"),
        "\nfamilies:\n".to_owned(),
        part("  admin_unit:\n", "\n  insurance:"),
        "\nevents:\n".to_owned(),
        part("  admin_unit.changed:\n", "\n  insurance.health_card"),
    ];
    std::fs::write(own.join("catalogue.yaml"), catalogue.concat())?;
    let yaml = std::fs::read_to_string(site.path("lienthong.yaml"))?;
    let (before, rest) = yaml.split_once("schemas: ").unwrap_or((&yaml, ""));
    let (_, after) = rest.split_once(',').unwrap_or(("", ""));
    site.write("lienthong.yaml", &format!("{before}schemas: schemas/avro,{after}"))?;
    Ok(own)
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_check_tells_mistakes_with_their_place_and_asks_the_registry() -> Result<()> {
    let ready = ready().await?;
    let own = with_own_contracts(&ready.site)?;
    ready.site.succeed(&["schema", "check"])?;
    ready.site.succeed(&["topics", "create"])?;
    ready.site.succeed(&["schema", "register"])?;
    let (exit, out, err) = said(&ready.site.run(&["schema", "check", "--registry"])?);
    assert_eq!((exit, err.as_str()), (0, ""));
    assert!(out.contains("3 contracts, 2 kept versions, 1 registered version: no mistake found"), "{out}");

    // A mandatory field more: what stands in the registry could not be read, even when nobody kept that version.
    let file = own.join("avro/admin_unit/changed.avsc");
    let text = std::fs::read_to_string(&file)?;
    let more = text.replacen(
        "\"fields\": [",
        "\"fields\": [\n    {\"name\": \"ordinance_no\", \"type\": \"string\", \"doc\": \"D.\"},",
        1,
    );
    std::fs::write(&file, &more)?;
    let catalogue = std::fs::read_to_string(own.join("catalogue.yaml"))?;
    let classified = catalogue.replacen("basic: [level,", "basic: [ordinance_no, level,", 1);
    std::fs::write(own.join("catalogue.yaml"), &classified)?;
    let (exit, _, err) = said(&ready.site.run(&["schema", "check"])?);
    assert!(
        exit == 2 && err.contains("changed.avsc:7:14: ordinance_no: the field is new and has no default"),
        "{err}"
    );
    std::fs::remove_dir_all(own.join("history"))?;
    ready.site.succeed(&["schema", "check"])?;
    let ministry = std::fs::read_to_string(ready.site.path("ministries/homeaffairs.admin-units.yaml"))?;
    ready.site.write(
        "ministries/homeaffairs.admin-units.yaml",
        &ministry.replace("fields:", "fields:\n      ordinance_no: code"),
    )?;
    let (exit, _, err) = said(&ready.site.run(&["schema", "check", "--registry"])?);
    assert!(exit == 2 && err.contains("changed.avsc:7:14: ordinance_no: the field is new"), "{err}");
    assert!(err.contains("registered version 1 of lt.admin_unit."), "{err}");

    std::fs::write(
        &file,
        text.replacen("\"doc\": \"Level of", "\"aliases\": [\"old\"], \"doc\": \"Level of", 1),
    )?;
    let (exit, _, err) = said(&ready.site.run(&["schema", "check"])?);
    assert!(exit == 2 && err.contains("level: aliases are not honoured by every reader"), "{err}");
    assert!(err.contains("changed.avsc:15:"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_diff_says_what_breaks_and_whose_agreement_with_exit_code_5() -> Result<()> {
    let ready = ready().await?;
    let own = with_own_contracts(&ready.site)?;
    let path = |path: &std::path::Path| path.display().to_string();
    let (before, after) =
        (own.join("history/admin_unit.changed/2.avsc"), own.join("avro/admin_unit/changed.avsc"));
    let (exit, _, err) = said(&ready.site.run(&["schema", "diff", &path(&before), &path(&after)])?);
    assert_eq!((exit, err.as_str()), (0, ""), "nothing has changed");

    let text = std::fs::read_to_string(&after)?;
    let start = text.find("    {\"name\": \"full_name\"").unwrap_or_default();
    let end = text[start..].find('\n').map_or(text.len(), |end| start + end + 1);
    std::fs::write(&after, format!("{}{}", &text[..start], &text[end..]))?;
    let arguments = ["schema", "diff", &path(&before), &path(&after), "--output", "json"];
    let (exit, out, err) = said(&ready.site.run(&arguments)?);
    assert!(exit == 5 && err.contains("a consumer breaks by 1 change"), "{err}");
    assert!(out.contains("admin_unit.changed: `full_name` is removed"), "{out}");
    assert!(out.contains("nso.statistics/"), "the agreement that reads it: {out}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_docs_writes_pages_of_the_site_s_own_contracts() -> Result<()> {
    let ready = ready().await?;
    with_own_contracts(&ready.site)?;
    let dir = ready.site.path("pages");
    ready.site.succeed(&["schema", "docs", "--dir", &dir.display().to_string()])?;
    let mut names: Vec<String> = std::fs::read_dir(&dir)?
        .map(|file| Ok(file?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.sort();
    assert_eq!(names, ["README.md", "admin_unit.md", "asyncapi.yaml"]);
    Ok(())
}
