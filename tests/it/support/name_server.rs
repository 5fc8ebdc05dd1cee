//! A DNS server: Debian's dnsmasq, knowing what a test tells it and nothing else.

use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::place::Place;
use super::wait;

/// A running server; it stops when dropped.
pub struct NameServer {
    pub address: String,
    process: Child,
    _place: Place,
}

impl NameServer {
    /// One that has these TXT records; a longer text is in parts, as DNS wants it.
    ///
    /// # Panics
    /// When there is no dnsmasq, or it does not start.
    pub async fn start(texts: &[(&str, &str)]) -> Self {
        let place = Place::new("dns");
        let port = place.port();
        let records = texts.iter().map(|(name, text)| {
            let parts = text.as_bytes().chunks(200).map(|part| std::str::from_utf8(part).unwrap());
            format!("--txt-record={name},{}", parts.collect::<Vec<_>>().join(","))
        });
        let process = Command::new("dnsmasq")
            .env("PATH", "/usr/sbin:/usr/bin")
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user="])
            .args(["--bind-interfaces", "--listen-address=127.0.0.1", "--local=/example/", "--pid-file"])
            .arg(format!("--port={port}"))
            .args(records)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("dnsmasq is installed (scripts/test does that)");
        let mut server = Self { address: format!("127.0.0.1:{port}"), process, _place: place };
        wait::until("dnsmasq", || {
            assert!(server.process.try_wait().unwrap().is_none(), "dnsmasq ended");
            server.answers()
        })
        .await;
        server
    }

    /// Whether any question is answered: one for the root's servers (RFC 1035 §4.1).
    fn answers(&self) -> Option<()> {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\0\0\x02\0\x01";
        socket.send_to(question, &self.address).ok()?;
        socket.recv(&mut [0; 512]).ok().map(drop)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
