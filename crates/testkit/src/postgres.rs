//! A PostgreSQL database for one test, inside the shared server.

use anyhow::{Context as _, Result};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

/// A database with a name of its own; dropping this removes it, and the roles made through it, whoever is still connected.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    admin_url: String,
    roles: Vec<String>,
}

impl TestDatabase {
    /// Creates an empty database (UTF-8, nothing from `template1`).
    ///
    /// # Errors
    /// When the server does not answer or refuses.
    pub async fn create() -> Result<Self> {
        Self::create_on(&crate::env::postgres()).await
    }

    /// As [`Self::create`], inside another server: the URL is a superuser's.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub async fn create_on(admin_url: &str) -> Result<Self> {
        let admin_url = admin_url.to_owned();
        let name = unique("lt_test");
        run(&admin_url, &[format!("create database {name} template template0")]).await?;
        let url = with_database(&admin_url, &name)?;
        Ok(Self { name, url, admin_url, roles: Vec::new() })
    }

    /// URL of the database, as superuser.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// URL of the server's own database, for what concerns the whole server.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Creates a role that may log in and has no rights but those of everybody, and gives its name.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn create_role(&mut self) -> Result<String> {
        let role = unique("lt_role");
        run(&self.admin_url, &[format!("create role {role} login password '{role}'")]).await?;
        self.roles.push(role.clone());
        Ok(role)
    }

    /// URL of the database as a role made by [`Self::create_role`].
    ///
    /// # Errors
    /// When the server's URL has another form than `postgres://user@host/database`.
    pub fn url_as(&self, role: &str) -> Result<String> {
        let (scheme, rest) = self.url.split_once("://").context("a URL has a scheme")?;
        let (_, place) = rest.rsplit_once('@').unwrap_or(("", rest));
        Ok(format!("{scheme}://{role}:{role}@{place}"))
    }

    /// URL of the database through another address of the same server, such as a proxy's `127.0.0.1:40001`.
    ///
    /// # Errors
    /// When the server's URL has another form than `postgres://user@host/database`.
    pub fn url_through(&self, address: &str) -> Result<String> {
        let (start, _, end) = parts(&self.url)?;
        Ok(format!("{start}{address}{end}"))
    }

    /// `host:port` of the server.
    ///
    /// # Errors
    /// When the server's URL has another form than `postgres://user@host/database`.
    pub fn address(&self) -> Result<String> {
        let (_, address, _) = parts(&self.url)?;
        Ok(if address.contains(':') { address.to_owned() } else { format!("{address}:5432") })
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let mut statements =
            vec![drop_slots(&self.name), format!("drop database if exists {} with (force)", self.name)];
        statements.extend(self.roles.iter().map(|role| format!("drop role if exists {role}")));
        let url = self.admin_url.clone();
        // Drop is not async and may run inside a runtime: a thread with a runtime of its own does the work.
        let helper = std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(run(&url, &statements))
        });
        match helper.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("test database {} is left behind: {error:#}", self.name),
            Err(_panic) => eprintln!("test database {} is left behind", self.name),
        }
    }
}

/// A database cannot be dropped while it has a replication slot, whoever reads it.
#[must_use]
pub fn drop_slots(database: &str) -> String {
    format!(
        "do $$ begin for i in 1..500 loop \
         perform pg_terminate_backend(active_pid) from pg_replication_slots where database = '{database}' and active_pid is not null; \
         exit when not found; perform pg_sleep(0.01); end loop; \
         perform pg_drop_replication_slot(slot_name) from pg_replication_slots where database = '{database}'; end $$"
    )
}

async fn run(url: &str, statements: &[String]) -> Result<()> {
    let mut connection =
        PgConnection::connect(url).await.context("the PostgreSQL server of LIENTHONG_TEST_PG")?;
    for statement in statements {
        connection.execute(AssertSqlSafe(statement.clone())).await?;
    }
    connection.close().await?;
    Ok(())
}

fn unique(prefix: &str) -> String {
    let id = Uuid::new_v4().simple().to_string();
    format!("{prefix}_{}", &id[..16])
}

/// `postgres://user@`, `host:port`, `/database?options`.
fn parts(url: &str) -> Result<(&str, &str, &str)> {
    let scheme = url.find("://").context("a URL has a scheme")? + 3;
    let slash = url[scheme..].find('/').context("a URL names a database")? + scheme;
    let host = url[..slash].rfind('@').map_or(scheme, |at| at + 1);
    Ok((&url[..host], &url[host..slash], &url[slash..]))
}

fn with_database(url: &str, name: &str) -> Result<String> {
    let (start, address, end) = parts(url)?;
    let options = end.find('?').map_or("", |question| &end[question..]);
    Ok(format!("{start}{address}/{name}{options}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_change_in_one_part_only() -> Result<()> {
        let url = "postgres://u:p@h:5499/postgres?sslmode=disable";
        assert_eq!(with_database(url, "x")?, "postgres://u:p@h:5499/x?sslmode=disable");
        assert_eq!(parts(url)?.1, "h:5499");
        assert_eq!(with_database("postgres://h/a", "x")?, "postgres://h/x");
        Ok(())
    }

    #[tokio::test]
    async fn a_dropped_test_database_is_gone_though_somebody_is_connected() -> Result<()> {
        let database = TestDatabase::create().await?;
        let name = database.name().to_owned();
        let _connected = PgConnection::connect(database.url()).await?;
        drop(database);
        let mut admin = PgConnection::connect(&crate::env::postgres()).await?;
        let left: i64 = sqlx::query_scalar("select count(*) from pg_database where datname = $1")
            .bind(name)
            .fetch_one(&mut admin)
            .await?;
        assert_eq!(left, 0);
        Ok(())
    }
}
