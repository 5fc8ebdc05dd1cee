//! An HTTP server on loopback that answers exactly the bytes it is told to, stalls, or hangs up half-way.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::base::{millis, minutes};

/// One scripted answer.
#[derive(Clone)]
pub(super) enum Say {
    /// The whole answer as given, then hang up.
    Bytes(Vec<u8>),
    /// These bytes, then silence with the connection open.
    ThenSilence(Vec<u8>),
    /// The whole answer as given; the connection stays open until the next word on it, which is met by hanging up: as by
    /// a server that closes what is idle at the very moment at which the client speaks.
    ThenHangUpOnMore(Vec<u8>),
}

/// One request as received.
#[derive(Clone)]
pub(super) struct Asked {
    pub head: String,
    pub body: String,
}

impl Say {
    /// How long to wait for each byte of it: only what never comes is not waited for. A loaded machine may take its time
    /// over the rest.
    pub(super) const fn patience(&self) -> Duration {
        match self {
            Self::Bytes(_) | Self::ThenHangUpOnMore(_) => minutes(5),
            Self::ThenSilence(_) => millis(300),
        }
    }
}

pub(super) struct ScriptedEhr {
    pub base: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl ScriptedEhr {
    /// Answers the n-th request with the n-th of `script`, and everything after it by hanging up.
    pub(super) async fn saying(script: Vec<Say>) -> Self {
        let mut script: VecDeque<Say> = script.into();
        Self::answering(move |_| script.pop_front()).await
    }

    /// Answers a question for `FHIR base/target` with what `answers` holds for it, any other with the EHR's own 404.
    pub(super) async fn knowing(answers: Vec<(String, Say)>) -> Self {
        let outcome = fhir(404, &serde_json::json!({"resourceType": "OperationOutcome", "issue": []}));
        Self::answering(move |asked| {
            let target = asked.target();
            let known = answers.iter().find(|(known, _)| *known == target).map(|(_, say)| say.clone());
            Some(known.unwrap_or_else(|| outcome.clone()))
        })
        .await
    }

    async fn answering(mut say: impl FnMut(&Asked) -> Option<Say> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/fhir", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        tokio::spawn(async move {
            let mut silent = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let request = receive(&mut stream).await;
                let next = say(&request);
                log.lock().unwrap().push(request);
                match next {
                    Some(Say::Bytes(bytes)) => {
                        let _ = stream.write_all(&bytes).await;
                        let _ = stream.shutdown().await;
                    }
                    Some(Say::ThenSilence(bytes)) => {
                        let _ = stream.write_all(&bytes).await;
                        silent.push(stream);
                    }
                    Some(Say::ThenHangUpOnMore(bytes)) => {
                        let _ = stream.write_all(&bytes).await;
                        tokio::spawn(async move {
                            let _ = stream.read(&mut [0]).await;
                        });
                    }
                    None => {}
                }
            }
        });
        Self { base, asked }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn receive(stream: &mut TcpStream) -> Asked {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let n = stream.read(&mut piece).await.unwrap_or(0);
        bytes.extend_from_slice(&piece[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
            if body.len() >= length || n == 0 {
                return Asked { head: head.to_owned(), body: body.to_owned() };
            }
        } else if n == 0 {
            return Asked { head: text, body: String::new() };
        }
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(held, _)| held.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<String> {
        header(&self.head, name)
    }

    pub(super) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// What was asked for, below the base: `Observation/o1`.
    pub(super) fn target(&self) -> String {
        let target = self.line().split(' ').nth(1).unwrap_or_default();
        target.trim_start_matches("/fhir/").to_owned()
    }
}

/// An answer with `headers`, each line ended, and a true Content-Length.
pub(super) fn answer(status: u16, headers: &str, body: &[u8]) -> Say {
    Say::Bytes(raw(status, headers, body.len(), body))
}

/// [`fhir`] on a connection that says nothing of its end.
pub(super) fn fhir_kept_open(body: &serde_json::Value) -> Say {
    let body = body.to_string();
    let head =
        format!("HTTP/1.1 200 X\r\nContent-Type: application/fhir+json\r\nContent-Length: {}\r\n\r\n", body.len());
    Say::ThenHangUpOnMore([head, body].concat().into_bytes())
}

/// An answer that announces `length` bytes, whatever follows.
pub(super) fn raw(status: u16, headers: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} X\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

pub(super) fn fhir(status: u16, body: &serde_json::Value) -> Say {
    answer(status, "Content-Type: application/fhir+json; charset=utf-8\r\n", body.to_string().as_bytes())
}
