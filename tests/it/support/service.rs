//! The program itself, as users run it: a process of its own with its log, real time, and its commands beside it.

use std::ffi::OsString;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use chartseal::config::Config;

use super::clinic::{self, Wishes};
use super::part::{EndWith, Part, Recipe};
use super::place::Place;
use super::program::{self, Ran};
use super::{wait, web_client};

/// Configuration, rules, keys, database and sealed files; nothing runs yet.
pub struct Installation {
    pub folder: Place,
    pub config: PathBuf,
    /// Overrides keys and carries the secrets.
    environment: Vec<(&'static str, OsString)>,
}

/// A running `chartseal serve`; it ends when dropped or when the test process dies. Dereferences to its installation,
/// which stays.
pub struct Service {
    installation: Arc<Installation>,
    pub url: String,
    pub admin_url: String,
    part: Part,
}

impl Installation {
    pub async fn write(
        wishes: &Wishes,
        ehr_base: &str,
        mail_port: u16,
        environment: &[(&'static str, &str)],
    ) -> Arc<Self> {
        let folder = Place::new("installation");
        let config = clinic::write_installation(&folder, wishes, ehr_base, mail_port).await;
        let environment = environment.iter().map(|(name, value)| (*name, OsString::from(value))).collect();
        Arc::new(Self { folder, config, environment })
    }

    /// A command beside the service: `["deliveries", "list", "--json"]`.
    ///
    /// # Panics
    /// When the program cannot be run.
    pub fn command(&self, arguments: &[&str]) -> Ran {
        program::finish(self.program(&self.config).args(arguments))
    }

    fn program(&self, config: &Path) -> Command {
        let mut command = program::command(config);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Service {
    /// Starts the installation and waits until it is ready.
    ///
    /// # Panics
    /// When it does not become ready.
    pub async fn start(installation: &Arc<Installation>) -> Self {
        let service = Self::spawn(installation, &installation.config, "main");
        wait::until_async("the service to be ready", async || {
            service.assert_running();
            (service.status("readyz").await == Some(200)).then_some(())
        })
        .await;
        service
    }

    /// Starts it with this configuration under a replica's name, and waits for nothing.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn spawn(installation: &Arc<Installation>, config: &Path, replica: &str) -> Self {
        let variables = installation
            .environment
            .iter()
            .filter_map(|(name, value)| Some(((*name).to_owned(), value.to_str()?.to_owned())));
        let server = Config::load(config, variables).expect("the configuration is good").server;
        let program = installation.program(config);
        let mut command = vec![program.get_program().to_owned()];
        command.extend(program.get_args().map(ToOwned::to_owned));
        command.extend(["serve", "--replica", replica].map(Into::into));
        let mut environment = installation.environment.clone();
        environment.push(("CHARTSEAL_LOG", "info".into()));
        let recipe = Recipe { name: "chartseal", command, environment, end_with: EndWith::Terminate };
        Self {
            installation: Arc::clone(installation),
            url: format!("http://{}", server.listen),
            admin_url: format!("http://{}", server.admin_listen),
            part: Part::start(recipe, Place::new("service")),
        }
    }

    /// What stays when the service ends.
    pub fn installation(&self) -> Arc<Installation> {
        Arc::clone(&self.installation)
    }

    /// The status of an admin page; `None` when nobody answers.
    pub async fn status(&self, page: &str) -> Option<u16> {
        let answer = web_client::new().get(format!("{}/{page}", self.admin_url)).send().await.ok()?;
        Some(answer.status().as_u16())
    }

    /// The number of its process.
    ///
    /// # Panics
    /// When it was not started.
    pub fn pid(&self) -> u32 {
        self.part.pid().expect("the service was started")
    }

    /// Everything that it has logged since it was started.
    pub fn log(&self) -> String {
        self.part.log()
    }

    /// # Panics
    /// When the program has ended.
    pub fn assert_running(&self) {
        self.part.assert_running();
    }

    /// Asks it to end, as an operator's `systemctl stop` does.
    pub fn terminate(&mut self) {
        self.part.signal("TERM");
    }

    /// Takes it away without a word.
    pub async fn kill(mut self) {
        self.part.signal("KILL");
        self.ended().await;
    }

    /// The exit code with which it ended.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn ended(&self) -> i32 {
        wait::until("the service to end", || self.part.exit_code()).await
    }

    /// Stops it as an operator would; all that it logged.
    ///
    /// # Panics
    /// When it does not end well.
    pub async fn stop(mut self) -> String {
        self.terminate();
        assert_eq!(self.ended().await, 0, "{}", self.log());
        self.log()
    }
}

impl Deref for Service {
    type Target = Installation;

    fn deref(&self) -> &Installation {
        &self.installation
    }
}
