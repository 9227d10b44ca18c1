//! An owner who changes the usual table at random.

use anyhow::Result;
use lienthong_testkit::database::Database;
use rand::Rng as _;
use rand::rngs::StdRng;

/// One random transaction over the keys below `keys`; one in ten fails and is rolled back.
pub(crate) async fn change(owner: &mut Database, random: &mut StdRng, keys: u32) -> Result<()> {
    let mut statements: Vec<String> =
        (0..random.random_range(1..6)).map(|_| statement(random, keys)).collect();
    if random.random_range(0..10) == 0 {
        statements.push("insert into person values (1000000, 'without revision', null)".to_owned());
        owner.run(&statements).await.expect_err("a revision is never null");
        return Ok(());
    }
    owner.run(&statements).await
}

fn statement(random: &mut StdRng, keys: u32) -> String {
    let (id, other) = (random.random_range(0..keys), random.random_range(0..keys));
    let mark: u32 = random.random();
    match random.random_range(0..10) {
        0..3 => format!("insert into person values ({id}, 'n{mark}', 0) on conflict (id) do nothing"),
        3 => format!(
            "insert into person values ({id}, 'n{mark}', 0) on conflict (id) do update set name = 'u{mark}', rev = person.rev + 1"
        ),
        4..6 => format!("update person set name = 'n{mark}', rev = rev + 1 where id = {id}"),
        6 => format!("update person set name = null, rev = rev + 1 where id % 7 = {}", id % 7),
        7..9 => format!("delete from person where id = {id}"),
        _ => format!(
            "update person set id = {other} where id = {id} and not exists (select 1 from person p where p.id = {other})"
        ),
    }
}
