//! Exit codes and how a failure is told.

use std::process::ExitCode;

use lienthong_capture::CaptureError;
use lienthong_contract::sink::SinkError;
use lienthong_contract::source::SourceError;
use lienthong_log::{LogError, WriterError};
use lienthong_router::RouterError;
use lienthong_telemetry::{LogFormat, SERVICE};

/// Documented exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// A defect, whichever thread it showed itself in, or something that nobody foresaw.
    Unexpected = 1,
    /// Usage or configuration.
    Configuration = 2,
    /// Contract, lineage or agreement; the message names the fix.
    Halted = 3,
    /// A dependency was away for too long.
    Unreachable = 4,
    /// A check found differences.
    Differences = 5,
    /// Interrupted, after a clean stop.
    Interrupted = 130,
}

impl Code {
    fn gravity(self) -> u8 {
        match self {
            Self::Halted => 5,
            Self::Unreachable => 4,
            Self::Unexpected => 3,
            Self::Configuration => 2,
            Self::Differences => 1,
            Self::Interrupted => 0,
        }
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    lines: Vec<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, line: impl Into<String>) -> Self {
        Self { code, lines: vec![line.into()] }
    }

    pub(crate) fn problems(lines: Vec<String>) -> Self {
        Self { code: Code::Configuration, lines }
    }

    pub(crate) fn unexpected(error: &anyhow::Error) -> Self {
        Self::new(Code::Unexpected, format!("{error:#}"))
    }

    /// This program has a defect, which has been told with its place.
    pub(crate) fn defect() -> Self {
        Self::new(Code::Unexpected, "a defect of this program ended it; report it with the lines before")
    }

    /// Several at once: the gravest code counts, halted above unreachable above all others.
    pub(crate) fn several(failures: impl Iterator<Item = Self>) -> Self {
        let mut all = Self { code: Code::Interrupted, lines: Vec::new() };
        for failure in failures {
            if failure.code.gravity() > all.code.gravity() {
                all.code = failure.code;
            }
            all.lines.extend(failure.lines);
        }
        all
    }

    /// The code that it ends with.
    pub(crate) fn code(&self) -> Code {
        self.code
    }

    /// Says whose failure it is.
    pub(crate) fn about(mut self, name: &str) -> Self {
        for line in &mut self.lines {
            line.insert_str(0, &format!("{name}: "));
        }
        self
    }

    /// A clean stop that says nothing.
    pub(crate) fn interrupted() -> Self {
        Self { code: Code::Interrupted, lines: Vec::new() }
    }

    /// The command's answer on standard error; a log line where standard error is one object per line.
    pub(crate) fn report(&self, format: LogFormat) -> ExitCode {
        for line in &self.lines {
            match format {
                LogFormat::Text => eprintln!("lienthong: {line}"),
                LogFormat::Json => tracing::error!(target: SERVICE, exit_code = self.code as u8, "{line}"),
            }
        }
        ExitCode::from(self.code as u8)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::unexpected(&error)
    }
}

/// A task ends without an outcome by a panic only. What the error says may hold values.
impl From<tokio::task::JoinError> for Failure {
    fn from(_: tokio::task::JoinError) -> Self {
        Self::defect()
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::unexpected(&error.into())
    }
}

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        let code = match &error {
            LogError::Unreachable { .. } | LogError::RegistryDown(_) | LogError::Refused(_) => {
                Code::Unreachable
            }
            LogError::Schema { .. } | LogError::Topic { .. } | LogError::File { .. } => Code::Halted,
            LogError::DiskFull(_) | LogError::Inconsistent(_) => Code::Halted,
            LogError::Options { .. } => Code::Configuration,
        };
        Self::new(code, error.to_string())
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let code = match &error {
            // Whoever holds it is waited for as if the source were away.
            SourceError::Unreachable { .. } | SourceError::Held { .. } => Code::Unreachable,
            SourceError::NotPrepared { .. }
            | SourceError::Unpublished { .. }
            | SourceError::Gap { .. }
            | SourceError::Aside { .. }
            | SourceError::LogFull(_)
            | SourceError::ForeignPosition(_) => Code::Halted,
        };
        Self::new(code, error.to_string())
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Self {
        let code = match &error {
            SinkError::Busy { .. } => Code::Unreachable,
            SinkError::Fenced | SinkError::Refused { .. } | SinkError::Unfit { .. } => Code::Halted,
        };
        Self::new(code, error.to_string())
    }
}

impl From<WriterError> for Failure {
    fn from(error: WriterError) -> Self {
        match error {
            WriterError::Log(error) => error.into(),
            WriterError::Lost(_) => Self::new(Code::Unreachable, error.to_string()),
            WriterError::Fenced { .. } | WriterError::Broken { .. } => {
                Self::new(Code::Halted, error.to_string())
            }
        }
    }
}

impl From<CaptureError> for Failure {
    fn from(error: CaptureError) -> Self {
        match error {
            CaptureError::Source(error) => error.into(),
            CaptureError::Writer(error) => error.into(),
            CaptureError::Log(error) => error.into(),
            CaptureError::Lineage { .. }
            | CaptureError::SameLineage { .. }
            | CaptureError::When { .. }
            | CaptureError::QuarantineFull { .. }
            | CaptureError::StillBroken { .. } => Self::new(Code::Halted, error.to_string()),
            CaptureError::Defect => Self::new(Code::Unexpected, error.to_string()),
        }
    }
}

impl From<RouterError> for Failure {
    fn from(error: RouterError) -> Self {
        let code = match &error {
            RouterError::Halted { .. } => Code::Halted,
            RouterError::Away(_) | RouterError::Refused(_) => Code::Unreachable,
            RouterError::Options(_) => Code::Configuration,
            RouterError::Defect => Code::Unexpected,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(problem: &str) -> (String, String) {
        (problem.to_owned(), "do something".to_owned())
    }

    /// Every failure of the log and the code that it ends with, whichever command meets it.
    fn table() -> Vec<(fn() -> LogError, Code)> {
        vec![
            (|| LogError::Unreachable { address: "a:1".into(), reason: "silence".into() }, Code::Unreachable),
            (|| LogError::RegistryDown("silence".into()), Code::Unreachable),
            (|| LogError::Refused("a wrong password".into()), Code::Unreachable),
            (
                || {
                    let (problem, fix) = told("no such file");
                    LogError::Options { problem, fix }
                },
                Code::Configuration,
            ),
            (
                || {
                    let (problem, fix) = told("not registered");
                    LogError::Schema { problem, fix }
                },
                Code::Halted,
            ),
            (
                || {
                    let (problem, fix) = told("missing");
                    LogError::Topic { problem, fix }
                },
                Code::Halted,
            ),
            (
                || {
                    let (problem, fix) = told("damaged");
                    LogError::File { problem, fix }
                },
                Code::Halted,
            ),
            (|| LogError::DiskFull("var/lienthong.db".into()), Code::Halted),
            (|| LogError::Inconsistent("recreated".into()), Code::Halted),
        ]
    }

    #[test]
    fn a_failure_of_the_log_ends_every_command_with_the_same_code() {
        for (make, code) in table() {
            let ways = [
                Failure::from(make()),
                Failure::from(WriterError::Log(make())),
                Failure::from(CaptureError::Log(make())),
                Failure::from(CaptureError::Writer(WriterError::Log(make()))),
                Failure::from(RouterError::from(make())),
            ];
            for failure in ways {
                assert_eq!(failure.code, code, "{:?}", failure.lines);
            }
        }
    }
}
