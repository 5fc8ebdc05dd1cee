//! A configuration as an administrator writes it, right and wrong.

mod mistakes;
mod sms;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use super::*;
use crate::base::{hours, minutes, seconds};
use crate::release::Unscanned;

const HOUR: u64 = 3_600;

const CLINIC: &str = r#"
[[clinic]]
id = "main"
name = "Riverside"
phone = "+1 555 0100"
timezone = "America/Chicago"
from = "results@clinic.example"
"#;

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn parse_at(dir: &Path, text: &str, pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::parse(text, &dir.join("chartseal.toml"), variables(pairs))
}

fn parse(text: &str, pairs: &[(&str, &str)]) -> Config {
    parse_at(Path::new("/srv/chartseal"), text, pairs)
        .map_err(|error| error.to_string())
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn an_empty_file_is_enough_for_one_machine() {
    let config = parse("", &[]);
    assert_eq!(config.server.listen, "127.0.0.1:8080".parse::<SocketAddr>().unwrap());
    assert_eq!(config.server.admin_listen, "127.0.0.1:8081".parse::<SocketAddr>().unwrap());
    assert_eq!(config.server.patient_url.as_str(), "http://127.0.0.1:8080/");
    assert_eq!(config.server.staff_url.as_str(), "http://127.0.0.1:8080/");
    assert!(matches!(config.store, StoreUrl::Sqlite(path) if path == Path::new("/srv/chartseal/chartseal.db")));
    assert_eq!(config.blobs, BlobUrl::File("/srv/chartseal/blobs".into()));
    assert_eq!(config.keys_dir, Path::new("/srv/chartseal/keys"));
    assert_eq!(config.policy_file, Path::new("/srv/chartseal/policy.toml"));
    assert_eq!(config.mode, Mode::Shadow);
    assert!(config.mail.is_none() && config.clinics.is_empty() && config.ehrs.is_empty());
    assert_eq!(config.retention.raw_events, hours(1));
    assert_eq!(config.retention.quarantine, hours(14 * 24));
    assert_eq!(config.limits.inline_bytes_max, 16 << 20);
}

#[test]
fn an_ehr_has_careful_defaults() {
    let text = format!("{CLINIC}[[ehr]]\nid = \"main\"\nbase_url = \"https://ehr.example/fhir/r4\"\n");
    let config = parse(&text, &[]);
    let ehr = &config.ehrs[0];
    assert_eq!(ehr.base_url.as_str(), "https://ehr.example/fhir/r4/");
    assert_eq!(ehr.hook_base.as_str(), "http://127.0.0.1:8080/");
    assert!(matches!(ehr.auth, EhrAuth::None));
    assert_eq!((ehr.subscribe.clone(), ehr.start_from), (Subscribe::Off, StartFrom::Now));
    assert_eq!((ehr.poll_every, ehr.recheck_every, ehr.report_age_max), (seconds(60), minutes(15), hours(7 * 24)));
    assert_eq!(ehr.answer_max, seconds(60));
    assert_eq!(ehr.clinic.as_ref().map(ClinicId::as_str), Some("main"), "the only clinic");
    assert_eq!(config.clinics[0].language.to_string(), "en");
    assert_eq!(config.clinics[0].adult_at_years, 18);
    assert_eq!((ehr.write_back.len(), ehr.completed_talk), (0, CompletedTalk::Noted));
}

#[test]
fn what_an_ehr_is_told_is_asked_for_in_its_scopes() {
    let scope = |more: &str| {
        let text = format!(
            "{CLINIC}[[ehr]]\nid = \"main\"\nbase_url = \"https://ehr.example/fhir\"\nauth = \"smart\"\nclient_id = \"c\"\n{more}"
        );
        let EhrAuth::Token(token) = parse(&text, &[]).ehrs[0].auth.clone() else { panic!("a token") };
        token.scope
    };
    assert_eq!(scope(""), SCOPE);
    let told = scope("write_back = [\"task\", \"audit_event\"]\ncompleted_talk = \"counts\"");
    assert_eq!(told, format!("{SCOPE} system/AuditEvent.cs system/Task.crus"));
    assert_eq!(scope("write_back = [\"task\"]\nscope = \"system/*.*\""), "system/*.*", "as it is written");
}

#[test]
fn every_key_is_read() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("password", "p4ss word\n"),
        ("token", "t0ken\r\n"),
        ("hook", "h00k"),
        ("signing", SIGNING),
        ("policy.toml", ""),
        ("ca.pem", "-----BEGIN CERTIFICATE-----\n"),
        ("client.pem", "-----BEGIN CERTIFICATE-----\n"),
        ("client.key", "-----BEGIN EC PRIVATE KEY-----\n"),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let config = parse_at(dir.path(), EVERY_KEY, &[]).unwrap_or_else(|error| panic!("{error}"));
    let (group, file) = (FhirId::parse("lab-1").unwrap(), dir.path().join("password"));
    let panel = [PanelList::Group(group), PanelList::Appointments, PanelList::Orders, PanelList::File(file)];
    assert_eq!(config.ehrs[0].panel, panel);
    assert_eq!((config.ehrs[0].panel_refresh_every, config.ehrs[0].by_date_every), (minutes(30), seconds(0)));
    assert_eq!(config.ehrs[0].calls_per_minute.map(std::num::NonZeroU32::get), Some(250));
    assert_eq!(config.server.trusted_proxies.len(), 2);
    assert_eq!(config.server.display_name.as_deref(), Some("Riverside"));
    assert!(matches!(&config.store, StoreUrl::Postgres { url, password: Some(password) }
        if url.as_str() == "postgres://seal@db.example/chartseal" && password.expose() == "p4ss word"));
    assert_eq!(config.blobs, BlobUrl::File("/var/blobs".into()));
    assert_eq!(config.keys_dir, Path::new("/var/keys"));
    assert_eq!(config.mode, Mode::Live);
    assert_eq!(config.clinics[0].timezone, chrono_tz::America::Mexico_City);
    assert_eq!((config.clinics[0].language.to_string(), config.clinics[0].adult_at_years), ("en-GB".to_owned(), 19));
    let [basic, bearer, smart, secret, certificate, feed] = config.ehrs.as_slice() else { panic!("six EHRs") };
    assert_signs_in(smart, secret, certificate);
    assert_eq!(config.rotate_signing_keys, RotateEvery::Every(hours(90 * 24)));
    assert!(
        matches!(&basic.auth, EhrAuth::Basic { user, password } if user == "seal" && password.expose() == "p4ss word")
    );
    assert!(matches!(&bearer.auth, EhrAuth::Bearer { token } if token.expose() == "t0ken"));
    assert_eq!(basic.subscribe, Subscribe::R4);
    let Subscribe::Topic(topic) = &feed.subscribe else { panic!("a topic") };
    assert_eq!((topic.form, topic.topic.as_str()), (TopicForm::R5, "http://feed.example/SubscriptionTopic/reports"));
    assert_eq!((topic.filters.len(), topic.content, topic.events_max), (1, TopicContent::Empty, 7));
    assert_eq!((topic.heartbeat, feed.events, basic.events), (Duration::ZERO, Events::Strict, Events::Resetting));
    assert_eq!(basic.hook_base.as_str(), "https://hooks.clinic.example/seal/");
    assert!(matches!(&basic.hook_auth, HookAuth::Secret(Some(secret)) if secret.expose() == "h00k"));
    assert!(matches!(&bearer.hook_auth, HookAuth::Medplum(key) if key.expose() == SIGNING));
    assert_eq!(bearer.start_from, StartFrom::At(UtcMillis::parse_rfc3339("2026-11-01T00:00:00Z").unwrap()));
    assert_eq!(basic.start_from, bearer.start_from, "as text and as a TOML date");
    assert_eq!(basic.attachment_origins.len(), 1);
    let mail = config.mail.unwrap();
    assert_eq!((mail.host.as_str(), mail.port, mail.security), ("relay.example", 587, MailSecurity::StartTls));
    assert!(mail.login.is_some_and(|login| login.user == "seal" && login.password.expose() == "p4ss word"));
    assert!(matches!(mail.recipients, Recipients::Only(only) if only.len() == 1));
    assert_eq!(config.retention.audit, seconds(20 * 365 * 24 * HOUR));
    assert_eq!(config.limits.attachment_bytes_max, 200 << 20);
    assert_eq!(config.limits.hook_body_bytes_max, 4096);
}

#[test]
fn variables_override_the_file_and_add_to_it() {
    let text =
        format!("{CLINIC}[server]\nlisten = \"nonsense\"\n[mail]\nurl = \"smtp://relay.example\"\nuser = \"seal\"\n");
    let config = parse(
        &text,
        &[
            ("CHARTSEAL__SERVER__LISTEN", "127.0.0.1:9000"),
            ("CHARTSEAL__SERVER__TRUSTED_PROXIES", "10.0.0.1, 10.1.0.0/16"),
            ("CHARTSEAL__CLINIC__0__LANGUAGE", "en-GB"),
            ("CHARTSEAL__EHR__0__ID", "lab"),
            ("CHARTSEAL__EHR__0__BASE_URL", "http://localhost:8089/fhir"),
            ("CHARTSEAL__EHR__0__AUTH", "bearer"),
            ("CHARTSEAL__EHR__0__TOKEN", "from the environment"),
            ("CHARTSEAL__EHR__0__POLL_SECONDS", "5"),
            ("CHARTSEAL__MAIL__PASSWORD", "also"),
            ("CHARTSEAL__LIMITS__INLINE_BYTES_MAX", "8MiB"),
            ("CHARTSEAL_HOME", "not ours"),
            ("PATH", "/bin"),
        ],
    );
    assert_eq!(config.server.listen.port(), 9000);
    assert_eq!(config.server.trusted_proxies.len(), 2);
    assert_eq!(config.clinics[0].language.to_string(), "en-GB");
    assert!(matches!(&config.ehrs[0].auth, EhrAuth::Bearer { token } if token.expose() == "from the environment"));
    assert_eq!(config.ehrs[0].poll_every, seconds(5));
    assert!(config.mail.unwrap().login.is_some_and(|login| login.password.expose() == "also"));
    assert_eq!(config.limits.inline_bytes_max, 8 << 20);
}

#[test]
fn relays_are_reached_as_their_url_says() {
    for (url, tls, port, security) in [
        ("smtp://relay.example", "required", 587, MailSecurity::StartTls),
        ("smtps://relay.example", "required", 465, MailSecurity::Implicit),
        ("smtp://localhost:2525", "none", 2525, MailSecurity::Plain),
        ("smtp://[::1]:2525", "none", 2525, MailSecurity::Plain),
    ] {
        let mail = parse(&format!("[mail]\nurl = \"{url}\"\ntls = \"{tls}\"\n"), &[]).mail.unwrap();
        assert_eq!((mail.port, mail.security), (port, security), "{url}");
        assert_eq!(mail.recipients, Recipients::Anyone);
    }
}

#[test]
fn a_missing_file_says_how_to_get_one() {
    let error = Config::load(Path::new("/nowhere/chartseal.toml"), []).err().unwrap();
    assert!(error.to_string().contains("chartseal init"));
}

fn starter() -> String {
    starter_config(&Starter {
        clinic_id: "main",
        clinic_name: "Dr. \"Ana\" García",
        phone: "+52 55 5555 0100",
        timezone: "America/Mexico_City",
        language: "en-GB",
        from: "results@clinic.example",
        ehr_id: "lab",
        ehr_base_url: "http://127.0.0.1:8089/fhir",
    })
}

#[test]
fn the_starter_file_is_valid_as_it_stands() {
    let text = starter();
    assert!(!text.contains("= @"), "every answer is written");
    let config = parse(&text, &[]);
    assert_eq!(config.clinics[0].name, "Dr. \"Ana\" García");
    assert_eq!(config.ehrs[0].id.as_str(), "lab");
    assert_eq!(config.mode, Mode::Shadow);
}

#[test]
fn the_starter_files_comments_tell_the_defaults() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("secrets")).unwrap();
    fs::write(dir.path().join("secrets/mail-password"), "x").unwrap();
    fs::write(dir.path().join("policy.toml"), "").unwrap();
    let text = starter();
    let told: String = text
        .lines()
        .map(|line| {
            line.strip_prefix('#')
                .filter(|rest| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()))
                .unwrap_or(line)
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    assert!(told.contains("\n[mail]\n") && told.contains("\nhook_body_bytes_max"));
    let (told, left_out) = (
        parse_at(dir.path(), &told, &[]).unwrap_or_else(|error| panic!("{error}")),
        parse_at(dir.path(), &text, &[]).unwrap_or_else(|error| panic!("{error}")),
    );
    assert_eq!((told.retention, told.limits), (left_out.retention, left_out.limits));
    assert!(matches!(told.malware, MalwareScan::By { unscanned: Unscanned::Hold, .. }));
    assert!(matches!(left_out.malware, MalwareScan::Unasked));
    assert_eq!(format!("{:?}", told.server), format!("{:?}", left_out.server));
    assert_eq!(
        (told.blobs, told.keys_dir, told.policy_file),
        (left_out.blobs, left_out.keys_dir, left_out.policy_file)
    );
    let of_ehr = |config: &Ehr| {
        (
            (config.poll_every, config.answer_max, config.recheck_every),
            (config.report_age_max, config.start_from, config.subscribe.clone()),
            (config.panel.clone(), config.panel_refresh_every, config.by_date_every, config.calls_per_minute),
            (config.without_attachment, config.attachment_identity),
            (config.write_back.clone(), config.completed_talk),
        )
    };
    assert_eq!(of_ehr(&told.ehrs[0]), of_ehr(&left_out.ehrs[0]));
    assert!(told.mail.is_some_and(|mail| mail.connections_max == 4 && mail.attempt_max.as_secs() == 40));
}

/// As long as a signing secret must be.
const SIGNING: &str = "0123456789abcdefghijklmn";

fn assert_signs_in(smart: &Ehr, secret: &Ehr, certificate: &Ehr) {
    let token = |ehr: &Ehr| match &ehr.auth {
        EhrAuth::Token(token) => token.clone(),
        EhrAuth::None | EhrAuth::Basic { .. } | EhrAuth::Bearer { .. } => panic!("{} takes a token", ehr.id),
    };
    let (smart, secret) = (token(smart), token(secret));
    assert!(matches!(smart.proof, ClientProof::Key(Algorithm::Es384)));
    assert_eq!((smart.client_id.as_str(), smart.scope.as_str()), ("seal", "system/*.read system/Binary.read"));
    assert_eq!(smart.token_url.as_deref(), Some("https://auth.ehr.example"), "letter by letter");
    assert!(
        matches!(&secret.proof, ClientProof::Secret { secret, carried: SecretIn::Post } if secret.expose() == "t0ken")
    );
    assert!(secret.scope.starts_with("system/DiagnosticReport.rs ") && !secret.scope.contains("Subscription"));
    assert!(matches!(token(certificate).proof, ClientProof::Certificate));
    let tls = &certificate.tls;
    assert!(tls.identity.as_ref().is_some_and(|pem| pem.expose().contains("EC PRIVATE KEY")));
    assert!(tls.authorities.is_some());
}

const EVERY_KEY: &str = r#"
[server]
listen = "0.0.0.0:8080"
admin_listen = "127.0.0.1:9090"
patient_url = "https://r.clinic.example"
staff_url = "https://desk.clinic.example"
trusted_proxies = ["10.0.0.1", "fd00::/8"]
display_name = "Riverside"
[store]
url = "postgres://seal@db.example/chartseal"
password_file = "password"
[blobs]
url = "file:/var/blobs"
[keys]
dir = "/var/keys"
rotate_signing_keys = "90d"
[mode]
send = "live"
[[clinic]]
id = "main"
name = "Riverside"
phone = "+1 (555) 0100"
timezone = "America/Mexico_City"
language = "en-GB"
adult_at_years = 19
from = "results@clinic.example"
[[ehr]]
id = "main"
base_url = "https://ehr.example/fhir/r4"
auth = "basic"
user = "seal"
password_file = "password"
subscribe = "r4"
poll_seconds = 30
hook_secret_file = "hook"
hook_url = "https://hooks.clinic.example/seal"
start_from = "2026-11-01T00:00:00Z"
report_age_max = "3d"
clinic = "main"
attachment_origins = ["https://files.ehr.example"]
recheck_minutes = 5
panel = ["group:lab-1", "appointments", "orders", "file:password"]
panel_minutes = 30
by_date_hours = 0
calls_per_minute = 250
[[ehr]]
id = "lab"
base_url = "https://lab.example/r4/"
auth = "bearer"
token_file = "token"
hook_auth = "medplum"
hook_secret_file = "signing"
start_from = 2026-11-01T00:00:00Z
[[ehr]]
id = "smart"
base_url = "https://smart.example/r4/"
auth = "smart"
client_id = "seal"
signature = "ES384"
token_url = "https://auth.ehr.example"
scope = "system/*.read  system/Binary.read"
[[ehr]]
id = "secret"
base_url = "https://secret.example/r4/"
auth = "client_secret"
client_id = "seal"
client_secret_file = "token"
client_secret_in = "post"
[[ehr]]
id = "mtls"
base_url = "https://mtls.example/r4/"
auth = "client_certificate"
client_id = "seal"
certificate_file = "client.pem"
certificate_key_file = "client.key"
ca_file = "ca.pem"
[[ehr]]
id = "feed"
base_url = "https://feed.example/r5/"
subscribe = "topic-r5"
topic = "http://feed.example/SubscriptionTopic/reports"
topic_filters = ["DiagnosticReport?category=LAB"]
topic_content = "empty"
heartbeat_seconds = 0
events_per_call = 7
events = "strict"
hook_url = "https://hooks.clinic.example"
[mail]
url = "smtp://relay.example"
tls = "required"
user = "seal"
password_file = "password"
ca_file = "ca.pem"
only_to = ["ana@clinic.example"]
connections_max = 2
attempt_seconds = 30
[policy]
file = "policy.toml"
[retention]
raw_events = "30m"
quarantine = "7d"
contacts = "30d"
facts = "2y"
tombstones = "90d"
audit = "20y"
[limits]
hook_body_bytes_max = 4096
attachment_bytes_max = "200MiB"
inline_bytes_max = "8MiB"
notices_per_patient_day_max = 3
notices_per_address_day_max = 3
breaker_hour_multiple = 10
"#;
