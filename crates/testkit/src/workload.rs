//! A random workload on PostgreSQL tables: several sessions whose transactions overlap, with savepoints, subtransactions, two-phase
//! commit, large values, changed keys and changes of the tables themselves that a captured table must bear.

use anyhow::{Context as _, Result};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// Columns of each of the workload's tables, the key first.
pub const COLUMNS: [&str; 3] = ["file_no", "pin", "street"];

/// Sessions at work.
const SESSIONS: usize = 4;
/// Different keys of a table; few, so that they meet.
const KEYS: u32 = 40;
/// How long a statement waits for a row that another session has; only that one's step could free it.
const PATIENCE: &str = "set lock_timeout = '10ms'";
/// What ends a transaction of one session when another one is in its way: a lock, a deadlock, a key that is taken, a prepared
/// transaction that has ended already, a table that was changed meanwhile.
const IN_THE_WAY: [&str; 6] = ["55P03", "40P01", "23505", "42704", "55006", "40001"];

#[derive(Default)]
struct Session {
    connection: Option<PgConnection>,
    open: bool,
    savepoints: u32,
}

/// What has happened, for tests that want to know whether anything has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Transactions of several statements, committed.
    pub commits: u32,
    /// The same, taken back as a whole.
    pub rollbacks: u32,
    /// Prepared for a commit in two phases.
    pub prepared: u32,
    /// Changes of a table's form.
    pub tables_changed: u32,
    /// Large values that were to be written.
    pub large: u32,
    /// Statements that another session kept from being done.
    pub in_the_way: u32,
    /// Connections that broke.
    pub broken: u32,
}

/// The sessions and their seed.
pub struct Workload {
    url: String,
    tables: Vec<String>,
    large: u32,
    seed: u64,
    random: StdRng,
    sessions: Vec<Session>,
    /// A session that keeps its transaction open until [`Workload::let_go`].
    held: Option<usize>,
    prepared: Vec<String>,
    stamp: u32,
    /// What has happened so far.
    pub done: Done,
}

/// How a table of the workload is made.
#[must_use]
pub fn create_table(name: &str) -> String {
    format!(
        "create table {name} (file_no text primary key, pin text not null, street text not null);
         alter table {name} alter column street set storage external"
    )
}

impl Workload {
    /// A workload on tables of the form of [`create_table`]; `large` is the length of its large values, in characters of
    /// three bytes. Rows of more than two kilobytes keep them beside the table.
    #[must_use]
    pub fn new(url: &str, tables: &[&str], large: u32, seed: u64) -> Self {
        Self {
            url: url.to_owned(),
            tables: tables.iter().map(|&table| table.to_owned()).collect(),
            large,
            seed,
            random: StdRng::seed_from_u64(seed),
            sessions: (0..SESSIONS).map(|_| Session::default()).collect(),
            held: None,
            prepared: Vec::new(),
            stamp: 0,
            done: Done::default(),
        }
    }

    /// One statement of one session.
    ///
    /// # Errors
    /// What no other session's work explains. A connection that breaks is no error: the session begins anew.
    pub async fn step(&mut self) -> Result<()> {
        let at = self.random.random_range(0..SESSIONS);
        if self.held == Some(at) {
            return self.change(at).await;
        }
        if self.sessions[at].open { self.go_on(at).await } else { self.begin(at).await }
    }

    async fn begin(&mut self, at: usize) -> Result<()> {
        match self.random.random_range(0..100) {
            0..15 if !self.prepared.is_empty() => {
                let which = self.random.random_range(0..self.prepared.len());
                let gid = self.prepared.swap_remove(which);
                let how = if self.random.random_ratio(2, 3) { "commit" } else { "rollback" };
                self.run(at, &format!("{how} prepared '{gid}'")).await.map(drop)
            }
            0..24 => self.change_table(at).await,
            24..36 => self.change(at).await,
            _ => {
                self.sessions[at].open = self.run(at, "begin").await?;
                self.change(at).await
            }
        }
    }

    async fn go_on(&mut self, at: usize) -> Result<()> {
        let savepoints = self.sessions[at].savepoints;
        match self.random.random_range(0..100) {
            0..10 => {
                self.sessions[at].savepoints += 1;
                self.run(at, &format!("savepoint s{savepoints}")).await.map(drop)
            }
            10..20 if savepoints > 0 => {
                let to = self.random.random_range(0..savepoints);
                let word = if self.random.random_ratio(2, 3) { "rollback to" } else { "release" };
                self.sessions[at].savepoints = if word == "release" { to } else { to + 1 };
                self.run(at, &format!("{word} s{to}")).await.map(drop)
            }
            20..23 => self.subtransactions(at).await,
            23 => self.change_table(at).await,
            24..35 => self.end(at, "commit").await,
            35..38 => self.end(at, "rollback").await,
            38..41 => {
                self.stamp += 1;
                // Names are the whole server's.
                let gid = format!("lt {} {}", self.seed, self.stamp);
                if self.run(at, &format!("prepare transaction '{gid}'")).await? {
                    self.prepared.push(gid);
                    self.done.prepared += 1;
                }
                (self.sessions[at].open, self.sessions[at].savepoints) = (false, 0);
                Ok(())
            }
            _ => self.change(at).await,
        }
    }

    async fn end(&mut self, at: usize, how: &str) -> Result<()> {
        (self.sessions[at].open, self.sessions[at].savepoints) = (false, 0);
        if self.run(at, how).await? {
            let count = if how == "commit" { &mut self.done.commits } else { &mut self.done.rollbacks };
            *count += 1;
        }
        Ok(())
    }

    /// Opens a transaction that goes on until [`Self::let_go`].
    ///
    /// # Errors
    /// As [`Self::step`].
    pub async fn hold(&mut self) -> Result<()> {
        self.end(0, "rollback").await?;
        self.sessions[0].open = self.run(0, "begin").await?;
        self.change(0).await?;
        self.held = Some(0);
        Ok(())
    }

    /// The transaction of [`Self::hold`] may end like any other.
    pub fn let_go(&mut self) {
        self.held = None;
    }

    /// Ends every transaction, prepared ones too.
    ///
    /// # Errors
    /// As [`Self::step`].
    pub async fn settle(&mut self) -> Result<()> {
        self.held = None;
        for at in 0..SESSIONS {
            let how = if self.random.random() { "commit" } else { "rollback" };
            if self.sessions[at].open {
                self.end(at, how).await?;
            }
        }
        // Where a connection broke, nobody knows whether its transaction was prepared.
        let sql = "select gid from pg_prepared_xacts where database = current_database()";
        let asked = self.connection(0).await?.fetch_all(sql).await?;
        for row in asked {
            let gid: String = sqlx::Row::try_get(&row, 0)?;
            let how = if self.random.random() { "commit" } else { "rollback" };
            self.run(0, &format!("{how} prepared '{gid}'")).await?;
        }
        self.prepared.clear();
        Ok(())
    }

    fn key(&mut self) -> String {
        format!("HK{:06}", self.random.random_range(0..KEYS))
    }

    fn table(&mut self) -> String {
        self.tables[self.random.random_range(0..self.tables.len())].clone()
    }

    /// A text that was never there before, one of ten so large that it is stored beside its row.
    fn street(&mut self) -> String {
        self.stamp += 1;
        let large = self.random.random_ratio(1, 10);
        self.done.large += u32::from(large);
        let times = if large { self.large } else { 0 };
        format!("'{:08}' || repeat('ế', {times})", self.stamp)
    }

    /// Rows that nobody else has under way.
    fn free(&mut self, table: &str, rows: u32) -> String {
        let from = self.key();
        format!(
            "file_no in (select file_no from {table} where file_no >= '{from}' order by 1 limit {rows} for update skip locked)"
        )
    }

    async fn change(&mut self, at: usize) -> Result<()> {
        let table = self.table();
        let pin = format!("0010900{:05}", self.random.random_range(0..KEYS));
        let sql = match self.random.random_range(0..12) {
            0..4 => {
                let (key, street) = (self.key(), self.street());
                let conflict = match self.random.random_range(0..4) {
                    0 => "",
                    1 => "on conflict (file_no) do update set street = excluded.street",
                    _ => "on conflict do nothing",
                };
                format!(
                    "insert into {table} (file_no, pin, street) values ('{key}', '{pin}', {street}) {conflict}"
                )
            }
            4..6 => {
                let street = self.street();
                format!("update {table} set street = {street} where {}", self.free(&table, 1))
            }
            6..8 => {
                // Large values stay as they are.
                let rows = self.random.random_range(1..6);
                format!("update {table} set pin = '{pin}' where {}", self.free(&table, rows))
            }
            8..10 => {
                let to = self.key();
                format!("update {table} set file_no = '{to}', pin = '{pin}' where {}", self.free(&table, 1))
            }
            _ => {
                let rows = self.random.random_range(1..4);
                format!("delete from {table} where {}", self.free(&table, rows))
            }
        };
        self.run(at, &sql).await.map(drop)
    }

    /// Some are more than a snapshot of the server names one by one.
    async fn subtransactions(&mut self, at: usize) -> Result<()> {
        let (table, street) = (self.table(), self.street());
        let count = if self.random.random_ratio(1, 5) { 70 } else { 4 };
        let sql = format!(
            "do $$ begin for i in 1..{count} loop begin
               update {table} set street = {street} || i where {};
               if i % 3 = 0 then raise exception 'taken back'; end if;
             exception when raise_exception then null; end; end loop; end $$",
            self.free(&table, 1)
        );
        self.run(at, &sql).await.map(drop)
    }

    async fn change_table(&mut self, at: usize) -> Result<()> {
        let (table, extra) = (self.table(), format!("extra{}", self.random.random_range(0..3)));
        let sql = match self.random.random_range(0..7) {
            0 => format!("alter table {table} add column if not exists {extra} text default 'x'"),
            // Writes the table anew.
            1 => format!(
                "alter table {table} add column if not exists {extra} text default md5(random()::text)"
            ),
            2..4 => format!("alter table {table} drop column if exists {extra}"),
            4 => format!("create index if not exists {table}_pin on {table} (pin)"),
            5 => format!("alter table {table} alter column pin set default 'none'"),
            _ => format!("alter table {table} alter column street set storage external"),
        };
        if self.run(at, &sql).await? {
            self.done.tables_changed += 1;
        }
        Ok(())
    }

    async fn connection(&mut self, at: usize) -> Result<&mut PgConnection> {
        let session = &mut self.sessions[at];
        let connection = match session.connection.take() {
            Some(connection) => connection,
            None => {
                let mut connection = PgConnection::connect(&self.url).await?;
                connection.execute(PATIENCE).await?;
                connection
            }
        };
        Ok(session.connection.insert(connection))
    }

    /// Whether the statement was done. One that fails because of another session takes its transaction back, or a part of it.
    async fn run(&mut self, at: usize, sql: &str) -> Result<bool> {
        let ran = self.connection(at).await?.execute(AssertSqlSafe(sql.to_owned())).await;
        let error = match ran {
            Ok(_) => return Ok(true),
            Err(error) => error,
        };
        let code = match &error {
            sqlx::Error::Database(told) => told.code().unwrap_or_default().into_owned(),
            _ => String::new(),
        };
        if code.is_empty() || code.starts_with("57P") {
            self.done.broken += 1;
            self.sessions[at] = Session::default();
            if self.held == Some(at) {
                self.held = None;
            }
            return Ok(false);
        }
        if !IN_THE_WAY.contains(&code.as_str()) {
            return Err(error).with_context(|| sql.to_owned());
        }
        self.done.in_the_way += 1;
        let session = &mut self.sessions[at];
        if session.open {
            let back = if session.savepoints > 0 {
                format!("rollback to s{}", session.savepoints - 1)
            } else if self.held == Some(at) {
                "rollback and chain".to_owned()
            } else {
                session.open = false;
                "rollback".to_owned()
            };
            let connection = self.connection(at).await?;
            if connection.execute(AssertSqlSafe(back)).await.is_err() {
                self.sessions[at] = Session::default();
            }
        }
        Ok(false)
    }
}
