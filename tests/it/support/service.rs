//! The program itself, as users run it: a process of its own with its log, its commands beside it.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use super::clinic::{self, Wishes};
use super::part::{self, EndWith, Part, Recipe};
use super::{wait, web_client};

/// How long the program may take to be ready on a loaded machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A running `chartseal serve`; it ends when dropped or when the test process dies. Its installation stays.
pub struct Service {
    /// Configuration, rules, keys, database and sealed files.
    pub folder: PathBuf,
    pub url: String,
    pub admin_url: String,
    config_path: PathBuf,
    environment: Vec<(&'static str, OsString)>,
    part: Option<Part>,
}

impl Service {
    /// Writes an installation and starts it. `environment` overrides keys and carries the secrets.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(wishes: &Wishes, ehr_base: &str, mail_port: u16, environment: &[(&'static str, &str)]) -> Self {
        let folder = part::new_folder("installation");
        let config_path = clinic::write_installation(&folder, wishes, ehr_base, mail_port).await;
        let text = std::fs::read_to_string(&config_path).expect("it was just written");
        let config: toml::Table = text.parse().expect("it is TOML");
        let address = |key: &str| format!("http://{}", config["server"][key].as_str().expect("an address"));
        let mut environment: Vec<_> = environment.iter().map(|(name, value)| (*name, OsString::from(value))).collect();
        environment.push(("CHARTSEAL_LOG", "info".into()));
        let mut service = Self {
            url: address("listen"),
            admin_url: address("admin_listen"),
            folder,
            config_path,
            environment,
            part: None,
        };
        service.run().await;
        service
    }

    /// Everything that the program has logged since it was started.
    pub fn log(&self) -> String {
        self.part.as_ref().map(Part::log).unwrap_or_default()
    }

    /// # Panics
    /// When the program has ended.
    pub fn assert_running(&self) {
        self.part.as_ref().expect("it was started").assert_running();
    }

    /// Stops it as an operator would; what it logged.
    pub fn stop(&mut self) -> String {
        // The log goes with the part; what it says while it drains is of no patient.
        let log = self.log();
        self.part = None;
        log
    }

    /// Runs a command beside the service: `["deliveries", "list", "--json"]`.
    ///
    /// # Panics
    /// When the program cannot be run.
    pub fn command(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_chartseal"))
            .args(arguments)
            .args(["--as", "Eve Admin", "--config"])
            .arg(&self.config_path)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("the program can be run")
    }

    async fn run(&mut self) {
        let recipe = Recipe {
            name: "chartseal",
            command: vec![
                env!("CARGO_BIN_EXE_chartseal").into(),
                "serve".into(),
                "--config".into(),
                self.config_path.clone().into(),
            ],
            environment: self.environment.clone(),
            end_with: EndWith::Terminate,
        };
        let part = Part::start(recipe, part::new_folder("service"));
        let client = web_client::new();
        wait::until_async("the service to be ready", START_LIMIT, async || {
            part.assert_running();
            let answer = client.get(format!("{}/readyz", self.admin_url)).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        self.part = Some(part);
    }
}
