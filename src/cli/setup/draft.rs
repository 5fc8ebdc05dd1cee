//! What was answered about a new EHR, and the section that it comes to.

use std::fmt::Write as _;

use toml_edit::Value;

use crate::config::{ClientProof, Ehr, EhrAuth, HookAuth, Subscribe, TopicForm};
use crate::record::Told;

/// How the EHR shall show that something changed, and who asks it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Calls {
    /// Chartseal makes the Subscriptions.
    AskedByUs,
    /// Its staff make them, with a secret of ours.
    MadeByTheirStaff,
    None,
}

/// The values of the keys of an `[[ehr]]`, as written; `Config::parse` judges them.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) id: String,
    pub(super) base_url: String,
    pub(super) auth: String,
    pub(super) user: Option<String>,
    pub(super) client_id: Option<String>,
    /// The file with the password, the token or the client secret.
    pub(super) secret_file: Option<String>,
    pub(super) certificate_file: Option<String>,
    pub(super) certificate_key_file: Option<String>,
    pub(super) token_url: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) subscribe: String,
    pub(super) hook_url: Option<String>,
    pub(super) hook_secret_file: Option<String>,
    pub(super) clinic: Option<String>,
    /// What the EHR is told of deliveries.
    pub(super) tells: Vec<Told>,
}

/// Whether the section names the file of the hook's secret, which may not be there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HookSecret {
    Named,
    LeftOut,
}

impl Draft {
    /// Of an EHR that is configured: what its staff are told, without the names of files.
    pub(super) fn of(ehr: &Ehr) -> Self {
        let (auth, token) = match &ehr.auth {
            EhrAuth::None => ("none", None),
            EhrAuth::Basic { .. } => ("basic", None),
            EhrAuth::Bearer { .. } => ("bearer", None),
            EhrAuth::Token(token) => match &token.proof {
                ClientProof::Key(_) => ("smart", Some(token)),
                ClientProof::Secret { .. } => ("client_secret", Some(token)),
                ClientProof::Certificate => ("client_certificate", Some(token)),
            },
        };
        let subscribe = match &ehr.subscribe {
            Subscribe::R4 => "r4",
            Subscribe::Topic(topic) => match topic.form {
                TopicForm::R4 => "topic-r4",
                TopicForm::R4b => "topic-r4b",
                TopicForm::R5 => "topic-r5",
            },
            Subscribe::Off => "off",
        };
        let is_theirs = matches!((&ehr.subscribe, &ehr.hook_auth), (Subscribe::Off, HookAuth::Secret(Some(_))));
        Self {
            id: ehr.id.to_string(),
            base_url: ehr.base_url.to_string(),
            auth: auth.to_owned(),
            client_id: token.map(|token| token.client_id.clone()),
            scope: token.map(|token| token.scope.clone()),
            subscribe: subscribe.to_owned(),
            hook_secret_file: is_theirs.then(String::new),
            tells: ehr.write_back.clone(),
            ..Self::default()
        }
    }

    pub(super) fn takes_client_id(&self) -> bool {
        ["smart", "client_secret", "client_certificate"].contains(&self.auth.as_str())
    }

    pub(super) fn calls(&self) -> Calls {
        match (self.subscribe.as_str(), &self.hook_secret_file) {
            ("off", None) => Calls::None,
            ("off", Some(_)) => Calls::MadeByTheirStaff,
            (_, _) => Calls::AskedByUs,
        }
    }

    /// The key under which `auth` names the file with its secret.
    pub(super) fn secret_key(&self) -> Option<&'static str> {
        match self.auth.as_str() {
            "basic" => Some("password_file"),
            "bearer" => Some("token_file"),
            "client_secret" => Some("client_secret_file"),
            _ => None,
        }
    }

    /// As it is appended to the configuration.
    pub(super) fn section(&self, hook_secret: HookSecret) -> String {
        let mut text = String::from("[[ehr]]\n");
        let mut line = |key: &str, value: &str| {
            let _ = writeln!(text, "{key} = {}", Value::from(value).to_string().trim());
        };
        line("id", &self.id);
        line("base_url", &self.base_url);
        line("auth", &self.auth);
        let named = [
            ("user", &self.user),
            ("client_id", &self.client_id),
            (self.secret_key().unwrap_or("password_file"), &self.secret_file),
            ("certificate_file", &self.certificate_file),
            ("certificate_key_file", &self.certificate_key_file),
            ("token_url", &self.token_url),
            ("scope", &self.scope),
        ];
        for (key, value) in named {
            if let Some(value) = value {
                line(key, value);
            }
        }
        line("subscribe", &self.subscribe);
        let calls = [("hook_url", &self.hook_url), ("clinic", &self.clinic)];
        for (key, value) in calls {
            if let Some(value) = value {
                line(key, value);
            }
        }
        if let (HookSecret::Named, Some(file)) = (hook_secret, &self.hook_secret_file) {
            line("hook_secret_file", file);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_15_a_section_holds_each_answer_as_a_toml_text_whatever_is_in_it() {
        let draft = Draft {
            id: "lab".to_owned(),
            base_url: "https://ehr.test/fhir".to_owned(),
            auth: "client_secret".to_owned(),
            client_id: Some("a \"quoted\" \\ id\n[mode]".to_owned()),
            secret_file: Some("secrets/lab".to_owned()),
            subscribe: "off".to_owned(),
            hook_secret_file: Some("secrets/lab-hook".to_owned()),
            ..Draft::default()
        };
        let table: toml::Table = draft.section(HookSecret::Named).parse().unwrap();
        assert_eq!(table.len(), 1, "no answer makes a section of its own");
        let section = &table["ehr"][0];
        assert_eq!(section["client_id"].as_str(), draft.client_id.as_deref());
        assert_eq!(section["client_secret_file"].as_str(), Some("secrets/lab"));
        assert_eq!(section["hook_secret_file"].as_str(), Some("secrets/lab-hook"));
        assert_eq!(draft.calls(), Calls::MadeByTheirStaff);
        let without: toml::Table = draft.section(HookSecret::LeftOut).parse().unwrap();
        assert_eq!(without["ehr"][0].get("hook_secret_file"), None);
    }
}
