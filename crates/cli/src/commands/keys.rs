//! `keys new`: 32 random bytes per file, as hexadecimal, readable by the owner alone.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rand::RngCore as _;

use crate::exit::Failure;

pub(super) fn new(site: &Path) -> Result<(), Failure> {
    for path in lienthong_site::key_files(site) {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(mut created) => {
                let mut key = [0_u8; 32];
                rand::rng().fill_bytes(&mut key);
                let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
                writeln!(created, "{text}")?;
                created.sync_all()?;
                println!("{}: written", path.display());
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                println!("{}: is there already, left alone", path.display());
            }
            Err(error) => return Err(anyhow::Error::new(error).context(path.display().to_string()).into()),
        }
    }
    Ok(())
}
