//! The process in which strangers' documents are read: what it cannot do, and how its keeper doubts it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use chartseal::cell::{Answer, CellFault, CellLimits, Errand, INPUT_BYTES_MAX, Program, Reader, Trial};
use chartseal::foreign::{Foreign, Obstacle};

use crate::support::clinic::place_false_reader;
use crate::support::place::Place;
use crate::support::{pdf, wait};

/// The small program, and the large one that stands in for it.
const PROGRAMS: [&str; 2] = [PROGRAM, env!("CARGO_BIN_EXE_chartseal")];
const PROGRAM: &str = env!("CARGO_BIN_EXE_chartseal-reader");
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn reader() -> Reader {
    Reader::new(Program::At(PathBuf::from(PROGRAM)), CellLimits::default())
}

fn impatient(program: PathBuf) -> Reader {
    let limits = CellLimits { work_max: Duration::from_secs(2), swallow_max: Duration::from_secs(2), at_once: 2 };
    Reader::new(Program::At(program), limits)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_must_not_do_ends_it() {
    for (program, trial) in PROGRAMS.into_iter().flat_map(|one| Trial::ALL.map(|trial| (one, trial))) {
        let program = PathBuf::from(program);
        let patience = if trial == Trial::Forever {
            impatient(program)
        } else {
            Reader::new(Program::At(program), CellLimits::default())
        };
        let ended = patience.read(Errand::Try(trial), b"x").await;
        match trial {
            Trial::Nothing => assert!(ended == Ok(Answer::Refused)),
            Trial::Forever => assert!(ended == Err(CellFault::TooSlow)),
            Trial::OpenFile
            | Trial::WriteFile
            | Trial::ListFolder
            | Trial::Connect
            | Trial::Listen
            | Trial::Program
            | Trial::Thread
            | Trial::Memory => assert!(ended == Err(CellFault::Died), "{trial:?}"),
        }
    }
    assert!(!std::path::Path::new("/tmp/chartseal-trial").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_confined_before_it_has_read_a_byte() {
    for program in PROGRAMS {
        is_confined_before_it_has_read_a_byte(program).await;
    }
}

async fn is_confined_before_it_has_read_a_byte(program: &str) {
    let mut child = Command::new(program)
        .args(["read-document", "pdf-text", VERSION])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let about = |what: &str| std::fs::read_to_string(format!("/proc/{}/{what}", child.id())).unwrap_or_default();
    let line = |what: &str, name: &str| {
        let text = about(what);
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.trim_start_matches(name).split_whitespace().next().unwrap_or_default().to_owned()
    };
    wait::until_async("the filter", async || (line("status", "Seccomp:") == "2").then_some(())).await;
    assert_eq!(line("status", "NoNewPrivs:"), "1");
    assert_eq!(line("status", "Threads:"), "1");
    for limit in ["Max core file size", "Max open files", "Max processes", "Max file size"] {
        assert_eq!(line("limits", limit), "0", "{limit}");
    }
    assert_eq!(line("limits", "Max cpu time"), "20");
    assert_eq!(about("environ"), "");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_reader_that_cannot_be_confined_reads_nothing() {
    // What it inherits could say something: it takes an environment for a keeper that is not ours.
    for program in PROGRAMS {
        let mut child = Command::new(program)
            .args(["read-document", "carry-rtf", VERSION])
            .env("HOME", "/root")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(b"{\\rtf1 x}");
        let ended = child.wait_with_output().unwrap();
        assert_eq!((ended.status.code(), ended.stdout.as_slice()), (Some(71), b"".as_slice()));
    }
}

#[test]
fn a_reader_works_for_no_program_of_another_version_and_on_no_errand_that_it_does_not_know() {
    for program in PROGRAMS {
        let ended = |arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).env_clear().stdin(Stdio::null()).output().unwrap().status.code()
        };
        assert_eq!(ended(&["read-document", "pdf-text", "0.0.1"]), Some(73));
        assert_eq!(ended(&["read-document", "pdf-text"]), Some(73));
        assert_eq!(ended(&["read-document", "open-anything", VERSION]), Some(72));
    }
    let nothing = Command::new(PROGRAM).arg("serve").env_clear().stdin(Stdio::null()).output().unwrap();
    assert_eq!((nothing.status.code(), nothing.stdout.len()), (Some(72), 0));
}

/// Both lie side by side here: the running program finds the small one, as an installation does.
#[test]
fn the_small_program_is_found_beside_the_large_one() {
    let folder = std::path::Path::new(PROGRAM).parent().unwrap();
    assert_eq!(folder, std::path::Path::new(PROGRAMS[1]).parent().unwrap());
    // These tests are no `chartseal` and have no reader beside them.
    assert_eq!(Program::installed(), Program::Itself);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_read_and_what_is_none_is_broken() {
    let document = pdf::with_pages(&["Patient: Garcia, Ana", "(page two)"]);
    let Ok(Answer::Text(text)) = reader().read(Errand::PdfText, &document).await else { panic!("it can be read") };
    assert_eq!(text, "Patient: Garcia, Ana\n\u{c}(page two)\n\u{c}");
    assert!(reader().read(Errand::PdfText, b"%PDF-1.7\n%%EOF\n").await == Ok(Answer::Broken));
    assert!(reader().read(Errand::PdfText, b"").await == Ok(Answer::Broken));
    let rtf = reader().read(Errand::CarryOver(Foreign::Rtf), b"{\\rtf1\\ansi Sodium {\\b 140}}").await;
    let Ok(Answer::Carried(carried)) = rtf else { panic!("it can be carried over") };
    assert_eq!(carried.text(), "Sodium 140\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pdf_with_a_table_and_fonts_of_its_own_is_read_as_it_stands_on_the_page() {
    let printed = include_bytes!("../fixtures/synthetic/printed_by_a_browser.pdf");
    let Ok(Answer::Text(text)) = reader().read(Errand::PdfText, printed).await else { panic!("it can be read") };
    for line in
        ["Patient:\tMüller-Lüdenscheidt, Jürgen\tGeburtsdatum:\t06.05.1984", "MRN\t0012345\tArzt\tDr. Hans Schmidt"]
    {
        assert!(text.lines().any(|one| one == line), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bomb_harms_nobody() {
    let unpacked = vec![b' '; 450 * 1024 * 1024];
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&unpacked).unwrap();
    drop(unpacked);
    let packed = packed.finish().unwrap();
    let bomb = pdf::with_packed_page(&packed);
    let read = reader().read(Errand::PdfText, &bomb).await;
    assert!(matches!(read, Err(CellFault::Died | CellFault::TooSlow) | Ok(Answer::Broken)));
    let deep = [b"{\\rtf1 ".as_slice(), &b"{".repeat(1_000_000)].concat();
    assert!(matches!(reader().read(Errand::CarryOver(Foreign::Rtf), &deep).await, Ok(Answer::Not(_))));
    let deep = b"<div>".repeat(200_000);
    assert!(reader().read(Errand::CarryOver(Foreign::Html), &deep).await == Ok(Answer::Not(Obstacle::TooDeep)));
    let large = vec![b'x'; INPUT_BYTES_MAX + 1];
    assert!(reader().read(Errand::PdfText, &large).await == Err(CellFault::TooLarge));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_lies_dies_or_hangs_is_not_believed() {
    let place = Place::new("false-reader");
    let frame = r#"printf 'chartsl1\000\000\000\000\000\000\000\010'; printf '"broken"'"#;
    let cases = [
        (format!("/bin/cat >/dev/null; {frame}"), Ok(Answer::Broken)),
        (format!("/bin/cat >/dev/null; {frame}; printf x"), Err(CellFault::Lied)),
        (format!("/bin/cat >/dev/null; {frame}; exit 3"), Err(CellFault::Lied)),
        (format!("/bin/cat >/dev/null; {frame}; kill -9 $$"), Err(CellFault::Died)),
        // It speaks before it was told all, and nobody listens yet.
        ("/bin/cat".to_owned(), Err(CellFault::TooSlow)),
        ("exit 0".to_owned(), Err(CellFault::Lied)),
        ("exit 71".to_owned(), Err(CellFault::Unconfined)),
        ("exit 73".to_owned(), Err(CellFault::OtherVersion)),
        ("kill -9 $$".to_owned(), Err(CellFault::Died)),
        ("/bin/cat >/dev/null; /usr/bin/head -c 100000000 /dev/zero".to_owned(), Err(CellFault::Lied)),
        ("exec /bin/sleep 1000".to_owned(), Err(CellFault::TooSlow)),
    ];
    for (script, expected) in cases {
        place_false_reader(&place, &script);
        // More than a pipe holds, so that one who does not read is noticed.
        let found = impatient(place.join("reader")).read(Errand::PdfText, &vec![b'x'; 300_000]).await;
        assert!(found == expected, "{script}: {:?}", found.err());
    }
    let none = Reader::new(Program::At(place.join("nobody")), CellLimits::default());
    assert!(none.read(Errand::PdfText, b"x").await == Err(CellFault::NotStarted));
    assert!(Reader::default().read(Errand::PdfText, b"x").await == Err(CellFault::NotStarted));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_waiting_ends_the_process() {
    let place = Place::new("left-reader");
    place_false_reader(&place, &format!("echo $$ > {}; exec /bin/sleep 1000", place.join("pid").display()));
    let patient = Reader::new(Program::At(place.join("reader")), CellLimits::default());
    let reading = patient.begin(Errand::PdfText).unwrap();
    let pid = wait::until_async("the process", async || {
        std::fs::read_to_string(place.join("pid")).ok().filter(|pid| pid.ends_with('\n'))
    })
    .await;
    drop(reading);
    let running = format!("/proc/{}", pid.trim());
    wait::until_async("its end", async || (!std::path::Path::new(&running).exists()).then_some(())).await;
}

/// What a clinic pays for each attachment; told with `--nocapture`.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_is_there_at_once() {
    let document = pdf::with_pages(&["Patient: Garcia, Ana"]);
    let started = std::time::Instant::now();
    for _ in 0..20 {
        assert!(reader().read(Errand::PdfText, &document).await.is_ok());
    }
    let each = started.elapsed() / 20;
    eprintln!("a PDF of one page is read in {each:?}, from start to end of its process");
    assert!(each < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_proves_that_it_can_confine_a_reader() {
    assert_eq!(reader().prove().await, Ok(()));
    let place = Place::new("unproven-reader");
    place_false_reader(
        &place,
        r#"/bin/cat >/dev/null; printf 'chartsl1\000\000\000\000\000\000\000\011'; printf '"refused"'"#,
    );
    assert_eq!(
        impatient(place.join("reader")).prove().await,
        Err(CellFault::Unconfined),
        "it survives what must end it"
    );
}
