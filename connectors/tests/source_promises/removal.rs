//! What `prepare` has made can be taken away again, and nothing else goes with it.

use anyhow::{Context as _, Result, ensure};
use lienthong_contract::source::SourceError;

use crate::kind::Kind;
use crate::publisher::{PERSON, Publisher, capture};

/// Everything that a file or a schema holds.
async fn everything<K: Kind>(publisher: &mut Publisher<K>) -> Result<Vec<Vec<Option<String>>>> {
    let query = if publisher.kind.url().starts_with("sqlite") {
        "select type || ' ' || name from sqlite_master where name not like 'sqlite_%' order by 1"
    } else {
        "select what from (select 'relation ' || relname from pg_class where relnamespace = 'public'::regnamespace \
         union all select 'function ' || proname from pg_proc where pronamespace = 'public'::regnamespace \
         union all select 'trigger ' || tgname from pg_trigger where not tgisinternal) x (what) order by 1"
    };
    publisher.owner.rows(query).await
}

/// Two tables, prepared, the second no longer captured; with what was there before.
async fn prepared<K: Kind>() -> Result<(Publisher<K>, Vec<Vec<Option<String>>>)> {
    let card = PERSON.replace("person", "card");
    let tables = ["person", "card"].map(|table| capture(table, &["id", "name", "rev"])).to_vec();
    let setup = [PERSON, card.as_str(), "create view names as select name from person"];
    let mut publisher = Publisher::<K>::new(&setup, tables).await?;
    let before = everything(&mut publisher).await?;
    publisher.prepare().await?;
    publisher.tables.pop();
    Ok((publisher, before))
}

fn unpublished(told: Result<(), SourceError>, changes: &str) -> Result<()> {
    match told {
        Err(error @ SourceError::Unpublished { .. }) => {
            let text = error.to_string();
            ensure!(text.contains(changes) && text.contains("--lose-unpublished"), "{text}");
            Ok(())
        }
        other => Err(anyhow::anyhow!("{other:?}")),
    }
}

pub(crate) async fn what_prepare_made_is_taken_away_and_nothing_else<K: Kind>() -> Result<()> {
    let (mut publisher, before) = prepared::<K>().await?;
    for again in [false, true] {
        publisher.admin().remove(false).await?;
        assert_eq!(everything(&mut publisher).await?, before, "again: {again}");
    }
    publisher
        .run(&["insert into person values (1, 'An', 0)", "insert into card values (1, 'An', 0)"])
        .await?;
    let told = publisher.source().open().await;
    ensure!(matches!(told, Err(SourceError::NotPrepared { .. })), "{told:?}");
    // It can be prepared anew, with another history.
    publisher.prepare().await?;
    publisher.reader(None).await?.catch_up(10).await.map(drop)
}

pub(crate) async fn changes_that_wait_are_named_and_lost_only_where_that_is_said<K: Kind>() -> Result<()> {
    let (mut publisher, before) = prepared::<K>().await?;
    let rows = [
        "insert into person values (1, 'An', 0)",
        "update person set rev = 1",
        "insert into card values (1, 'B', 0)",
    ];
    publisher.run(&rows).await?;
    let there = everything(&mut publisher).await?;
    unpublished(publisher.admin().remove(false).await, "3 changes (")?;
    assert_eq!((everything(&mut publisher).await?, publisher.outbox_rows().await?), (there, 3), "as it was");
    publisher.run(&["delete from card"]).await?;
    assert_eq!(publisher.outbox_rows().await?, 4, "it still records");
    publisher.admin().remove(true).await?;
    assert_eq!(everything(&mut publisher).await?, before);
    Ok(())
}

pub(crate) async fn a_source_that_is_held_is_left_alone<K: Kind>() -> Result<()> {
    let (mut publisher, _) = prepared::<K>().await?;
    let there = everything(&mut publisher).await?;
    let reader = publisher.reader(None).await?;
    let told = publisher.admin().remove(true).await;
    ensure!(matches!(told, Err(SourceError::Held { .. })), "{told:?}");
    assert_eq!(everything(&mut publisher).await?, there);
    drop(reader);
    Ok(())
}

pub(crate) async fn the_printed_statements_take_away_as_well<K: Kind>() -> Result<()> {
    let (mut publisher, before) = prepared::<K>().await?;
    publisher.run(&["insert into person values (1, 'An', 0)"]).await?;
    let there = everything(&mut publisher).await?;
    // A file is looked at when the statements are printed, a server when they are run.
    match publisher.admin().removal_ddl(false).await {
        Ok(script) => ensure!(publisher.kind.script(&script).await.is_err(), "{script}"),
        refused => unpublished(refused.map(drop), "1 change (")?,
    }
    assert_eq!(everything(&mut publisher).await?, there);
    let script = publisher.admin().removal_ddl(true).await?;
    for _ in 0..2 {
        publisher.kind.script(&script).await.with_context(|| script.clone())?;
        assert_eq!(everything(&mut publisher).await?, before);
    }
    Ok(())
}
