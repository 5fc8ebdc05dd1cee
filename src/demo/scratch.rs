//! The scratch installation: a folder of its own with keys, rules, configuration, database and sealed files.
//!
//! Must stay true: nobody but the user reads it, it stands outside every other installation, and it is gone at the end.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;
use tokio::net::TcpSocket;

use super::now_outside;
use crate::base::{Key256, SecretText, UtcMillis, millis, random};
use crate::cell::{CellLimits, Program, Reader};
use crate::config::Config;
use crate::keys::KeyRing;

/// The rules of the demo's clinic.
pub(super) const RULES: &str = include_str!("rules.toml");

/// What still runs may make a file while the others are being removed.
const REMOVAL_TRIES: u32 = 40;
const REMOVAL_PAUSE: Duration = millis(50);

pub(super) struct Scratch {
    folder: TempDir,
    hook_secret: SecretText,
}

/// Where the installation finds the others, and where it listens itself.
pub(super) struct Neighbours {
    pub(super) ehr: SocketAddr,
    pub(super) mail: SocketAddr,
    pub(super) patients: SocketAddr,
    pub(super) operators: SocketAddr,
}

impl Scratch {
    pub(super) fn make() -> anyhow::Result<Self> {
        // Its own mode is 0700.
        let folder = tempfile::Builder::new()
            .prefix("chartseal-demo-")
            .tempdir()
            .with_context(|| format!("no scratch folder can be made in {}", std::env::temp_dir().display()))?;
        Ok(Self { folder, hook_secret: Key256::random(&mut random::system()).to_base64url() })
    }

    pub(super) fn config_path(&self) -> PathBuf {
        self.folder.path().join("chartseal.toml")
    }

    pub(super) fn hook_secret(&self) -> SecretText {
        self.hook_secret.clone()
    }

    /// What `init` does for a clinic, done for the demo's.
    pub(super) fn install(&self, neighbours: &Neighbours) -> anyhow::Result<Config> {
        self.write("rules.toml", RULES)?;
        self.write("hook-secret", self.hook_secret.expose())?;
        let text = config_text(neighbours, now_outside());
        self.write("chartseal.toml", &text)?;
        let reader = Reader::new(Program::installed(), CellLimits::default());
        let config = Config { reader, ..Config::parse(&text, &self.config_path(), [])? };
        KeyRing::create(&config.keys_dir, &mut random::system())?;
        Ok(config)
    }

    pub(super) async fn remove(self) -> anyhow::Result<()> {
        let path = self.folder.path();
        let mut failed = None;
        for _ in 0..REMOVAL_TRIES {
            match std::fs::remove_dir_all(path) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) => failed = Some(error),
            }
            tokio::time::sleep(REMOVAL_PAUSE).await;
        }
        let remove_it = || format!("the scratch folder {} could not be removed: remove it", path.display());
        failed.map_or(Ok(()), |error| Err(error).with_context(remove_it))
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder.path().join(name);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(file.write_all(text.as_bytes())?)
    }
}

/// Whatever the lab files from `now` on is new to Chartseal, also before it first asked.
fn config_text(neighbours: &Neighbours, now: UtcMillis) -> String {
    let Neighbours { ehr, mail, patients, operators } = neighbours;
    format!(
        r#"# The demo's own configuration; it is removed with its folder.
[mode]
send = "live"

[[clinic]]
id = "demo"
name = "Demo Clinic"
phone = "+1 555 0100"
timezone = "UTC"
language = "en"
from = "results@demo-clinic.example"

[[ehr]]
id = "stand-in"
base_url = "http://{ehr}/fhir"
hook_secret_file = "hook-secret"
poll_seconds = 5
start_from = "{now}"

[server]
listen = "{patients}"
admin_listen = "{operators}"

[mail]
url = "smtp://{mail}"
tls = "none"

[policy]
file = "rules.toml"

[limits]
notices_per_patient_day_max = 100
notices_per_address_day_max = 100
"#
    )
}

/// A port on loopback that the kernel gives to nobody else while it is bound here: what names it may listen on it.
pub(super) struct ReservedPort {
    pub(super) addr: SocketAddr,
    _held: TcpSocket,
}

impl ReservedPort {
    pub(super) fn take() -> std::io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        Ok(Self { addr: socket.local_addr()?, _held: socket })
    }
}
