//! JSON as block YAML.

use serde_json::Value;

/// The document, with maps and lists in blocks and every text that could be taken for something else in quotes.
pub(super) fn write(value: &Value) -> String {
    let mut out = String::from("# Written by `lienthong schema docs`; do not edit.\n");
    block(value, 0, &mut out);
    out
}

fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, value) in entries {
                out.push_str(&" ".repeat(indent));
                out.push_str(&text(key));
                out.push(':');
                entry(value, indent + 2, out);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                out.push_str(&" ".repeat(indent));
                out.push('-');
                entry(item, indent + 2, out);
            }
        }
        other => {
            out.push_str(&scalar(other));
            out.push('\n');
        }
    }
}

/// What stands behind a key or a dash: a scalar on the same line, or a block below it.
fn entry(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            out.push('\n');
            block(value, indent, out);
        }
        Value::Array(items) if !items.is_empty() => {
            let simple = items.iter().all(|item| !item.is_object() && !item.is_array());
            let line = format!("[{}]", items.iter().map(scalar).collect::<Vec<_>>().join(", "));
            if simple && line.len() + indent < 120 {
                out.push(' ');
                out.push_str(&line);
                out.push('\n');
            } else {
                out.push('\n');
                block(value, indent, out);
            }
        }
        other => {
            out.push(' ');
            out.push_str(&scalar(other));
            out.push('\n');
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        other => other.to_string(),
    }
}

fn text(string: &str) -> String {
    let plain = string.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && string.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
        && !["null", "true", "false", "yes", "no", "on", "off", "y", "n"]
            .contains(&string.to_lowercase().as_str());
    if plain { string.to_owned() } else { Value::from(string).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_as_it_was() {
        let value = serde_json::json!({
            "a": {"b": [1, "two", null, true], "empty": {}, "none": []},
            "list": [{"x": "y: z"}, [1, [2]], "no", "01"],
            "text": "line\nbreak \"quoted\" # họ",
            "3.0": "3.0.0",
        });
        let read: Value = serde_saphyr::from_str(&write(&value)).unwrap();
        assert_eq!(read, value);
    }
}
