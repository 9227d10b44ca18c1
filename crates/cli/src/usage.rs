//! Reading the command line. What it says of a mistake quotes arguments, and people paste values where names belong.

use std::process::ExitCode;

use clap::Parser as _;
use lienthong_schemas::{is_name, shown};

use crate::args::Cli;

/// The command line, or the exit code after help or a mistake has been told.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| {
        let text = error.render().to_string();
        let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
        let told = without_values(&text, &arguments.collect::<Vec<_>>());
        if told == text {
            error.exit();
        }
        eprint!("{told}");
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
    })
}

/// The message with arguments, and what stands behind their `=`, told by length where they have not the form of a name, or where an
/// address may hold a password.
fn without_values(message: &str, arguments: &[String]) -> String {
    let behind = |argument: &String| argument.split_once('=').map(|(_, value)| value.to_owned());
    let mut parts: Vec<String> =
        arguments.iter().filter_map(behind).chain(arguments.iter().cloned()).collect();
    parts.retain(|part| !part.is_empty() && (!is_name(part) || has_login(part)));
    // A whole argument before its parts.
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    let hidden = |part: &str| if has_login(part) { "***".to_owned() } else { shown(part) };
    parts.iter().fold(message.to_owned(), |text, part| text.replace(part.as_str(), &hidden(part)))
}

fn has_login(argument: &str) -> bool {
    argument.split_once("://").is_some_and(|(_, place)| place.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_that_is_no_name_is_not_said_again() {
        let told = |arguments: &[&str]| {
            let all = ["lienthong"].iter().chain(arguments);
            let error = Cli::try_parse_from(all).expect_err("a mistake").render().to_string();
            without_values(
                &error,
                &arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>(),
            )
        };
        for arguments in [
            &["tail", "population", "001085730194"][..],
            &["Khuyểuh"],
            &["tail", "population", "--limit=Khuyểuh Văn A"],
            &["tail", "population", "--limit", "0977.318.264"],
            &["tail", "--Khuyểuh"],
            &["status", "--output", "postgres://u:hunter2@h/d"],
        ] {
            let told = told(arguments);
            for value in ["001085", "Khuy", "0977", "hunter2"] {
                assert!(!told.contains(value), "{arguments:?}: {told}");
            }
        }
        assert!(told(&["tail", "population", "--limits", "5"]).contains("'--limits'"));
        assert!(told(&["tails"]).contains("'tails'"));
    }
}
