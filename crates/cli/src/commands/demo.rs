//! `demo`: a nation in a folder, its connectors and routers in this process, and a check of every row at the end.

mod drain;
mod figures;
mod fleet;
mod folder;
mod told;
mod view;

use std::path::Path;
use std::time::Duration;

use lienthong_demo::{Checking, Ground, LifeOptions, Verdict};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::fleet::Fleet;
use self::folder::Folder;
use self::told::{Told, live};
use self::view::View;
use super::{Context, keys, schema, topics};
use crate::args::{Demo, Global};
use crate::exit::{Code, Failure};
use crate::output::Output;
use crate::signals::{LATE, Stop};

/// How often it is looked whether there is something to show or to end.
const LOOK: Duration = Duration::from_millis(100);

pub(super) async fn run(global: &Global, options: &Demo, stop: Stop) -> Result<(), Failure> {
    let output = Output::new(global.output, global.color);
    let folder = Folder::new(options.dir.as_deref(), &stop)?;
    let view = View::new(folder.path(), output);
    let hurry = async {
        stop.terminated.cancelled().await;
        stop.late.cancelled().await;
    };
    let outcome = tokio::select! {
        biased;
        outcome = nation(global, options, folder.path(), &stop.asked, view) => outcome,
        () = hurry => Err(Failure::new(
            Code::Interrupted,
            format!("not all that is committed could be delivered and checked within {} s of SIGTERM: the check was not done", LATE.as_secs()),
        )),
    };
    folder.end(output, outcome)
}

/// A nation from its first day in this run to its check.
async fn nation(
    global: &Global,
    options: &Demo,
    path: &Path,
    shutdown: &CancellationToken,
    mut view: View,
) -> Result<Verdict, Failure> {
    // First of all: the files of another version need not even be readable.
    lienthong_demo::inspect(path)?;
    lienthong_demo::write(path, global.log.as_deref())?;
    keys::create(path)?;
    let site = Global { site: path.to_owned(), ..global.clone() };
    // Life ends first: the fleet is not stopped by the signal itself.
    let context = Context::load(&site, Stop::unasked())?;
    let ground = open(path, options).await?;
    view.legend();

    let ending = CancellationToken::new();
    // Whatever goes wrong here, the nation's thread ends too.
    let _ended = ending.clone().drop_guard();
    let (teller, told) = watch::channel(Told::default());
    // Before the nation is made, whose making may take minutes and is to be seen.
    let mut fleet = tokio::select! {
        fleet = begin(&context, &told) => fleet?,
        () = shutdown.cancelled() => {
            let line = "ended before anything was published: the check was not done";
            return Err(Failure::new(Code::Interrupted, line));
        }
    };
    // A life that fails ends the watch.
    let living = live(ground, teller, ending.clone());
    let watched = watch_until(options.length, &[shutdown, &ending], &mut fleet, &told, &mut view).await;
    ending.cancel();
    // Whatever ended the watch: what has begun is finished, delivered and checked.
    view.say("life ends; what is committed is brought to every subscriber and checked (Ctrl-C again ends at once, without the check)");
    let lived = living.await?;
    let stopped = fleet.stop(&mut view).await;
    watched.and(lived).and(stopped)?;
    let filled = told.borrow().filled.clone();
    fleet.drain(&context, &filled, &mut view).await?;
    fleet.finish().await;
    let verdict = check(path, &mut view).await?;
    view.verdict(&verdict);
    Ok(verdict)
}

/// Shows the fleet until the time is up, the user stops it, or a part of the fleet has ended by itself. The time is the time of life: it
/// begins when the nation is made.
async fn watch_until(
    length: Option<Duration>,
    [shutdown, ended]: &[&CancellationToken; 2],
    fleet: &mut Fleet,
    told: &watch::Receiver<Told>,
    view: &mut View,
) -> Result<(), Failure> {
    let mut end = None;
    loop {
        let now = told.borrow().clone();
        view.show(fleet, &now).await?;
        if now.lives() && end.is_none() {
            end = length.map(|length| Instant::now() + length);
        }
        let next = Instant::now() + LOOK;
        tokio::select! {
            () = tokio::time::sleep_until(end.map_or(next, |end| end.min(next))) => {}
            () = shutdown.cancelled() => return Ok(()),
            () = ended.cancelled() => return Ok(()),
            failure = fleet.failure() => return Err(failure),
        }
        if end.is_some_and(|end| end <= Instant::now()) {
            return Ok(());
        }
    }
}

/// The log and the subscribers made ready, and everything started.
async fn begin(context: &Context, told: &watch::Receiver<Told>) -> Result<Fleet, Failure> {
    let (log, fleet) = tokio::join!(prepare_log(context), Fleet::prepare(context));
    let mut fleet = log.and(fleet)?;
    fleet.start(context, told)?;
    Ok(fleet)
}

/// Topics and contracts, as `topics create` and `schema register` make them.
async fn prepare_log(context: &Context) -> Result<(), Failure> {
    let log = context.log()?;
    log.create_topics(&topics::wanted(&context.site.catalogue, context.site.participants())).await?;
    schema::write(context, log.as_ref()).await?;
    Ok(())
}

async fn open(path: &Path, options: &Demo) -> Result<Ground, Failure> {
    let path = path.to_owned();
    let Demo { seed, people, rate, canaries, .. } = *options;
    let options = LifeOptions { seed, people, rate, canaries };
    let opened = tokio::task::spawn_blocking(move || Ground::open(&path, options));
    Ok(opened.await??)
}

async fn check(path: &Path, view: &mut View) -> Result<Verdict, Failure> {
    let path = path.to_owned();
    let (teller, told) = watch::channel(None);
    let mut checked = tokio::task::spawn_blocking(move || {
        lienthong_demo::check(&path, &mut |checking| {
            teller.send_replace(Some(checking));
        })
    });
    loop {
        tokio::select! {
            verdict = &mut checked => return Ok(verdict??),
            () = tokio::time::sleep(LOOK) => {}
        }
        if let Some(Checking { subscriber, done, of }) = *told.borrow() {
            view.phase("checking", &format!("{done} of {of} tables compared; {subscriber}"));
        }
    }
}
