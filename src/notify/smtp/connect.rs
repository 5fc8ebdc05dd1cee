//! Opening a connection to the relay: TCP, TLS, login.
//!
//! Must stay true: without TLS no byte of a message and no password goes to another machine, whatever the relay or someone
//! on the way says; Nagle's algorithm is off (lettre writes a message and its end apart, and the two would meet a delayed
//! acknowledgement of 40 ms).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, ready};

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::dialogue::{Stage, judge};
use super::settings::{MailRelay, RelayError, RelayUrl, Security, TlsMode};
use crate::base::SecretText;
use crate::notify::outcome::{SendOutcome, Why};

/// All that is needed to open a connection.
pub(super) struct Door {
    url: RelayUrl,
    encryption: Encryption,
    login: Option<(String, SecretText)>,
    hello: ClientId,
}

enum Encryption {
    None,
    AtOnce { connector: TlsConnector, name: ServerName<'static> },
    StartTls(TlsParameters),
}

impl Door {
    pub(super) fn new(relay: MailRelay) -> Result<Self, RelayError> {
        let authorities = match &relay.ca_file {
            Some(path) => Some(std::fs::read(path).map_err(RelayError::CaFile)?),
            None => None,
        };
        let encryption = match (relay.tls, relay.url.security) {
            (TlsMode::None, Security::AtOnce) => return Err(RelayError::PlainInsideTls),
            (TlsMode::None, Security::Later) if !relay.url.is_loopback() => {
                return Err(RelayError::PlainToAnotherMachine);
            }
            (TlsMode::None, Security::Later) => Encryption::None,
            (TlsMode::Required, Security::AtOnce) => Encryption::AtOnce {
                connector: TlsConnector::from(Arc::new(tls_config(authorities.as_deref())?)),
                name: ServerName::try_from(relay.url.host.clone()).map_err(|_| RelayError::Url)?,
            },
            (TlsMode::Required, Security::Later) => {
                Encryption::StartTls(starttls_parameters(&relay.url.host, authorities.as_deref())?)
            }
        };
        if !is_host_name(&relay.hello_name) {
            return Err(RelayError::HelloName);
        }
        Ok(Self {
            url: relay.url,
            encryption,
            login: relay.login.map(|login| (login.user, login.password)),
            hello: ClientId::Domain(relay.hello_name),
        })
    }

    /// A connection past greeting, TLS and login.
    pub(super) async fn open(&self) -> Result<AsyncSmtpConnection, SendOutcome> {
        let socket = self.connect().await?;
        let stream: Box<dyn AsyncTokioStream> = match &self.encryption {
            Encryption::None => Box::new(socket),
            Encryption::AtOnce { connector, name } => {
                let encrypted = connector.connect(name.clone(), socket).await.map_err(|e| handshake_failed(&e))?;
                Box::new(Encrypted(encrypted))
            }
            Encryption::StartTls(_) => Box::new(LineByLine(BufReader::new(socket))),
        };
        let greeted = AsyncSmtpConnection::connect_with_transport(stream, &self.hello).await;
        let mut connection = greeted.map_err(|e| judge(Stage::Greeting, Some(&e), &AtomicBool::new(false)))?;
        if let Encryption::StartTls(parameters) = &self.encryption {
            self.encrypt(&mut connection, parameters.clone()).await?;
        }
        self.log_in(&mut connection).await?;
        Ok(connection)
    }

    /// A socket without Nagle's algorithm.
    pub(super) async fn connect(&self) -> Result<TcpStream, SendOutcome> {
        let unreachable = |_| SendOutcome::Transient { why: Why::ours("the relay cannot be reached") };
        let addresses = lookup_host((self.url.host.as_str(), self.url.port))
            .await
            .map_err(|_| SendOutcome::Transient { why: Why::ours("the relay's name cannot be resolved") })?;
        let addresses: Vec<SocketAddr> = match &self.encryption {
            // Whatever the hosts file says of localhost.
            Encryption::None => addresses.filter(|address| address.ip().is_loopback()).collect(),
            Encryption::AtOnce { .. } | Encryption::StartTls(_) => addresses.collect(),
        };
        let socket = TcpStream::connect(addresses.as_slice()).await.map_err(unreachable)?;
        socket.set_nodelay(true).map_err(unreachable)?;
        Ok(socket)
    }

    async fn encrypt(
        &self,
        connection: &mut AsyncSmtpConnection,
        parameters: TlsParameters,
    ) -> Result<(), SendOutcome> {
        if !connection.can_starttls() {
            return Err(SendOutcome::Misconfigured { why: Why::ours("the relay does not offer STARTTLS") });
        }
        connection.starttls(parameters, &self.hello).await.map_err(|error| {
            if error.status().is_some() {
                judge(Stage::StartTls, Some(&error), &AtomicBool::new(false))
            } else {
                handshake_failed(&error)
            }
        })
    }

    async fn log_in(&self, connection: &mut AsyncSmtpConnection) -> Result<(), SendOutcome> {
        let Some((user, password)) = &self.login else { return Ok(()) };
        let credentials = Credentials::new(user.clone(), password.expose().to_owned());
        let answer = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await;
        answer.map(drop).map_err(|error| {
            if error.is_client() {
                SendOutcome::Misconfigured { why: Why::ours("the relay offers no login by PLAIN or LOGIN") }
            } else {
                judge(Stage::Login, Some(&error), &AtomicBool::new(false))
            }
        })
    }
}

/// A certificate or protocol fault is for staff; a broken line is for another time.
fn handshake_failed(error: &(dyn std::error::Error + 'static)) -> SendOutcome {
    let mut next = Some(error);
    while let Some(cause) = next {
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(fault) = wrapped.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            let what = if matches!(fault, rustls::Error::InvalidCertificate(_)) {
                "the relay's certificate is not trusted; check its name and authority, or ca_file"
            } else {
                "the relay and Chartseal cannot agree on TLS"
            };
            return SendOutcome::Misconfigured { why: Why::ours(what) };
        }
        next = cause.source();
    }
    SendOutcome::Transient { why: Why::ours("the connection broke while TLS was starting") }
}

/// Trusts `authorities` (PEM) alone, or what the system trusts.
fn tls_config(authorities: Option<&[u8]>) -> Result<ClientConfig, RelayError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| RelayError::CertificateStore)?;
    let Some(pem) = authorities else {
        let builder = builder.with_platform_verifier().map_err(|_| RelayError::CertificateStore)?;
        return Ok(builder.with_no_client_auth());
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| RelayError::CaFileContent)?;
        roots.add(certificate).map_err(|_| RelayError::CaFileContent)?;
    }
    if roots.is_empty() {
        return Err(RelayError::CaFileContent);
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The same trust as [`tls_config`], in the form that lettre's STARTTLS takes.
fn starttls_parameters(host: &str, authorities: Option<&[u8]>) -> Result<TlsParameters, RelayError> {
    let builder = TlsParameters::builder(host.to_owned());
    let Some(pem) = authorities else {
        return builder.build_rustls().map_err(|_| RelayError::CertificateStore);
    };
    tls_config(authorities)?;
    let certificates = Certificate::from_pem(pem).map_err(|_| RelayError::CaFileContent)?;
    builder
        .certificate_store(CertificateStore::None)
        .add_root_certificate(certificates)
        .build_rustls()
        .map_err(|_| RelayError::CaFileContent)
}

/// RFC 5321 §4.1.2: what may follow EHLO, less address literals.
fn is_host_name(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
}

/// TLS from the first byte.
#[derive(Debug)]
struct Encrypted(TlsStream<TcpStream>);

/// Gives out at most one line per read, so that lettre's reader holds nothing when STARTTLS begins: what someone on the way
/// added behind the relay's answer then meets the handshake and breaks it, instead of being read as if it were encrypted.
#[derive(Debug)]
struct LineByLine(BufReader<TcpStream>);

impl AsyncTokioStream for Encrypted {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().0.peer_addr()
    }
}

impl AsyncTokioStream for LineByLine {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().peer_addr()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, into)
    }
}

impl AsyncRead for LineByLine {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = Pin::new(&mut self.get_mut().0);
        let waiting = ready!(inner.as_mut().poll_fill_buf(cx))?;
        let line = waiting.split_inclusive(|b| *b == b'\n').next().unwrap_or_default();
        let given = line.get(..into.remaining()).unwrap_or(line);
        into.put_slice(given);
        let given = given.len();
        inner.consume(given);
        Poll::Ready(Ok(()))
    }
}

macro_rules! write_through {
    ($($stream:ty),*) => {$(
        impl AsyncWrite for $stream {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
            }
            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.get_mut().0).poll_flush(cx)
            }
            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
            }
        }
    )*};
}

write_through!(Encrypted, LineByLine);
