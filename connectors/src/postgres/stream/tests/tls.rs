//! Both connections over TLS and by SCRAM: what is verified, and how it is told when it is not as it should be.

use std::path::Path;

use anyhow::{Context as _, ensure};
use lienthong_contract::source::SourceError;
use lienthong_testkit::certificates::Authority;
use lienthong_testkit::private_postgres::PrivatePostgres;
use tempfile::TempDir;

use super::super::connection::{Form, Stream};
use super::super::setup::LogNames;
use super::super::silence::Silence;
use super::*;

/// In no error.
const PASSWORD: &str = "m4tKh4u-38617402";

struct Secure {
    server: PrivatePostgres,
    database: TestDatabase,
    owner: PgConnection,
    authority: Authority,
    folder: TempDir,
}

impl Secure {
    /// Five rows, prepared, and a role that may read them.
    async fn new() -> Result<Self> {
        let mut server = PrivatePostgres::start(&[]).await?;
        let (authority, folder) = (Authority::new("ours")?, tempfile::tempdir()?);
        std::fs::write(folder.path().join("ours.pem"), authority.certificate())?;
        std::fs::write(folder.path().join("another.pem"), Authority::new("another")?.certificate())?;
        server.secure(&authority, &["localhost"]).await?;
        let database = TestDatabase::create_on(&server.url()).await?;
        let (mut owner, _) = prepared(&database, database.url(), 5).await?;
        let role = format!("create role connector login replication password '{PASSWORD}'");
        owner.execute(sqlx::AssertSqlSafe(role)).await?;
        owner.execute("grant select (id, rev) on person to connector").await?;
        Ok(Self { server, database, owner, authority, folder })
    }

    fn url(&self, host: &str, password: &str, more: &str) -> Result<String> {
        let address = self.server.address();
        let (_, port) = address.rsplit_once(':').context("a port")?;
        Ok(format!("postgres://connector:{password}@{host}:{port}/{}?{more}", self.database.name()))
    }

    /// What verifies by this authority.
    fn full(&self, authority: &str) -> String {
        let file = |path: &Path| path.display().to_string();
        let path = file(&self.folder.path().join(authority));
        format!("sslmode=verify-full&sslrootcert={path}")
    }

    fn source(&self, url: &str) -> LogSource {
        let columns = ["id", "rev"].map(str::to_owned).to_vec();
        let tables = vec![TableCapture::new("person", columns[..1].to_vec(), columns)];
        let names = (self.database.name(), "published");
        LogSource::new("moj", url, names, tables, &HashKey::new([1; 32]))
    }

    /// Why the source does not open, and why the replication connection by itself would not.
    async fn refused(&self, url: &str) -> Result<[String; 2]> {
        let told = |error: SourceError| match error {
            SourceError::Unreachable { reason, .. } => Ok(reason),
            other => Err(other),
        };
        let Err(first) = self.source(url).open().await else { anyhow::bail!("it opens") };
        let (slot, publication) = (self.database.name().to_owned(), "published".to_owned());
        let names = LogNames { slot, publication };
        let stream = Stream::open("moj", (url, &names, Silence::USUAL), (0, 0), Form::Text).await;
        let Err(second) = stream else { anyhow::bail!("the stream opens") };
        let reasons = [told(first)?, told(second)?];
        ensure!(!reasons.concat().contains(PASSWORD) && !reasons.concat().contains("wr0ng"), "{reasons:?}");
        Ok(reasons)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_connections_verify_the_server_and_log_in_by_scram() -> Result<()> {
    let mut this = Secure::new().await?;
    let mut source = this.source(&this.url("localhost", PASSWORD, &this.full("ours.pem"))?);
    source.open().await?;
    source.seek(None).await?;
    assert_eq!(rest(&mut source, 100).await?.len(), 5);
    this.owner.execute("update person set rev = 1 where id = 1").await?;
    assert_eq!(rest(&mut source, 100).await?, [(RowOp::Update, 1)]);
    let how = "select count(*), count(*) filter (where s.ssl), (select a.rolpassword like 'SCRAM-SHA-256$%' from pg_authid a
         where a.rolname = 'connector') from pg_stat_activity p join pg_stat_ssl s using (pid) where p.usename = 'connector'";
    let (all, secure, scram): (i64, i64, bool) = sqlx::query_as(how).fetch_one(&mut this.owner).await?;
    assert_eq!((all, secure, scram), (2, 2, true), "both connections");
    drop(source);

    let cases = [
        ("localhost", PASSWORD, this.full("another.pem"), "an authority that is not trusted"),
        ("127.0.0.1", PASSWORD, this.full("ours.pem"), "is for another host"),
        ("localhost", "wr0ng", this.full("ours.pem"), "SQLSTATE 28P01 (the server does not let this user in"),
        ("localhost", PASSWORD, "sslmode=disable".to_owned(), "SQLSTATE 28000"),
    ];
    for (host, password, more, expected) in cases {
        let [first, second] = this.refused(&this.url(host, password, &more)?).await?;
        ensure!(first.contains(expected), "{expected}: {first}");
        let known = expected.contains("SQLSTATE");
        ensure!(
            second.contains(if known { "SQLSTATE 28" } else { "TLS handshake failed" }),
            "{expected}: {second}"
        );
    }

    // An address is compared with the certificate like a name.
    this.server.secure(&this.authority, &["127.0.0.1"]).await?;
    let mut source = this.source(&this.url("127.0.0.1", PASSWORD, &this.full("ours.pem"))?);
    source.open().await?;
    source.seek(None).await?;
    assert_eq!(rest(&mut source, 100).await?.len(), 6, "the slot was never let go");
    drop(source);
    let [first, _] = this.refused(&this.url("localhost", PASSWORD, &this.full("ours.pem"))?).await?;
    ensure!(first.contains("is for another host"), "{first}");
    Ok(())
}
