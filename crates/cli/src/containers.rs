//! docker-compose.yml against the binary, the sites and the files that it speaks of: what can be known of it without running it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use lienthong_site::{Overrides, Site};
use serde_json::Value;

use crate::args::{Cli, Command};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// One entry of `services`.
struct Service {
    name: String,
    value: Value,
}

impl Service {
    fn all() -> Vec<Self> {
        let compose = yaml("docker-compose.yml");
        let services = compose["services"].as_object().expect("services");
        services.iter().map(|(name, value)| Self { name: name.clone(), value: value.clone() }).collect()
    }

    fn ours() -> Vec<Self> {
        let all = Self::all().into_iter().filter(|service| service.image().starts_with("lienthong:"));
        let ours: Vec<Self> = all.collect();
        assert!(ours.len() > 5, "the bus is in the file");
        ours
    }

    fn image(&self) -> &str {
        self.value["image"].as_str().unwrap_or_else(|| panic!("{}: no image", self.name))
    }

    fn words(&self, key: &str) -> Vec<String> {
        let words = self.value[key].as_array().map(Vec::as_slice).unwrap_or_default();
        words.iter().map(|word| word.as_str().expect("a text").to_owned()).collect()
    }

    fn environment(&self) -> BTreeMap<String, String> {
        let Some(entries) = self.value["environment"].as_object() else { return BTreeMap::new() };
        let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        entries.iter().map(|(name, value)| (name.clone(), plain(value))).collect()
    }

    /// Host path or volume, and place in the container.
    fn mounts(&self) -> Vec<(String, String)> {
        let split = |mount: String| {
            let mut parts = mount.split(':').map(str::to_owned);
            (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
        };
        self.words("volumes").into_iter().map(split).collect()
    }

    fn command(&self) -> Command {
        let words = self.words("command");
        let line = std::iter::once("lienthong".to_owned()).chain(words.clone());
        match Cli::try_parse_from(line) {
            Ok(cli) => cli.command,
            Err(error) => panic!("{}: {words:?} is no command of the binary: {error}", self.name),
        }
    }

    /// The site as the container sees it, in a folder; what the image brings is there too.
    fn site(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let image = text("deploy/Dockerfile");
        let made = image.split_whitespace().filter_map(|word| word.strip_prefix("/site/"));
        for name in made {
            fs::create_dir_all(folder.path().join(name)).expect("a folder of the image");
        }
        for (from, to) in self.mounts() {
            let Some(to) = to.strip_prefix("/site/") else { continue };
            if from.starts_with("./") {
                copy(&root().join(&from), &folder.path().join(to));
            }
        }
        folder
    }
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).expect("a folder");
        for entry in fs::read_dir(from).expect("a folder of the checkout") {
            let entry = entry.expect("an entry").path();
            copy(&entry, &to.join(entry.file_name().expect("a name")));
        }
    } else {
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    }
}

#[test]
fn every_command_of_a_container_is_one_of_the_binary() {
    for service in Service::ours() {
        service.command();
    }
}

#[test]
fn every_container_has_a_site_without_a_mistake_and_reads_every_variable_that_it_is_given() {
    for service in Service::ours() {
        let (name, given) = (&service.name, service.environment());
        let folder = service.site();
        if matches!(service.command(), Command::Keys { .. }) {
            assert!(given.is_empty(), "{name}: keys are made without a variable");
            assert!(folder.path().join(lienthong_site::FILE).exists(), "{name}");
            continue;
        }
        let read = RefCell::new(BTreeSet::new());
        let variables = |name: &str| {
            read.borrow_mut().insert(name.to_owned());
            given.get(name).cloned()
        };
        let site = Site::load_with(folder.path(), &Overrides::default(), &variables)
            .unwrap_or_else(|problems| panic!("{name}: {problems:?}"));
        let unread: Vec<&String> = given.keys().filter(|key| !read.borrow().contains(*key)).collect();
        assert!(unread.is_empty(), "{name}: nobody reads {unread:?}");
        match service.command() {
            Command::Connect(connect) => {
                assert!(site.participant(&connect.participant).is_some(), "{name}");
                assert_eq!(
                    site.subscribers().count(),
                    0,
                    "{name}: a connector knows no subscriber's password"
                );
            }
            Command::Route(_) => {
                assert_eq!(site.subscribers().count(), 2, "{name}");
                assert_eq!(site.participants().count(), 0, "{name}: a router knows no owner's password");
            }
            _ => {}
        }
    }
}

#[test]
fn every_mounted_file_exists_and_every_volume_is_declared_and_used() {
    let compose = yaml("docker-compose.yml");
    let declared: BTreeSet<String> =
        compose["volumes"].as_object().expect("volumes").keys().cloned().collect();
    let mut used = BTreeSet::new();
    for service in Service::all() {
        for (from, to) in service.mounts() {
            assert!(to.starts_with('/'), "{}: {from} is mounted at {to}", service.name);
            if from.starts_with("./") {
                assert!(root().join(&from).exists(), "{}: {from} is not in the checkout", service.name);
            } else {
                used.insert(from);
            }
        }
    }
    assert_eq!(declared, used);
    for tag in ["Dockerfile", "context"] {
        assert!(text("docker-compose.yml").contains(tag));
    }
}

#[test]
fn no_secret_stands_in_the_file_and_every_one_it_asks_for_is_made() {
    let compose = text("docker-compose.yml");
    let script = text("deploy/compose/secrets");
    let list = script.lines().find_map(|line| line.strip_prefix("for name in ")).expect("the list of names");
    let made: BTreeSet<&str> = list.trim_end_matches("; do").split(' ').collect();
    let mut asked = BTreeSet::new();
    for (at, _) in compose.match_indices("${") {
        let reference = compose[at + 2..].split('}').next().unwrap_or_default();
        match reference.split_once(":?") {
            Some((name, _)) => {
                asked.insert(name);
            }
            None => assert!(reference.contains(":-"), "{reference} has neither a default nor a demand"),
        }
    }
    assert_eq!(asked, made);
    let databases = text("deploy/compose/databases.sh");
    for service in Service::all() {
        for (name, value) in service.environment() {
            if name.ends_with("PASSWORD") {
                assert!(value.starts_with("${"), "{}: {name} is in the file", service.name);
            }
            let (_, after) = value.split_once("://").unwrap_or_default();
            if let Some((login, _)) = after.split_once('@')
                && let Some((_, password)) = login.split_once(':')
            {
                assert!(password.starts_with("${"), "{}: {name} holds a password", service.name);
            }
            if service.name == "postgres" && name != "POSTGRES_PASSWORD" {
                assert!(databases.contains(&format!("\"${name}\"")), "nobody reads {name}");
            }
        }
    }
}

#[test]
fn images_are_pinned_and_whatever_runs_on_says_whether_it_is_well() {
    let services = Service::all();
    let mut once = BTreeSet::new();
    for service in &services {
        let Some(needed) = service.value["depends_on"].as_object() else { continue };
        for (name, how) in needed {
            let found = services.iter().find(|other| other.name == *name);
            let found = found.unwrap_or_else(|| panic!("{} waits for {name}", service.name));
            match how["condition"].as_str() {
                Some("service_completed_successfully") => {
                    once.insert(name.as_str());
                }
                Some("service_healthy") => {
                    assert!(found.value["healthcheck"].is_object(), "{name} never says that it is well");
                }
                other => panic!("{}: {other:?}", service.name),
            }
        }
    }
    for service in &services {
        let version = service.image().rsplit_once(':').map_or("", |(_, version)| version);
        assert!(version.contains('.'), "{}: {} is not pinned", service.name, service.image());
        let healthy = service.value["healthcheck"].is_object();
        assert!(healthy != once.contains(service.name.as_str()), "{}: health", service.name);
    }
    let dockerfile = text("deploy/Dockerfile");
    assert!(dockerfile.contains("\nUSER 10001") && dockerfile.matches("\nFROM ").count() == 2);
}

#[test]
fn what_is_scraped_and_where_traces_go_are_services_of_the_file() {
    let services: BTreeSet<String> = Service::all().into_iter().map(|service| service.name).collect();
    let prometheus = yaml("deploy/observability/prometheus.yml");
    let targets =
        prometheus["scrape_configs"][0]["static_configs"][0]["targets"].as_array().expect("targets");
    for target in targets {
        let (host, port) = target.as_str().and_then(|target| target.split_once(':')).expect("host:port");
        assert!(services.contains(host) && port == "9464", "{target}");
    }
    let site = text("deploy/site/lienthong.yaml");
    assert!(site.contains("http://otel-collector:4318") && site.contains("0.0.0.0:9464"), "{site}");
    let collector = yaml("deploy/observability/otel-collector.yaml");
    let endpoint = &collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"];
    assert_eq!(endpoint.as_str(), Some("0.0.0.0:4318"));
    let source = yaml("deploy/observability/grafana/provisioning/datasources/prometheus.yaml");
    assert_eq!(source["datasources"][0]["url"].as_str(), Some("http://prometheus:9090"));
}
