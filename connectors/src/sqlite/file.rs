//! The database file: opening it, and noticing that another one has taken its place.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OpenFlags};

/// How long a statement waits for another connection's lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared.
const STATEMENTS: usize = 256;

/// Opens an existing file for reading and writing; never creates one, never changes its journal mode.
pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

/// Microseconds since 1970 UTC by this machine's clock, which is the clock of whoever writes the file.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// A table's name without the name of the one schema that a file has.
pub(super) fn plain(table: &str) -> &str {
    table.strip_prefix("main.").unwrap_or(table)
}

/// Which file lies under a path. A restored backup moved over the path is another one, while an open connection would go on
/// with the file that is no longer there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    path: PathBuf,
    #[cfg(unix)]
    file: (u64, u64),
}

impl Identity {
    /// The file that is under `path` now.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            Ok(Self { path: path.to_owned(), file: (metadata.dev(), metadata.ino()) })
        }
        #[cfg(not(unix))]
        Ok(Self { path: path.to_owned() })
    }

    /// Whether the same file is still there.
    pub(super) fn holds(&self) -> bool {
        Self::of(&self.path).is_ok_and(|now| now == *self)
    }
}

type Turns = Mutex<HashMap<Identity, Weak<Writers>>>;

/// The queue of this process's writers to one file. SQLite lets waiting writers sleep and look again, up to 100 ms each time, so
/// writers that know of each other go faster when they queue.
#[derive(Debug, Default)]
pub(super) struct Writers {
    turn: Mutex<()>,
    /// When one of them last waited in vain for a lock of another process, and how that was told.
    in_vain: Mutex<Option<(Instant, String)>>,
}

impl Writers {
    /// Does `work` when it is its turn. Whoever stood in the queue while somebody waited in vain has waited as well and is given the
    /// same reason: else each would wait anew, one after the other. `busy` knows a wait in vain by its reason.
    pub(super) fn in_turn<T, E>(
        &self,
        work: impl FnOnce() -> Result<T, E>,
        busy: impl Fn(&E) -> Option<String>,
        told: impl FnOnce(String) -> E,
    ) -> Result<T, E> {
        let asked = Instant::now();
        let _turn = locked(&self.turn);
        if let Some((_, reason)) = locked(&self.in_vain).as_ref().filter(|(at, _)| *at >= asked) {
            return Err(told(reason.clone()));
        }
        let done = work();
        if let Some(reason) = done.as_ref().err().and_then(busy) {
            *locked(&self.in_vain) = Some((Instant::now(), reason));
        }
        done
    }
}

/// The queue of a file.
pub(super) fn writers(identity: &Identity) -> Arc<Writers> {
    static TURNS: OnceLock<Turns> = OnceLock::new();
    let mut turns = locked(TURNS.get_or_init(Turns::default));
    if let Some(queue) = turns.get(identity).and_then(Weak::upgrade) {
        return queue;
    }
    turns.retain(|_, queue| queue.strong_count() > 0);
    let queue = Arc::default();
    turns.insert(identity.clone(), Arc::downgrade(&queue));
    queue
}

/// Waits for a lock; it guards nothing that a panic could have left half done.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The lock that keeps a second connector away from an outbox; the operating system lets go of it when the process ends.
#[derive(Debug)]
pub(super) struct OutboxLock {
    _file: File,
}

/// Why a lock was not taken.
#[derive(Debug)]
pub(super) enum NotLocked {
    /// Somebody has it; what is known of him.
    Held(String),
    /// The lock file cannot be made or locked.
    Io(io::Error),
}

impl OutboxLock {
    /// Takes the lock of `outbox` in the file `database`, for a holder called `name`.
    pub(super) fn take(database: &Path, outbox: &str, name: &str) -> Result<Self, NotLocked> {
        let path = lock_path(database, outbox).map_err(NotLocked::Io)?;
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = options.map_err(NotLocked::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The text is a help for people; a lock without one is as good.
                let known = file.read_to_string(&mut holder).is_ok() && !holder.is_empty();
                let holder = if known { holder.trim() } else { "unknown" };
                return Err(NotLocked::Held(format!("{holder}, lock file {}", path.display())));
            }
            Err(TryLockError::Error(error)) => return Err(NotLocked::Io(error)),
        }
        let told = file.set_len(0).and_then(|()| writeln!(file, "{name}, process {}", std::process::id()));
        told.map_err(NotLocked::Io)?;
        Ok(Self { _file: file })
    }
}

/// Beside the real file, so that two names of one file have one lock.
fn lock_path(database: &Path, outbox: &str) -> io::Result<PathBuf> {
    let mut path = fs::canonicalize(database)?.into_os_string();
    let outbox: String =
        outbox.chars().map(|c| if c.is_alphanumeric() || c == '_' { c } else { '-' }).collect();
    path.push(format!(".{outbox}.lock"));
    Ok(path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_held_by_one_and_names_its_holder() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = dir.path().join("a.db");
        fs::write(&database, "").expect("a file");
        let lock = OutboxLock::take(&database, "lienthong_outbox", "moj").expect("free");
        match OutboxLock::take(&database, "lienthong_outbox", "other") {
            Err(NotLocked::Held(holder)) => {
                assert!(holder.starts_with("moj, process "), "{holder}");
                assert!(holder.ends_with("a.db.lienthong_outbox.lock"), "{holder}");
            }
            other => panic!("{other:?}"),
        }
        drop(lock);
        OutboxLock::take(&database, "lienthong_outbox", "other").expect("free again");
    }

    #[test]
    fn a_file_moved_over_another_is_noticed() {
        let dir = tempfile::tempdir().expect("a directory");
        let (database, backup) = (dir.path().join("a.db"), dir.path().join("b.db"));
        fs::write(&database, "").expect("a file");
        fs::write(&backup, "").expect("a file");
        let identity = Identity::of(&database).expect("it is there");
        assert!(identity.holds());
        fs::rename(&backup, &database).expect("moved");
        assert!(!identity.holds());
        assert!(Identity::of(dir.path()).is_err(), "a directory is no database");
    }
}
