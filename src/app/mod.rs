//! The only wiring: a configuration becomes a running service.

pub mod log;
pub mod start;
pub mod steps;

use std::net::SocketAddr;

use crate::config::Config;
use crate::keys::ReplicaName;
use start::{Ground, Part, Restore, TimeFrom};
use steps::Steps;

/// A service that is ready to run.
pub struct App {
    pub ground: Ground,
    pub steps: Steps,
}

impl App {
    pub async fn build(
        config: &Config,
        replica: ReplicaName,
        time: TimeFrom,
        restore: Restore,
    ) -> anyhow::Result<Self> {
        let ground = Ground::open(config, Part::Service(replica), time, restore).await?;
        let steps = Steps::wire(config, &ground)?;
        Ok(Self { ground, steps })
    }

    pub async fn run(self, _shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        Ok(())
    }
}

pub async fn terminated() {}
