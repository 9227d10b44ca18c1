//! `keys new`: 32 random bytes per file, as hexadecimal, readable by the owner alone. `keys pseudonym`: the one key that may be given away.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use lienthong_router::subscription::{Standing, SubscriptionKeys};
use rand::RngCore as _;
use serde_json::json;

use super::Context;
use crate::args::Global;
use crate::exit::{Code, Failure};
use crate::output::{self, Output};
use crate::status_record::now;

pub(super) fn new(global: &Global) -> Result<(), Failure> {
    let output = Output::new(global.output, global.color);
    for (path, written) in create(&global.site)? {
        let (file, state) =
            (path.display().to_string(), if written { "written" } else { "is there already, left alone" });
        output::done(output, &format!("{file}: {state}"), &json!({"file": file, "written": written}));
    }
    Ok(())
}

/// On standard output alone, so that it can go into a file of the caller's choice.
pub(super) fn pseudonym(context: &Context, id: &str) -> Result<(), Failure> {
    let subscriber = context.subscriber(id)?;
    let purpose = &subscriber.purpose;
    if !context.site.catalogue.is_matching(purpose) {
        let title = context.site.catalogue.purposes().get(purpose).map_or("", String::as_str);
        let problem = format!(
            "{id} takes part under {purpose} ({title}), under which nobody gets the key of its pseudonyms; fix: what it may find people by \
             stands in its agreement, and the purposes that may have a key are listed under `matching` in the catalogue"
        );
        return Err(Failure::new(Code::Configuration, problem));
    }
    if subscriber.valid.judge(now()) != Standing::Valid {
        let problem = format!(
            "the agreement {} is not valid today; fix: whoever has none gets no key",
            subscriber.agreement
        );
        return Err(Failure::new(Code::Halted, problem));
    }
    let key = SubscriptionKeys::pseudonym(&context.keys()?.subject, id, purpose).reveal();
    output::done(context.output, &key, &json!({"subscriber": id, "algorithm": "HMAC-SHA256", "key": key}));
    Ok(())
}

/// Makes the key files that are missing; tells of each whether it was made.
pub(super) fn create(site: &Path) -> Result<Vec<(PathBuf, bool)>, Failure> {
    let mut files = Vec::new();
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
                files.push((path, true));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => files.push((path, false)),
            Err(error) => return Err(anyhow::Error::new(error).context(path.display().to_string()).into()),
        }
    }
    Ok(files)
}
