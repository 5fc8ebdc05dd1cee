//! Text gateways: a stand-in for Twilio's API, and a real Kannel in front of a phone network of ours.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha1::Sha1;

use super::part::{EndWith, Part, Recipe};
use super::place::Place;
use super::{python, wait, web_client};

/// The account's token at the stand-in.
pub const TOKEN: &str = "twilio-token-of-the-tests";

/// A text that was taken.
#[derive(Clone, Debug)]
pub struct Taken {
    pub to: String,
    pub body: String,
    /// Where what becomes of it is told; Kannel keeps that to itself.
    pub report_to: String,
}

impl Taken {
    /// The one link in it, whole with its secret.
    ///
    /// # Panics
    /// When there is none.
    pub fn link(&self) -> String {
        let words = self.body.split_whitespace();
        words.into_iter().find(|word| word.contains("/r/")).expect("a text carries a link").to_owned()
    }
}

/// The stand-in for Twilio's API.
pub struct TwilioStub {
    pub port: u16,
    part: Part,
}

impl TwilioStub {
    /// The same without a stand-in: nobody listens there.
    pub fn nowhere(place: &Place) -> String {
        config_at(place.port(), place)
    }
}

fn config_at(port: u16, place: &Path) -> String {
    let token = place.join("token");
    std::fs::write(&token, TOKEN).expect("the folder is ours");
    format!(
        "[sms]\ngateway = \"twilio\"\nbase_url = \"http://127.0.0.1:{port}\"\naccount = \"AC1\"\nfrom = \"+12025550100\"\n\
         token_file = \"{}\"\nattempt_seconds = 2\n",
        token.display()
    )
}

impl TwilioStub {
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        let mut command = vec![python::program("python").into(), python::script("twilio_stub.py").into()];
        command.extend(["--token", TOKEN, "--out", "taken.jsonl"].map(Into::into));
        let recipe = Recipe { name: "twilio", command, environment: vec![], end_with: EndWith::Terminate };
        let part = Part::start(recipe, Place::new("twilio"));
        Self { port: listening(&part).await, part }
    }

    /// `[sms]` for a clinic's configuration.
    pub fn config(&self) -> String {
        config_at(self.port, self.part.folder())
    }

    /// All texts taken so far.
    pub fn taken(&self) -> Vec<Taken> {
        taken(&self.part, "taken.jsonl")
    }

    /// From now on the account is suspended.
    ///
    /// # Panics
    /// Never in practice: the folder is ours.
    pub fn suspend(&self) {
        std::fs::write(self.part.folder().join("suspended"), "").expect("the folder is ours");
    }

    /// What went wrong with its calls to the clinic.
    pub fn faults(&self) -> Vec<String> {
        self.part.log().lines().filter(|line| line.starts_with("callback")).map(str::to_owned).collect()
    }

    /// How often it was asked to send to this number, as far as it came to that.
    pub fn asked(&self, to: &str) -> usize {
        let asked = std::fs::read_to_string(self.part.folder().join("taken.jsonl.asked")).unwrap_or_default();
        asked.lines().filter(|line| *line == to).count()
    }
}

/// Calls a clinic as Twilio would, with the right signature.
pub async fn call_as_twilio(url: &str, fields: &[(&str, &str)]) -> u16 {
    call_signed(url, fields, &signature(url, fields)).await
}

/// Calls with whatever signature.
///
/// # Panics
/// When the clinic does not answer.
pub async fn call_signed(url: &str, fields: &[(&str, &str)], signature: &str) -> u16 {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    let request = web_client::new()
        .post(url)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("X-Twilio-Signature", signature)
        .body(form.finish());
    request.send().await.expect("the clinic answers").status().as_u16()
}

/// By the vendor's own description: base64 of HMAC-SHA1 over the URL and the sorted fields.
pub fn signature(url: &str, fields: &[(&str, &str)]) -> String {
    let mut sorted = fields.to_vec();
    sorted.sort_unstable();
    let mut said = url.to_owned();
    for (name, value) in sorted {
        let _ = write!(said, "{name}{value}");
    }
    let mut mac = Hmac::<Sha1>::new_from_slice(TOKEN.as_bytes()).expect("HMAC takes every key");
    mac.update(said.as_bytes());
    BASE64.encode(&mac.finalize().into_bytes())
}

/// A phone network, and Kannel in front of it.
pub struct Kannel {
    smsc: Part,
    _bearerbox: Part,
    _smsbox: Part,
}

pub const KANNEL_PASSWORD: &str = "kannel-password-of-the-tests";
pub const INCOMING_TOKEN: &str = "incoming-token-of-the-tests-0123";

/// Where Kannel will listen: a clinic is configured with it before Kannel can be told where the clinic is.
pub struct KannelPlace {
    place: Place,
    pub sendsms_port: u16,
}

impl KannelPlace {
    pub fn new() -> Self {
        let place = Place::new("kannel");
        Self { sendsms_port: place.port(), place }
    }

    /// `[sms]` for a clinic's configuration.
    ///
    /// # Panics
    /// Never in practice: the folder is ours.
    pub fn config(&self) -> String {
        let secret = |name: &str, value: &str| {
            std::fs::write(self.place.join(name), value).expect("the folder is ours");
            self.place.join(name).display().to_string()
        };
        format!(
            "[sms]\ngateway = \"kannel\"\nurl = \"http://127.0.0.1:{}/cgi-bin/sendsms\"\nuser = \"chartseal\"\nfrom = \
             \"12025550100\"\npassword_file = \"{}\"\nincoming_token_file = \"{}\"\n",
            self.sendsms_port,
            secret("password", KANNEL_PASSWORD),
            secret("incoming", INCOMING_TOKEN),
        )
    }
}

impl Kannel {
    /// # Panics
    /// When Kannel is not installed, or does not start.
    pub async fn start(KannelPlace { place, sendsms_port }: KannelPlace, clinic_port: u16) -> Self {
        let mut command = vec![python::program("python").into(), python::script("smsc.py").into()];
        command.extend(["--out", "taken.jsonl", "--back", "back"].map(Into::into));
        let recipe = Recipe { name: "smsc", command, environment: vec![], end_with: EndWith::Terminate };
        let smsc = Part::start(recipe, Place::new("smsc"));
        let smsc_port = listening(&smsc).await;
        let (admin, boxes) = (place.port(), place.port());
        let ports = [admin, boxes, sendsms_port, smsc_port, clinic_port];
        let config = place.join("kannel.conf");
        std::fs::write(&config, kannel_config(ports)).expect("the folder is ours");
        let run = |program: &str, place: Place| {
            let program = super::part::installed(Path::new("/usr/sbin").join(program));
            let command = vec![program.into(), "-v".into(), "1".into(), config.clone().into()];
            Part::start(Recipe { name: "kannel", command, environment: vec![], end_with: EndWith::Terminate }, place)
        };
        let bearerbox = run("bearerbox", place);
        wait::until("Kannel's bearerbox to reach the network", || {
            bearerbox.assert_running();
            smsc.log().contains("bound").then_some(())
        })
        .await;
        let smsbox = run("smsbox", Place::new("smsbox"));
        wait::until("Kannel's smsbox", || {
            smsbox.assert_running();
            std::net::TcpStream::connect(("127.0.0.1", sendsms_port)).ok()
        })
        .await;
        Self { smsc, _bearerbox: bearerbox, _smsbox: smsbox }
    }

    /// All texts that reached the network so far.
    pub fn taken(&self) -> Vec<Taken> {
        taken(&self.smsc, "taken.jsonl")
    }

    /// Somebody writes to the clinic's number.
    ///
    /// # Panics
    /// Never in practice: the folder is ours.
    pub fn write_back(&self, from: &str, text: &str) {
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.smsc.folder().join("back"))
            .expect("the folder is ours");
        writeln!(file, "{from} 12025550100 {text}").expect("the disk takes a line");
    }
}

/// Everything on loopback; `fakesmsc` is not used: it listens for the whole network.
fn kannel_config([admin, boxes, sendsms, smsc, clinic]: [u16; 5]) -> String {
    format!(
        r#"group = core
admin-port = {admin}
admin-interface = "127.0.0.1"
admin-password = admin-of-the-tests
admin-deny-ip = "*.*.*.*"
admin-allow-ip = "127.0.0.1"
smsbox-port = {boxes}
smsbox-interface = "127.0.0.1"
box-allow-ip = "127.0.0.1"
dlr-storage = internal
sms-resend-retry = 2
sms-resend-freq = 2

group = smsc
smsc = smpp
smsc-id = NETWORK
host = 127.0.0.1
port = {smsc}
smsc-username = kannel
smsc-password = secret
system-type = ""
transceiver-mode = true
interface-version = 34
msg-id-type = 0x00
reconnect-delay = 1

group = smsbox
bearerbox-host = 127.0.0.1
bearerbox-port = {boxes}
sendsms-port = {sendsms}
sendsms-interface = "127.0.0.1"
mo-recode = true

group = sendsms-user
username = chartseal
password = {KANNEL_PASSWORD}
max-messages = 1
user-deny-ip = "*.*.*.*"
user-allow-ip = "127.0.0.1"

group = sms-service
keyword = default
get-url = "http://127.0.0.1:{clinic}/sms/incoming/{INCOMING_TOKEN}?from=%p&text=%a"
max-messages = 0
catch-all = true
"#
    )
}

async fn listening(part: &Part) -> u16 {
    wait::until("a gateway", || {
        part.assert_running();
        part.log().lines().find_map(|line| line.strip_prefix("listening ")?.parse().ok())
    })
    .await
}

fn taken(part: &Part, name: &str) -> Vec<Taken> {
    let kept = std::fs::read_to_string(part.folder().join(name)).unwrap_or_default();
    // The last line may still be in writing.
    let whole = kept.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let read = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("the stand-in writes JSON");
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        Taken { to: text("to"), body: text("body"), report_to: text("report_to") }
    };
    whole.lines().map(read).collect()
}
