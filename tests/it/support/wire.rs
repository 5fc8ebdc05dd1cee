//! A line between a client and a server: it passes everything on, tells what the client said, and is cut where a test
//! wants it.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// Passed on at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// A laid wire; it is taken up when dropped. Connections under way go on.
pub struct Wire {
    pub port: u16,
    served: AbortHandle,
}

/// Decides, from what a client just said, after how many bytes of answers to it the connection ends.
pub type Watch = dyn Fn(&[u8]) -> Option<u64> + Send + Sync;

/// What was said last, and how much of the answer may still pass; `None`: all of it.
type Left = Arc<Mutex<Option<u64>>>;

impl Wire {
    /// To the port `to` on 127.0.0.1. While nobody listens there, clients are hung up on.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn lay(to: u16, watch: impl Fn(&[u8]) -> Option<u64> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        Self::from(listener, to, watch)
    }

    /// From a port that is known already.
    ///
    /// # Panics
    /// Never: the listener is bound.
    pub fn from(listener: TcpListener, to: u16, watch: impl Fn(&[u8]) -> Option<u64> + Send + Sync + 'static) -> Self {
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let watch: Arc<Watch> = Arc::new(watch);
        let served = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, to, Arc::clone(&watch)));
            }
        });
        Self { port, served: served.abort_handle() }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.served.abort();
    }
}

async fn carry(mut client: TcpStream, to: u16, watch: Arc<Watch>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    let left = Left::default();
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.split(), server.split());
    let asking = async {
        let mut said = vec![0; PIECE_BYTES];
        loop {
            let Ok(count @ 1..) = from_client.read(&mut said).await else { return };
            // What follows, the rest of a request, changes nothing.
            if let Some(bytes) = watch(&said[..count]) {
                *left.lock().expect("no test panics here") = Some(bytes);
            }
            if to_server.write_all(&said[..count]).await.is_err() {
                return;
            }
        }
    };
    let answering = async {
        let mut said = vec![0; PIECE_BYTES];
        loop {
            let Ok(count @ 1..) = from_server.read(&mut said).await else { return };
            let passes = may_pass(&left, count);
            if to_client.write_all(&said[..passes]).await.is_err() || passes < count {
                return;
            }
        }
    };
    // Whichever ends first ends the connection. What has passed arrives: a reset could take back any part of it, and no
    // test could say how much.
    tokio::select! {
        () = asking => {}
        () = answering => {}
    }
}

/// How many of `count` bytes of an answer may pass; fewer than all ends the connection.
fn may_pass(left: &Left, count: usize) -> usize {
    let mut left = left.lock().expect("no test panics here");
    let Some(bytes) = left.as_mut() else { return count };
    let passes = usize::try_from(*bytes).unwrap_or(usize::MAX).min(count);
    *bytes -= passes as u64;
    passes
}
