//! A private broker that lets in only whoever it knows: TLS with client certificates, passwords, and access lists.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::certificates::{Authority, Files};
use crate::private_kafka::{PrivateKafka, Setup, java};
use crate::wait::eventually;

/// The broker's own user, who may do everything.
const ADMIN: &str = "admin";
const ADMIN_PASSWORD: &str = "of-the-broker";

/// What `kafka-acls.sh` runs, of the jar kafka-tools.
const ACL_COMMAND: &str = "org.apache.kafka.tools.AclCommand";

/// See the module. Passwords are told by SCRAM-SHA-512, and by PLAIN for the users of [`PLAIN_USERS`].
#[derive(Debug)]
pub struct SecureKafka {
    kafka: PrivateKafka,
    folder: TempDir,
    authority: Authority,
}

/// Users who may prove their password by PLAIN, with it.
pub const PLAIN_USERS: [(&str, &str); 1] = [("plain.user", "sent as it is")];

impl SecureKafka {
    /// Starts a broker that knows these users and passwords by SCRAM-SHA-512.
    ///
    /// # Errors
    /// When Java or the jars are missing, or the broker is not up within a minute.
    pub async fn start(users: &[(&str, &str)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let authority = Authority::new("lienthong test authority")?;
        let own = authority.write(folder.path(), "broker")?;
        let store = folder.path().join("broker.pem");
        let mut text = String::new();
        for part in [&own.key, &own.cert, &own.ca] {
            text.push_str(&std::fs::read_to_string(part)?);
        }
        std::fs::write(&store, text)?;
        let settings = settings(&store, &own.ca);
        let mut all = vec![(ADMIN, ADMIN_PASSWORD)];
        all.extend_from_slice(users);
        let setup = Setup { listener: "SASL_SSL", settings: &settings, users: &all };
        let kafka = PrivateKafka::start_as(&setup).await?;
        let broker = Self { kafka, folder, authority };
        std::fs::write(broker.client_file(), client(&store, &own.ca))?;
        // The port is open a moment before the passwords are known.
        let mut said = String::new();
        let known = async || {
            let output = broker.list("-Xshare:auto")?;
            said = told(&output);
            Ok(output.status.success())
        };
        let answers = eventually(Duration::from_secs(60), known).await;
        answers.with_context(|| format!("the broker's first answer: {said}"))?;
        // A list of rights is dozens of commands, each a virtual machine of its own: with the classes ready it takes a third of the time.
        let output = broker.list(&format!("-XX:ArchiveClassesAtExit={}", broker.archive().display()))?;
        ensure!(output.status.success(), "kafka-acls failed: {}", told(&output));
        Ok(broker)
    }

    /// Bootstrap address.
    #[must_use]
    pub fn address(&self) -> String {
        self.kafka.address()
    }

    /// Who signs certificates that the broker trusts.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// A client's certificate, and what it has to trust.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn certificate(&self, name: &str) -> Result<Files> {
        self.authority.write(self.folder.path(), name)
    }

    /// Runs a script of `kafka-acls` commands as the broker's administrator, word by word as an operator would.
    ///
    /// # Errors
    /// When a command fails, with what it said.
    pub fn run_acls(&self, script: &str) -> Result<()> {
        let tool = self.folder.path().join("kafka-acls");
        let program = format!(
            "#!/bin/sh\nexec java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 {} -cp '{}' \
             -Dorg.slf4j.simpleLogger.defaultLogLevel=warn {ACL_COMMAND} \"$@\"\n",
            self.archived(),
            self.kafka.libs().join("*").display()
        );
        std::fs::write(&tool, program)?;
        let made = Command::new("chmod").arg("755").arg(&tool).status()?;
        ensure!(made.success(), "the tool cannot be made runnable");
        let output = Command::new("sh")
            .args(["-c", script])
            .env("KAFKA_ACLS", &tool)
            .env("BOOTSTRAP", self.address())
            .env("ADMIN_CONFIG", self.client_file())
            .output()?;
        ensure!(output.status.success(), "kafka-acls failed: {}", told(&output));
        Ok(())
    }

    /// The lists as the broker has them.
    ///
    /// # Errors
    /// When the tool fails, with what it said.
    pub fn acls(&self) -> Result<String> {
        let output = self.list(&self.archived())?;
        ensure!(output.status.success(), "kafka-acls failed: {}", told(&output));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// `archive`: what the virtual machine is told about an archive of classes.
    fn list(&self, archive: &str) -> Result<Output> {
        let mut command = java(self.kafka.libs(), "-Xmx128m");
        command.args([archive, ACL_COMMAND, "--list"]);
        command.args(["--bootstrap-server", &self.address(), "--command-config"]).arg(self.client_file());
        command.output().context("java runs a tool of Kafka")
    }

    fn archived(&self) -> String {
        format!("-XX:SharedArchiveFile={}", self.archive().display())
    }

    fn archive(&self) -> PathBuf {
        self.folder.path().join("tool.jsa")
    }

    fn client_file(&self) -> PathBuf {
        self.folder.path().join("admin.properties")
    }
}

fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Certificates of both sides, both ways to tell a password, and nothing allowed that no list allows.
fn settings(store: &Path, ca: &Path) -> Vec<String> {
    let (store, ca) = (store.display(), ca.display());
    let scram = "org.apache.kafka.common.security.scram.ScramLoginModule";
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule";
    let users: String =
        PLAIN_USERS.iter().map(|(name, password)| format!(" user_{name}=\"{password}\"")).collect();
    vec![
        "inter.broker.listener.name=SASL_SSL".to_owned(),
        "sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN".to_owned(),
        "sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512".to_owned(),
        format!(
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={scram} required \
             username=\"{ADMIN}\" password=\"{ADMIN_PASSWORD}\";"
        ),
        format!("listener.name.sasl_ssl.plain.sasl.jaas.config={plain} required{users};"),
        "listener.name.sasl_ssl.ssl.client.auth=required".to_owned(),
        format!("ssl.keystore.type=PEM\nssl.keystore.location={store}"),
        // The broker refuses to start without: it checks its own certificate.
        format!("ssl.truststore.type=PEM\nssl.truststore.location={ca}"),
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        // Nobody's name on the controller's listener, which is bound to this machine.
        format!("super.users=User:{ADMIN};User:ANONYMOUS"),
    ]
}

/// What Kafka's tools need to come in as the broker's administrator.
fn client(store: &Path, ca: &Path) -> String {
    format!(
        "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n\
         sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required \
         username=\"{ADMIN}\" password=\"{ADMIN_PASSWORD}\";\n\
         ssl.truststore.type=PEM\nssl.truststore.location={}\nssl.keystore.type=PEM\nssl.keystore.location={}\n\
         default.api.timeout.ms=20000\nrequest.timeout.ms=20000\n",
        ca.display(),
        store.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn rights_are_given_by_the_words_of_a_script() -> Result<()> {
        let kafka = SecureKafka::start(&[("moj", "secret")]).await?;
        kafka.run_acls(
            "\"$KAFKA_ACLS\" --bootstrap-server \"$BOOTSTRAP\" --command-config \"$ADMIN_CONFIG\" --add \
             --allow-principal User:moj --operation Read --topic lt.a.live",
        )?;
        let acls = kafka.acls()?;
        assert!(acls.contains("lt.a.live") && acls.contains("User:moj") && acls.contains("READ"), "{acls}");
        assert!(kafka.run_acls("\"$KAFKA_ACLS\" --nonsense").is_err());
        Ok(())
    }
}
