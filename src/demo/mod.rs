//! A trial on one machine: the whole service between a stand-in EHR and a mail catcher, and a page that explains it.
//!
//! Job: make a scratch installation, start everything on loopback, let sample reports arrive, and leave nothing behind.
//! Must stay true: Chartseal itself is the same that `serve` runs, built by the same wiring from the same configuration;
//! whoever is not a browser of this machine on the demo's own page changes nothing; every person in it is invented.
//! Must not know: how the steps work. It acts as those outside do: as the EHR, the relay, the staff at the desk.

mod door;
mod lab;
mod mail_catcher;
mod page;
mod paper;
mod sample;
mod scratch;
mod script;
mod signals;
mod stand_in_ehr;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use anyhow::Context;
use chrono::Utc;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::app::start::{Ground, Restore, TimeFrom};
use crate::app::{App, Workers, steps};
use crate::base::{OperatorName, UtcMillis, seconds};
use crate::config::Config;
use crate::desk::Desk;
use crate::keys::ReplicaName;

use lab::Lab;
use mail_catcher::MailCatcher;
use page::Page;
use scratch::{Neighbours, ReservedPort, Scratch};
use script::Script;
use signals::Signals;
use stand_in_ehr::{HookTarget, StandInEhr};

/// The demo has nothing to lose: what does not end by itself after a signal is left behind with the process.
const DRAIN_MAX: Duration = seconds(3);
/// Whoever acts on the demo's page, as the audit names them.
const STAFF: &str = "Demo Staff";

/// What the person who starts it may choose.
#[derive(Clone, Copy, Debug)]
pub struct Wishes {
    /// The port of the demo's page; 0: a free one.
    pub port: u16,
    /// Between two things that happen.
    pub pause: Duration,
}

/// Where everything is, all on this machine.
#[derive(Clone, Debug, Serialize)]
pub struct Addresses {
    /// The page to open.
    pub demo: String,
    /// What patients' links begin with.
    pub patients: String,
    /// Health and metrics.
    pub operators: String,
    /// The FHIR base.
    pub stand_in_ehr: String,
    /// SMTP.
    pub mail_catcher: String,
    /// For commands beside it: `chartseal --config FILE deliveries list`.
    pub config: PathBuf,
}

/// Runs the demo until SIGINT, SIGTERM or SIGHUP; `ready` hears once where it is. The scratch folder is gone when this
/// returns, however it returns. A second signal ends it without waiting for what still runs.
///
/// # Errors
/// What kept it from starting, or stopped it.
pub async fn run(wishes: Wishes, ready: impl FnOnce(&Addresses)) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let scratch = Scratch::make()?;
    let played = play(&scratch, wishes, ready, &mut signals).await;
    scratch.remove().await?;
    played
}

async fn play(
    scratch: &Scratch,
    wishes: Wishes,
    ready: impl FnOnce(&Addresses),
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let stage = tokio::select! {
        stage = Stage::build(scratch, wishes) => stage?,
        () = signals.next() => return Ok(()),
    };
    ready(&stage.addresses);
    let Stage { app, script, servers, addresses: _, _mail } = stage;
    let stop = CancellationToken::new();
    let script = AbortOnDropHandle::new(tokio::spawn(script.play()));
    let mut serving = std::pin::pin!(app.run(Workers::Spawned, stop.clone().cancelled_owned()));
    tokio::select! {
        ended = &mut serving => return ended,
        () = signals.next() => {}
    }
    drop(script);
    stop.cancel();
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = signals.next() => Ok(()),
        () = tokio::time::sleep(DRAIN_MAX) => Ok(()),
    };
    for server in servers {
        server.stop(false).await;
    }
    ended
}

/// Everything that takes part.
struct Stage {
    app: App,
    script: Script,
    servers: [ServerHandle; 2],
    addresses: Addresses,
    /// It catches as long as it is held.
    _mail: MailCatcher,
}

impl Stage {
    async fn build(scratch: &Scratch, wishes: Wishes) -> anyhow::Result<Self> {
        let (patients, operators) = (ReservedPort::take()?, ReservedPort::take()?);
        let mail = MailCatcher::start().await.context("the mail catcher cannot be started")?;
        let (ehr_listener, page_listener) = (listen(0)?, listen(wishes.port)?);
        let (ehr_addr, page_addr) = (ehr_listener.local_addr()?, page_listener.local_addr()?);
        let config = scratch.install(&Neighbours {
            ehr: ehr_addr,
            mail: mail.addr,
            patients: patients.addr,
            operators: operators.addr,
        })?;
        let app = App::build(&config, ReplicaName::parse("demo")?, TimeFrom::TheStore, Restore::NotSaid).await?;
        let ehr = StandInEhr::new(ehr_addr, HookTarget { addr: app.addr, secret: scratch.hook_secret() });
        let lab = Arc::new(Lab::new(Arc::clone(&ehr)));
        let desk = Arc::new(desk(&config, &app.ground)?);
        let page =
            Arc::new(Page { lab: Arc::clone(&lab), desk: Arc::clone(&desk), caught: mail.caught(), addr: page_addr });
        Ok(Self {
            servers: [stand_in_ehr::serve(&ehr, ehr_listener)?, page::serve(&page, page_listener)?],
            script: Script { lab, caught: mail.caught(), pause: wishes.pause },
            addresses: Addresses {
                demo: format!("http://{page_addr}/"),
                patients: format!("http://{}/", app.addr),
                operators: format!("http://{}/", app.admin_addr),
                stand_in_ehr: ehr.base().to_owned(),
                mail_catcher: format!("smtp://{}", mail.addr),
                config: scratch.config_path(),
            },
            _mail: mail,
            app,
        })
    }
}

fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).with_context(|| format!("{address} cannot be listened on: choose another with --port"))
}

fn desk(config: &Config, ground: &Ground) -> anyhow::Result<Desk> {
    Ok(Desk {
        store: ground.store.clone(),
        clock: ground.clock.clone(),
        vault: ground.vault.clone(),
        operator: OperatorName::parse(STAFF)?,
        mode: steps::mode_of(config),
    })
}

/// The time of those who stand in for the outside.
#[expect(clippy::disallowed_methods, reason = "EHRs and relays have clocks of their own, not the store's")]
fn now_outside() -> UtcMillis {
    UtcMillis::from_datetime(Utc::now())
}
