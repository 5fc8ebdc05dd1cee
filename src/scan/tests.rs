//! What a clamd may say, do and leave undone. The real one is in `tests/it/malware.rs`.

use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::clamd::Patience;
use super::*;
use crate::base::{millis, minutes};

/// What a double of clamd does with a file.
#[derive(Clone, Copy)]
enum Does {
    /// Takes all of it, and answers.
    Says(&'static [u8]),
    /// Answers and hangs up after so many bytes.
    SaysEarly(usize, &'static [u8]),
    /// Takes it and never answers.
    Hangs,
}

async fn scan(does: Does, file: &[u8]) -> Result<Verdict, ScanFault> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let double = tokio::spawn(async move {
        let (line, _) = listener.accept().await.unwrap();
        take(line, does).await
    });
    // Who hangs is left at once; nobody else is hurried.
    let answer = if let Does::Hangs = does { millis(10) } else { minutes(3) };
    let patience = Patience { answer, ..Patience::default() };
    let clamd = Clamd::new(Place::Port { host: "127.0.0.1".to_owned(), port }).with_patience(patience);
    let mut scanning = clamd.begin().await;
    for piece in file.chunks(1_000) {
        scanning.give(piece).await;
    }
    let said = scanning.finish().await;
    match does {
        Does::Says(_) => assert_eq!(double.await.unwrap(), file, "every byte came in its order"),
        Does::SaysEarly(..) | Does::Hangs => double.abort(),
    }
    said
}

async fn take(mut line: TcpStream, does: Does) -> Vec<u8> {
    let mut command = [0; 10];
    line.read_exact(&mut command).await.unwrap();
    assert_eq!(&command, b"zINSTREAM\0");
    let mut file = Vec::new();
    loop {
        let length = line.read_u32().await.unwrap();
        let mut piece = vec![0; length as usize];
        line.read_exact(&mut piece).await.unwrap();
        file.extend(piece);
        match does {
            Does::SaysEarly(after, said) if file.len() >= after => {
                line.write_all(said).await.unwrap();
                return file;
            }
            Does::Says(said) if length == 0 => {
                line.write_all(said).await.unwrap();
                return file;
            }
            Does::Hangs if length == 0 => std::future::pending().await,
            Does::Says(_) | Does::SaysEarly(..) | Does::Hangs => {}
        }
    }
}

#[tokio::test]
async fn only_its_own_ok_is_clean() {
    let found = |name: &str| Ok(Verdict::Found(Signature(name.to_owned())));
    for (said, expected) in [
        (&b"stream: OK\0"[..], Ok(Verdict::Clean)),
        (b"stream: Eicar-Test-Signature FOUND\0", found("Eicar-Test-Signature")),
        (b"stream: <b>x</b>\x1b[31m FOUND\0", found("bx/b31m")),
        (b"stream:  FOUND\0", found("unnamed")),
        (b"INSTREAM size limit exceeded. ERROR\0", Err(ScanFault::TooLarge)),
        (b"stream: Can't allocate memory ERROR\0", Err(ScanFault::Failed)),
        (b"stream: OK", Err(ScanFault::HungUp)),
        (b"", Err(ScanFault::HungUp)),
        (b"OK\0", Err(ScanFault::NotOne)),
        (b"HTTP/1.1 200 OK\r\n\r\n\0", Err(ScanFault::NotOne)),
        (b"stream: OK\0stream: OK\0", Err(ScanFault::NotOne)),
        (b"\xff\xfe\0", Err(ScanFault::NotOne)),
    ] {
        assert_eq!(scan(Does::Says(said), &[7; 5_000]).await, expected, "{}", String::from_utf8_lossy(said));
    }
}

#[tokio::test]
async fn what_it_says_of_a_part_is_no_word_about_the_whole() {
    let file = vec![7; 8 * 1024 * 1024];
    let early = |said| scan(Does::SaysEarly(2_000, said), &file);
    assert_eq!(early(b"INSTREAM size limit exceeded. ERROR\0").await, Err(ScanFault::TooLarge));
    assert_eq!(early(b"stream: OK\0").await, Err(ScanFault::HungUp));
    assert_eq!(early(b"").await, Err(ScanFault::HungUp));
    let found = early(b"stream: Worm FOUND\0").await;
    assert_eq!(found, Ok(Verdict::Found(Signature("Worm".to_owned()))));
}

#[tokio::test]
async fn one_that_never_answers_is_left_after_a_time() {
    assert_eq!(scan(Does::Hangs, b"report").await, Err(ScanFault::TooSlow));
}

#[tokio::test]
async fn one_that_is_not_there_has_not_scanned() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for place in [Place::Port { host: "127.0.0.1".to_owned(), port }, Place::Socket("/nowhere/clamd.ctl".into())] {
        let clamd = Clamd::new(place);
        let mut scanning = clamd.begin().await;
        scanning.give(b"report").await;
        assert_eq!(scanning.finish().await, Err(ScanFault::NotReached));
        assert_eq!(clamd.version().await, Err(ScanFault::NotReached));
    }
}

#[test]
fn a_place_is_a_socket_or_a_port() {
    let port = |host: &str, port| Ok(Place::Port { host: host.to_owned(), port });
    for (text, expected) in [
        ("/run/clamav/clamd.ctl", Ok(Place::Socket("/run/clamav/clamd.ctl".into()))),
        ("./clamd.ctl", Ok(Place::Socket("/etc/chartseal/./clamd.ctl".into()))),
        ("127.0.0.1:3310", port("127.0.0.1", 3310)),
        ("[::1]:3310", port("::1", 3310)),
        ("scanner.clinic.example:3310", port("scanner.clinic.example", 3310)),
        ("clamd.ctl", Err(PlaceError)),
        ("127.0.0.1", Err(PlaceError)),
        ("127.0.0.1:0", Err(PlaceError)),
        ("127.0.0.1:99999", Err(PlaceError)),
        (":3310", Err(PlaceError)),
        ("a b:3310", Err(PlaceError)),
        ("", Err(PlaceError)),
    ] {
        assert_eq!(Place::parse(text, Path::new("/etc/chartseal")), expected, "{text:?}");
    }
}
