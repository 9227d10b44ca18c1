//! What `make test` decides before it builds: which servers it uses, what it fetches, and what it says is missing. The machine is
//! a stage: its programs are links, and `docker`, `id`, `java` and `mvn` are played. No engine of containers is needed or tried.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A machine without PostgreSQL and without the right to install it, on which `docker compose` has the servers up.
struct Stage {
    folder: TempDir,
}

/// Programs that are not there unless they are played.
const HIDDEN: [&str; 11] =
    ["apt-get", "curl", "docker", "id", "java", "mvn", "pkg-config", "postgres", "psql", "sqlite3", "unzip"];

impl Stage {
    fn new() -> Self {
        let stage = Self { folder: tempfile::tempdir().expect("a folder") };
        let programs = stage.path("bin");
        fs::create_dir(&programs).expect("a folder");
        for folder in ["/usr/local/bin", "/usr/bin", "/bin"] {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let shown = HIDDEN.iter().all(|hidden| name != *hidden);
                if shown && !programs.join(&name).exists() {
                    // A link that leads nowhere hides nothing that the scripts use.
                    let _ = symlink(entry.path(), programs.join(&name));
                }
            }
        }
        stage.copy_scripts();
        stage.play("id", "echo 1000");
        for there in ["pkg-config", "sqlite3", "psql"] {
            stage.play(there, "exit 0");
        }
        stage.play("docker", "case $* in *postgres*) echo 127.0.0.1:5432 ;; *kafka*) echo 127.0.0.1:9092 ;; *registry*) echo 127.0.0.1:8081 ;; esac");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The scripts as they are, but for PostgreSQL, which they would find in its usual folders.
    fn copy_scripts(&self) {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/dev");
        fs::create_dir_all(self.path("deploy/dev/lib")).expect("folders");
        fs::copy(from.join("servers"), self.path("deploy/dev/servers")).expect("the script");
        for entry in fs::read_dir(from.join("lib")).expect("its parts").flatten() {
            fs::copy(entry.path(), self.path("deploy/dev/lib").join(entry.file_name())).expect("a part");
        }
        let part = self.path("deploy/dev/lib/postgres.sh");
        let text = fs::read_to_string(&part).expect("PostgreSQL's part");
        fs::write(part, format!("{text}\npostgres_bin() {{ return 1; }}\n")).expect("PostgreSQL's part");
    }

    fn play(&self, program: &str, script: &str) {
        let path = self.path("bin").join(program);
        // The machine's own program may be linked here: writing would follow the link and change the machine.
        assert!(!path.is_symlink(), "{program} is to be played and must be hidden");
        fs::write(&path, format!("#!/bin/bash\n{script}\n")).expect("a program");
        fs::set_permissions(path, Permissions::from_mode(0o755)).expect("a program");
    }

    fn install(&self, settings: &[(&str, &str)]) -> (Output, String) {
        let output = Command::new(self.path("deploy/dev/servers"))
            .arg("install")
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("HOME", self.folder.path())
            .env("LIENTHONG_CACHE", self.path("cache"))
            .envs(settings.iter().copied())
            .output()
            .expect("bash");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output, said)
    }
}

const JAVA: &str = "echo 'openjdk version \"17.0.9\"' >&2";
/// Puts one jar where the real one puts all of them.
const MAVEN: &str = "for a; do case $a in -DoutputDirectory=*) mkdir -p ${a#*=} && touch ${a#*=}/kafka_2.13.jar ;; esac; done";

#[test]
fn servers_in_containers_are_not_enough_and_what_else_is_missing_is_said_before_the_build() {
    let stage = Stage::new();
    let (output, said) = stage.install(&[]);
    assert!(!output.status.success(), "{said}");
    for wanted in ["Java 17", "LIENTHONG_TEST_KAFKA_LIBS", "LIENTHONG_TEST_FOREIGN_DB", "maven", "curl unzip"]
    {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    assert!(!said.contains("postgresql"), "the servers are there: {said}");
    stage.play("java", JAVA);
    let (output, said) = stage.install(&[("LIENTHONG_TEST_FOREIGN_DB", "/data/dataset.db")]);
    assert!(!output.status.success() && said.contains("Maven") && !said.contains("Java"), "{said}");
}

#[test]
fn the_commands_that_the_tutorial_types_are_among_what_is_missing() {
    let stage = Stage::new();
    fs::remove_file(stage.path("bin/psql")).expect("the program was played");
    let (output, said) = stage.install(&[]);
    assert!(!output.status.success() && said.contains("sqlite3 postgresql-client"), "{said}");
}

#[test]
fn beside_servers_in_containers_the_jars_are_fetched_apart_from_packages() {
    let stage = Stage::new();
    stage.play("java", JAVA);
    stage.play("mvn", MAVEN);
    let (output, said) = stage.install(&[("LIENTHONG_TEST_FOREIGN_DB", "/data/dataset.db")]);
    assert!(output.status.success(), "{said}");
    let fetched = |file: &str| {
        fs::read_dir(stage.path("cache"))
            .into_iter()
            .flatten()
            .flatten()
            .any(|entry| entry.path().join(file).exists())
    };
    assert!(fetched("kafka_2.13.jar"), "{said}");
    assert!(!said.contains("Registry"), "the registry runs in its container: {said}");
}

#[test]
fn what_is_given_is_not_fetched_and_a_registry_that_is_away_is_a_failure_with_a_way_out() {
    let stage = Stage::new();
    stage.play("java", JAVA);
    let given =
        [("LIENTHONG_TEST_FOREIGN_DB", "/data/dataset.db"), ("LIENTHONG_TEST_KAFKA_LIBS", "/kafka/libs")];
    let (output, said) = stage.install(&given);
    assert!(output.status.success(), "{said}");
    stage.play("mvn", "exit 1");
    let (output, said) = stage.install(&given[..1]);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains("Maven Central") && said.contains("LIENTHONG_TEST_KAFKA_LIBS"), "{said}");
    stage.play("curl", "exit 6");
    stage.play("unzip", "exit 0");
    let (output, said) = stage.install(&given[1..]);
    assert!(!output.status.success() && said.contains("LIENTHONG_TEST_FOREIGN_DB"), "{said}");
}

#[test]
fn without_servers_and_without_means_every_way_out_is_named() {
    let stage = Stage::new();
    stage.play("docker", "exit 1");
    let (output, said) = stage.install(&[]);
    assert!(!output.status.success(), "{said}");
    for wanted in
        ["apt-get install", "docker compose -f deploy/dev/compose.yml up --wait", "LIENTHONG_TEST_PG="]
    {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}

/// Takes down what it is asked for, and from then on every program is there.
const APT: &str = r#"echo "$*" >>"$HOME/apt"
case " $* " in
  *" update "*) exit 0 ;;
  *" install "*) for program in java mvn psql postgres; do mv "$HOME/later/$program" "$HOME/bin/$program"; done ;;
esac"#;
/// Puts what it is asked for where the real one puts it.
const REPOSITORY: &str = r#"for word; do case $word in -DoutputDirectory=*) to=${word#*=} ;; -Dartifact=*) what=${word#*=} ;; esac; done
mkdir -p "$to"
IFS=: read -r _ name version kind classifier <<<"${what:-}"
case ${name:-} in
  "") touch "$to/kafka_2.13.jar" ;;
  kafka-tools) touch "$to/kafka-tools-$version.jar" ;;
  *) mkdir -p "$to/x/quarkus" && tar -czf "$to/$name-$version-$classifier.$kind" -C "$to/x" quarkus ;;
esac"#;

/// A machine with nothing, whose user is root.
fn new_machine() -> Stage {
    let stage = Stage::new();
    stage.play("docker", "exit 1");
    stage.play("id", "echo 0");
    stage.play("apt-get", APT);
    for (program, script) in [("java", JAVA), ("mvn", REPOSITORY), ("psql", "exit 0"), ("postgres", "exit 0")]
    {
        stage.play(program, script);
        let later = stage.path("later");
        fs::create_dir_all(&later).expect("a folder");
        fs::rename(stage.path("bin").join(program), later.join(program)).expect("a program");
    }
    let part = stage.path("deploy/dev/lib/postgres.sh");
    let text = fs::read_to_string(&part).expect("PostgreSQL's part");
    fs::write(part, format!("{text}\npostgres_bin() {{ have postgres; }}\n")).expect("PostgreSQL's part");
    // Where the package would be told not to start a cluster of its own.
    let part = stage.path("deploy/dev/lib/install.sh");
    let text = fs::read_to_string(&part).expect("the installation's part");
    let played = text.replace("/etc/postgresql-common", "$HOME/postgresql-common");
    fs::write(part, played).expect("the installation's part");
    stage
}

#[test]
fn root_on_a_new_machine_gets_the_packages_and_the_servers_by_itself() {
    let stage = new_machine();
    let given = [("LIENTHONG_TEST_FOREIGN_DB", "/data/dataset.db")];
    let (output, said) = stage.install(&given);
    assert!(output.status.success(), "{said}");
    let asked = fs::read_to_string(stage.path("apt")).expect("apt-get was asked");
    let installed = asked.lines().find(|line| line.contains(" install ")).expect("an installation");
    for package in ["postgresql-client", " postgresql ", "default-jre-headless", "maven"] {
        assert!(format!("{installed} ").contains(package), "{package}: {asked}");
    }
    assert!(!installed.contains("sqlite3"), "it is there: {asked}");
    let settings = fs::read_to_string(stage.path("postgresql-common/createcluster.conf")).expect("settings");
    assert!(settings.contains("create_main_cluster = false"), "{settings}");
    for (folder, file) in [("kafka-", "kafka_2.13.jar"), ("kafka-", "kafka-tools-"), ("registry-", "quarkus")]
    {
        let found = fs::read_dir(stage.path("cache")).expect("the cache").flatten().any(|entry| {
            entry.file_name().to_string_lossy().starts_with(folder)
                && fs::read_dir(entry.path())
                    .into_iter()
                    .flatten()
                    .flatten()
                    .any(|file_in| file_in.file_name().to_string_lossy().starts_with(file))
        });
        assert!(found, "{folder}../{file}: {said}");
    }
    fs::remove_file(stage.path("apt")).expect("a file");
    let (output, said) = stage.install(&given);
    assert!(output.status.success() && said.is_empty(), "nothing is left to do: {said}");
    assert!(!stage.path("apt").exists(), "nothing is installed twice");
}

#[test]
fn root_whose_packages_cannot_be_fetched_hears_what_apt_said_and_every_way_out() {
    let stage = new_machine();
    stage.play("apt-get", "echo 'Temporary failure resolving deb.debian.org' >&2; exit 100");
    let (output, said) = stage.install(&[]);
    assert!(!output.status.success(), "{said}");
    for wanted in ["Temporary failure resolving", "as root:", "docker compose", "LIENTHONG_TEST_PG="] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
}
