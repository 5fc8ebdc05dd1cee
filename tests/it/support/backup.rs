//! Yesterday's backup: a copy of the database and of the sealed files, as a thief or an operator has it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chartseal::app::start::store_url;
use chartseal::config::Config;

use super::clinic::{Clinic, Database};
use super::place::Place;
use super::{postgres, program};

/// A copy, by itself.
pub struct Backup {
    folder: Place,
    /// What `--backup` takes: a file or an address.
    pub place: String,
    pub blobs: PathBuf,
    database: Database,
}

impl Backup {
    /// Copies database and sealed files of a clinic whose steps are at rest; its service may run.
    ///
    /// # Panics
    /// When they cannot be copied.
    pub async fn of(clinic: &Clinic) -> Self {
        let folder = Place::new("backup");
        let blobs = folder.join("blobs");
        copy_folder(&clinic.folder.join("blobs"), &blobs);
        let place = match clinic.database {
            Database::Sqlite => {
                let (config, copy) = (clinic.config_path.clone(), folder.join("copy.db").display().to_string());
                tokio::task::spawn_blocking(move || {
                    let ran = program::run(&config, &["backup", &copy]);
                    assert_eq!(ran.code, 0, "{}", ran.all());
                    copy
                })
                .await
                .unwrap()
            }
            Database::Postgres => {
                let (from, dump) = (url(clinic), folder.join("dump.sql"));
                tokio::task::spawn_blocking(move || {
                    let copy = postgres::fresh_database();
                    dump_postgres(&from, &dump);
                    load_postgres(&dump, &copy);
                    copy
                })
                .await
                .unwrap()
            }
        };
        Self { folder, place, blobs, database: clinic.database }
    }

    /// What a store opens.
    pub fn store_url(&self) -> String {
        match self.database {
            Database::Sqlite => format!("sqlite:{}", self.place),
            Database::Postgres => self.place.clone(),
        }
    }

    /// Puts the database back into a stopped clinic; the sealed files stay as they are.
    ///
    /// # Panics
    /// When it cannot be put back.
    pub fn put_back(&self, clinic: &Clinic) {
        match self.database {
            Database::Sqlite => {
                let target = clinic.folder.join("chartseal.db");
                for ending in ["", "-wal", "-shm"] {
                    let _ = fs::remove_file(format!("{}{ending}", target.display()));
                }
                fs::copy(self.folder.join("copy.db"), &target).expect("the copy can be put back");
            }
            Database::Postgres => {
                empty_postgres(&url(clinic));
                load_postgres(&self.folder.join("dump.sql"), &url(clinic));
            }
        }
    }
}

/// Takes everything out of a stopped clinic's database, as if its disk were new.
///
/// # Panics
/// When it cannot be emptied.
pub fn lose_database(clinic: &Clinic) {
    match clinic.database {
        Database::Sqlite => {
            for ending in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(format!("{}/chartseal.db{ending}", clinic.folder.display()));
            }
        }
        Database::Postgres => empty_postgres(&url(clinic)),
    }
}

/// The address of a clinic's database.
///
/// # Panics
/// When its configuration is no longer good.
pub fn url(clinic: &Clinic) -> String {
    let config = Config::load(&clinic.config_path, []).expect("the clinic's configuration is good");
    store_url(&config.store).expect("the clinic's database has an address")
}

fn dump_postgres(url: &str, to: &Path) {
    run(Command::new(postgres::server_program("pg_dump")).args(["--no-owner", "--file"]).arg(to).arg(url));
}

fn load_postgres(dump: &Path, url: &str) {
    let psql = postgres::server_program("psql");
    run(Command::new(psql).args(["-q", "-X", "-v", "ON_ERROR_STOP=1", "-f"]).arg(dump).arg(url));
}

fn empty_postgres(url: &str) {
    let psql = postgres::server_program("psql");
    run(Command::new(psql).args(["-q", "-X", "-c", "DROP SCHEMA public CASCADE; CREATE SCHEMA public"]).arg(url));
}

fn run(command: &mut Command) {
    let done = command.output().expect("PostgreSQL's programs can be run");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// # Panics
/// When a file cannot be copied.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the backup's folder takes folders");
    fs::set_permissions(to, fs::metadata(from).expect("it is there").permissions()).expect("the folder is ours");
    for entry in fs::read_dir(from).expect("the folder can be read") {
        let entry = entry.expect("the folder can be read");
        let target = to.join(entry.file_name());
        let kind = entry.file_type().expect("a file has a type");
        if kind.is_dir() {
            copy_folder(&entry.path(), &target);
        } else if kind.is_symlink() {
            let program = fs::read_link(entry.path()).expect("it leads somewhere");
            std::os::unix::fs::symlink(program, target).expect("the backup's folder takes links");
        } else {
            fs::copy(entry.path(), target).expect("a file can be copied");
        }
    }
}
