//! `keys new`: 32 random bytes per file, as hexadecimal, readable by the owner alone.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use rand::RngCore as _;
use serde_json::json;

use crate::args::Global;
use crate::exit::Failure;
use crate::output::{self, Output};

pub(super) fn new(global: &Global) -> Result<(), Failure> {
    let output = Output::new(global.output, global.color);
    for path in lienthong_site::key_files(&global.site) {
        let told = |state: &str, written: bool| {
            let file = path.display().to_string();
            output::done(output, &format!("{file}: {state}"), &json!({"file": file, "written": written}));
        };
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
                told("written", true);
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                told("is there already, left alone", false);
            }
            Err(error) => return Err(anyhow::Error::new(error).context(path.display().to_string()).into()),
        }
    }
    Ok(())
}
