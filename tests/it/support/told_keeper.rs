//! A double's memory for what it is told: a conditional create, a read, a search and an update of the four types that
//! Chartseal writes. Everything else it leaves to the double. A test makes it fail in its own way.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::ehr_double::{Act, Asked, EhrDouble, Reply, outcome};

const KINDS: [&str; 4] = ["Communication", "AuditEvent", "Provenance", "Task"];

/// What the double keeps; cheap to clone.
#[derive(Clone)]
pub struct Keeper {
    kept: Arc<Mutex<Vec<Value>>>,
    statement: Arc<Value>,
}

impl Default for Keeper {
    fn default() -> Self {
        Self::stating("4.0.1", &["create", "update", "read"])
    }
}

/// How it answers a create that it does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    Whole,
    /// 201 without a body and without a Location.
    Nothing,
    /// It creates, and the connection ends in the middle of the answer.
    Half,
}

impl Keeper {
    /// One that offers this, in the words of this release.
    pub fn stating(version: &str, interactions: &[&str]) -> Self {
        Self { kept: Arc::default(), statement: Arc::new(statement(version, interactions)) }
    }

    /// Everything of this type, as it stands.
    pub fn all(&self, kind: &str) -> Vec<Value> {
        let kept = self.kept.lock().expect("no test panics here");
        kept.iter().filter(|one| one["resourceType"] == kind).cloned().collect()
    }

    /// Edits a kept resource, as somebody at the EHR would.
    pub fn change(&self, kind: &str, edit: impl FnOnce(&mut Value)) {
        let mut kept = self.kept.lock().expect("no test panics here");
        let found = kept.iter_mut().find(|one| one["resourceType"] == kind).expect("one of this type is kept");
        edit(found);
        bump(found);
    }

    pub fn forget(&self, kind: &str) {
        self.kept.lock().expect("no test panics here").retain(|one| one["resourceType"] != kind);
    }

    /// What a good server does with `asked`, if it is about one of the types.
    pub fn takes(&self, asked: &Asked, answers: Answers) -> Option<Act> {
        if asked.target == "/fhir/metadata" {
            return Some(Act::Answer(Reply::fhir(200, &self.statement)));
        }
        let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
        let mut parts = path.trim_start_matches("/fhir/").split('/');
        let kind = parts.next().filter(|kind| KINDS.contains(kind))?;
        let reply = match (asked.method.as_str(), parts.next()) {
            ("POST", None) => return Some(self.create(kind, asked, answers)),
            ("GET", Some(id)) => match self.all(kind).into_iter().find(|one| one["id"] == id) {
                Some(found) => Reply::fhir(200, &found),
                None => Reply::fhir(404, &outcome("not-found")),
            },
            ("GET", None) => {
                let found: Vec<Value> = self.matching(kind, query).iter().map(|one| json!({"resource": one})).collect();
                Reply::fhir(200, &json!({"resourceType": "Bundle", "type": "searchset", "entry": found}))
            }
            ("PUT", Some(id)) => self.update(kind, id, asked),
            _ => Reply::fhir(405, &outcome("not-supported")),
        };
        Some(Act::Answer(reply))
    }

    fn create(&self, kind: &str, asked: &Asked, answers: Answers) -> Act {
        let query = asked.header("If-None-Exist").expect("every create is conditional");
        let found = self.matching(kind, query);
        let (status, whole) = match found.first() {
            Some(found) => (200, found.clone()),
            None => {
                let mut made: Value = serde_json::from_slice(&asked.body).expect("what is told is JSON");
                assert_eq!(made["resourceType"], kind);
                let mut kept = self.kept.lock().expect("no test panics here");
                made["id"] = json!(format!("{}-{}", kind.to_lowercase(), kept.len() + 1));
                bump(&mut made);
                kept.push(made.clone());
                (201, made)
            }
        };
        match (answers, status) {
            (Answers::Nothing, 201) => Act::Answer(Reply { status, headers: Vec::new(), body: Vec::new() }),
            (Answers::Half, 201) => Act::HangUp,
            (Answers::Whole | Answers::Nothing | Answers::Half, _) => Act::Answer(Reply::fhir(status, &whole)),
        }
    }

    fn update(&self, kind: &str, id: &str, asked: &Asked) -> Reply {
        let mut kept = self.kept.lock().expect("no test panics here");
        let Some(found) = kept.iter_mut().find(|one| one["resourceType"] == kind && one["id"] == id) else {
            return Reply::fhir(404, &outcome("not-found"));
        };
        let version = format!("W/\"{}\"", found["meta"]["versionId"].as_str().unwrap_or_default());
        if asked.header("If-Match") != Some(version.as_str()) {
            return Reply::fhir(412, &outcome("conflict"));
        }
        let mut new: Value = serde_json::from_slice(&asked.body).expect("what is told is JSON");
        new["meta"]["versionId"] = found["meta"]["versionId"].clone();
        bump(&mut new);
        *found = new.clone();
        Reply::fhir(200, &new)
    }

    /// By identifier or tag, as the query says.
    fn matching(&self, kind: &str, query: &str) -> Vec<Value> {
        let (name, pair) =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().next().expect("it looks for something");
        let (system, code) = pair.split_once('|').expect("a token");
        let has = |list: &Value, key: &str| {
            let all = list.as_array().cloned().unwrap_or_default();
            all.iter().any(|one| one["system"] == system && one[key] == code)
        };
        let is_it = |one: &Value| match name.as_str() {
            "identifier" => has(&one["identifier"], "value"),
            "_tag" => has(&one["meta"]["tag"], "code"),
            other => panic!("it looks by {other}"),
        };
        self.all(kind).into_iter().filter(is_it).collect()
    }
}

/// Creates, reads and updates the four types.
pub fn statement(version: &str, interactions: &[&str]) -> Value {
    let interaction: Vec<Value> = interactions.iter().map(|code| json!({"code": code})).collect();
    let kinds: Vec<Value> = KINDS.iter().map(|kind| json!({"type": kind, "interaction": interaction})).collect();
    json!({
        "resourceType": "CapabilityStatement", "fhirVersion": version, "rest": [{"mode": "server", "resource": kinds}],
    })
}

/// What was posted or put to `double`, of the types that are told.
pub fn written_to(double: &EhrDouble) -> Vec<Asked> {
    let is_written = |asked: &Asked| matches!(asked.method.as_str(), "POST" | "PUT");
    double.asked().into_iter().filter(is_written).collect()
}

fn bump(resource: &mut Value) {
    let before = resource["meta"]["versionId"].as_str().and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    resource["meta"]["versionId"] = json!((before + 1).to_string());
}
