//! A TCP proxy between a client and a server, whose connections a test can delay and cut at a chosen byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Forwards a free local port to a target; lives inside the runtime that started it.
#[derive(Debug)]
pub struct TcpProxy {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    cut: AtomicBool,
    /// Milliseconds before each piece of data goes on.
    delay: AtomicU64,
    /// Pieces of data that a delay has held back.
    delayed: AtomicU64,
    /// Bytes of both directions that may still pass.
    budget: AtomicI64,
    /// Bytes of both directions that have passed.
    passed: AtomicU64,
    /// Whether data waits here, in both directions.
    holds: watch::Sender<bool>,
    /// Bytes that wait so.
    held: AtomicU64,
    /// When so many bytes have passed, what follows waits.
    hold_at: AtomicU64,
    /// Counts cuts; every connection of an older count ends.
    cuts: watch::Sender<u64>,
}

impl TcpProxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `target` (`host:port`).
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(target: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a free port")?;
        let state = Arc::new(State {
            cut: AtomicBool::new(false),
            delay: AtomicU64::new(0),
            delayed: AtomicU64::new(0),
            budget: AtomicI64::new(i64::MAX),
            passed: AtomicU64::new(0),
            holds: watch::Sender::new(false),
            held: AtomicU64::new(0),
            hold_at: AtomicU64::new(u64::MAX),
            cuts: watch::Sender::new(0),
        });
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, target.to_owned(), Arc::clone(&state)));
        Ok(Self { address, state, accepting })
    }

    /// `127.0.0.1:port`, where clients connect.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Closes all connections; new ones are closed as soon as they are made, until [`Self::heal`].
    pub fn cut(&self) {
        self.state.cut();
    }

    /// Closes all connections, and lets new ones through at once.
    pub fn drop_connections(&self) {
        self.state.cuts.send_modify(|count| *count += 1);
    }

    /// Lets `bytes` more bytes through, both directions counted together, and cuts then, in the middle of a message if need be.
    pub fn cut_after_bytes(&self, bytes: u64) {
        self.state.passed.store(0, Ordering::SeqCst);
        self.state.budget.store(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Whether it is cut.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.state.cut.load(Ordering::SeqCst)
    }

    /// Bytes of both directions that have passed since the start, the last [`Self::heal`] or [`Self::cut_after_bytes`].
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.state.passed.load(Ordering::SeqCst)
    }

    /// Lets connections through again, for any number of bytes.
    pub fn heal(&self) {
        self.state.passed.store(0, Ordering::SeqCst);
        self.state.budget.store(i64::MAX, Ordering::SeqCst);
        self.state.cut.store(false, Ordering::SeqCst);
    }

    /// Lets nothing through until [`Self::release`]; connections stay open.
    pub fn hold(&self) {
        self.state.holds.send_replace(true);
    }

    /// Lets `bytes` more bytes through, both directions counted together, to the end of the piece they end in, and holds then: whoever
    /// is slow has no more of them before it than that.
    pub fn hold_after_bytes(&self, bytes: u64) {
        self.state.passed.store(0, Ordering::SeqCst);
        self.state.hold_at.store(bytes, Ordering::SeqCst);
    }

    /// Lets everything through that [`Self::hold`] has kept, and what follows.
    pub fn release(&self) {
        self.state.hold_at.store(u64::MAX, Ordering::SeqCst);
        self.state.holds.send_replace(false);
    }

    /// Bytes that wait for [`Self::release`].
    #[must_use]
    pub fn held(&self) -> u64 {
        self.state.held.load(Ordering::SeqCst)
    }

    /// Holds every piece of data back for `delay`, in both directions.
    pub fn delay(&self, delay: Duration) {
        self.state.delayed.store(0, Ordering::SeqCst);
        self.state.delay.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    /// Whether something has been held back since the last [`Self::delay`].
    #[must_use]
    pub fn has_delayed(&self) -> bool {
        self.state.delayed.load(Ordering::SeqCst) > 0
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.state.cut();
    }
}

impl State {
    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        self.cuts.send_modify(|count| *count += 1);
    }

    /// Waits with `bytes` until they are let through.
    async fn wait(&self, bytes: usize) {
        if self.passed.load(Ordering::SeqCst) >= self.hold_at.load(Ordering::SeqCst) {
            self.holds.send_replace(true);
        }
        let mut holds = self.holds.subscribe();
        if *holds.borrow_and_update() {
            let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
            self.held.fetch_add(bytes, Ordering::SeqCst);
            // The sender lives in the state that is borrowed here.
            let _open = holds.wait_for(|holds| !holds).await;
            self.held.fetch_sub(bytes, Ordering::SeqCst);
        }
    }

    /// How many of `wanted` bytes may pass.
    fn take(&self, wanted: usize) -> usize {
        let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
        let before = self.budget.fetch_sub(wanted, Ordering::SeqCst);
        let allowed = before.clamp(0, wanted).unsigned_abs();
        self.passed.fetch_add(allowed, Ordering::SeqCst);
        usize::try_from(allowed).unwrap_or(0)
    }
}

async fn accept(listener: TcpListener, target: String, state: Arc<State>) {
    while let Ok((client, _)) = listener.accept().await {
        if !state.cut.load(Ordering::SeqCst) {
            tokio::spawn(connection(client, target.clone(), Arc::clone(&state)));
        }
    }
}

async fn connection(client: TcpStream, target: String, state: Arc<State>) {
    let mut cuts = state.cuts.subscribe();
    let Ok(server) = TcpStream::connect(&target).await else { return };
    // Small messages must not wait for one another on the proxy's account.
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // Whichever side ends first ends both: a dropped half closes its socket.
    tokio::select! {
        _ = cuts.changed() => {}
        () = forward(from_client, to_server, &state) => {}
        () = forward(from_server, to_client, &state) => {}
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let delay = state.delay.load(Ordering::SeqCst);
        if delay > 0 {
            state.delayed.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        state.wait(read).await;
        let allowed = state.take(read);
        if to.write_all(&buffer[..allowed]).await.is_err() {
            return;
        }
        if allowed < read {
            state.cut();
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = socket.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        Ok(address)
    }

    async fn ask(proxy: &TcpProxy, text: &[u8]) -> Result<Vec<u8>> {
        let mut socket = TcpStream::connect(proxy.address()).await?;
        socket.write_all(text).await?;
        socket.shutdown().await?;
        let mut answer = Vec::new();
        let _cut = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut answer)).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn a_connection_is_cut_at_the_byte_that_was_asked_for_and_heals() -> Result<()> {
        let proxy = TcpProxy::start(&echo().await?).await?;
        proxy.cut_after_bytes(15);
        let mut socket = TcpStream::connect(proxy.address()).await?;
        socket.write_all(b"0123456789").await?;
        let mut answer = Vec::new();
        let _cut = tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut answer)).await?;
        assert_eq!(answer, b"01234");
        assert!(proxy.is_cut());
        assert_eq!(ask(&proxy, b"x").await.unwrap_or_default(), b"");
        proxy.heal();
        let mut socket = TcpStream::connect(proxy.address()).await?;
        socket.write_all(b"abc").await?;
        let mut three = [0; 3];
        socket.read_exact(&mut three).await?;
        assert_eq!(&three, b"abc");
        Ok(())
    }

    #[tokio::test]
    async fn what_is_held_waits_until_it_is_released() -> Result<()> {
        let proxy = TcpProxy::start(&echo().await?).await?;
        let mut socket = TcpStream::connect(proxy.address()).await?;
        proxy.hold();
        socket.write_all(b"0123").await?;
        crate::eventually(Duration::from_secs(10), async || Ok(proxy.held() == 4)).await?;
        assert_eq!(proxy.passed(), 0);
        proxy.release();
        let mut answer = [0; 4];
        socket.read_exact(&mut answer).await?;
        assert_eq!((&answer, proxy.held()), (b"0123", 0));
        proxy.hold_after_bytes(1);
        socket.write_all(b"45").await?;
        crate::eventually(Duration::from_secs(10), async || Ok(proxy.held() == 2)).await?;
        assert_eq!(proxy.passed(), 2, "one way");
        proxy.release();
        socket.read_exact(&mut answer[..2]).await?;
        assert_eq!(&answer, b"4523");
        Ok(())
    }
}
