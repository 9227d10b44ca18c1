//! The blocks of a page, and whether a page shows what a command said.

use anyhow::{Context as _, Result, bail, ensure};

/// What is done with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `sh`: typed at the terminal.
    Typed,
    /// `yaml`: written to the file that its first line names.
    File,
    /// `diff`: a change that is a mistake, in the file that its first line names.
    Mistake,
    /// `text`: what the block before says.
    Shown,
}

/// A fenced block.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) kind: Kind,
    /// Of its fence in the page, from 1.
    pub(super) line: usize,
    /// Without the blanks by which a list indents it; every line ends.
    pub(super) text: String,
}

impl Block {
    /// The file that the first line names.
    pub(super) fn file(&self) -> Result<&str> {
        let first = self.text.lines().next().and_then(|line| line.strip_prefix("# "));
        first.with_context(|| format!("line {}: the block's first line must be `# <file>`", self.line))
    }

    /// The lines that a change takes away, and those that it puts there.
    pub(super) fn change(&self) -> (String, String) {
        let lines = |sign: char| self.text.lines().filter_map(move |line| line.strip_prefix(sign));
        let joined = |sign| lines(sign).fold(String::new(), |text, line| text + line + "\n");
        (joined('-'), joined('+'))
    }
}

/// All blocks in the order of the page. A fence of another kind is an error: nobody would notice that it is not run.
pub(super) fn blocks(page: &str) -> Result<Vec<Block>> {
    let mut found = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let indent = line.len() - line.trim_start().len();
        let Some(kind) = line.trim_start().strip_prefix("```") else { continue };
        let kind = match kind {
            "sh" => Kind::Typed,
            "yaml" => Kind::File,
            "diff" => Kind::Mistake,
            "text" => Kind::Shown,
            _ => bail!("line {}: a block is sh, yaml, diff or text, not `{kind}`", index + 1),
        };
        let mut text = String::new();
        loop {
            let (_, line) =
                lines.next().with_context(|| format!("line {}: the block has no end", index + 1))?;
            if line.trim() == "```" {
                break;
            }
            text.push_str(line.get(indent..).unwrap_or_default());
            text.push('\n');
        }
        found.push(Block { kind, line: index + 1, text });
    }
    Ok(found)
}

/// Whether a command said what the page shows. The width of a table's columns does not count, for times have different
/// lengths; `…` on the page stands for one or more characters of a line.
pub(super) fn same(page: &str, said: &str) -> Result<()> {
    let (expected, found) = (meant(page), meant(said));
    for (index, (expected, found)) in expected.iter().zip(&found).enumerate() {
        ensure!(
            matches(expected, found),
            "line {} of the block: {found}\nwhere the page says: {expected}",
            index + 1
        );
    }
    ensure!(expected.len() == found.len(), "the page shows {} lines of:\n{said}", expected.len());
    Ok(())
}

/// The lines, without a table's rules and with single blanks.
fn meant(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| line.contains(|c| c != '─' && c != '═')).collect()
}

/// Whether a line has the parts of a pattern in their order, the first at its beginning and the last at its end.
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| line.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(behind) = behind_something(rest).and_then(|behind| behind.split_once(part)) else {
            return false;
        };
        rest = behind.1;
    }
    behind_something(rest).is_some_and(|behind| behind.ends_with(last))
}

/// The text behind its first character.
fn behind_something(text: &str) -> Option<&str> {
    text.chars().next().map(|first| &text[first.len_utf8()..])
}

#[test]
fn a_line_that_says_something_else_is_not_what_the_page_shows() {
    assert!(same("a  b\n───\n2 s", "───\n a b \n 2  s\n").is_ok());
    assert!(same("… of … rows", "3 of 4 rows").is_ok());
    for (page, said) in [
        ("a b", "a c"),
        ("a", "a\nb"),
        ("a\nb", "a"),
        ("… of … rows", "3 of rows"),
        ("a…", "a"),
        ("a…b", "b"),
    ] {
        assert!(same(page, said).is_err(), "{page} is not {said}");
    }
}

#[test]
fn a_block_that_nobody_would_run_is_refused() {
    assert!(blocks("```bash\nls\n```\n").is_err());
    assert!(blocks("```sh\nls\n").is_err());
}
