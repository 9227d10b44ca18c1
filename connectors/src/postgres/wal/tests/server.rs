//! A real server's stream: what `pgoutput` gives, asked for by SQL, in both forms.

use lienthong_testkit::postgres::TestDatabase;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::super::SETTINGS;
use super::super::types::{DESCRIBE, Described, Types};

/// The form of values that a stream is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Text,
    Binary,
}

/// A database with a publication of all its tables and a slot for each form.
pub(super) struct Server {
    /// Whoever owns the tables; writes values in other ways.
    owner: PgConnection,
    /// A session with the settings of a stream, over whatever an administrator may have set.
    pub(super) stream: PgConnection,
    /// Ends after the session that holds its slots.
    database: TestDatabase,
}

const ODD: [(&str, &str); 5] = [
    ("timezone", "'Asia/Ho_Chi_Minh'"),
    ("datestyle", "'German'"),
    ("intervalstyle", "'sql_standard'"),
    ("extra_float_digits", "-5"),
    ("bytea_output", "'escape'"),
];

impl Server {
    /// `setup` runs first.
    pub(super) async fn new(setup: &[String]) -> Self {
        let database = TestDatabase::create().await.expect("a database");
        let mut owner = PgConnection::connect(database.url()).await.expect("a connection");
        let mut stream = PgConnection::connect(database.url()).await.expect("a connection");
        for (name, value) in ODD {
            let sql = format!("set {name} = {value}");
            for conn in [&mut owner, &mut stream] {
                run(conn, &sql).await;
            }
        }
        for (name, value) in SETTINGS {
            run(&mut stream, &format!("select set_config('{name}', '{value}', false)")).await;
        }
        for sql in setup {
            run(&mut owner, sql).await;
        }
        run(&mut owner, "create publication everything for all tables").await;
        let mut server = Self { owner, stream, database };
        for asked in [Asked::Text, Asked::Binary] {
            let sql = format!(
                "select pg_create_logical_replication_slot('{}', 'pgoutput', true)",
                server.slot(asked)
            );
            run(&mut server.stream, &sql).await;
        }
        server
    }

    fn slot(&self, asked: Asked) -> String {
        format!("{}_{}", self.database.name(), if asked == Asked::Binary { "b" } else { "t" })
    }

    /// Runs a statement of the owner.
    pub(super) async fn run(&mut self, sql: &str) {
        run(&mut self.owner, sql).await;
    }

    /// What has been committed since the last time, message by message.
    pub(super) async fn messages(&mut self, asked: Asked) -> Vec<Vec<u8>> {
        let sql = format!(
            "select data from pg_logical_slot_get_binary_changes('{}', null, null, \
             'proto_version', '1', 'publication_names', 'everything', 'messages', 'true', 'binary', '{}')",
            self.slot(asked),
            asked == Asked::Binary
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut self.stream).await.expect("the stream");
        rows.iter().map(|row| row.get("data")).collect()
    }

    /// What the catalogue says of types.
    pub(super) async fn types(&mut self, oids: &[u32]) -> Types {
        let oids: Vec<i64> = oids.iter().map(|oid| i64::from(*oid)).collect();
        let rows = sqlx::query(DESCRIBE).bind(oids).fetch_all(&mut self.stream).await.expect("types");
        let oid = |row: &sqlx::postgres::PgRow, name| u32::try_from(row.get::<i64, _>(name)).expect("an oid");
        let rows = rows.iter().map(|row| Described {
            oid: oid(row, "oid"),
            name: row.get("name"),
            kind: row.get("kind"),
            base: oid(row, "base"),
            element: oid(row, "element"),
            delimiter: row.get::<String, _>("delimiter").as_bytes()[0],
            unreadable: row.get("unreadable"),
        });
        Types::new(&rows.collect::<Vec<_>>())
    }

    /// The slots must be gone before their database can be dropped.
    pub(super) async fn close(mut self) {
        for asked in [Asked::Text, Asked::Binary] {
            let sql = format!("select pg_drop_replication_slot('{}')", self.slot(asked));
            run(&mut self.stream, &sql).await;
        }
        self.stream.close().await.expect("the end of a session");
        self.owner.close().await.expect("the end of a session");
    }
}

async fn run(conn: &mut PgConnection, sql: &str) {
    sqlx::query(AssertSqlSafe(sql.to_owned())).execute(conn).await.expect("a statement");
}
