//! What does not fit is named with its mend, and no error shows a value.

use anyhow::{Result, bail, ensure};
use lienthong_contract::sink::SinkError;
use lienthong_contract::target::CellKind;

use crate::kind::Kind;
use crate::subscriber::{Deed, Subscriber, Write, create_tables, insured, part, person, tables, version};
use crate::target_types::TargetTypes;

/// The statements in a fix; words that are no statement are for people.
fn statements(fix: &str) -> Vec<String> {
    let starts = ["create ", "alter ", "grant "];
    let parts = fix.split(['\n', ';']).map(str::trim);
    parts
        .filter(|part| starts.iter().any(|start| part.to_lowercase().starts_with(start)))
        .map(str::to_owned)
        .collect()
}

/// The check must name all of `names`; then the printed statements (and `prepare`, where the fix says so) must mend it.
async fn unfit<K: Kind + TargetTypes>(
    subscriber: &mut Subscriber<K>,
    names: &[&str],
    mends: bool,
) -> Result<()> {
    let checked = subscriber.sink().check().await;
    let Err(SinkError::Unfit { problem, fix }) = checked else { bail!("it must not fit: {checked:?}") };
    for name in names {
        ensure!(problem.contains(name), "{problem} does not name {name}");
    }
    ensure!(!fix.is_empty());
    if mends {
        for statement in statements(&fix) {
            subscriber.kind.script(&statement).await?;
        }
        if fix.contains("--prepare") {
            subscriber.prepare().await?;
        }
        subscriber.sink().check().await?;
        subscriber.worker().deliver(&[person("1", 1, "An")]).await?;
    }
    Ok(())
}

pub(crate) async fn what_fits_passes_and_the_check_changes_nothing<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    subscriber.worker().deliver(&[person("1", 1, "An")]).await?;
    let before = subscriber.everything().await?;
    let mut sink = subscriber.sink();
    sink.check().await?;
    sink.check().await?;
    assert_eq!(subscriber.everything().await?, before);
    Ok(())
}

pub(crate) async fn missing_tables_of_the_bus_are_named_and_prepare_mends_them<K: Kind + TargetTypes>()
-> Result<()> {
    let mut subscriber = Subscriber::<K>::with(tables(), &create_tables::<K>()).await?;
    let names = ["lienthong_offset", "lienthong_version", "lienthong_receipt"];
    unfit(&mut subscriber, &names, true).await?;
    subscriber.prepare().await?;
    assert_eq!(subscriber.count("lienthong_offset").await?, 1, "preparing again takes nothing away");
    Ok(())
}

pub(crate) async fn the_printed_statements_prepare_as_well<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::with(tables(), &create_tables::<K>()).await?;
    let ddl = lienthong_connectors::sink_admin(&subscriber.config).ddl().await?;
    subscriber.kind.script(&ddl).await?;
    subscriber.kind.script(&ddl).await?;
    subscriber.sink().check().await?;
    subscriber.worker().deliver(&[person("1", 1, "An")]).await?;
    assert_eq!(subscriber.count("insured").await?, 1);
    Ok(())
}

pub(crate) async fn a_missing_table_is_named_with_its_statement<K: Kind + TargetTypes>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    for table in ["insured", "visits"] {
        subscriber.kind.script(&format!("drop table {table}")).await?;
    }
    unfit(&mut subscriber, &["insured", "visits"], true).await
}

pub(crate) async fn missing_columns_are_all_named_with_their_statements<K: Kind + TargetTypes>() -> Result<()>
{
    let setup = [
        "create table insured (pin text not null primary key, name text)",
        "create table visits (place text not null, number bigint not null, primary key (place, number))",
    ];
    let mut subscriber = Subscriber::<K>::with(tables(), &setup.map(str::to_owned)).await?;
    subscriber.prepare().await?;
    let names = ["insured", "children", "address", "visits", "note", "weight", "lienthong_version"];
    unfit(&mut subscriber, &names, true).await
}

pub(crate) async fn a_missing_unique_key_is_named_with_its_statement<K: Kind + TargetTypes>() -> Result<()> {
    let mut setup = create_tables::<K>();
    setup[0] = setup[0].replace(" primary key", "");
    setup[1] = setup[1].replace("primary key (place, number)", "primary key (place)");
    let mut subscriber = Subscriber::<K>::with(tables(), &setup).await?;
    subscriber.prepare().await?;
    unfit(&mut subscriber, &["insured", "pin", "visits", "place", "number"], true).await
}

pub(crate) async fn a_column_of_the_wrong_type_is_named<K: Kind + TargetTypes>() -> Result<()> {
    let kinds = [
        CellKind::Bool,
        CellKind::Integer,
        CellKind::Float,
        CellKind::Decimal,
        CellKind::Text,
        CellKind::Bytes,
        CellKind::Date,
        CellKind::Time,
        CellKind::Timestamp,
        CellKind::Uuid,
        CellKind::TextList,
    ];
    for kind in kinds {
        let Some(wrong) = K::wrong_type(kind) else { continue };
        let mut tables = tables();
        tables.truncate(1);
        tables[0].groups = vec![crate::subscriber::group(&[("precious", kind)], true)];
        let subscriber_of = async |type_name: &str| {
            let setup =
                [format!("create table insured (pin text not null primary key, precious {type_name})")];
            let subscriber = Subscriber::<K>::with(tables.clone(), &setup).await?;
            subscriber.prepare().await?;
            anyhow::Ok(subscriber)
        };
        subscriber_of(K::column_type(kind)).await?.sink().check().await?;
        let checked = subscriber_of(wrong).await?.sink().check().await;
        let Err(SinkError::Unfit { problem, fix }) = checked else {
            bail!("{wrong} for {kind:?}: {checked:?}")
        };
        ensure!(problem.contains("insured") && problem.contains("precious"), "{problem}");
        ensure!(fix.contains("precious") && (!K::ALTERS_TYPES || !statements(&fix).is_empty()), "{fix}");
    }
    Ok(())
}

pub(crate) async fn no_error_shows_a_value<K: Kind + TargetTypes>() -> Result<()> {
    const MARKER: &str = "MARKER-901";
    let poison = format!("poison {MARKER}");
    let raises = K::raising_trigger("insured", "address", MARKER);
    for breaks in 0..5 {
        let subscriber = Subscriber::<K>::new().await?;
        let mut worker = subscriber.worker();
        let unique = "create unique index one_address on insured (address)";
        let parent = "create table parent (id text primary key)";
        let setup: Vec<String> = match breaks {
            0 => vec![],
            1 => vec![unique.to_owned()],
            2 => raises.clone(),
            3 => vec!["drop table visits".to_owned(), "create table visits (place text not null, number bigint not null, note text not null, weight bigint, voided_at text, lienthong_version text, primary key (place, number))".to_owned()],
            _ => vec![parent.to_owned(), "drop table visits".to_owned(), "create table visits (place text not null, number bigint not null, note text constraint known references parent, weight bigint, voided_at text, lienthong_version text, primary key (place, number))".to_owned()],
        };
        for statement in &setup {
            subscriber.kind.script(statement).await?;
        }
        let address = |pin: &str, address: &str| insured(pin, Deed::Upsert(vec![part(1, 1, &[address])]));
        let visit = |note: Option<&str>| {
            let mut part = part(0, 1, &["", "1"]);
            part.values[0] = note.map(str::to_owned);
            Write { table: 1, key: vec![MARKER.to_owned(), "1".to_owned()], deed: Deed::Upsert(vec![part]) }
        };
        let writes = match breaks {
            0 => vec![person(MARKER, 1, &poison)],
            1 => vec![address("1", MARKER), address("2", MARKER)],
            2 => vec![address(MARKER, MARKER)],
            3 => vec![visit(None)],
            _ => vec![visit(Some(MARKER))],
        };
        // A single row and a large round may go different roads.
        for filler in [0, 700] {
            let mut round: Vec<Write> = (0..filler).map(|at| person(&format!("f{at}"), 1, "x")).collect();
            for write in &mut round {
                if let Deed::Upsert(parts) = &mut write.deed {
                    parts.truncate(1);
                }
            }
            round.extend(writes.clone());
            match worker.deliver(&round).await {
                Err(error) => {
                    ensure!(matches!(error, SinkError::Refused { .. }), "case {breaks}: {error:?}");
                    ensure!(
                        !format!("{error} {error:?}").contains("901"),
                        "case {breaks} shows a value: {error}"
                    );
                }
                // SQLite looks at foreign keys only when a connection asks for it.
                Ok(_) => ensure!(breaks == 4, "case {breaks} was taken"),
            }
        }
    }
    Ok(())
}

pub(crate) async fn a_target_that_changed_since_the_check_is_unfit_and_nothing_is_written<
    K: Kind + TargetTypes,
>() -> Result<()> {
    let mut subscriber = Subscriber::<K>::new().await?;
    let mut worker = subscriber.worker();
    worker.deliver(&[person("1", 1, "An")]).await?;
    let offset = worker.offset().await?;
    subscriber.kind.script("alter table insured rename column address to somewhere").await?;
    for count in [1, 700] {
        let writes: Vec<Write> = (0..count).map(|at| person(&format!("p{at}"), 2, "x")).collect();
        let told = worker.deliver(&writes).await;
        ensure!(matches!(told, Err(SinkError::Unfit { .. })), "{told:?}");
    }
    assert_eq!(worker.offset().await?, offset);
    assert_eq!(subscriber.count("insured").await?, 1);
    subscriber.kind.script("alter table insured rename column somewhere to address").await?;
    let delete = insured("1", Deed::Delete { version: version(2), revokes: None });
    assert_eq!(
        worker.deliver(&[delete, person("2", 1, "x")]).await?.changed,
        2,
        "the sink goes on once it fits again"
    );
    Ok(())
}
