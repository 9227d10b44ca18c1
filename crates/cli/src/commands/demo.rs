//! `demo`: a nation in a folder, its connectors and routers in this process, and a check of every row at the end.

mod fleet;
mod view;

use std::path::{Path, PathBuf};
use std::time::Duration;

use lienthong_demo::{Life, LifeOptions, Verdict};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::fleet::Fleet;
use self::view::View;
use super::{Context, keys, schema, topics};
use crate::args::{Demo, Global};
use crate::exit::{Code, Failure};
use crate::signals::Stop;

/// Life rests at most so long before it looks whether it shall end.
const LOOK: Duration = Duration::from_millis(50);

/// What life tells of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    happened: u64,
    living: u32,
}

pub(super) async fn run(global: &Global, options: &Demo, shutdown: CancellationToken) -> Result<(), Failure> {
    let folder = Folder::new(options.dir.as_deref())?;
    match nation(global, options, folder.path().to_owned(), shutdown).await {
        Ok(verdict) => folder.keep_or_remove(&verdict),
        Err(failure) => {
            // Where to look is told, and what to look at stays.
            println!("{}", view::commands(&folder.keep()));
            Err(failure)
        }
    }
}

/// A nation from its first day in this run to its check.
async fn nation(
    global: &Global,
    options: &Demo,
    path: PathBuf,
    shutdown: CancellationToken,
) -> Result<Verdict, Failure> {
    lienthong_demo::write(&path, global.log.as_deref())?;
    keys::create(&path)?;
    let site = Global { site: path.clone(), ..global.clone() };
    // Life ends first: the fleet is not stopped by the signal itself.
    let unasked = Stop { asked: CancellationToken::new(), late: CancellationToken::new() };
    let context = Context::load(&site, unasked)?;
    println!("{}", view::legend(&path));
    prepare_log(&context).await?;

    let ending = CancellationToken::new();
    let (teller, told) = watch::channel(Told::default());
    let life = open_life(&path, options).await?;
    let mut fleet = Fleet::prepare(&context).await?;
    // A life that fails ends the watch.
    let living = live(life, teller, ending.clone());
    fleet.start(&context)?;
    let mut view = View::new(&path, context.output, told);
    let watched = watch_until(options.length, &[&shutdown, &ending], &mut fleet, &mut view).await;
    ending.cancel();
    // Whatever ended the watch: what has begun is finished, delivered and checked.
    let lived = living.await?;
    view.say("life has stopped; what is committed is brought to every subscriber");
    let stopped = fleet.stop().await;
    watched.and(lived).and(stopped)?;
    fleet.drain(&context).await?;
    fleet.finish().await;
    let verdict = tokio::task::spawn_blocking({
        let path = path.clone();
        move || lienthong_demo::check(&path)
    });
    let verdict = verdict.await??;
    view.verdict(&verdict);
    Ok(verdict)
}

/// Shows the fleet until the time is up, the user stops it, or a part of the fleet has ended by itself.
async fn watch_until(
    length: Option<Duration>,
    [shutdown, ended]: &[&CancellationToken; 2],
    fleet: &mut Fleet,
    view: &mut View,
) -> Result<(), Failure> {
    let end = length.map(|length| tokio::time::Instant::now() + length);
    loop {
        view.show(fleet).await?;
        let next = tokio::time::Instant::now() + view.interval();
        tokio::select! {
            () = tokio::time::sleep_until(end.map_or(next, |end| end.min(next))) => {}
            () = shutdown.cancelled() => return Ok(()),
            () = ended.cancelled() => return Ok(()),
            failure = fleet.failure() => return Err(failure),
        }
        if end.is_some_and(|end| end <= tokio::time::Instant::now()) {
            return Ok(());
        }
    }
}

/// Topics and contracts, as `topics create` and `schema register` make them.
async fn prepare_log(context: &Context) -> Result<(), Failure> {
    let log = context.log()?;
    log.create_topics(&topics::wanted(&context.site.catalogue, context.site.participants())).await?;
    schema::write(context, log.as_ref()).await?;
    Ok(())
}

async fn open_life(path: &Path, options: &Demo) -> Result<Life, Failure> {
    let path = path.to_owned();
    let Demo { seed, people, rate, canaries, .. } = *options;
    let options = LifeOptions { seed, people, rate, canaries };
    let opened = tokio::task::spawn_blocking(move || Life::open(&path, options));
    Ok(opened.await??)
}

/// Lives on a thread of its own until told to end, and finishes what has begun.
fn live(
    mut life: Life,
    teller: watch::Sender<Told>,
    ending: CancellationToken,
) -> JoinHandle<Result<(), Failure>> {
    tokio::task::spawn_blocking(move || {
        let _ended = ending.clone().drop_guard();
        while !ending.is_cancelled() {
            let rest = life.tick()?;
            teller.send_replace(Told { happened: life.happened(), living: life.living() });
            std::thread::sleep(rest.min(LOOK));
        }
        Ok(life.finish()?)
    })
}

/// Where the demo lies: the user's folder, or one that goes away when all was well.
enum Folder {
    Kept(PathBuf),
    Passing(tempfile::TempDir),
}

impl Folder {
    fn new(dir: Option<&Path>) -> Result<Self, Failure> {
        let Some(dir) = dir else { return Ok(Self::Passing(tempfile::tempdir()?)) };
        std::fs::create_dir_all(dir)?;
        Ok(Self::Kept(dir.canonicalize()?))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Passing(folder) => folder.path(),
        }
    }

    /// The folder stays, whatever it was.
    fn keep(self) -> PathBuf {
        match self {
            Self::Kept(path) => path,
            Self::Passing(folder) => folder.keep(),
        }
    }

    /// Tells where to look further; a nation with differences is kept in any case.
    fn keep_or_remove(self, verdict: &Verdict) -> Result<(), Failure> {
        let differs = !verdict.differences.is_empty();
        let path = match self {
            Self::Kept(path) => Some(path),
            Self::Passing(folder) if differs => Some(folder.keep()),
            Self::Passing(_) => None,
        };
        if let Some(path) = path {
            println!("{}", view::commands(&path));
        }
        if differs {
            let line = format!("{} tables differ from what they must hold", verdict.differences.len());
            return Err(Failure::new(Code::Differences, line));
        }
        Ok(())
    }
}

impl From<lienthong_demo::DemoError> for Failure {
    fn from(error: lienthong_demo::DemoError) -> Self {
        let code = match &error {
            lienthong_demo::DemoError::File { .. } | lienthong_demo::DemoError::Database { .. } => {
                Code::Unexpected
            }
            lienthong_demo::DemoError::Nation(_) | lienthong_demo::DemoError::Other { .. } => {
                Code::Configuration
            }
        };
        Self::new(code, error.to_string())
    }
}
