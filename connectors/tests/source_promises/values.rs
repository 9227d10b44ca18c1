//! Values come out as they were written, by first load and by change alike.

use anyhow::Result;

use crate::kind::Kind;
use crate::publisher::{Publisher, Row, capture};

/// Texts that break careless readers.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "Nguyễn Thị Ánh",
        "Nguye\u{302}\u{303}n (tách dấu)",
        "家 👩‍👩‍👧 𝄞",
        "'; drop table item; --",
        "\" \\ \\u0000 \n \r \t",
        "\u{1}\u{7f}\u{85}\u{2028}\u{feff}",
        "null",
        "{\"a\": [1, null]}",
        "  blanks  ",
        "$1 %s {}",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.push("dài ".repeat(50_000));
    texts
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn insert(id: usize, text: Option<&str>, number: Option<i64>) -> String {
    // The smallest integer has no literal of its own: SQL reads the digits before the sign.
    let number = number.map_or("null".to_owned(), |number| match number {
        i64::MIN => format!("({} - 1)", i64::MIN + 1),
        other => other.to_string(),
    });
    format!("insert into item values ({id}, {}, {number})", text.map_or("null".to_owned(), quoted))
}

pub(crate) async fn texts_integers_and_nulls_come_unchanged<K: Kind>() -> Result<()> {
    let mut expected: Vec<(Option<String>, Option<i64>)> =
        texts().into_iter().map(|text| (Some(text), None)).collect();
    for number in [i64::MIN, i64::MAX, 0, -1, 9_007_199_254_740_993] {
        expected.push((None, Some(number)));
    }
    let statements = |from: usize| -> Vec<String> {
        let numbered = expected.iter().enumerate();
        numbered.map(|(at, (text, number))| insert(from + at, text.as_deref(), *number)).collect()
    };
    let tables = vec![capture("item", &["id", "words", "big"])];
    let table = "create table item (id integer primary key not null, words text, big bigint)";
    let mut publisher = Publisher::<K>::new(&[table], tables).await?;
    publisher.owner.run(&statements(0)).await?;
    publisher.prepare().await?;
    let mut reader = publisher.reader(None).await?;
    let loaded = reader.catch_up(4).await?;
    publisher.owner.run(&statements(100)).await?;
    publisher.run(&["delete from item where id >= 100"]).await?;
    let changed = reader.catch_up(5).await?;
    let count = expected.len();
    assert_eq!((loaded.len(), changed.len()), (count, 2 * count));
    let row = |id: usize, at: usize| -> Row {
        vec![Some(id.to_string()), expected[at].0.clone(), expected[at].1.map(|number| number.to_string())]
    };
    for at in 0..count {
        assert!(loaded.iter().any(|change| change.after == Some(row(at, at))), "loaded {at}");
        assert!(changed.iter().any(|change| change.after == Some(row(100 + at, at))), "inserted {at}");
        assert!(changed.iter().any(|change| change.before == Some(row(100 + at, at))), "deleted {at}");
    }
    assert!(reader.changes.iter().all(|change| change.broken.is_empty()));
    publisher.assert_replays(&reader).await
}

pub(crate) async fn names_with_blanks_capitals_and_quotes_are_names<K: Kind>() -> Result<()> {
    let table = "create table \"Hộ Khẩu\" (\"Mã\" integer primary key not null, \"Họ và Tên\" text, \"select\" text, \"it's\" text)";
    let insert = "insert into \"Hộ Khẩu\" values (1, 'An', 'x', 'y')";
    let tables = vec![capture("Hộ Khẩu", &["Mã", "Họ và Tên", "select", "it's"])];
    let mut publisher = Publisher::<K>::new(&[table, insert], tables).await?;
    publisher.prepare().await?;
    publisher.prepare().await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    publisher.run(&["update \"Hộ Khẩu\" set \"Họ và Tên\" = 'Bình', \"select\" = null"]).await?;
    publisher.run(&["update \"Hộ Khẩu\" set \"Mã\" = 2"]).await?;
    reader.catch_up(10).await?;
    assert_eq!(reader.changes.len(), 4);
    publisher.assert_replays(&reader).await
}

pub(crate) async fn rows_with_text_keys_are_loaded_once_each_in_any_chunk_size<K: Kind>() -> Result<()> {
    let tables = vec![capture("item", &["code", "part", "words"])];
    let table =
        "create table item (code text not null, part text not null, words text, primary key (code, part))";
    let mut publisher = Publisher::<K>::new(&[table], tables).await?;
    publisher.tables[0].key = vec!["code".to_owned(), "part".to_owned()];
    let codes = [
        "", " ", "a", "A", "á", "ă", "b", "B", "ab", "a b", "a-b", "đ", "Đ", "z", "Z", "01", "1", "10", "2",
        "'", "\"", "\\", "𝄞",
    ];
    let rows = codes.iter().flat_map(|code| codes.iter().map(move |part| (code, part)));
    let statements: Vec<String> = rows
        .map(|(code, part)| format!("insert into item values ({}, {}, 'x')", quoted(code), quoted(part)))
        .collect();
    publisher.owner.run(&statements).await?;
    publisher.prepare().await?;
    for limit in [1, 7, 100] {
        let mut reader = publisher.reader(None).await?;
        reader.catch_up(limit).await?;
        assert_eq!(reader.changes.len(), statements.len());
        publisher.assert_replays(&reader).await?;
    }
    Ok(())
}

/// The statements of a trigger have names of their own, which a column may bear too.
pub(crate) async fn columns_may_have_any_short_name<K: Kind>() -> Result<()> {
    let columns = [
        "k", "n", "o", "t", "i", "new_rows", "old_rows", "rel", "op", "before", "after", "xid", "key", "row",
    ];
    let typed: Vec<String> = columns[1..].iter().map(|name| format!("\"{name}\" integer")).collect();
    let table = format!("create table item (\"k\" integer primary key not null, {})", typed.join(", "));
    let insert = |key: u32| format!("insert into item values ({key}{})", ", 7".repeat(columns.len() - 1));
    let mut publisher =
        Publisher::<K>::new(&[&table, &insert(1), &insert(2)], vec![capture("item", &columns)]).await?;
    publisher.prepare().await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(1).await?;
    publisher
        .run(&[
            &insert(3),
            "update item set n = 8, o = 9",
            "update item set k = 5 where k = 1",
            "delete from item where k = 2",
        ])
        .await?;
    reader.catch_up(2).await?;
    publisher.assert_replays(&reader).await
}
