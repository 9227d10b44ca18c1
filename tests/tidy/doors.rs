//! The table of doors in ARCHITECTURE.md against what the packages really depend on.

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, Metadata};

use super::tree::{File, Finding};

/// A package of the workspace by its short name, and what it names in its manifest.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) dependencies: Vec<Dependency>,
}

/// One dependency; one of the workspace's packages goes by its short name.
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) ours: bool,
    pub(crate) dev: bool,
}

/// A row of the table, for one package.
struct Row {
    line: usize,
    layer: u32,
    /// Nothing: whatever lies below.
    may_use: Option<Vec<String>>,
    never: Vec<String>,
}

/// The packages of the workspace.
pub(crate) fn packages(metadata: &Metadata) -> Vec<Package> {
    let members = metadata.workspace_packages();
    let short = |name: &str| name.strip_prefix("lienthong-").map(str::to_owned);
    let dependency = |dependency: &cargo_metadata::Dependency| Dependency {
        name: short(&dependency.name).unwrap_or_else(|| dependency.name.clone()),
        ours: dependency.path.is_some(),
        dev: dependency.kind == DependencyKind::Development,
    };
    let package = |package: &&cargo_metadata::Package| Package {
        name: short(&package.name).unwrap_or_else(|| package.name.to_string()),
        dependencies: package.dependencies.iter().map(dependency).collect(),
    };
    members.iter().map(package).collect()
}

/// Everything in which the table and the packages differ.
pub(crate) fn compare(table: &File, packages: &[Package]) -> Vec<Finding> {
    let mut found = Vec::new();
    let rows = read(table, &mut found);
    if rows.is_empty() && found.is_empty() {
        let rule = "needs a table `| layer | package | may use | never |` under the heading `## Doors`";
        found.push(table.finding(1, rule.to_owned()));
        return found;
    }
    for (name, row) in &rows {
        if !packages.iter().any(|package| &package.name == name) {
            found.push(table.finding(row.line, format!("`{name}` is no package of the workspace")));
        }
        for other in row.may_use.iter().flatten() {
            match rows.get(other) {
                None => found
                    .push(table.finding(row.line, format!("`{name}` may use `{other}`, which has no row"))),
                Some(used) if used.layer >= row.layer => {
                    found.push(table.finding(
                        row.line,
                        format!("`{name}` may use `{other}`, which is not on a lower layer"),
                    ));
                }
                Some(_) => {}
            }
        }
    }
    for package in packages {
        match rows.get(&package.name) {
            None => found.push(
                table.finding(1, format!("package `{}` has no row in the table of doors", package.name)),
            ),
            Some(row) => check(table, &rows, row, package, &mut found),
        }
    }
    found
}

/// One package against its row.
fn check(table: &File, rows: &BTreeMap<String, Row>, row: &Row, package: &Package, found: &mut Vec<Finding>) {
    for dependency in &package.dependencies {
        let (from, to) = (&package.name, &dependency.name);
        let below = rows.get(to).is_some_and(|other| other.layer < row.layer);
        let rule = if dependency.ours && dependency.dev {
            (!below && to != "testkit")
                .then(|| format!("the tests of `{from}` depend on `{to}`, which is not on a lower layer"))
        } else if dependency.ours {
            let allowed = row.may_use.as_ref().map_or(below, |names| names.contains(to));
            (!allowed).then(|| format!("`{from}` depends on `{to}`, which its row does not allow"))
        } else {
            (!dependency.dev && row.never.contains(to))
                .then(|| format!("`{from}` depends on `{to}`, which its row forbids"))
        };
        found.extend(rule.map(|rule| table.finding(row.line, rule)));
    }
}

/// The rows by package; a row may name several.
fn read(table: &File, found: &mut Vec<Finding>) -> BTreeMap<String, Row> {
    let mut rows = BTreeMap::new();
    let lines = table.text.lines().enumerate().skip_while(|(_, line)| line.trim() != "## Doors");
    for (index, line) in lines.skip(1).take_while(|(_, line)| !line.starts_with("## ")) {
        let Some(cells) = line.trim().strip_prefix('|').and_then(|line| line.strip_suffix('|')) else {
            continue;
        };
        let cells: Vec<&str> = cells.split('|').map(str::trim).collect();
        if cells[0] == "layer" || cells[0].chars().all(|c| matches!(c, '-' | ':')) {
            continue;
        }
        let (Some(layer), [_, names, may_use, never]) = (cells[0].parse().ok(), cells.as_slice()) else {
            found.push(table.finding(
                index + 1,
                "a row of doors has a layer, packages, what they may use, and never".to_owned(),
            ));
            continue;
        };
        let may_use = (*may_use != "everything below").then(|| list(may_use));
        let never = list(never);
        for word in may_use.iter().flatten().chain(&never) {
            if !word.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
                found.push(table.finding(index + 1, format!("`{word}` is no name of a package")));
            }
        }
        for name in list(names) {
            let row = Row { line: index + 1, layer, may_use: may_use.clone(), never: never.clone() };
            if rows.insert(name.clone(), row).is_some() {
                found.push(table.finding(index + 1, format!("`{name}` has two rows")));
            }
        }
    }
    rows
}

/// Names between commas; `-` is none.
fn list(cell: &str) -> Vec<String> {
    let names = cell.split(',').map(|name| name.trim().trim_matches('`'));
    names.filter(|name| !matches!(*name, "" | "-" | "–" | "—")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{Dependency, File, Package, compare};

    fn table(rows: &str) -> File {
        let text = format!(
            "# A\n## Doors\n| layer | package | may use | never |\n|---|:-:|---|---|\n{rows}\n## Next\n| x |\n"
        );
        File { path: "ARCHITECTURE.md".to_owned(), text }
    }

    fn package(name: &str, dependencies: &[(&str, bool, bool)]) -> Package {
        let dependency = |(name, ours, dev): &(&str, bool, bool)| Dependency {
            name: (*name).to_owned(),
            ours: *ours,
            dev: *dev,
        };
        Package { name: name.to_owned(), dependencies: dependencies.iter().map(dependency).collect() }
    }

    const ROWS: &str = "| 0 | schemas | - | tokio |\n|1|`log`,connectors|schemas| sqlx, `tokio` |\n| 2 | testkit | everything below | - |";

    fn rules(rows: &str, packages: &[Package]) -> Vec<String> {
        compare(&table(rows), packages).into_iter().map(|finding| finding.to_string()).collect()
    }

    #[test]
    fn what_the_table_allows_passes() {
        let packages = [
            package("schemas", &[("tokio", false, true)]),
            package("log", &[("schemas", true, false), ("testkit", true, true), ("rdkafka", false, false)]),
            package("connectors", &[]),
            package("testkit", &[("log", true, false), ("schemas", true, false)]),
        ];
        assert_eq!(rules(ROWS, &packages), Vec::<String>::new());
    }

    #[test]
    fn every_breach_is_named_with_its_row() {
        let packages = [
            package("schemas", &[("tokio", false, false), ("log", true, true)]),
            package("log", &[("connectors", true, false)]),
            package("testkit", &[]),
            package("router", &[]),
        ];
        let expected = [
            "ARCHITECTURE.md:6: `connectors` is no package of the workspace",
            "ARCHITECTURE.md:5: `schemas` depends on `tokio`, which its row forbids",
            "ARCHITECTURE.md:5: the tests of `schemas` depend on `log`, which is not on a lower layer",
            "ARCHITECTURE.md:6: `log` depends on `connectors`, which its row does not allow",
            "ARCHITECTURE.md:1: package `router` has no row in the table of doors",
        ];
        assert_eq!(rules(ROWS, &packages), expected);
    }

    #[test]
    fn a_table_that_is_missing_or_points_up_is_refused() {
        assert_eq!(rules("", &[]).len(), 1);
        let up = rules(
            "| 0 | schemas | log | - |\n| 0 | log | - | any I/O |",
            &[package("schemas", &[]), package("log", &[])],
        );
        assert_eq!(up.len(), 2, "{up:?}");
    }
}
