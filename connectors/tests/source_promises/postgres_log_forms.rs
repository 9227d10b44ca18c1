//! The log's values come in binary form where all of them can, else as text, and nobody above sees which.

use anyhow::{Result, bail};
use lienthong_contract::position::Position;
use lienthong_contract::source::SourceError;

use crate::log_kind::PostgresLog;
use crate::publisher::{Change, PERSON, Publisher, Reader, capture};

type Log = Publisher<PostgresLog>;

/// Everything that comes behind `from`; a source that had to leave the server is opened again.
async fn rest(reader: &mut Reader, from: &Position) -> Result<(Vec<Change>, usize)> {
    let began = reader.changes.len();
    let (mut from, mut reopened) = (from.clone(), 0);
    for _ in 0..1_000 {
        match reader.poll(100).await {
            Ok(polled) if polled.caught_up => return Ok((reader.changes[began..].to_vec(), reopened)),
            Ok(polled) => from = polled.position,
            Err(SourceError::Unreachable { .. }) => {
                reopened += 1;
                reader.source.open().await?;
                reader.source.seek(Some(&from)).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    bail!("it never catches up")
}

fn names(changes: &[Change]) -> Vec<&str> {
    changes.iter().filter_map(|change| change.after.as_ref()?.get(1)?.as_deref()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_has_no_binary_form_and_is_not_captured_keeps_no_row_back() -> Result<()> {
    let tables = vec![capture("person", &["id", "name", "rev"])];
    let mut publisher = Log::new(&[PERSON], tables).await?;
    publisher.prepare().await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    let start = reader.position();
    // There and gone again before anybody has read the log of it.
    publisher.run(&["insert into person values (1, 'An', 0)"]).await?;
    publisher.run(&["alter table person add column rights aclitem[]"]).await?;
    publisher.run(&["insert into person values (2, 'Bình', 0, '{postgres=r/postgres}')"]).await?;
    publisher.run(&["alter table person drop column rights"]).await?;
    publisher.run(&["insert into person values (3, 'Cúc', 0)"]).await?;
    let (came, reopened) = rest(&mut reader, &start).await?;
    assert_eq!((names(&came), reopened), (vec!["An", "Bình", "Cúc"], 1));
    let begin = reader.position();
    publisher.run(&["insert into person values (4, 'Dũng', 0)"]).await?;
    assert_eq!(names(&rest(&mut reader, &begin).await?.0), ["Dũng"], "as text from then on");
    // Where it stands at the start already, nothing has to be begun again.
    publisher
        .run(&["alter table person add column rights aclitem[] default '{postgres=r/postgres}'"])
        .await?;
    let end = reader.position();
    drop(reader);
    let mut reader = publisher.reader(Some(&end)).await?;
    publisher.run(&["insert into person values (5, 'Em', 0)"]).await?;
    let (came, reopened) = rest(&mut reader, &end).await?;
    assert_eq!((names(&came), reopened), (vec!["Em"], 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_column_whose_new_type_is_read_from_text_only_is_read_from_text() -> Result<()> {
    let tables = vec![capture("thing", &["id", "code"])];
    let setup = "create table thing (id integer primary key, code text)";
    let mut publisher = Log::new(&[setup], tables).await?;
    publisher.prepare().await?;
    let mut reader = publisher.reader(None).await?;
    reader.catch_up(10).await?;
    let start = reader.position();
    publisher.run(&["insert into thing values (1, '101')"]).await?;
    publisher.run(&["alter table thing alter column code type bit varying using code::bit varying"]).await?;
    publisher.run(&["insert into thing values (2, b'1011')"]).await?;
    let (came, reopened) = rest(&mut reader, &start).await?;
    assert_eq!((names(&came), reopened), (vec!["101", "1011"], 1));
    assert!(came.iter().all(|change| change.broken.is_empty()));
    Ok(())
}
