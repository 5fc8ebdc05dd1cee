//! A migrated database of its own for each test, and a witness that remembers the deaths it was told.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use chartseal::store::{Conn, DeathWitness, LinkDeath, Store, StoreError, Tx};

use crate::support::{place, postgres};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// An empty place for a database.
pub struct Place {
    pub url: String,
    pub folder: place::Place,
}

impl Place {
    pub fn new(engine: Engine) -> Self {
        let folder = place::Place::new("store");
        let url = match engine {
            Engine::Sqlite => format!("sqlite:{}", folder.join("chartseal.db").display()),
            Engine::Postgres => postgres::fresh_database(),
        };
        Self { url, folder }
    }
}

/// An open store.
pub struct Bed {
    pub engine: Engine,
    pub place: Place,
    pub store: Store,
    pub witness: Arc<Ledger>,
}

impl Bed {
    pub fn new(engine: Engine) -> Self {
        let place = Place::new(engine);
        Store::migrate(&place.url).unwrap();
        let witness = Arc::new(Ledger::default());
        let store = Store::open(&place.url, Arc::clone(&witness) as Arc<dyn DeathWitness>).unwrap();
        Self { engine, place, store, witness }
    }

    pub async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Conn) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.read(look).await.unwrap()
    }

    pub async fn write<T: Send + 'static>(
        &self,
        deed: impl FnOnce(&mut Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store.write(deed).await.unwrap()
    }

    /// The SQLite file and its write-ahead log.
    pub fn files(&self) -> [PathBuf; 2] {
        ["chartseal.db", "chartseal.db-wal"].map(|name| self.place.folder.join(name))
    }

    /// Runs `deed` for each number below `count`, all at once, and returns the answers in order.
    pub async fn all_at_once<T: Send + 'static>(
        &self,
        count: u8,
        deed: impl Fn(&mut Tx, u8) -> Result<T, StoreError> + Clone + Send + 'static,
    ) -> Vec<Result<T, StoreError>> {
        let running: Vec<_> = (0..count)
            .map(|number| {
                let (store, deed) = (self.store.clone(), deed.clone());
                tokio::spawn(async move { store.write(move |tx| deed(tx, number)).await })
            })
            .collect();
        let mut answers = Vec::new();
        for one in running {
            answers.push(one.await.unwrap());
        }
        answers
    }
}

/// Remembers deaths; refuses them when told to.
#[derive(Default)]
pub struct Ledger {
    deaths: Mutex<Vec<LinkDeath>>,
    refuses: AtomicBool,
}

impl Ledger {
    pub fn refuse_from_now_on(&self) {
        self.refuses.store(true, Ordering::SeqCst);
    }

    pub fn deaths(&self) -> Vec<LinkDeath> {
        self.deaths.lock().unwrap().clone()
    }
}

impl DeathWitness for Ledger {
    fn witness(&self, deaths: &[LinkDeath]) -> Result<(), String> {
        if self.refuses.load(Ordering::SeqCst) {
            return Err("the disk is full".to_owned());
        }
        self.deaths.lock().unwrap().extend_from_slice(deaths);
        Ok(())
    }
}
