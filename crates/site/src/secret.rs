//! Values that stand outside the files: `${env:NAME}` and `${file:PATH}`.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use lienthong_schemas::shown;
use secrecy::{ExposeSecret as _, SecretString};

/// A text that is shown as `***` everywhere and wiped from memory when it is dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    pub(crate) fn new(text: &str) -> Self {
        Self(SecretString::from(text))
    }

    /// The text itself, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where the values come from.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'s> {
    /// The site's folder, to which file names are relative.
    pub(crate) folder: &'s Path,
    /// Environment variables.
    pub(crate) variables: &'s dyn Fn(&str) -> Option<String>,
}

/// Why a reference leads nowhere. Never holds a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unresolved {
    pub(crate) message: String,
    pub(crate) fix: String,
    /// The file is not there (yet).
    pub(crate) missing_file: bool,
}

/// Replaces every reference in a text, and adds what each stands for to `values`.
///
/// # Errors
/// The first reference that leads nowhere.
pub(crate) fn resolve(
    text: &str,
    around: Surroundings<'_>,
    values: &mut Vec<String>,
) -> Result<String, Unresolved> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((reference, tail)) = after.split_once('}') else {
            return Err(unresolved("`${` has no closing `}`".to_owned(), "close it: `${env:NAME}`"));
        };
        let value = value(reference, around)?;
        out.push_str(before);
        out.push_str(&value);
        values.push(value);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

/// A message without the values that references stand for. Shorter ones are no secrets, and hide in every word.
pub(crate) fn redacted(text: String, values: &[String]) -> String {
    const SHORTEST: usize = 3;
    let secrets = values.iter().filter(|value| value.chars().count() >= SHORTEST);
    secrets.fold(text, |text, secret| text.replace(secret.as_str(), "***"))
}

fn value(reference: &str, around: Surroundings<'_>) -> Result<String, Unresolved> {
    match reference.split_once(':') {
        Some(("env", name)) if !name.is_empty() => (around.variables)(name).ok_or_else(|| {
            unresolved(
                format!("the environment variable `{name}` is not set"),
                &format!("set it before the command: export {}=..", shown(name)),
            )
        }),
        Some(("file", path)) if !path.is_empty() => file(path, around.folder),
        _ => Err(unresolved(
            format!("`${{{reference}}}` is no reference"),
            "write `${env:NAME}` or `${file:PATH}`",
        )),
    }
}

fn file(path: &str, folder: &Path) -> Result<String, Unresolved> {
    match std::fs::read_to_string(folder.join(path)) {
        // Editors and `echo` end a file with a line end that belongs to nobody's password.
        Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(error) => {
            let missing_file = error.kind() == ErrorKind::NotFound;
            let (what, fix) = if missing_file {
                ("does not exist".to_owned(), "create it; `lienthong keys new` writes key files")
            } else {
                (format!("cannot be read: {}", error.kind()), "make it a text file that this user may read")
            };
            Err(Unresolved {
                message: format!("the file `{path}` {what}"),
                fix: fix.to_owned(),
                missing_file,
            })
        }
    }
}

fn unresolved(message: String, fix: &str) -> Unresolved {
    Unresolved { message, fix: fix.to_owned(), missing_file: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_and_what_leads_nowhere_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("p"), "geheim\n").expect("it is written");
        let variables = |name: &str| (name == "HOST").then(|| "db".to_owned());
        let around = Surroundings { folder: folder.path(), variables: &variables };
        let mut values = Vec::new();
        let resolved = resolve("x://${file:p}@${env:HOST}/y", around, &mut values).expect("both are there");
        assert_eq!(resolved, "x://geheim@db/y");
        assert_eq!(redacted("no geheim on db".to_owned(), &values), "no *** on db");
        assert_eq!(resolve("plain $5 {x}", around, &mut values).as_deref(), Ok("plain $5 {x}"));
        for (text, part) in [
            ("${env:NO}", "`NO` is not set"),
            ("${file:q}", "`q` does not exist"),
            ("${HOST}", "`${HOST}` is no reference"),
            ("${env:HOST", "no closing"),
        ] {
            let error = resolve(text, around, &mut values).expect_err("it leads nowhere");
            assert!(error.message.contains(part), "{text}: {error:?}");
        }
    }

    #[test]
    fn a_secret_shows_as_stars() {
        let secret = Secret::new("geheim");
        assert_eq!(format!("{secret} {secret:?}"), "*** ***");
        assert_eq!(secret.expose(), "geheim");
    }
}
