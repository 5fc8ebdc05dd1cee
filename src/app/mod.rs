//! The only wiring: a configuration becomes a running service.
//!
//! Must stay true: on a signal nothing new is taken up, what runs is finished, and only then the process ends.

pub mod log;
pub mod rules_files;
pub mod start;
pub mod steps;
pub mod watch;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App as Site, HttpServer};
use anyhow::Context;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::{AuditEvent, Chain};
use crate::base::{UtcMillis, seconds};
use crate::config::Config;
use crate::keys::ReplicaName;
use crate::store;
use crate::web::{
    self, Admin, BouncePost, HOOK_BODY_WAIT_MAX, HookLimits, Hooks, PAGE_BODY_WAIT_MAX, Patient, PublicKeys, Readiness,
    Texts, Traffic,
};
use start::{Ground, Part, Restore, TimeFrom};
use steps::Steps;

/// How long requests and steps that are under way may take to finish after a signal.
const DRAIN: Duration = seconds(30);
/// For the head of a request to arrive. EHRs under load and phones on poor lines open a connection long before they speak,
/// and some take an answer that comes first (408) for a broken connection.
const HEAD_WAIT_MAX: Duration = seconds(30);
/// An idle connection is kept for longer than reverse proxies keep theirs (nginx and most others: 60 s). Whoever is about
/// to speak must be the one to close: a request that meets our close is lost, and a POST is not sent again.
const KEEP_ALIVE: Duration = seconds(65);
/// Threads that answer requests; the work behind them is done on blocking threads.
const HTTP_WORKERS: usize = 2;

/// A service that is ready to run: its addresses are bound.
pub struct App {
    pub ground: Ground,
    pub steps: Arc<Steps>,
    pub addr: SocketAddr,
    pub admin_addr: SocketAddr,
    listener: TcpListener,
    admin_listener: TcpListener,
    patient: Arc<Patient>,
    hooks: Arc<Hooks>,
    keys: Arc<PublicKeys>,
    /// Where the relay may post.
    bounces: Option<Arc<BouncePost>>,
    texts: Arc<Texts>,
    admin: Arc<Admin>,
    readiness: Arc<Readiness>,
}

/// Who turns the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    Spawned,
    /// Nobody: a test turns them with [`Steps::run_until_idle`].
    ByHand,
}

impl App {
    /// Opens everything and binds the addresses; nothing runs yet.
    ///
    /// # Errors
    /// Each says what to do.
    pub async fn build(
        config: &Config,
        replica: ReplicaName,
        time: TimeFrom,
        restore: Restore,
    ) -> anyhow::Result<Self> {
        let bind = |address: SocketAddr, key: &str| {
            TcpListener::bind(address).with_context(|| format!("[server] {key} = \"{address}\" cannot be listened on"))
        };
        let listener = bind(config.server.listen, "listen")?;
        let admin_listener = bind(config.server.admin_listen, "admin_listen")?;
        let ground = Ground::open(config, Part::Service(replica), time, restore).await?;
        let steps = Arc::new(Steps::wire(config, &ground)?);
        let (readiness, traffic) = (Arc::new(Readiness::default()), Arc::new(Traffic::default()));
        let proxies = config.server.trusted_proxies.clone();
        Ok(Self {
            addr: listener.local_addr()?,
            admin_addr: admin_listener.local_addr()?,
            patient: Arc::new(Patient::new(
                Arc::clone(&steps.open),
                &config.server.patient_url,
                proxies,
                PAGE_BODY_WAIT_MAX,
                Arc::clone(&traffic),
            )),
            hooks: Arc::new(Hooks::new(
                Arc::clone(&steps.intake),
                HookLimits { body_bytes_max: config.limits.hook_body_bytes_max, body_wait_max: HOOK_BODY_WAIT_MAX },
                &config.server.patient_url,
                Arc::clone(&traffic),
            )),
            bounces: steps::bounces(config, &ground).filter(|bounces| bounces.secret.is_some()).map(|bounces| {
                Arc::new(BouncePost::new(Arc::new(bounces), &config.server.patient_url, Arc::clone(&traffic)))
            }),
            keys: Arc::new(PublicKeys::new(Arc::clone(&steps.sign_in), config.server.trusted_proxies.clone())),
            texts: Arc::new(Texts::new(Arc::clone(&steps.outbox))),
            admin: Arc::new(Admin::new(Arc::clone(&readiness), traffic)),
            readiness,
            listener,
            admin_listener,
            ground,
            steps,
        })
    }

    /// Serves until `shutdown`, then drains.
    ///
    /// # Errors
    /// When the servers cannot start or fail.
    pub async fn run(self, workers: Workers, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let now = self.ground.clock.now();
        self.note(
            AuditEvent::Started {
                replica: self.ground.replica.as_str().to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            now,
        )
        .await?;
        self.ground.raise_mark(now).await?;
        self.steps.take_up_rules().await?;
        self.steps.intake.begin().await?;
        self.steps.write_back.begin().await?;
        // Published before anybody asks for them.
        self.steps.sign_in.turn().await?;
        self.readiness.store_reached();

        let (patient, hooks, admin) = (Arc::clone(&self.patient), Arc::clone(&self.hooks), Arc::clone(&self.admin));
        let (keys, bounces) = (Arc::clone(&self.keys), self.bounces.clone());
        let texts = Arc::clone(&self.texts);
        let site = HttpServer::new(move || {
            Site::new()
                .configure(|cfg| web::hooks(cfg, &hooks))
                .configure(|cfg| web::public_keys(cfg, &keys))
                .configure(|cfg| bounces.iter().for_each(|bounces| web::bounces(cfg, bounces)))
                .configure(|cfg| web::texts(cfg, &texts))
                .configure(|cfg| web::patient(cfg, &patient))
        })
        .workers(HTTP_WORKERS)
        .client_request_timeout(HEAD_WAIT_MAX)
        .keep_alive(KEEP_ALIVE)
        // Otherwise the body of an answer that streams waits for the client's word about its head, for up to 40 ms.
        .tcp_nodelay(true)
        .disable_signals()
        .shutdown_timeout(DRAIN.as_secs())
        .listen(self.listener.try_clone()?)?
        .run();
        let admin_site = HttpServer::new(move || Site::new().configure(|cfg| web::admin(cfg, &admin)))
            .workers(1)
            .tcp_nodelay(true)
            .disable_signals()
            .listen(self.admin_listener.try_clone()?)?
            .run();
        let handles = [site.handle(), admin_site.handle()];
        let sites = [tokio::spawn(site), tokio::spawn(admin_site)];

        let (tracker, stop) = (TaskTracker::new(), CancellationToken::new());
        if workers == Workers::Spawned {
            self.steps.spawn(&tracker, &stop);
        }
        tracker.spawn(watch::watch(self.ground.clone(), Arc::clone(&self.readiness), stop.clone()));
        tracing::info!(address = %self.addr, admin = %self.admin_addr, "Chartseal serves");
        shutdown.await;
        self.drain(handles, &tracker, &stop).await?;
        for site in sites {
            site.await.context("a server ended unexpectedly")?.context("a server failed")?;
        }
        Ok(())
    }

    async fn drain(
        &self,
        handles: [ServerHandle; 2],
        tracker: &TaskTracker,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        tracing::info!("stopping: what runs is finished first");
        self.readiness.draining();
        stop.cancel();
        tracker.close();
        let [site, admin_site] = handles;
        site.stop(true).await;
        if tokio::time::timeout(DRAIN, tracker.wait()).await.is_err() {
            tracing::warn!("a step did not finish in time; its leases end by themselves");
        }
        let now = self.ground.clock.now();
        self.note(AuditEvent::Stopped { replica: self.ground.replica.as_str().to_owned() }, now).await?;
        self.ground.raise_mark(now).await?;
        admin_site.stop(false).await;
        Ok(())
    }

    async fn note(&self, event: AuditEvent, now: UtcMillis) -> anyhow::Result<()> {
        self.ground.store.write(move |tx| store::record(tx, Chain::Installation, now, event)).await?;
        Ok(())
    }
}

/// Ends at SIGTERM or SIGINT. From this call on, not from its first poll, a signal no longer kills the process.
pub fn terminated() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async {
        if let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        } else {
            tracing::error!("signals cannot be listened for; stop the process by killing it");
            std::future::pending::<()>().await;
        }
    }
}
