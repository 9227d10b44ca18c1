//! A site with one publisher and one subscriber, and the release binary's processes on it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use lienthong_testkit::database::Database;
use tempfile::TempDir;

/// The publisher.
pub(crate) const PARTICIPANT: &str = "mps.residence";

/// Versions in the ledger.
pub(crate) const LEDGER: &str = "ledger";
/// Versions in a column of the row.
pub(crate) const COLUMN: &str = "{column: lienthong_version}";

const OUTBOX: &str = "{mode: outbox, table: lienthong_outbox}";

const TABLE: &str = "create table residence (residence_file_no text primary key, pin text, household_id text,
    relation_to_head text, province_code text, district_code text, commune_code text, street text, unit_version date,
    valid_from date not null)";
const COPY: &str = "create table resident (file_no text primary key, pin text, household text, relation text,
    province text, district text, commune text, street text, unit_version date, valid_from date)";

const MINISTRY: &str = r#"participant: mps.residence
organisation: Ministry of Public Security
source: {kind: KIND, url: "URL", capture: CAPTURE}
publishes:
  - event: residence.permanent.registered
    from: {table: residence, key: [residence_file_no]}
    fields:
      residence_file_no: residence_file_no
      pin: pin
      household_id: household_id
      relation_to_head: relation_to_head
      address.province_code: province_code
      address.district_code: district_code
      address.commune_code: commune_code
      address.street: street
      address.unit_version: unit_version
      valid_from: valid_from
"#;

const AGREEMENT: &str = r#"agreement: mps.population/2026-01
subscriber: mps.population
purpose: P1
legal_basis: "Decree 154/2024/ND-CP"
valid: {from: 2026-01-01, until: 2099-12-31}
target: {kind: KIND, url: "URL"}
delivers:
  - event: residence.permanent.registered
    fields: [residence_file_no, pin, household_id, relation_to_head, address, valid_from]
    into:
      table: resident
      key: [file_no]
      columns: {file_no: residence_file_no, pin: pin, household: household_id, relation: relation_to_head, province: address.province_code, district: address.district_code, commune: address.commune_code, street: address.street, unit_version: address.unit_version, valid_from: valid_from}
      version: VERSION
    on_revoked: hard
"#;

/// A site in a folder of its own.
pub(crate) struct Fleet {
    folder: TempDir,
    /// Publisher's URL.
    pub(crate) publisher: String,
    /// Subscriber's URL.
    pub(crate) subscriber: String,
}

impl Fleet {
    /// Tables, keys, topics, schemas, outbox: everything before the first event.
    pub(crate) async fn create(log: &str, publisher: &str, subscriber: &str, version: &str) -> Result<Self> {
        Database::open(publisher).await?.run(&[TABLE.to_owned()]).await?;
        Self::on(log, (publisher, OUTBOX), subscriber, version).await
    }

    /// The same over a publisher's table that is there already, captured as `capture` says.
    pub(crate) async fn on(
        log: &str,
        (publisher, capture): (&str, &str),
        subscriber: &str,
        version: &str,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let fleet = Self { folder, publisher: publisher.to_owned(), subscriber: subscriber.to_owned() };
        let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/avro").canonicalize()?;
        let yaml = format!(
            "site: vn.bench\nlog: \"{log}\"\nkeys: {{subject: \"${{file:secrets/subject.key}}\", seal: \"${{file:secrets/seal.key}}\"}}\n\
             paths: {{schemas: {}, ministries: ministries, agreements: agreements}}\n",
            schemas.display()
        );
        for part in ["ministries", "agreements", "var"] {
            std::fs::create_dir(fleet.path(part))?;
        }
        std::fs::write(fleet.path("lienthong.yaml"), yaml)?;
        let fill = |text: &str, url: &str| {
            let kind = if url.starts_with("sqlite") { "sqlite" } else { "postgres" };
            text.replace("KIND", kind)
                .replace("URL", url)
                .replace("VERSION", version)
                .replace("CAPTURE", capture)
        };
        std::fs::write(fleet.path("ministries/mps.residence.yaml"), fill(MINISTRY, publisher))?;
        std::fs::write(fleet.path("agreements/mps.population.yaml"), fill(AGREEMENT, subscriber))?;
        let mut target = Database::open(subscriber).await?;
        target.run(&[COPY.to_owned()]).await?;
        if version != LEDGER {
            target.run(&["alter table resident add column lienthong_version text".to_owned()]).await?;
        }
        for step in [
            &["keys", "new"][..],
            &["check"],
            &["topics", "create"],
            &["schema", "register"],
            &["connect", PARTICIPANT, "--prepare"],
            &["route", "--prepare"],
        ] {
            fleet.run(step)?;
        }
        Ok(fleet)
    }

    /// A path inside the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<()> {
        let output = self.command(arguments)?.output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.success(),
            "lienthong {} ended with {}: {said}",
            arguments.join(" "),
            output.status
        );
        Ok(())
    }

    /// Starts a service.
    pub(crate) fn start(&self, arguments: &[&str]) -> Result<Service> {
        let child = self.command(arguments)?.stdout(Stdio::null()).spawn()?;
        Ok(Service { child })
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let bench = std::env::current_exe()?;
        let binary = bench.parent().context("the bench lies in a folder")?.join("lienthong");
        ensure!(binary.exists(), "{} is missing: `make bench` builds it", binary.display());
        let mut command = Command::new(binary);
        command.arg("--site").arg(self.folder.path()).args(arguments).env_remove("LIENTHONG_LOG");
        Ok(command)
    }
}

/// A running service; killed when dropped, which is safe at any instant.
pub(crate) struct Service {
    child: Child,
}

impl Service {
    /// CPU seconds so far.
    pub(crate) fn cpu(&self) -> f64 {
        crate::proc::cpu_of(self.child.id())
    }

    /// Largest resident size so far, MiB.
    pub(crate) fn peak(&self) -> f64 {
        crate::proc::peak_of(self.child.id())
    }

    /// Whether it still runs; fails when it ended otherwise than well.
    pub(crate) fn runs(&mut self) -> Result<bool> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none_or(|status| status.success()), "a service ended with {ended:?}");
        Ok(ended.is_none())
    }

    /// Fails when the service has ended by itself.
    pub(crate) fn ensure_running(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "a service ended with {ended:?}");
        Ok(())
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A row of the publisher's table, of about 350 bytes.
pub(crate) fn row(n: u64) -> [String; 10] {
    [
        format!("HK{n:010}"),
        format!("001{:09}", n % 100_000_000),
        format!("hộ-{n:08}"),
        "con ruột của chủ hộ".to_owned(),
        "01".to_owned(),
        "001".to_owned(),
        "00004".to_owned(),
        format!("Số {n} ngõ 12 đường Nguyễn Trãi, tổ dân phố số 7, khu dân cư Bắc Linh Đàm mở rộng"),
        "2025-06-30".to_owned(),
        format!("2026-03-0{}", n % 9 + 1),
    ]
}

/// Inserts one [`row`]: planned once, as applications do.
pub(crate) fn insert(url: &str) -> String {
    // A text is a date to SQLite, and must be made one for PostgreSQL.
    let date = if url.starts_with("sqlite") { "" } else { "::text::date" };
    format!("insert into residence values ($1, $2, $3, $4, $5, $6, $7, $8, $9{date}, $10{date})")
}

/// Rows `first..first + count`, as one insert statement per thousand.
pub(crate) fn inserts(first: u64, count: u64) -> Vec<String> {
    let literal = |n: u64| format!("('{}')", row(n).join("','"));
    let numbers: Vec<u64> = (first..first + count).collect();
    numbers
        .chunks(1_000)
        .map(|some| {
            let rows: Vec<String> = some.iter().map(|n| literal(*n)).collect();
            format!("insert into residence values {}", rows.join(","))
        })
        .collect()
}
