//! The lineage guard and `connect --accept-lineage`, by the binary, on PostgreSQL servers of a test's own: every case stops with exit code 3,
//! says what is missing and the command that mends it, and after that the subscriber has every row that exists.

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::database::Database;
use lienthong_testkit::private_postgres::PrivatePostgres;
use serde_json::Value;

use crate::residents::{self, PARTICIPANT, Residents};
use crate::site::{Engine, Site};

const SLOT: &str = "moves";
const CONNECT: [&str; 3] = ["connect", PARTICIPANT, "--once"];
const PREPARE: [&str; 3] = ["connect", PARTICIPANT, "--prepare"];
const ACCEPT: [&str; 4] = ["connect", PARTICIPANT, "--accept-lineage", "vì đã mất log"];
const COMMAND: &str = "`lienthong connect mps.residence --accept-lineage REASON`";
const DROP_SLOT: &str = "select pg_drop_replication_slot('moves')";

/// A publisher with some people, all of whom are delivered.
struct World {
    site: Site,
    url: String,
    subscriber: String,
    accepted: u32,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new(url: &str, from_log: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let subscriber = format!("sqlite:{}", folder.path().join("subscriber.db").display());
        let site = Site::residence(Engine::Embedded, url, &subscriber)?;
        let mut owner = Residents::create(url).await?;
        if from_log {
            site.capture_from_log(SLOT)?;
            owner.log_whole_rows().await?;
        }
        residents::create_copy(&subscriber).await?;
        site.prepare()?;
        owner.insert(5).await?;
        let world = Self { site, url: url.to_owned(), subscriber, accepted: 0, _folder: folder };
        world.equal().await?;
        Ok(world)
    }

    async fn on(server: &PrivatePostgres) -> Result<Self> {
        Self::new(&server.url(), true).await
    }

    fn run(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let output = self.site.run(arguments)?;
        Ok((output.status.code(), String::from_utf8([output.stdout, output.stderr].concat())?))
    }

    async fn sql(&self, statements: &[&str]) -> Result<()> {
        let mut owner = Database::open(&self.url).await?;
        for statement in statements {
            owner.run(&[(*statement).to_owned()]).await.with_context(|| (*statement).to_owned())?;
        }
        Ok(())
    }

    /// Publishes and delivers what there is; the copy must be what the owner has, `left` rows besides.
    async fn equal(&self) -> Result<()> {
        self.copied(0).await
    }

    async fn copied(&self, left: usize) -> Result<()> {
        self.site.succeed(&CONNECT)?;
        self.site.succeed(&["route", "--once"])?;
        let sql = "select file_no, pin, street from residence order by file_no";
        let (rows, mut copy) =
            (Database::open(&self.url).await?.rows(sql).await?, residents::copy(&self.subscriber).await?);
        let all = copy.len();
        copy.retain(|row| rows.contains(row));
        ensure!(copy == rows && all == rows.len() + left, "{} rows, {all} copied", rows.len());
        Ok(())
    }

    /// The connector stops, again and again, and says all of this.
    fn stops(&self, words: &[&str]) -> Result<()> {
        for _ in 0..2 {
            let (code, said) = self.run(&CONNECT)?;
            for word in words {
                ensure!(code == Some(3) && said.contains(word), "{word} expected: {code:?} {said}");
            }
        }
        Ok(())
    }

    /// An operator accepts it, once: then nothing differs any more, and the subscriber has all rows; `left` that are gone stay there.
    async fn mended(&mut self, left: usize) -> Result<()> {
        let (code, said) = self.run(&ACCEPT)?;
        self.accepted += 1;
        let (before, now) = (self.accepted, self.accepted + 1);
        let expected = format!("lineage epoch {before} is {now} now");
        ensure!(code == Some(0) && said.contains(&expected), "{expected}: {code:?} {said}");
        self.refused("nothing differs from what was published")?;
        self.copied(left).await?;
        self.refused("nothing differs from what was published")?;
        self.sql(&["insert into residence values ('HKlater', '001090099998', 'x')"]).await?;
        self.copied(left).await?;
        self.sql(&["delete from residence where file_no = 'HKlater'"]).await?;
        self.copied(left).await
    }

    fn refused(&self, why: &str) -> Result<()> {
        let (code, said) = self.run(&ACCEPT)?;
        ensure!(code == Some(3) && said.contains(why), "{code:?} {said}");
        Ok(())
    }

    /// What is on record in the embedded log.
    async fn audited(&self) -> Result<Vec<Value>> {
        let log = lienthong_log::embedded::EmbeddedLog::open(self.site.path("var/lienthong.db"))?;
        let source = lienthong_log::TopicPartition { topic: "lt.audit".into(), partition: 0 };
        let state = lienthong_log::Log::start_at(&log, &source, 0).await?;
        let batch = lienthong_log::Log::read(&log, &source, state, 1 << 20).await?;
        let entries = batch.entries.iter();
        entries.map(|entry| Ok(serde_json::from_slice(batch.record(entry)?.value)?)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_table_or_publication_that_is_another_one_stops_the_connector_until_it_is_accepted()
-> Result<()> {
    let server = PrivatePostgres::start(&[]).await?;
    let mut world = World::on(&server).await?;
    world.refused("nothing differs from what was published and nothing is missing")?;
    ensure!(world.audited().await?.is_empty(), "a refusal is no acceptance");
    for wrong in [&["", "x"][..1], &["  "]] {
        let (code, said) = world.run(&[&ACCEPT[..3], wrong].concat())?;
        ensure!(code == Some(2), "a reason is wanted: {code:?} {said}");
    }

    // The slot is dropped and made anew, and what happened in between is in no log.
    world.sql(&[DROP_SLOT, "update residence set street = 'gap' where file_no = 'HK000001'"]).await?;
    world.sql(&["delete from residence where file_no = 'HK000002'"]).await?;
    world.stops(&["slot moves is gone", "from 0/", "lienthong connect mps.residence --prepare", COMMAND])?;
    world.site.succeed(&PREPARE)?;
    world.stops(&["slot moves keeps the log from 0/", "public.residence are wanted from 0/", COMMAND])?;
    world.mended(1).await?;
    let entries = world.audited().await?;
    let [entry] = &entries[..] else { anyhow::bail!("{entries:?}") };
    ensure!(entry["action"] == "connect --accept-lineage" && entry["reason"] == ACCEPT[3], "{entry}");
    ensure!(entry["participant"] == PARTICIPANT && entry["lineage_epoch"] == 2, "{entry}");
    ensure!(entry["lineage"]["slot"] == SLOT && entry["lineage_before"]["slot"] == SLOT, "{entry}");
    ensure!(entry["problem"].as_str().is_some_and(|problem| problem.contains("0/")), "{entry}");

    // The table is dropped and made anew.
    world
        .sql(&[
            "create table kept as select * from residence",
            "drop table residence",
            "create table residence (file_no text primary key, pin text not null, street text not null)",
            "alter table residence replica identity full",
            "insert into residence select * from kept where file_no <> 'HK000003'",
        ])
        .await?;
    world.stops(&["does not have public.residence", "--prepare"])?;
    world.site.succeed(&PREPARE)?;
    world.stops(&["public.residence was made anew", "from 0/", COMMAND])?;
    world.mended(2).await?;

    // It leaves the publication and comes back.
    let publication = "lienthong_mps_residence";
    let alter = |what: &str| format!("alter publication {publication} {what}");
    let change = "update residence set street = street || '+' where file_no = 'HK000000'";
    world.sql(&[&alter("drop table residence"), change, &alter("add table residence")]).await?;
    world.stops(&["was out of publication", "from 0/", COMMAND])?;
    world.mended(2).await?;

    // A condition, a list of columns: told while they are there, and afterwards.
    let added = "insert into residence values ('HKadded', '001090099996', 'x')";
    for (partly, written, said) in [
        ("where (file_no <> 'HK000000')", change, "has public.residence only in part"),
        ("(file_no, pin)", added, "has only some columns of public.residence"),
    ] {
        world.sql(&[&alter(&format!("set table residence {partly}")), written]).await?;
        world.stops(&[said, "alter publication"])?;
        world.sql(&[&alter("set table residence")]).await?;
        world.stops(&["public.residence was made anew, or was out of publication", COMMAND])?;
        world.mended(2).await?;
    }

    // Kinds of changes.
    world.sql(&[&alter("set (publish = 'insert')"), change]).await?;
    world.stops(&["does not publish every kind of change"])?;
    world.sql(&[&alter("set (publish = 'insert, update, delete, truncate')")]).await?;
    world.stops(&["was edited or made anew: changes of public.residence from 0/", COMMAND])?;
    world.mended(2).await?;

    // What the log cannot tell is passed over by an acceptance, and the rest of what the slot keeps is not.
    world.sql(&["delete from residence where file_no = 'HK000004'", "truncate residence"]).await?;
    world.sql(&["insert into residence values ('HKnew', '001090099999', 'new')"]).await?;
    world.stops(&["public.residence was emptied by truncate", COMMAND])?;
    world.mended(5).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_whose_log_was_thrown_away_is_made_anew_and_accepted() -> Result<()> {
    let server = PrivatePostgres::start(&["max_slot_wal_keep_size = '1MB'", "max_wal_size = '32MB'"]).await?;
    let mut world = World::on(&server).await?;
    world.sql(&["update residence set street = 'gap' where file_no = 'HK000001'"]).await?;
    for _ in 0..3 {
        server
            .run(&[
                "select pg_switch_wal()",
                "create table if not exists filler (x int)",
                "insert into filler values (1)",
            ])
            .await?;
    }
    server.run(&["checkpoint"]).await?;
    let words = ["has thrown away the log that slot moves kept, from 0/", "with changes of public.residence"];
    world.stops(&[&words[..], &[COMMAND, "max_slot_wal_keep_size", "--prepare"]].concat())?;
    world.site.succeed(&PREPARE)?;
    world.stops(&["keeps the log from 0/", COMMAND])?;
    world.mended(0).await
}

/// As if the copy had taken the place of the server.
fn instead(world: &mut World, copy: &PrivatePostgres) -> Result<()> {
    let file = "ministries/mps.residence.yaml";
    let text = std::fs::read_to_string(world.site.path(file))?;
    ensure!(text.contains(&world.url), "the former server is named");
    world.site.write(file, &text.replace(&world.url, &copy.url()))?;
    world.url = copy.url();
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_server_goes_on_where_it_has_all_that_was_read_and_else_stops() -> Result<()> {
    let mut server = PrivatePostgres::start(&[]).await?;
    let mut world = World::on(&server).await?;
    server.stop().await?;
    let (mut promoted, mut late) = (server.copy()?, server.copy()?);
    for standby in [&mut promoted, &mut late] {
        standby.into_standby()?;
        standby.restart().await?;
        standby.promote().await?;
    }
    instead(&mut world, &promoted)?;
    world.sql(&["update residence set street = 'promoted' where file_no = 'HK000001'"]).await?;
    let (code, said) = world.run(&CONNECT)?;
    ensure!(code == Some(0) && said.matches("in which nothing is missing").count() == 1, "{code:?} {said}");
    world.equal().await?;
    let (_, said) = world.run(&CONNECT)?;
    ensure!(!said.contains("another lineage"), "it is on record: {said}");
    world.refused("nothing differs from what was published")?;

    // Another standby, promoted before all that was read: it has not what was published since, and a history of its own.
    late.stop().await?;
    promoted.stop().await?;
    let mut behind = promoted.copy()?;
    promoted.restart().await?;
    world.sql(&["insert into residence values ('HKlost', '001090099997', 'lost')"]).await?;
    world.equal().await?;
    behind.into_standby()?;
    behind.restart().await?;
    behind.promote().await?;
    instead(&mut world, &behind)?;
    world.sql(&["update residence set street = 'behind' where file_no = 'HK000002'"]).await?;
    // As far as the other one came: the place alone says nothing.
    behind.run(&["select pg_switch_wal()", "checkpoint"]).await?;
    world.stops(&[
        "is on timeline 3, which left timeline 2 at 0/",
        "public.residence from there to 0/",
        COMMAND,
    ])?;
    world.mended(1).await?;

    late.restart().await?;
    late.run(&["select pg_switch_wal()", "select pg_switch_wal()", "create table t (x int)", "checkpoint"])
        .await?;
    instead(&mut world, &late)?;
    world.stops(&["timeline 2, which does not come from timeline 3", COMMAND])?;
    world.mended(1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_restored_from_a_backup_stops_the_connector_until_it_is_accepted() -> Result<()> {
    let mut server = PrivatePostgres::start(&[]).await?;
    let mut world = World::on(&server).await?;
    server.stop().await?;
    let mut backup = server.copy()?;
    server.restart().await?;
    for round in 0..40 {
        world.sql(&[&format!("update residence set street = repeat('{round}', 100)")]).await?;
    }
    world.sql(&["insert into residence values ('HKlost', '001090099997', 'lost')"]).await?;
    world.equal().await?;
    backup.restart().await?;
    instead(&mut world, &backup)?;
    world.sql(&["update residence set street = 'restored' where file_no = 'HK000002'"]).await?;
    let words = ["set back to an earlier state", "changes of public.residence", "from 0/", COMMAND];
    world.stops(&words)?;
    // Its log grows past what was read: places alone say nothing now.
    for _ in 0..3 {
        world.sql(&["select pg_switch_wal()::text", "update residence set street = 'more'"]).await?;
    }
    world.stops(&words)?;
    world.mended(1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_is_accepted_for_every_kind_of_source() -> Result<()> {
    // From one server's log to another server, which has the rows and nothing else.
    let (server, other) = (PrivatePostgres::start(&[]).await?, PrivatePostgres::start(&[]).await?);
    let mut world = World::on(&server).await?;
    instead(&mut world, &other)?;
    let mut owner = Residents::create(&other.url()).await?;
    owner.log_whole_rows().await?;
    owner.insert(3).await?;
    world.site.succeed(&PREPARE)?;
    world.stops(&["system_identifier was", "changes of residence from the last checkpoint on", COMMAND])?;
    world.mended(2).await?;

    // An outbox that was taken out and made anew, in both kinds of databases.
    let folder = tempfile::tempdir()?;
    let database = lienthong_testkit::postgres::TestDatabase::create().await?;
    let file = format!("sqlite:{}", folder.path().join("owner.db").display());
    drop(Database::open(&file).await?);
    for (url, part) in [(database.url(), "outbox was"), (&file, "outbox_created was")] {
        let mut world = World::new(url, false).await?;
        world.refused("nothing differs from what was published")?;
        world.site.succeed(&["connect", PARTICIPANT, "--unprepare"])?;
        world.sql(&["update residence set street = 'gap' where file_no = 'HK000001'"]).await?;
        world.sql(&["delete from residence where file_no = 'HK000002'"]).await?;
        world.site.succeed(&PREPARE)?;
        world.stops(&[part, COMMAND])?;
        world.mended(1).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_accepted_before_something_was_published_or_while_another_connector_holds_the_source()
-> Result<()> {
    let server = PrivatePostgres::start(&[]).await?;
    let world = World::on(&server).await?;
    let mut holder = world.site.start(&["connect", PARTICIPANT])?;
    let held = async || {
        let sql = "select active::text from pg_replication_slots";
        Ok(Database::open(&world.url).await?.rows(sql).await? == [[Some("true".to_owned())]])
    };
    lienthong_testkit::eventually(std::time::Duration::from_secs(20), held).await?;
    for command in [&CONNECT[..], &ACCEPT[..]] {
        let (code, said) = world.run(&[command, &["--timeout", "1"]].concat())?;
        let holder = "lienthong connector mps.residence";
        ensure!(
            code == Some(4) && said.contains(holder) && said.contains("server process"),
            "{code:?} {said}"
        );
    }
    holder.kill()?;
    holder.wait()?;
    let fresh = tempfile::tempdir()?;
    let file = format!("sqlite:{}", fresh.path().join("owner.db").display());
    let site = Site::residence(Engine::Embedded, &file, &world.subscriber)?;
    Residents::create(&file).await?;
    for step in [&["topics", "create"][..], &["schema", "register"], &PREPARE] {
        site.succeed(step)?;
    }
    let output = site.run(&ACCEPT)?;
    let said = String::from_utf8(output.stderr)?;
    ensure!(output.status.code() == Some(3) && said.contains("nothing has been published yet"), "{said}");
    Ok(())
}
