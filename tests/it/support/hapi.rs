//! A second real EHR, written by others than the first: the HAPI FHIR JPA server as its authors publish it, with rest-hooks,
//! topics and deletes. `tests/testbed/hapi` gives it a database and a socket, and nothing else.

use std::ffi::OsString;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard};

use super::ehr::Lab;
use super::part::{self, EndWith, Part, Recipe};
use super::place::Place;
use super::wait;

/// What it may use of the machine; it starts with less than this and a hundred reports.
const HEAP: &str = "-Xmx700m";

/// Which release of FHIR it speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Release {
    R4,
    R5,
}

impl Release {
    const fn code(self) -> &'static str {
        match self {
            Self::R4 => "r4",
            Self::R5 => "r5",
        }
    }
}

/// A running server with a store of its own; it ends when the test process dies.
pub struct Hapi {
    base_url: String,
    release: Release,
    port: u16,
    part: Part,
    // Given back last.
    place: Arc<Place>,
}

/// A server that only this test uses until it is dropped, and may kill.
pub struct LeasedHapi(MutexGuard<'static, Option<Hapi>>);

impl Deref for LeasedHapi {
    type Target = Hapi;

    fn deref(&self) -> &Hapi {
        self.0.as_ref().expect("a leased server was started")
    }
}

impl DerefMut for LeasedHapi {
    fn deref_mut(&mut self) -> &mut Hapi {
        self.0.as_mut().expect("a leased server was started")
    }
}

/// Waits for the server of this release, and removes what whoever used it before wrote. The first to want it starts it,
/// which takes 15 to 60 seconds.
///
/// # Panics
/// When it is not installed or does not start.
pub async fn lease(release: Release) -> LeasedHapi {
    static R4: Mutex<Option<Hapi>> = Mutex::const_new(None);
    static R5: Mutex<Option<Hapi>> = Mutex::const_new(None);
    let mut held = match release {
        Release::R4 => R4.lock().await,
        Release::R5 => R5.lock().await,
    };
    match held.as_mut() {
        None => *held = Some(Hapi::start(release).await),
        // Whoever used it last may have failed between killing it and starting it again.
        Some(hapi) if hapi.part.exit_code().is_some() => hapi.start_again().await,
        Some(_) => {}
    }
    let leased = LeasedHapi(held);
    for kind in ["Subscription", "DiagnosticReport", "DocumentReference"] {
        for left in leased.lab().all(kind).await {
            leased.lab().delete(kind, left["id"].as_str().expect("a kept resource has an id")).await;
        }
    }
    leased
}

impl Hapi {
    async fn start(release: Release) -> Self {
        let place = Arc::new(Place::new("hapi"));
        let port = place.port();
        let part = run(release, port, &place);
        let hapi = Self { base_url: format!("http://127.0.0.1:{port}/fhir"), release, port, part, place };
        hapi.wait_until_it_answers().await;
        hapi
    }

    /// The FHIR base, without a trailing slash.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// A driver for the calling test's runtime.
    pub fn lab(&self) -> Lab<'_> {
        Lab::at(&self.base_url)
    }

    /// Pulls its plug: what it had not written is gone, and nobody is told.
    pub async fn die(&mut self) {
        self.part.signal("KILL");
        wait::until("the server to die", || self.part.exit_code()).await;
    }

    /// Starts it again on what it had written, at the same address.
    pub async fn start_again(&mut self) {
        self.part = run(self.release, self.port, &self.place);
        self.wait_until_it_answers().await;
    }

    async fn wait_until_it_answers(&self) {
        let client = super::web_client::new();
        wait::until_async("the HAPI server", async || {
            self.part.assert_running();
            let answer = client.get(format!("{}/Patient?_count=1", self.base_url)).send().await;
            answer.is_ok_and(|answer| answer.status().is_success()).then_some(())
        })
        .await;
    }
}

fn run(release: Release, port: u16, place: &Arc<Place>) -> Part {
    let built = part::installed(part::in_project("target/testbed/hapi"));
    let recipe = Recipe {
        name: "hapi",
        command: vec![
            java().into(),
            HEAP.into(),
            // It is started often and lives shortly.
            "-XX:TieredStopAtLevel=1".into(),
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn".into(),
            "-cp".into(),
            class_path(&built),
            "org.chartseal.testbed.SecondEhr".into(),
            release.code().into(),
            port.to_string().into(),
            place.as_os_str().to_owned(),
        ],
        environment: vec![],
        end_with: EndWith::Terminate,
    };
    Part::start(recipe, Arc::new(Place::new("hapi-run")))
}

fn class_path(built: &Path) -> OsString {
    let mut path = built.join("classes").into_os_string();
    path.push(":");
    path.push(built.join("lib").join("*"));
    path
}

fn java() -> PathBuf {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&paths).map(|folder| folder.join("java")).find(|path| path.exists());
    found.expect("java is missing: run scripts/test once, it installs everything the tests need")
}
