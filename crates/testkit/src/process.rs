//! A program that a test starts, freezes and kills.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// A running program whose output goes to a file. Dropping this kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    output: PathBuf,
}

impl Process {
    /// Starts `command` without input; its output and errors are appended to the file `output`.
    ///
    /// # Errors
    /// When the file or the program cannot be opened.
    pub fn start(command: &mut Command, output: &Path) -> Result<Self> {
        let open = || File::options().create(true).append(true).open(output);
        let file = open().with_context(|| output.display().to_string())?;
        let program = command.get_program().to_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(Self { child, output: output.to_owned() })
    }

    /// The operating system's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it has said so far.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn output(&self) -> Result<String> {
        let bytes = std::fs::read(&self.output).with_context(|| self.output.display().to_string())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether it still runs (or is frozen).
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn runs(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// SIGKILL, and waits until it is gone.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn kill9(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// SIGSTOP: frozen until [`Self::sigcont`].
    ///
    /// # Errors
    /// When it is not running.
    pub fn sigstop(&mut self) -> Result<()> {
        self.signal("STOP")
    }

    /// SIGCONT: goes on after [`Self::sigstop`].
    ///
    /// # Errors
    /// When it is not running.
    pub fn sigcont(&mut self) -> Result<()> {
        self.signal("CONT")
    }

    /// SIGTERM; does not wait.
    ///
    /// # Errors
    /// When it is not running.
    pub fn terminate(&mut self) -> Result<()> {
        self.signal("TERM")
    }

    /// Waits for its end, at most for `at_most`.
    ///
    /// # Errors
    /// When it still runs then, with the end of its output.
    pub async fn wait(&mut self, at_most: Duration) -> Result<ExitStatus> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if began.elapsed() > at_most {
                let said = self.output()?;
                let lines: Vec<&str> = said.lines().collect();
                bail!(
                    "it still runs after {at_most:?}; it said: {}",
                    lines[lines.len().saturating_sub(20)..].join("\n")
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The shell's own `kill`, which is there on every machine. The id cannot have been reused: the child is not reaped yet.
    pub(crate) fn signal(&mut self, name: &str) -> Result<()> {
        ensure!(self.runs()?, "the process has ended already");
        let status =
            Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status()?;
        ensure!(status.success(), "SIG{name} could not be sent");
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; nothing more can be done then or otherwise.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, folder: &Path) -> Result<Process> {
        Process::start(Command::new("sh").arg("-c").arg(script), &folder.join("output"))
    }

    #[tokio::test]
    async fn a_frozen_process_goes_on_only_after_sigcont() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut process = shell("while :; do echo beat; sleep 0.02; done", folder.path())?;
        crate::eventually(Duration::from_secs(10), async || Ok(process.output()?.contains("beat"))).await?;
        process.sigstop()?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let frozen = process.output()?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(process.output()?, frozen);
        process.sigcont()?;
        crate::eventually(Duration::from_secs(10), async || Ok(process.output()? != frozen)).await?;
        process.terminate()?;
        assert!(!process.wait(Duration::from_secs(10)).await?.success());
        Ok(())
    }

    #[tokio::test]
    async fn waiting_ends_with_what_the_process_said() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut process = shell("echo still here; exec sleep 60", folder.path())?;
        crate::eventually(Duration::from_secs(10), async || Ok(process.output()?.contains("here"))).await?;
        let error = process.wait(Duration::from_millis(50)).await.expect_err("it sleeps for a minute");
        assert!(error.to_string().contains("still here"));
        process.kill9()?;
        assert!(!process.runs()?);
        Ok(())
    }
}
