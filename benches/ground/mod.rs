//! The ground that figures of the whole program stand on: an installation in a folder of its own, links planted through
//! the store as a release makes them, and visitors who open them.
//!
//! The folder lies where `TMPDIR` says: the disk under it is the one that is measured.

#![allow(dead_code, reason = "each bench target uses its part")]

pub mod crowd;
pub mod sink;
pub mod stage;
pub mod visitor;

use std::sync::Arc;

use chartseal::app::start::{Ground, Part, Restore, TimeFrom};
use chartseal::base::UtcMillis;
use chartseal::blobs::BlobStore;
use chartseal::config::Config;
use chartseal::keys::ReplicaName;

use crate::support::clinic::Wishes;
use crate::support::service::Installation;

/// Behind a proxy on this machine, as in production: each visitor has an address of its own.
pub const BEHIND_A_PROXY: [(&str, &str); 1] = [("CHARTSEAL__SERVER__TRUSTED_PROXIES", "127.0.0.1")];

/// An installation, not running.
pub struct House {
    pub installation: Arc<Installation>,
    pub config: Config,
}

/// Its store, keys and files, held by this process: nothing else may run meanwhile.
pub struct Inside {
    pub ground: Ground,
    pub blobs: BlobStore,
    pub origin: String,
}

impl House {
    /// # Panics
    /// When the folder cannot be written.
    pub async fn build(wishes: &Wishes, ehr_base: &str, mail_port: u16) -> Self {
        let installation = Installation::write(wishes, ehr_base, mail_port, &BEHIND_A_PROXY).await;
        let config = Config::load(&installation.config, []).expect("the configuration is good");
        Self { installation, config }
    }

    /// # Panics
    /// When another process holds it.
    pub async fn enter(&self) -> Inside {
        let replica = ReplicaName::parse("main").expect("a name");
        let ground = Ground::open(&self.config, Part::Service(replica), TimeFrom::TheStore, Restore::NotSaid).await;
        Inside {
            ground: ground.expect("nobody else holds the installation"),
            blobs: BlobStore::open(&self.config.blobs).expect("the folder is ours"),
            origin: self.config.server.patient_url.as_str().trim_end_matches('/').to_owned(),
        }
    }
}

impl Inside {
    pub fn now(&self) -> UtcMillis {
        self.ground.clock.now()
    }

    /// Leaves the installation to the program: what has happened is remembered beside the keys, as at a good end.
    ///
    /// # Panics
    /// When the disk refuses.
    pub async fn leave(self) {
        self.ground.raise_mark(self.now()).await.expect("the disk takes the mark");
    }
}
