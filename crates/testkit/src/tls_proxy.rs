//! TLS in front of an HTTP server that has none, with basic authentication when a test wants it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

use crate::certificates::Authority;

/// Ends TLS and passes requests on, one after the other per connection; lives inside the runtime that started it.
#[derive(Debug)]
pub struct TlsProxy {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl TlsProxy {
    /// Listens on a free port with a certificate of `authority` and forwards to `target` (`host:port`). Clients need a
    /// certificate of the same authority, and `authorization` as the value of that header when there is one.
    ///
    /// # Errors
    /// When no port is free or the certificate cannot be made.
    pub async fn start(authority: &Authority, target: &str, authorization: Option<&str>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a free port")?;
        let address = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(Arc::new(config(authority)?));
        let (target, wanted) = (target.to_owned(), authorization.map(str::to_owned));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, target, wanted) = (acceptor.clone(), target.clone(), wanted.clone());
                tokio::spawn(async move {
                    // A client that does not trust the certificate ends the connection: that is its own affair.
                    let _ended = serve(client, &acceptor, &target, wanted.as_deref()).await;
                });
            }
        });
        Ok(Self { address, accepting })
    }

    /// `https://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for TlsProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn config(authority: &Authority) -> Result<ServerConfig> {
    let signed = authority.sign("registry")?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.certificate().as_bytes())?)?;
    let provider = Arc::new(crypto::ring::default_provider());
    let clients =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let certificate = CertificateDer::from_pem_slice(signed.certificate.as_bytes())?;
    let key = PrivateKeyDer::from_pem_slice(signed.key.as_bytes())?;
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_client_cert_verifier(clients).with_single_cert(vec![certificate], key)?)
}

/// A request's or an answer's first lines.
struct Head {
    text: String,
    length: usize,
    chunked: bool,
    authorization: Option<String>,
}

async fn serve(client: TcpStream, acceptor: &TlsAcceptor, target: &str, wanted: Option<&str>) -> Result<()> {
    let mut client = BufReader::new(acceptor.accept(client).await?);
    let mut server = BufReader::new(TcpStream::connect(target).await?);
    while let Some(request) = head(&mut client).await? {
        let mut body = vec![0; request.length];
        client.read_exact(&mut body).await?;
        if wanted.is_some() && wanted != request.authorization.as_deref() {
            let answer = b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic\r\ncontent-length: 0\r\n\r\n";
            client.write_all(answer).await?;
            client.flush().await?;
            continue;
        }
        server.write_all(request.text.as_bytes()).await?;
        server.write_all(&body).await?;
        let Some(answer) = head(&mut server).await? else { bail!("the server has closed") };
        client.write_all(answer.text.as_bytes()).await?;
        if answer.chunked {
            pass_chunks(&mut server, &mut client).await?;
        } else {
            let mut body = vec![0; answer.length];
            server.read_exact(&mut body).await?;
            client.write_all(&body).await?;
        }
        client.flush().await?;
    }
    Ok(())
}

/// Passes a body on that tells its length piece by piece.
async fn pass_chunks(
    from: &mut (impl tokio::io::AsyncBufRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
) -> Result<()> {
    loop {
        let mut line = String::new();
        from.read_line(&mut line).await?;
        to.write_all(line.as_bytes()).await?;
        let size = usize::from_str_radix(line.trim(), 16).context("the length of a piece")?;
        // The piece and its line end; after the last piece only the line end is left.
        let mut piece = vec![0; size + 2];
        from.read_exact(&mut piece).await?;
        to.write_all(&piece).await?;
        if size == 0 {
            return Ok(());
        }
    }
}

/// Reads up to the empty line; `None` at the connection's end.
async fn head(from: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> Result<Option<Head>> {
    let mut head = Head { text: String::new(), length: 0, chunked: false, authorization: None };
    loop {
        let start = head.text.len();
        if from.read_line(&mut head.text).await? == 0 {
            return Ok(None);
        }
        let line = head.text[start..].trim_end();
        if line.is_empty() {
            return Ok(Some(head));
        }
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => head.length = value.trim().parse()?,
            "transfer-encoding" => head.chunked = true,
            "authorization" => head.authorization = Some(value.trim().to_owned()),
            _ => {}
        }
    }
}
