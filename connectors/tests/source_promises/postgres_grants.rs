//! PostgreSQL's log read by a role that may see the captured columns and nothing else.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lienthong_connectors::{Database as Where, SourceConfig, open_source};
use lienthong_contract::source::{RowOp, SourceError, TableCapture};
use lienthong_testkit::eventually;

use crate::kind::Kind as _;
use crate::log_kind::{OnServer as _, PostgresLog};
use crate::publisher::{Publisher, Reader, capture, ops, row, secret};

type Log = Publisher<PostgresLog>;

const SETUP: [&str; 3] = [
    "create schema \"Hộ tịch\"",
    "create table \"Hộ tịch\".\"Người\" (id integer primary key, \"Họ tên\" text, secret text)",
    "insert into \"Hộ tịch\".\"Người\" select i, 'tên ' || i, 'MARKER' from generate_series(1, 7) i",
];
const COLUMNS: &str = "id, \"Họ tên\"";

fn person() -> Vec<TableCapture> {
    vec![capture("Hộ tịch.Người", &["id", "Họ tên"])]
}

/// The captured table, a role of its own, and what reads as that role.
async fn stage() -> Result<(Log, String, SourceConfig)> {
    let mut publisher = Log::new(&SETUP, person()).await?;
    let role = publisher.kind.0.0.create_role().await?;
    let url = publisher.kind.there().url_as(&role)?;
    let config = SourceConfig { database: Where::Postgres { url }, ..publisher.config.clone() };
    Ok((publisher, role, config))
}

/// Runs the very file, as an administrator does.
fn grant(publisher: &Log, role: &str, columns: &str) -> Result<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grants/postgres-capture.sql");
    let slot = publisher.kind.there().name().to_owned();
    let variables = [
        format!("role={role}"),
        "schema=Hộ tịch".to_owned(),
        "table=Người".to_owned(),
        format!("columns={columns}"),
        "publication=Lên mạng".to_owned(),
        format!("slot={slot}"),
    ];
    let mut psql = Command::new("psql");
    psql.arg("--no-psqlrc").arg(publisher.kind.url()).arg("-f").arg(file);
    for variable in variables {
        psql.arg("-v").arg(variable);
    }
    let output = psql.output().context("psql (Debian: postgresql-client)")?;
    let told = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    ensure!(output.status.success(), "{told:?}");
    Ok(told.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_see_the_captured_columns_alone_captures_from_end_to_end() -> Result<()> {
    let (mut publisher, role, config) = stage().await?;
    let told = grant(&publisher, &role, "id, secret")?;
    ensure!(
        told.contains("publication Lên mạng does not exist") && told.contains("replication slot"),
        "{told}"
    );
    publisher.prepare().await?;
    // Again is harmless, and takes back what is not named any more.
    let told = grant(&publisher, &role, COLUMNS)?;
    ensure!(!told.contains("does not exist"), "{told}");
    let sees = "select has_any_column_privilege($$ROLE$$, $$\"Hộ tịch\".\"Người\"$$, 'insert, update')::text, \
         has_column_privilege($$ROLE$$, $$\"Hộ tịch\".\"Người\"$$, 'secret', 'select')::text, \
         (select count(*) from pg_shdepend d join pg_roles r on r.oid = d.refobjid where r.rolname = $$ROLE$$ and d.deptype = 'o')::text";
    let rights = publisher.owner.rows(&sees.replace("ROLE", &role)).await?;
    assert_eq!(Some(rights[0].clone()), row(&["false", "false", "0"]));
    let mut reader = Reader::open(open_source(&config, person(), &secret()), None).await?;
    reader.poll(2).await?;
    publisher.run(&["update \"Hộ tịch\".\"Người\" set \"Họ tên\" = 'khác' where id = 2"]).await?;
    publisher.run(&["delete from \"Hộ tịch\".\"Người\" where id = 3"]).await?;
    reader.catch_up(2).await?;
    publisher.assert_replays(&reader).await?;
    ensure!(!format!("{:?}", reader.changes).contains("MARKER"));
    let end = reader.position();
    reader.source.forget(&end).await?;
    drop(reader);
    publisher.run(&["update \"Hộ tịch\".\"Người\" set id = 20 where id = 2"]).await?;
    let mut again = Reader::open(open_source(&config, person(), &secret()), Some(&end)).await?;
    assert_eq!(ops(&again.catch_up(2).await?), [RowOp::Delete, RowOp::Insert]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_right_that_is_missing_is_named_with_the_statement_that_gives_it() -> Result<()> {
    let (mut publisher, role, config) = stage().await?;
    publisher.prepare().await?;
    let ddl = publisher.admin().ddl().await?;
    let open = async || open_source(&config, person(), &secret()).open().await;
    let expected = [
        format!("alter role \"{role}\" replication"),
        format!("grant usage on schema \"Hộ tịch\" to \"{role}\""),
        format!("grant select (\"id\", \"Họ tên\") on table \"Hộ tịch\".\"Người\" to \"{role}\""),
    ];
    for (at, statement) in expected.iter().enumerate() {
        // The server gives the lock of the one before back only when it notices that it has gone.
        let mut told = None;
        eventually(Duration::from_secs(10), async || {
            told = Some(open().await);
            Ok(!matches!(told, Some(Err(SourceError::Held { .. }))))
        })
        .await?;
        match told.context("a refusal")? {
            Err(SourceError::NotPrepared { fix, .. }) => {
                for (of, other) in expected.iter().enumerate() {
                    ensure!(fix.contains(other) == (of >= at), "{other}: {fix}");
                }
            }
            other => bail!("{other:?}"),
        }
        // What is printed for the administrator says the same, whoever the role is.
        let printed = statement.replace(&format!("\"{role}\""), "<connector>").replace("on table", "on");
        ensure!(ddl.contains(&format!("-- {printed};\n")), "{printed}: {ddl}");
        publisher.run(&[statement]).await?;
    }
    eventually(Duration::from_secs(10), async || Ok(open().await.is_ok())).await?;
    publisher
        .run(&[&format!("revoke select (\"Họ tên\") on table \"Hộ tịch\".\"Người\" from \"{role}\"")])
        .await?;
    eventually(Duration::from_secs(10), async || match open().await {
        Err(SourceError::NotPrepared { problem, fix }) => {
            ensure!(problem.contains("may not select Họ tên of Hộ tịch.Người"), "{problem}");
            Ok(fix.contains("grant select (\"Họ tên\")"))
        }
        _ => Ok(false),
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_with_a_list_of_columns_is_taken_when_it_lacks_nothing() -> Result<()> {
    let (mut publisher, role, config) = stage().await?;
    grant(&publisher, &role, COLUMNS)?;
    let listed =
        |columns: &str| format!("alter publication \"Lên mạng\" set table \"Hộ tịch\".\"Người\" ({columns})");
    publisher.prepare().await?;
    publisher.run(&[&listed("id")]).await?;
    let refused = async |parts: &[&str], tables: Vec<TableCapture>| {
        let mut text = String::new();
        eventually(Duration::from_secs(10), async || {
            let told = open_source(&config, tables.clone(), &secret()).open().await;
            text = told.err().context("a refusal")?.to_string();
            Ok(!text.contains("another connector holds"))
        })
        .await?;
        ensure!(parts.iter().all(|part| text.contains(part)), "{text}");
        Ok(())
    };
    refused(&["only some columns of Hộ tịch.Người", "replica identity full"], person()).await?;
    publisher
        .run(&[
            "create unique index id_and_name on \"Hộ tịch\".\"Người\" (id, \"Họ tên\")",
            "alter table \"Hộ tịch\".\"Người\" alter column \"Họ tên\" set not null",
            "alter table \"Hộ tịch\".\"Người\" replica identity using index id_and_name",
        ])
        .await?;
    refused(&["has Hộ tịch.Người without Họ tên"], person()).await?;
    publisher.run(&[&listed(COLUMNS)]).await?;
    let mut reader = Reader::open(open_source(&config, person(), &secret()), None).await?;
    publisher.run(&["update \"Hộ tịch\".\"Người\" set secret = 'MARKER 2'"]).await?;
    publisher.run(&["update \"Hộ tịch\".\"Người\" set \"Họ tên\" = 'khác' where id = 2"]).await?;
    reader.catch_up(10).await?;
    publisher.assert_replays(&reader).await?;
    ensure!(!format!("{:?}", reader.changes).contains("MARKER"));
    Ok(())
}
