//! A real mail system, Postfix from Debian, between the clinic and the mailbox: it queues, tries again, gives up, and reports.
//!
//! Must stay true: folders, ports and settings are the test's own, whatever the machine's Postfix is or does; it listens on loopback
//! alone, asks no DNS, and knows one way out, to the mailbox.

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use mail_parser::{MessageParser, PartType};

use super::clinic::Clinic;
use super::mailbox::{self, Mail};
use super::part::{EndWith, Part, Recipe, installed};
use super::place::Place;
use super::{program, wait};

/// To whose addresses reports come.
const REPORTS_DOMAIN: &str = "notify.riverside.example";
/// Uid of `nobody` and gid of `nogroup`: Postfix delivers to nobody's mailbox as root.
const NOBODY: u32 = 65_534;

/// How long a message is tried that cannot be delivered at once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tries {
    /// Not a second time: the sender is told that it failed.
    Once,
    /// Every second or two for an hour; after a second the sender is told that it is late.
    ForAnHour,
}

/// Where reports go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Reports {
    /// Into a Maildir: [`Postfix::reports`], [`Postfix::hand_over`].
    Kept,
    /// To `chartseal bounces read`, at once.
    Piped,
}

/// What the mail system reports of a message.
pub struct Report {
    /// Whole, as it came.
    pub text: String,
    /// The message of ours that came back with it; `None` where only its head did.
    pub ours: Option<Mail>,
}

/// Where Postfix will listen: a clinic is configured with it before Postfix can be told where the clinic's mailbox is.
pub struct PostfixPlace {
    place: Place,
    pub port: u16,
}

/// A running Postfix; it ends when dropped or when the test process dies.
pub struct Postfix {
    part: Part,
}

impl PostfixPlace {
    pub fn new() -> Self {
        let place = Place::new("postfix");
        mailbox::make_certificate(&place);
        Self { port: place.port(), place }
    }

    /// Lines for a clinic's `[mail]`, whose relay asks for `mail_tls = "required"`.
    pub fn config(&self) -> String {
        let authority = self.place.join("cert.pem");
        format!("ca_file = \"{}\"\nbounce_address = \"bounces@{REPORTS_DOMAIN}\"", authority.display())
    }
}

impl Postfix {
    /// # Panics
    /// When Postfix is not installed, or does not start.
    pub async fn start(PostfixPlace { place, port }: PostfixPlace, clinic: &Clinic, tries: Tries, to: Reports) -> Self {
        let master = installed(PathBuf::from("/usr/lib/postfix/sbin/master"));
        // Its processes give up root's rights, and must find their way all the same.
        fs::set_permissions(&place, Permissions::from_mode(0o755)).expect("the folder is ours");
        for folder in ["etc", "queue", "reports", "reports/maildir"] {
            fs::create_dir(place.join(folder)).expect("the folder is ours");
        }
        let reader = Reader::of(&place, clinic, to);
        let settings = place.join("etc");
        fs::write(settings.join("main.cf"), main_settings(&place, clinic.mailbox.port, tries, &reader)).expect("ours");
        fs::write(settings.join("master.cf"), services(port, &reader)).expect("ours");
        let keeper = std::process::id().to_string();
        let mut command = as_root();
        command.extend(["sh", "-c", include_str!("postfix.sh"), "postfix"].map(Into::into));
        command.extend([(*place).as_os_str().to_owned(), keeper.into(), master.into()]);
        let recipe = Recipe { name: "postfix", command, environment: vec![], end_with: EndWith::Terminate };
        let part = Part::start(recipe, Arc::new(place));
        wait::until("Postfix", || {
            part.assert_running();
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        })
        .await;
        Self { part }
    }

    /// Once there are at least `count` reports that nobody took yet: all of them.
    pub async fn reports(&self, count: usize) -> Vec<Report> {
        let new = self.part.folder().join("reports/maildir/new");
        wait::until("reports of the mail system", || {
            self.part.assert_running();
            let files = fs::read_dir(&new).ok()?.map(|entry| entry.expect("the folder can be read").path());
            let all: Vec<String> = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
            (all.len() >= count).then_some(all)
        })
        .await
        .into_iter()
        .map(|text| Report { ours: ours_in(&text), text })
        .collect()
    }

    /// Has the clinic read the Maildir until it took that many reports in.
    pub async fn hand_over(&self, clinic: &Clinic, count: u64) {
        let maildir = self.part.folder().join("reports/maildir").display().to_string();
        let mut taken = 0;
        wait::until("the reports to be taken in", || {
            let ran = program::run(&clinic.config_path, &["bounces", "read", "--maildir", &maildir, "--json"]);
            let said = ran.json();
            assert!(ran.code == 0 && said["ignored"] == 0, "{}", ran.all());
            taken += said["kept"].as_u64().expect("a count");
            (taken >= count).then_some(())
        })
        .await;
    }

    /// What it has logged; addresses of the tests' own people alone.
    pub fn log(&self) -> String {
        self.part.log()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        // The script looks for it: who is not root could send it no signal.
        let _ = fs::write(self.part.folder().join("stop"), "");
        wait::until_blocking("Postfix to end", || self.part.exit_code());
    }
}

/// As whom reports are delivered: never root, which Postfix refuses.
struct Reader {
    to: Reports,
    uid: u32,
    user: String,
    script: PathBuf,
}

impl Reader {
    fn of(place: &Place, clinic: &Clinic, to: Reports) -> Self {
        let me = fs::metadata("/proc/self").expect("this is Linux").uid();
        let reader = if me == 0 {
            for folder in ["reports", "reports/maildir"] {
                chown(&place.join(folder));
            }
            Self { to, uid: NOBODY, user: "nobody:nogroup".to_owned(), script: place.join("read") }
        } else {
            let named = Command::new("id").arg("-un").output().expect("everybody has a name").stdout;
            let user = String::from_utf8_lossy(&named).trim().to_owned();
            Self { to, uid: me, user, script: place.join("read") }
        };
        if to == Reports::Piped {
            let (program, config) = (env!("CARGO_BIN_EXE_chartseal"), clinic.config_path.display());
            let script = format!("#!/bin/sh\nexec {program} --config {config} bounces read \"$@\"\n");
            fs::write(&reader.script, script).expect("the folder is ours");
            fs::set_permissions(&reader.script, Permissions::from_mode(0o755)).expect("the file is ours");
            if me == 0 {
                // A clinic's service and its commands run as one user; here the service is root, who may all the same.
                for_all_below(&clinic.folder, &chown);
            }
        }
        reader
    }
}

fn chown(path: &Path) {
    std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
}

fn for_all_below(path: &Path, act: &dyn Fn(&Path)) {
    if path.is_symlink() {
        return;
    }
    act(path);
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("the folder is ours") {
            for_all_below(&entry.expect("the folder is ours").path(), act);
        }
    }
}

fn as_root() -> Vec<std::ffi::OsString> {
    let is_root = fs::metadata("/proc/self").expect("this is Linux").uid() == 0;
    if is_root { Vec::new() } else { ["sudo", "-n"].map(Into::into).to_vec() }
}

/// Everything of its own, and one way out. See postconf(5).
fn main_settings(place: &Path, mailbox: u16, tries: Tries, reader: &Reader) -> String {
    let (folder, uid) = (place.display(), reader.uid);
    let mut settings = format!(
        "compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = /dev/stdout
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = relay.test
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
smtpd_tls_security_level = encrypt
smtpd_tls_received_header = yes
smtpd_tls_cert_file = {folder}/cert.pem
smtpd_tls_key_file = {folder}/key.pem
relayhost = [127.0.0.1]:{mailbox}
smtp_dns_support_level = disabled
smtp_host_lookup = native
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
"
    );
    settings.push_str(match tries {
        Tries::Once => "maximal_queue_lifetime = 0\nbounce_queue_lifetime = 0\n",
        Tries::ForAnHour => "maximal_queue_lifetime = 1h\nbounce_queue_lifetime = 1h\ndelay_warning_time = 1s\n",
    });
    let _ = match reader.to {
        Reports::Kept => write!(
            settings,
            "virtual_mailbox_domains = {REPORTS_DOMAIN}\nvirtual_mailbox_base = {folder}/reports\nvirtual_mailbox_maps = \
             static:maildir/\nvirtual_uid_maps = static:{uid}\nvirtual_gid_maps = static:{uid}\n"
        ),
        Reports::Piped => {
            writeln!(
                settings,
                "transport_maps = inline:{{{REPORTS_DOMAIN}=reports:}}\nreports_destination_recipient_limit = 1"
            )
        }
    };
    settings
}

/// See master(5). Nothing runs in a jail: the folder is one already.
fn services(port: u16, reader: &Reader) -> String {
    let mut services = format!("127.0.0.1:{port} inet n - n - - smtpd\npostlog unix-dgram n - n - 1 postlogd\n");
    for (name, private, wakeup, most, program) in [
        ("cleanup", "n", "-", "0", "cleanup"),
        ("qmgr", "n", "300", "1", "qmgr"),
        ("tlsmgr", "-", "1000?", "1", "tlsmgr"),
        ("rewrite", "-", "-", "-", "trivial-rewrite"),
        ("bounce", "-", "-", "0", "bounce"),
        ("defer", "-", "-", "0", "bounce"),
        ("trace", "-", "-", "0", "bounce"),
        ("proxymap", "-", "-", "-", "proxymap"),
        ("smtp", "-", "-", "-", "smtp"),
        ("relay", "-", "-", "-", "smtp"),
        ("error", "-", "-", "-", "error"),
        ("retry", "-", "-", "-", "error"),
        ("anvil", "-", "-", "1", "anvil"),
        ("scache", "-", "-", "1", "scache"),
    ] {
        let _ = writeln!(services, "{name} unix {private} - n {wakeup} {most} {program}");
    }
    services.push_str("virtual unix - n n - - virtual\n");
    // As docs/operating.md has it, but for where program and settings lie.
    let (user, script) = (&reader.user, reader.script.display());
    let arguments = "--sender ${sender} --recipient ${recipient}";
    let _ =
        writeln!(services, "reports unix - n n - 1 pipe flags=R user={user} null_sender=\n  argv={script} {arguments}");
    services
}

/// The message of ours in a report: its third part (RFC 3462 §2).
fn ours_in(report: &str) -> Option<Mail> {
    let parsed = MessageParser::default().parse(report).expect("the report can be read");
    let part = parsed.parts.iter().find(|part| matches!(part.body, PartType::Message(_)))?;
    let place = |offset: u32| usize::try_from(offset).expect("reports are small");
    let ours = &report[place(part.raw_body_offset())..place(part.raw_end_offset())];
    let read = MessageParser::default().parse(ours).expect("our message can be read");
    let to =
        read.to().and_then(|to| to.first()).and_then(|to| to.address()).expect("it names its recipient").to_owned();
    Some(Mail::taken(to, ours.to_owned()))
}
