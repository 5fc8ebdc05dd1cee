//! People with keys of their own, added and acting by the program's commands.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::program::{self, Ran};

pub const LEAD: &str = "Lea Lead";
pub const AUTHOR: &str = "Ann Author";
pub const APPROVER: &str = "Bob Approver";
pub const OTHER_APPROVER: &str = "Cid Approver";
pub const DESK: &str = "Dan Desk";

/// The staff of one installation, which has a migrated database.
pub struct Staff {
    config: PathBuf,
    keys: BTreeMap<&'static str, PathBuf>,
}

impl Staff {
    pub fn hire(config: &Path) -> Self {
        let mut staff = Self { config: config.to_owned(), keys: BTreeMap::new() };
        for (who, role) in
            [(LEAD, "lead"), (AUTHOR, "author"), (APPROVER, "approver"), (OTHER_APPROVER, "approver"), (DESK, "desk")]
        {
            let key = config.with_file_name(format!("{role}-{}.key", staff.keys.len()));
            let add = ["staff", "add", who, "--role", role, "--out", key.to_str().unwrap()];
            let ran = if staff.keys.is_empty() { program::run(config, &add) } else { staff.says(LEAD, &add) };
            assert_eq!(ran.code, 0, "{}", ran.all());
            staff.keys.insert(who, key);
        }
        staff
    }

    /// Runs a command in the name of `who`, with their key.
    pub fn says(&self, who: &str, arguments: &[&str]) -> Ran {
        program::finish(&mut self.begins(who, arguments))
    }

    /// [`Staff::says`], not run yet.
    pub fn begins(&self, who: &str, arguments: &[&str]) -> std::process::Command {
        let mut command = program::command(&self.config);
        command.args(arguments).args(["--as", who, "--key-file"]).arg(&self.keys[who]);
        command
    }

    /// [`Staff::says`] of a command that succeeds; its answer as JSON.
    pub fn does(&self, who: &str, arguments: &[&str]) -> serde_json::Value {
        let ran = self.says(who, &[arguments, &["--json"]].concat());
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.all());
        ran.json()
    }

    /// Writes `rules` and proposes them as the author; returns their hash.
    pub fn proposes(&self, rules: &str) -> String {
        let file = self.config.with_file_name("proposed.toml");
        std::fs::write(&file, rules).unwrap();
        let proposed = self.does(AUTHOR, &["rules", "propose", file.to_str().unwrap(), "--note", "as discussed"]);
        proposed["hash"].as_str().unwrap().to_owned()
    }

    /// Approves as a person does who reads what becomes looser, and says how many that are.
    pub fn approves(&self, who: &str, hash: &str, more: &[&str]) -> serde_json::Value {
        let arguments = [&["rules", "approve", hash], more].concat();
        let ran = self.says(who, &[&arguments[..], &["--json"]].concat());
        let said = ran.all();
        let told = said.split_once("--accept-looser ").map(|(_, rest)| rest.split_whitespace().next().unwrap());
        match told {
            Some(count) if ran.code == 1 => self.does(who, &[&arguments[..], &["--accept-looser", count]].concat()),
            _ => {
                assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.all());
                ran.json()
            }
        }
    }

    /// Proposes and approves, in force at once.
    pub fn brings_into_force(&self, rules: &str) -> String {
        let hash = self.proposes(rules);
        self.approves(APPROVER, &hash, &[]);
        hash
    }
}
