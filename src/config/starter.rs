//! The file that `init` writes: short, commented, and valid as it stands.

/// What `init` asks for. Texts are written as TOML strings; `Config::parse` judges them.
#[derive(Clone, Copy, Debug)]
pub struct Starter<'a> {
    pub clinic_id: &'a str,
    pub clinic_name: &'a str,
    pub phone: &'a str,
    pub timezone: &'a str,
    pub language: &'a str,
    pub from: &'a str,
    pub ehr_id: &'a str,
    pub ehr_base_url: &'a str,
}

/// A `chartseal.toml` in shadow mode for one clinic, one EHR and one machine.
#[must_use]
pub fn starter_config(starter: &Starter<'_>) -> String {
    let mut text = TEMPLATE.to_owned();
    for (mark, value) in [
        ("@clinic_id", starter.clinic_id),
        ("@clinic_name", starter.clinic_name),
        ("@phone", starter.phone),
        ("@timezone", starter.timezone),
        ("@language", starter.language),
        ("@from", starter.from),
        ("@ehr_id", starter.ehr_id),
        ("@ehr_base_url", starter.ehr_base_url),
    ] {
        let line_end = format!("{mark}\n");
        text = text.replacen(&line_end, &format!("{}\n", toml::Value::from(value)), 1);
    }
    text
}

const TEMPLATE: &str = r#"# Chartseal's configuration. `chartseal check` reads it and tells every mistake at once.
#
# A line that begins with # and a key shows a default. CHARTSEAL__SECTION__KEY in the environment overrides a key
# (CHARTSEAL__EHR__0__BASE_URL for the first [[ehr]]). Secrets never stand here: name a file, or set the variable.
# Relative paths start at this file's directory.

[mode]
# "shadow" decides and shows everything, and sends nothing. Change it to "live" when the desk shows what you expect.
send = "shadow"

[[clinic]]
id = @clinic_id
# Patients see the name and the number in every message and on every page.
name = @clinic_name
phone = @phone
timezone = @timezone
language = @language
# From this birthday on nobody stands by a patient by law (16 to 21). Below it an address that is also a relative's, or that of
# who pays, is taken for a guardian's.
#adult_at_years = 18
# Messages come from this address; its domain needs SPF and DKIM for the relay below.
from = @from

[[ehr]]
id = @ehr_id
base_url = @ehr_base_url
# "none", "basic" (user, password_file) or "bearer" (token_file); or a token of SMART Backend Services: "smart" (client_id; one
# of our keys signs, `chartseal ehrs keys` prints them for the EHR's staff), "client_secret" (client_id, client_secret_file)
# or "client_certificate" (client_id, certificate_file).
#auth = "none"
# How a "smart" client signs, where a "client_secret" stands ("basic": in a header), and what is asked for.
#   signature = "RS384"   client_secret_in = "basic"   scope = "system/*.read"
# Only where the EHR's .well-known/smart-configuration does not say it, or names another server.
#   token_url = "https://auth.ehr.example/token"
# mTLS, beside any auth: our certificate. And whom to trust beside the system's authorities.
#   certificate_file = "secrets/ehr-client.pem"   certificate_key_file = "secrets/ehr-client.key"   ca_file = "ehr-ca.pem"
# "r4" asks the EHR to call us at hook_url; polling goes on beside it. "topic-r4", "topic-r4b" and "topic-r5" ask for the
# events of a topic, in the words of the EHR's release.
#subscribe = "off"
# With a topic: its canonical as `topic` (US Core's patient-data-feed), `topic_filters` such as
# ["DiagnosticReport?category=LAB"], `topic_content` ("id-only"), `heartbeat_seconds` (60), `events_per_call` (20).
#hook_url = "https://hooks.clinic.example"
# How the EHR numbers a topic's events: "strict" (without end), "resetting" (the count may begin anew, as after a restart)
# or "none" (per call, or not at all). A missing number is asked for again, or searched.
#events = "resetting"
# How the EHR shows that a call is its own: "secret" (the header X-Chartseal-Hook carries it; without hook_secret_file one
# is derived from the root key), or an HMAC-SHA256 of the body by the same secret: "medplum" (X-Signature) or "websub"
# (X-Hub-Signature: sha256=…). For the last two the EHR's staff make the Subscription; subscribe stays "off".
#hook_auth = "secret"
#poll_seconds = 60
# Where it refuses searches over all patients: who it is asked about one by one, then every 900 seconds at most, from any of
# "appointments", "orders", "group:ID" and "file:PATH" (one id a line); and how often these lists are read again.
#panel = []
#panel_minutes = 60
# A second, slow search by the reports' own date; 0: none.
#by_date_hours = 6
# What its staff allow us; 0: they name no number.
#calls_per_minute = 0
# For one answer of the EHR; attachments may take longer, but no silence may.
#answer_seconds = 60
# "now" or an instant: what was final before is left alone.
#start_from = "now"
# An older report is never sent by itself.
#report_age_max = "7d"
# Sources of live links are read again this often, because EHRs do not tell of deletes.
#recheck_minutes = 15
# A report that carries no attachment is written down from its results ("write"), or a person looks at it ("review").
#without_attachment = "write"
# What the EHR is told of deliveries, any of "communication" (a message went out, and was opened), "audit_event" (a document
# was disclosed), "provenance" (a report left) and "task" (what staff have to do). Never an address or a link.
#write_back = []
# A Task to talk with a patient that a clinician completed there: "noted", or it "counts" as the record of the talk.
#   completed_talk = "noted"
# An attachment whose text names another patient waits for a person ("uncontradicted"); so does one that does not name its own
# ("named"); or nobody looks ("unchecked").
#attachment_identity = "uncontradicted"
# Other origins from which attachments may be fetched.
#attachment_origins = []

# Scans attachments for malware on their way to be sealed: clamd's socket, or its port on this machine.
#[scan]
#clamd = "/run/clamav/clamd.ctl"
# What it cannot scan waits for it ("hold"), or leaves ("send").
#unscanned = "hold"

[server]
#listen = "127.0.0.1:8080"
#admin_listen = "127.0.0.1:8081"
# Two different https origins as soon as others than this machine reach them.
#patient_url = "http://127.0.0.1:8080"
#staff_url = "http://127.0.0.1:8080"
# Only these may say who the client is.
#trusted_proxies = []

# Needed for "live".
#[mail]
#url = "smtp://relay.clinic.example:587"
#tls = "required"
#user = "chartseal"
#password_file = "secrets/mail-password"
# For a trial: nobody else gets mail.
#only_to = ["you@clinic.example"]
#connections_max = 4
# One message may take so long.
#attempt_seconds = 40

[store]
# Or postgres://USER@HOST/DATABASE with password_file.
#url = "sqlite:chartseal.db"

[blobs]
#url = "file:blobs"

[keys]
# Back up root/ inside it, somewhere else than the database's backups. Never back up the rest.
#dir = "keys"
# "never", or the time after which the next of the keys that sign in to EHRs takes over by itself: only where every EHR
# reads them at /.well-known/jwks.json.
#rotate_signing_keys = "never"

[policy]
#file = "policy.toml"

[retention]
#raw_events = "1h"
#quarantine = "14d"
#contacts = "90d"
#facts = "1y"
#tombstones = "1y"
#audit = "10y"

[limits]
#hook_body_bytes_max = "1MiB"
# A patient's browser opens files of up to 256MiB, where it has the room.
#attachment_bytes_max = "64MiB"
#inline_bytes_max = "16MiB"
#notices_per_patient_day_max = 6
#notices_per_address_day_max = 6
#breaker_hour_multiple = 4
# A database that says nothing for so long is taken for gone.
#store_answer_seconds = 60
"#;
