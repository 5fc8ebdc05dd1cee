//! `chartseal serve` as a process of its own, with real time.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use chartseal::config::Config;

use super::{part, program, wait, web_client};

/// How long the service may take to be ready, on a loaded machine.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// A running service; killed when dropped.
pub struct Served {
    child: Child,
    log: PathBuf,
    pub url: String,
    pub admin_url: String,
    pub client: reqwest::Client,
}

impl Served {
    /// Starts the installation and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(config: &Path) -> Self {
        let served = Self::spawn(config, "main");
        wait::until_async("the service to be ready", READY_LIMIT, async || {
            assert!(!served.log().contains("\nerror: "), "{}", served.log());
            (served.status("readyz").await == Some(200)).then_some(())
        })
        .await;
        served
    }

    /// Starts it under a replica's name, and waits for nothing.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn spawn(config: &Path, replica: &str) -> Self {
        let read = Config::load(config, []).expect("the configuration is good");
        let log = part::new_folder("served").join("log");
        let out = File::create(&log).expect("the folder is ours");
        let child = program::command(config)
            .args(["serve", "--replica", replica])
            .stdout(out.try_clone().expect("a log can be shared"))
            .stderr(out)
            .stdin(Stdio::null())
            .spawn()
            .expect("the program is built");
        let (url, admin_url) =
            (format!("http://{}", read.server.listen), format!("http://{}", read.server.admin_listen));
        Self { child, log, url, admin_url, client: web_client::new() }
    }

    /// The status of an admin page; `None` when nobody answers.
    pub async fn status(&self, page: &str) -> Option<u16> {
        let answer = self.client.get(format!("{}/{page}", self.admin_url)).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Everything it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to end, as an operator's `systemctl stop` does.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Takes it away without a word.
    pub async fn kill(mut self) {
        self.signal("KILL");
        self.ended(Duration::from_secs(10)).await;
    }

    /// How it ended.
    ///
    /// # Panics
    /// When it does not within `limit`.
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        wait::until("the service to end", limit, || self.child.try_wait().expect("it is our child")).await
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the service has ended already");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
