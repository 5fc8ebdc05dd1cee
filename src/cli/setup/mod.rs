//! `chartseal setup`: leads through one EHR, says what its staff are to be told, and writes its section.
//!
//! Must stay true: nothing is written before it was shown; what is there is never changed, only added to; what would be refused
//! at a start is not written; no secret is asked for or shown, only files are named.

mod ask;
mod draft;
mod letter;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;
use url::{Host, Url};

use super::print::Print;
use super::{Common, Outcome, load};
use crate::base::{EhrId, Key256, UtcMillis, random};
use crate::config::{Config, ConfigError, read_text};
use crate::intake::{Finding, FirstLook, Verdict, first_look};
use ask::{Agreed, Answers, tell};
use draft::{Draft, HookSecret};

const AUTHS: [&str; 6] = ["none", "basic", "bearer", "smart", "client_secret", "client_certificate"];
const SUBSCRIBES: [&str; 5] = ["r4", "topic-r4", "topic-r4b", "topic-r5", "off"];

#[derive(Args)]
pub(super) struct SetupArgs {
    /// The EHR's name here: a-z, 0-9 and hyphens.
    ehr: String,
    /// The FHIR base address.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// How Chartseal signs in.
    #[arg(long, value_parser = PossibleValuesParser::new(AUTHS))]
    auth: Option<String>,
    /// For basic: the user.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// For smart, `client_secret` and `client_certificate`: what the EHR's staff gave out.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The file that holds the password, the token or the client secret, as its only line.
    #[arg(long, value_name = "FILE")]
    secret_file: Option<String>,
    /// For `client_certificate`.
    #[arg(long, value_name = "FILE")]
    certificate_file: Option<String>,
    /// For `client_certificate`.
    #[arg(long, value_name = "FILE")]
    certificate_key_file: Option<String>,
    /// The token endpoint, where the EHR itself does not name it.
    #[arg(long, value_name = "URL")]
    token_url: Option<String>,
    /// Other scopes than the usual.
    #[arg(long, value_name = "SCOPES")]
    scope: Option<String>,
    /// Whether Chartseal asks the EHR to call, and by which kind of Subscription.
    #[arg(long, value_parser = PossibleValuesParser::new(SUBSCRIBES))]
    subscribe: Option<String>,
    /// The address at which the EHR reaches this server.
    #[arg(long, value_name = "URL")]
    hook_url: Option<String>,
    /// The EHR's staff make the Subscription, and show the secret in this file; it is made where it is not there.
    #[arg(long, value_name = "FILE")]
    hook_secret_file: Option<String>,
    /// The clinic whose reports these are, where there are several.
    #[arg(long, value_name = "ID")]
    clinic: Option<String>,
    /// Ask nothing: what no flag says keeps its usual value, and the section is written.
    #[arg(long)]
    yes: bool,
}

impl SetupArgs {
    fn says_anything(&self) -> bool {
        let texts = [
            &self.base_url,
            &self.auth,
            &self.user,
            &self.client_id,
            &self.secret_file,
            &self.certificate_file,
            &self.certificate_key_file,
            &self.token_url,
            &self.scope,
            &self.subscribe,
            &self.hook_url,
            &self.hook_secret_file,
            &self.clinic,
        ];
        self.yes || texts.into_iter().any(Option::is_some)
    }
}

pub(super) async fn run(
    args: SetupArgs,
    common: &Common,
    variables: Vec<(String, String)>,
    print: Print,
) -> anyhow::Result<Outcome> {
    let id = EhrId::parse(&args.ehr).context("the EHR's name is none")?;
    let config = load(common, variables.clone())?;
    if let Some(known) = config.ehrs.iter().find(|ehr| ehr.id == id) {
        return Ok(configured(&args, &Draft::of(known), &known.hook_base, print));
    }
    let answers = if args.yes { Answers::Nobody } else { Answers::Person };
    let base_url = answers
        .text(args.base_url.as_ref(), "The FHIR base address of the EHR", None)
        .context("say where the EHR is, with --base-url")?;
    let look = match Url::parse(&base_url) {
        Ok(url) => first_look(&id, &url, machine_now()).await,
        // Whether it is an address is said where the section is judged.
        Err(_) => FirstLook::default(),
    };
    for finding in &look.findings {
        tell(&in_words(finding));
    }
    let draft = answered(&args, base_url, &look, &config, answers);
    anyhow::ensure!(
        draft.calls() != draft::Calls::MadeByTheirStaff || draft.hook_url.is_some(),
        "say with --hook-url at which address the EHR reaches this server: its staff write it into the Subscription"
    );
    let reached_at = reached_at(&draft, &config);
    settle(&Judging { config: &config, path: &common.config, variables }, &draft, &reached_at, &look, answers, print)
}

fn answered(args: &SetupArgs, base_url: String, look: &FirstLook, config: &Config, answers: Answers) -> Draft {
    let mut draft = Draft { id: args.ehr.clone(), base_url, scope: args.scope.clone(), ..Draft::default() };
    let usual = look.auth.unwrap_or("none");
    let question = format!("How does Chartseal sign in? {}", AUTHS.join(", "));
    draft.auth = answers.text(args.auth.as_ref(), &question, Some(usual)).unwrap_or_default();
    if draft.auth == "basic" {
        draft.user = answers.text(args.user.as_ref(), "The user", None);
    }
    if draft.takes_client_id() {
        let question = "The client id that its staff gave out (none yet: leave it empty)";
        draft.client_id = answers.text(args.client_id.as_ref(), question, None);
        // Another server's address counts only once a person has confirmed it.
        let elsewhere = look.token_url.as_ref().map(|url| {
            format!(
                "It names the token endpoint {url}, at another server; write it here once its staff have confirmed it"
            )
        });
        draft.token_url = match elsewhere {
            Some(question) => answers.text(args.token_url.as_ref(), &question, None),
            None => args.token_url.clone(),
        };
    }
    if let Some(key) = draft.secret_key() {
        let usual = format!("secrets/{}-{}", draft.id, key.trim_end_matches("_file").replace('_', "-"));
        let question = format!("The file that holds it alone ({key})");
        draft.secret_file = answers.text(args.secret_file.as_ref(), &question, Some(&usual));
    }
    draft.certificate_file.clone_from(&args.certificate_file);
    draft.certificate_key_file.clone_from(&args.certificate_key_file);
    if draft.auth == "client_certificate" && args.certificate_file.is_none() {
        draft.certificate_file = answers.text(None, "The file with our certificate, PEM", None);
        draft.certificate_key_file =
            answers.text(args.certificate_key_file.as_ref(), "The file with its key, PEM", None);
    }
    // Whose staff make the Subscription is not asked for one.
    let usual = if args.hook_secret_file.is_some() { "off" } else { look.subscribe.unwrap_or("off") };
    let question = format!("Shall it call when something changes? {}", SUBSCRIBES.join(", "));
    draft.subscribe = answers.text(args.subscribe.as_ref(), &question, Some(usual)).unwrap_or_default();
    draft.hook_secret_file.clone_from(&args.hook_secret_file);
    draft.hook_url.clone_from(&args.hook_url);
    if draft.calls() != draft::Calls::None && args.hook_url.is_none() {
        let usual = usual_hook_url(&draft.base_url, &config.server.patient_url);
        draft.hook_url = answers.text(None, "The address at which the EHR reaches this server", usual);
    }
    draft.clinic.clone_from(&args.clinic);
    if config.clinics.len() > 1 && args.clinic.is_none() {
        let ids: Vec<&str> = config.clinics.iter().map(|clinic| clinic.id.as_str()).collect();
        let question = format!("The clinic whose reports these are (several: leave it empty): {}", ids.join(", "));
        draft.clinic = answers.text(None, &question, None);
    }
    draft
}

/// Where patients reach this server, unless that is this machine alone and the EHR elsewhere.
fn usual_hook_url<'a>(base_url: &str, patient_url: &'a Url) -> Option<&'a str> {
    let is_here = |url: &Url| match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    let ehr_is_here = Url::parse(base_url).is_ok_and(|url| is_here(&url));
    (ehr_is_here || !is_here(patient_url)).then_some(patient_url.as_str())
}

/// What a section is judged against.
struct Judging<'a> {
    config: &'a Config,
    path: &'a Path,
    variables: Vec<(String, String)>,
}

/// Shows the section and the letter, and writes the section if it is good and the person wants it.
fn settle(
    judging: &Judging<'_>,
    draft: &Draft,
    reached_at: &Url,
    look: &FirstLook,
    answers: Answers,
    print: Print,
) -> anyhow::Result<Outcome> {
    let (section, letter) = (draft.section(HookSecret::Named), letter::letter(draft, reached_at));
    let before = read_text(judging.path)?;
    let value = |written: bool, mistakes: &[String]| {
        json!({
            "written": written, "section": section, "letter": letter, "mistakes": mistakes, "findings": look.findings,
        })
    };
    let mistakes = judging.mistakes(draft, &before);
    if !mistakes.is_empty() {
        let text = format!(
            "{letter}\n\nNothing was written. This would be the section:\n\n{section}\nand this is wrong with it:\n{}\n\nMend \
             that, and run it again.",
            mistakes.join("\n")
        );
        print.done(&text, &value(false, &mistakes));
        return Ok(Outcome::No);
    }
    tell(&format!("This will be added to {}:\n\n{section}", judging.path.display()));
    match answers.agrees("Write it?") {
        Agreed::No => {
            print.done(&format!("{letter}\n\nNothing was written."), &value(false, &[]));
            return Ok(Outcome::No);
        }
        Agreed::Yes => {}
    }
    if let Some(file) = &draft.hook_secret_file {
        make_secret(&folder_of(judging.path).join(file))?;
    }
    append(judging.path, &before, &section)?;
    let text = format!(
        "{letter}\n\nWritten to {}. Next: send the above to the EHR's staff, then `chartseal doctor {}`, then start the service \
         again.",
        judging.path.display(),
        draft.id
    );
    print.done(&text, &value(true, &[]));
    Ok(Outcome::Done)
}

impl Judging<'_> {
    /// What a start would refuse. A hook's secret that is still to be made is taken for good.
    fn mistakes(&self, draft: &Draft, before: &str) -> Vec<String> {
        let mut variables = self.variables.clone();
        let is_there = |file: &String| folder_of(self.path).join(file).is_file();
        let hook_secret = if draft.hook_secret_file.as_ref().is_some_and(|file| !is_there(file)) {
            let name = format!("CHARTSEAL__EHR__{}__HOOK_SECRET", self.config.ehrs.len());
            variables.push((name, "to-be-made".to_owned()));
            HookSecret::LeftOut
        } else {
            HookSecret::Named
        };
        match Config::parse(&joined(before, &draft.section(hook_secret)), self.path, variables) {
            Ok(_) => Vec::new(),
            Err(ConfigError::Mistakes(mistakes)) => mistakes.iter().map(ToString::to_string).collect(),
            Err(other @ ConfigError::Unreadable { .. }) => vec![other.to_string()],
        }
    }
}

/// It is there already: the letter alone, and where flags wanted it otherwise, a refusal.
fn configured(args: &SetupArgs, draft: &Draft, reached_at: &Url, print: Print) -> Outcome {
    let letter = letter::letter(draft, reached_at);
    if args.says_anything() {
        let text = format!(
            "The EHR '{}' is configured already, and nothing is overwritten: change its section by hand, or choose another name.",
            draft.id
        );
        print.done(&text, &json!({"written": false, "letter": letter, "mistakes": [text]}));
        return Outcome::No;
    }
    let value = json!({"written": false, "letter": letter, "mistakes": []});
    let text = format!("{letter}\n\nThe EHR '{}' is configured; nothing was written.", draft.id);
    print.done(&text, &value);
    Outcome::Done
}

fn reached_at(draft: &Draft, config: &Config) -> Url {
    let written = draft.hook_url.as_deref().and_then(|text| Url::parse(text).ok());
    let mut url = written.unwrap_or_else(|| config.server.patient_url.clone());
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    url
}

fn in_words(finding: &Finding) -> String {
    let word = match finding.verdict {
        Verdict::Works => "works",
        Verdict::Note => "note",
        Verdict::Fails => "FAILS",
    };
    let remedy = finding.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
    format!("  {word:<5}  {}: {}{remedy}", finding.what, finding.says)
}

fn joined(before: &str, section: &str) -> String {
    format!("{before}{}{section}", gap_after(before))
}

fn gap_after(before: &str) -> &'static str {
    if before.is_empty() || before.ends_with("\n\n") {
        ""
    } else if before.ends_with('\n') {
        "\n"
    } else {
        "\n\n"
    }
}

/// Adds the section at the end of the file, which must still be as it was judged; a file that could not take the whole of it is
/// as before.
fn append(path: &Path, before: &str, section: &str) -> anyhow::Result<()> {
    let failed = || format!("{} cannot be written", path.display());
    let mut file = OpenOptions::new().append(true).read(true).open(path).with_context(failed)?;
    let length = file.metadata().with_context(failed)?.len();
    anyhow::ensure!(
        length == before.len() as u64 && read_text(path)? == before,
        "{} was changed meanwhile; nothing was written, run it again",
        path.display()
    );
    let text = format!("{}{section}", gap_after(before));
    if let Err(error) = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()) {
        let _ = file.set_len(length);
        return Err(error).with_context(failed);
    }
    Ok(())
}

/// A random secret for the owner alone, where there is none.
fn make_secret(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let failed = || format!("{} cannot be written", path.display());
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(failed)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(failed)?;
    let secret = Key256::random(&mut random::system()).to_base64url();
    file.write_all(secret.expose().as_bytes()).and_then(|()| file.write_all(b"\n")).with_context(failed)
}

fn folder_of(config: &Path) -> PathBuf {
    config.parent().map(Path::to_owned).unwrap_or_default()
}

/// For the days that a certificate is still good: before there is a database, there is no other clock.
fn machine_now() -> UtcMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    UtcMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
