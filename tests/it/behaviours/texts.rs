//! Texts: one message of the phone network in every language, and a real gateway that hands them over.

use chartseal::base::{Language, LinkId, Reference, SecretText, UtcMillis};
use chartseal::config::Config;
use chartseal::notify::text::{TextKind, TextName, TextNotice, too_long_by};
use chartseal::policy::Wording;
use serde_json::json;

use crate::support::clinic::{Clinic, RULES, Wishes, real_now};
use crate::support::holder::Holder;
use crate::support::texts::{Kannel, KannelPlace};
use crate::support::{ehr, pdf, wait};

const HBA1C: &str = "4548-4";

/// Letters of the phone networks' alphabet (3GPP TS 23.038 §6.2.1) that count once; `^{}\[~]|€` count twice.
const ALPHABET: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿\
                        abcdefghijklmnopqrstuvwxyzäöñüà";

#[test]
fn link_14_one_sms() {
    let link = "https://results.riverside.example/r/AAAAAAAAAAAAAAAA#BBBBBBBBBBBBBBBBBBBBBB";
    let clinic = TextName::parse("Riverside Clinic").unwrap();
    let reference = Reference::of(&LinkId::parse("AAAAAAAAAAAAAAAA").unwrap());
    let mut count = 0;
    for language in Language::ALL {
        for wording in [Wording::Bare, Wording::Generic, Wording::Full] {
            for month in 1..=12 {
                let ends_at = UtcMillis::parse_rfc3339(&format!("2026-{month:02}-28T22:05:30Z")).unwrap();
                let link = || SecretText::new(link.to_owned());
                for kind in [TextKind::New { link: link() }, TextKind::Updated { link: link() }] {
                    let zone = chrono_tz::America::Chicago;
                    let notice =
                        TextNotice { kind, clinic: &clinic, wording, language, ends_at, zone, reference: &reference };
                    let text = notice.compose().expect("one message");
                    let text = text.expose();
                    assert!(text.chars().all(|c| ALPHABET.contains(c)), "{text}");
                    assert!(text.chars().count() <= 160, "{} characters: {text}", text.chars().count());
                    assert!(text.contains(link().expose()) && text.contains(reference.as_str()));
                    assert_eq!(text.contains("Riverside"), wording != Wording::Bare);
                    count += 1;
                }
            }
        }
    }
    assert_eq!(count, 5 * 3 * 12 * 2);
}

/// Nobody can say more in a text than its fields hold, so what a person can write there is looked at when it is read.
#[test]
fn a_clinics_name_that_makes_two_texts_of_one_refuses_the_start_and_says_by_how_much() {
    let text = |name: &str, sms_name: &str| {
        format!(
            "[server]\npatient_url = \"https://results.riverside.example\"\n[[clinic]]\nid = \"main\"\nname = \"{name}\"\n{sms_name}\
             phone = \"+1 555 0100\"\ntimezone = \"America/Chicago\"\nfrom = \"results@clinic.example\"\nregion = \"US\"\n\
             [sms]\ngateway = \"webhook\"\nurl = \"https://sms.example/send\"\n"
        )
    };
    let secret = [("CHARTSEAL__SMS__SECRET".to_owned(), "0123456789abcdef01234567".to_owned())];
    let read = |text: &str| Config::parse(text, std::path::Path::new("/srv/chartseal.toml"), secret.clone());
    let long = "The Riverside Valley Regional Hospital and Outpatient Clinics";
    let name = TextName::parse(long).unwrap();
    let over = too_long_by(&name, "https://results.riverside.example/r/").expect("it is too long");
    let error = read(&text(long, "")).err().expect("it does not start").to_string();
    assert!(error.contains(&format!("{over} characters too long")), "{error}");
    assert!(error.contains("shorter sms_name") && error.contains("chartseal.toml:5:"), "{error}");
    assert!(read(&text(long, "sms_name = \"Riverside\"\n")).is_ok());
    let error = read(&text("Клиника", "")).err().expect("it does not start").to_string();
    assert!(error.contains("write an sms_name"), "{error}");
}

async fn patient(clinic: &Clinic, number: &str) -> String {
    let id = ehr::new_patient_id();
    let mut patient = ehr::patient(&id, "Garcia", "Ana", "1984-05-06", "ana@example.test");
    patient["telecom"] = json!([{"system": "phone", "value": number, "use": "mobile"}]);
    clinic.lab().update(&patient).await;
    id
}

async fn report(clinic: &Clinic, patient: &str) -> String {
    let paper = pdf::with_pages(&["HbA1c 5.4 %"]);
    let report = clinic.lab().post(&ehr::report(patient, HBA1C, &real_now(), &paper)).await;
    clinic.hear_and_settle().await;
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_gateway_hands_a_text_over_reports_on_it_and_brings_the_answer_back() {
    let place = KannelPlace::new();
    let rules = RULES.replace("channel = [\"email\"]", "channel = [\"sms\"]");
    let clinic = Clinic::spawn(Wishes { rules, more: place.config(), ..Wishes::default() }).await;
    let port = clinic.url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap();
    let gateway = Kannel::start(place, port).await;

    let ana = patient(&clinic, "(202) 555-0101").await;
    let first = report(&clinic, &ana).await;
    let text = wait::until("the text", || gateway.taken().pop()).await;
    assert_eq!(text.to, "12025550101");
    assert_eq!(Holder::new(&text.link()).read().await, pdf::with_pages(&["HbA1c 5.4 %"]));
    let id = clinic.delivery_of(&first).await.id;
    wait::until_async("the network's receipt", async || clinic.show(&id).await.notices[0].arrived_at.clone()).await;

    // No such number, says the network.
    let nobody = patient(&clinic, "+12025550100").await;
    let second = report(&clinic, &nobody).await;
    wait::until_async("the refusal", async || {
        let brief = clinic.delivery_of(&second).await;
        (brief.state == "review" && brief.notice == Some("bounced")).then_some(())
    })
    .await;
    let id = clinic.delivery_of(&second).await.id;
    assert_eq!(clinic.desk().contact(&id).await.unwrap().state, "bounced");

    // Not delivered, and nobody knows why: a person looks, and the number stays good.
    let away = patient(&clinic, "+12025550102").await;
    let third = report(&clinic, &away).await;
    wait::until_async("the receipt", async || (clinic.delivery_of(&third).await.state == "review").then_some(())).await;
    let id = clinic.delivery_of(&third).await.id;
    assert_eq!(clinic.desk().contact(&id).await.unwrap().state, "unknown");

    gateway.write_back("12025550101", "Stop");
    wait::until_async("the wish", async || {
        let listed = clinic.desk().contacts(None, 10).await.unwrap();
        listed.iter().any(|one| one.state == "opted_out").then_some(())
    })
    .await;
    let before = gateway.taken().len();
    let fourth = report(&clinic, &ana).await;
    assert_eq!(clinic.delivery_of(&fourth).await.state, "review");
    assert_eq!(gateway.taken().len(), before);

    let guessed = format!("{}/sms/incoming/no-such-token?from=12025550101&text=START", clinic.url);
    let answer = crate::support::web_client::new().get(guessed).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 403);
    gateway.write_back("12025550101", "start");
    wait::until_async("the other wish", async || {
        let listed = clinic.desk().contacts(None, 10).await.unwrap();
        (!listed.iter().any(|one| one.state == "opted_out")).then_some(())
    })
    .await;
}
