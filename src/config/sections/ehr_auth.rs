//! How `[[ehr]]` says who we are to that EHR.

use std::fs;

use url::Url;
use zeroize::Zeroizing;

use super::topic::Asks;
use super::{is_loopback, parse_web_url};
use crate::base::SecretText;
use crate::config::section::{Section, not_empty};
use crate::config::{ClientProof, EhrAuth, EhrTls, SecretIn, TokenAuth};
use crate::record::Told;
use crate::signing::Algorithm;

const TOKEN_URL: &str = "the EHR's token endpoint, such as \"https://auth.ehr.example/token\"";
/// What Chartseal reads, as the second version of SMART writes it.
pub const SCOPE: &str = "system/DiagnosticReport.rs system/DocumentReference.rs system/Binary.r system/Patient.rs \
     system/Observation.rs system/Specimen.rs system/ServiceRequest.rs system/Encounter.rs \
     system/PractitionerRole.rs system/RelatedPerson.rs system/Consent.rs system/Account.rs system/Coverage.rs";
/// Beside [`SCOPE`], where Chartseal makes the Subscriptions.
pub const SCOPE_TO_SUBSCRIBE: &str = "system/Subscription.cruds";
/// RFC 6749 §3.3; a scope is one word, and several are separated by one space.
const SCOPE_EXPECTED: &str = "expected scopes as the EHR writes them, separated by spaces, such as \"system/*.read\"";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    None,
    Basic,
    Bearer,
    Smart,
    ClientSecret,
    ClientCertificate,
}

const SCHEMES: [(&str, Scheme); 6] = [
    ("none", Scheme::None),
    ("basic", Scheme::Basic),
    ("bearer", Scheme::Bearer),
    ("smart", Scheme::Smart),
    ("client_secret", Scheme::ClientSecret),
    ("client_certificate", Scheme::ClientCertificate),
];

/// The keys of `[[ehr]]` that belong to some of the schemes, whatever was read of them.
struct Given {
    user: Option<String>,
    password: Option<SecretText>,
    token: Option<SecretText>,
    client_id: Option<String>,
    client_secret: Option<SecretText>,
    secret_in: SecretIn,
    signature: Algorithm,
    token_url: Option<String>,
    scope: Option<String>,
}

const CLIENTS: &[Scheme] = &[Scheme::Smart, Scheme::ClientSecret, Scheme::ClientCertificate];

pub(super) fn read(section: &mut Section<'_>, asks: Asks, write_back: &[Told], tls: &EhrTls) -> Option<EhrAuth> {
    let scheme = section.choice("auth", &SCHEMES, Scheme::None);
    let given = Given {
        user: section.optional("user", not_empty),
        password: section.secret("password", "password_file"),
        token: section.secret("token", "token_file"),
        client_id: section.optional("client_id", not_empty),
        client_secret: section.secret("client_secret", "client_secret_file"),
        secret_in: section.choice(
            "client_secret_in",
            &[("basic", SecretIn::Basic), ("post", SecretIn::Post)],
            SecretIn::Basic,
        ),
        signature: section.choice(
            "signature",
            &[("RS384", Algorithm::Rs384), ("ES384", Algorithm::Es384)],
            Algorithm::Rs384,
        ),
        token_url: section.optional("token_url", token_url),
        scope: section.optional("scope", scope),
    };
    refuse_unused(section, scheme, &given);
    let proof = match scheme {
        Scheme::None => return Some(EhrAuth::None),
        Scheme::Basic => {
            needs(section, scheme, "user", &["user"]);
            needs(section, scheme, "password_file", &["password_file", "password"]);
            return Some(EhrAuth::Basic { user: given.user?, password: given.password? });
        }
        Scheme::Bearer => {
            needs(section, scheme, "token_file", &["token_file", "token"]);
            return Some(EhrAuth::Bearer { token: given.token? });
        }
        Scheme::Smart => Some(ClientProof::Key(given.signature)),
        Scheme::ClientSecret => {
            needs(section, scheme, "client_secret_file", &["client_secret_file", "client_secret"]);
            given.client_secret.map(|secret| ClientProof::Secret { secret, carried: given.secret_in })
        }
        Scheme::ClientCertificate => {
            if tls.identity.is_none() && !section.is_written("certificate_file") {
                section.complain("certificate_file", "missing: auth = \"client_certificate\" needs it");
            }
            Some(ClientProof::Certificate)
        }
    };
    needs(section, scheme, "client_id", &["client_id"]);
    let usual = || {
        let subscribes = match asks {
            Asks::Classic | Asks::Topic(_) => Some(SCOPE_TO_SUBSCRIBE.to_owned()),
            Asks::Nothing => None,
        };
        let tells = write_back.iter().copied().map(Told::scope);
        std::iter::once(SCOPE.to_owned()).chain(subscribes).chain(tells).collect::<Vec<_>>().join(" ")
    };
    let scope = given.scope.unwrap_or_else(usual);
    Some(EhrAuth::Token(TokenAuth { client_id: given.client_id?, proof: proof?, token_url: given.token_url, scope }))
}

/// `certificate_file`, `certificate_key_file` and `ca_file`, which go with every scheme.
pub(super) fn tls(section: &mut Section<'_>) -> EhrTls {
    let certificate = pem(section, "certificate_file", "CERTIFICATE");
    let key = pem(section, "certificate_key_file", "PRIVATE KEY");
    let authorities = pem(section, "ca_file", "CERTIFICATE").map(|pem| pem.expose().to_owned());
    for (written, lacking) in
        [("certificate_file", "certificate_key_file"), ("certificate_key_file", "certificate_file")]
    {
        if section.is_written(written) && !section.is_written(lacking) {
            section.complain(lacking, format!("missing: `{written}` is of no use without it"));
        }
    }
    let identity = certificate.zip(key).map(|(certificate, key)| {
        let both = Zeroizing::new(format!("{}\n{}", certificate.expose(), key.expose()));
        SecretText::new(both.as_str().to_owned())
    });
    EhrTls { identity, authorities }
}

/// A file in PEM that holds at least one part of this kind.
fn pem(section: &mut Section<'_>, key: &'static str, kind: &str) -> Option<SecretText> {
    let path = section.existing_file(key)?;
    let text = SecretText::new(fs::read_to_string(path).unwrap_or_default());
    let begins = |line: &str| line.starts_with("-----BEGIN ") && line.trim_end().ends_with(&format!("{kind}-----"));
    if text.expose().lines().any(begins) {
        return Some(text);
    }
    section.complain(key, format!("expected a file in PEM with a {kind} in it"));
    None
}

fn needs(section: &Section<'_>, scheme: Scheme, key: &'static str, any_of: &[&str]) {
    if !any_of.iter().any(|key| section.is_written(key)) {
        section.complain(key, format!("missing: auth = \"{}\" needs it", word(scheme)));
    }
}

/// What belongs to another scheme. A user, a password and a token may stand in the environment beside any scheme but none.
fn refuse_unused(section: &Section<'_>, scheme: Scheme, given: &Given) {
    let (of_others, word) = (scheme != Scheme::None, word(scheme));
    let may_stand = |is_given: bool| is_given && !of_others;
    for (key, is_unused, used_by) in [
        ("user", may_stand(given.user.is_some()), &[Scheme::Basic][..]),
        ("password_file", may_stand(given.password.is_some()), &[Scheme::Basic]),
        ("token_file", may_stand(given.token.is_some()), &[Scheme::Bearer]),
        ("client_id", given.client_id.is_some(), CLIENTS),
        ("client_secret_file", given.client_secret.is_some(), &[Scheme::ClientSecret]),
        ("client_secret_in", section.is_written("client_secret_in"), &[Scheme::ClientSecret]),
        ("signature", section.is_written("signature"), &[Scheme::Smart]),
        ("token_url", given.token_url.is_some(), CLIENTS),
        ("scope", given.scope.is_some(), CLIENTS),
    ] {
        if is_unused && !used_by.contains(&scheme) {
            let remedy = if of_others {
                format!("not used with auth = \"{word}\": remove it, or set another `auth`")
            } else {
                "not used with auth = \"none\": set `auth`, or remove it".to_owned()
            };
            section.complain(key, remedy);
        }
    }
}

fn word(scheme: Scheme) -> &'static str {
    SCHEMES.iter().find(|(_, known)| *known == scheme).map_or("none", |(word, _)| word)
}

/// Kept as it is written: assertions must name it letter by letter.
fn token_url(text: &str) -> Result<String, String> {
    let url: Url = parse_web_url(text, TOKEN_URL)?;
    if url.scheme() == "https" || is_loopback(&url) {
        Ok(text.to_owned())
    } else {
        Err(format!("expected {TOKEN_URL}; secrets are never sent without https"))
    }
}

fn scope(text: &str) -> Result<String, &'static str> {
    let is_word = |word: &str| word.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    if words.is_empty() || !words.iter().all(|word| is_word(word)) { Err(SCOPE_EXPECTED) } else { Ok(words.join(" ")) }
}
