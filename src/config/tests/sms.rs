//! `[sms]` as an administrator writes it, right and wrong.

use super::*;
use crate::base::PhoneNumber;
use crate::config::{SmsFrom, SmsGateway, SmsRecipients};

const AT_HOME: &str = "region = \"US\"\n";
const SECRET: (&str, &str) = ("CHARTSEAL__SMS__SECRET", "0123456789abcdef01234567");
const TOKEN: (&str, &str) = ("CHARTSEAL__SMS__TOKEN", "token");
const PASSWORD: (&str, &str) = ("CHARTSEAL__SMS__PASSWORD", "password");
const TWILIO: &str = "[sms]\ngateway = \"twilio\"\naccount = \"AC1\"\nfrom = \"+12025550100\"\n";

fn sms(text: &str, variables: &[(&str, &str)]) -> Sms {
    parse(&format!("{CLINIC}{AT_HOME}{text}"), variables).sms.expect("there is a gateway")
}

#[test]
fn each_gateway_is_read_with_careful_defaults() {
    let twilio = sms(TWILIO, &[TOKEN]);
    let SmsGateway::Twilio { base_url, account, token, from } = twilio.gateway else { panic!("Twilio") };
    assert_eq!((base_url.as_str(), account.as_str(), token.expose()), ("https://api.twilio.com/", "AC1", "token"));
    assert_eq!(from, SmsFrom::Sender("+12025550100".to_owned()));
    assert_eq!((twilio.attempt_max, twilio.per_second, twilio.per_day_max), (seconds(20), 10, None));
    assert_eq!((twilio.public_url.as_str(), twilio.recipients), ("http://127.0.0.1:8080/", SmsRecipients::Anyone));

    let text = "[sms]\ngateway = \"kannel\"\nurl = \"http://127.0.0.1:13013/cgi-bin/sendsms\"\nuser = \"app\"\nfrom = \"Clinic\"\n\
                public_url = \"https://hooks.clinic.example/c\"\nonly_to = [\"+1 202 555 0101\"]\nper_day_max = 5000\n\
                cost_per_text = \"0.0079\"\ncost_per_day_max = \"20\"\n";
    let kannel = sms(text, &[PASSWORD]);
    assert!(matches!(&kannel.gateway, SmsGateway::Kannel { incoming_token: None, .. }));
    assert_eq!(kannel.public_url.as_str(), "https://hooks.clinic.example/c/");
    assert_eq!(kannel.per_day_max, Some(2531), "what a day may cost");
    let SmsRecipients::Only(numbers) = kannel.recipients else { panic!("a list") };
    assert_eq!(numbers.iter().map(PhoneNumber::expose).collect::<Vec<_>>(), ["+12025550101"]);

    let webhook = sms("[sms]\ngateway = \"webhook\"\nurl = \"https://sms.example/send\"\n", &[SECRET]);
    assert!(matches!(webhook.gateway, SmsGateway::Webhook { .. }));
    let live = format!("{CLINIC}{AT_HOME}[mode]\nsend = \"live\"\n{TWILIO}");
    assert_eq!(parse(&live, &[TOKEN]).mode, Mode::Live, "texts alone are enough");
}

#[test]
fn mistakes_about_texts_are_told_with_their_key_and_remedy() {
    for (text, key, remedy) in [
        ("[sms]\n", "sms.gateway", "\"twilio\", \"kannel\" or \"webhook\""),
        ("[sms]\ngateway = \"pigeon\"\n", "sms.gateway", "\"twilio\", \"kannel\" or \"webhook\""),
        ("[sms]\ngateway = \"twilio\"\naccount = \"AC1\"\n", "sms.from", "the sender's number"),
        (&format!("{TWILIO}service = \"MG1\"\n"), "sms.service", "either `from` or `service`"),
        (&format!("{TWILIO}base_url = \"http://api.example\"\n"), "sms.base_url", "in the clear"),
        (&format!("{TWILIO}public_url = \"http://r.example\"\n"), "sms.public_url", "in the clear"),
        (&format!("{TWILIO}token = \"t\"\n"), "sms.token", "a secret must not stand in this file"),
        (&format!("{TWILIO}token_file = \"nope\"\n"), "sms.token_file", "there is no file"),
        (&format!("{TWILIO}only_to = []\n"), "sms.only_to", "at least one number"),
        (&format!("{TWILIO}only_to = [\"555 0101\"]\n"), "sms.only_to", "\"+12025550123\""),
        (&format!("{TWILIO}user = \"app\"\n"), "sms.user", "there is no such key"),
        (&format!("{TWILIO}per_second = 0\n"), "sms.per_second", "from 1 to 1000"),
        (&format!("{TWILIO}cost_per_text = \"cheap\"\ncost_per_day_max = \"1\"\n"), "sms.cost_per_text", "\"0.0079\""),
        (&format!("{TWILIO}cost_per_text = \"0.01\"\n"), "sms.cost_per_text", "write `cost_per_day_max`, too"),
        (
            &format!("{TWILIO}cost_per_text = \"0.01\"\ncost_per_day_max = \"0.001\"\n"),
            "sms.cost_per_day_max",
            "nothing could be sent",
        ),
        ("[sms]\ngateway = \"webhook\"\nurl = \"https://sms.example\"\n", "sms.secret_file", "a file with the secret"),
    ] {
        let found = told(&format!("{CLINIC}{AT_HOME}{text}"), &[]);
        assert!(found.iter().any(|one| one.key == key && one.remedy.contains(remedy)), "{text}: {found:#?}");
    }
    let found = told(
        &format!("{CLINIC}{AT_HOME}[sms]\ngateway = \"webhook\"\nurl = \"https://sms.example\"\n"),
        &[("CHARTSEAL__SMS__SECRET", "short")],
    );
    assert!(found.iter().any(|one| one.remedy.contains("at least 24 characters")), "{found:#?}");
}

#[test]
fn a_clinic_that_texts_says_in_which_country_it_is() {
    let found = told(&format!("{CLINIC}{TWILIO}"), &[TOKEN]);
    assert_eq!(found.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), ["[[clinic]] number 1, \"main\": region"]);
    let found = told(&format!("{CLINIC}region = \"Texas\"\n{TWILIO}"), &[TOKEN]);
    assert!(found.len() == 1 && found[0].remedy.contains("two capital letters"), "{found:#?}");
    let config = parse(&format!("{CLINIC}{AT_HOME}"), &[]);
    assert!(config.clinics[0].region.is_some() && config.sms.is_none(), "it may say so without texts, too");
}

fn told(text: &str, variables: &[(&str, &str)]) -> Vec<Mistake> {
    match parse_at(Path::new("/nowhere"), text, variables) {
        Err(ConfigError::Mistakes(mistakes)) => mistakes,
        Ok(_) | Err(ConfigError::Unreadable { .. }) => Vec::new(),
    }
}
