//! Each mistake, where it is told, and a part of what is said to be right.

use super::*;

fn mistakes(text: &str, pairs: &[(&str, &str)]) -> Vec<Mistake> {
    match parse_at(Path::new("/nowhere"), text, pairs) {
        Ok(_) => Vec::new(),
        Err(ConfigError::Mistakes(mistakes)) => mistakes,
        Err(ConfigError::Unreadable { .. }) => panic!("nothing is read"),
    }
}

/// The clinic stands before, on eight lines; `line` counts in `text` alone.
fn check(text: &str, line: usize, key: &str, remedy: &str) {
    let found = mistakes(&format!("{text}\n{CLINIC}"), &[]);
    let is_it = |mistake: &Mistake| {
        matches!(&mistake.place, Place::File { line: at, .. } if *at == line)
            && mistake.key == key
            && mistake.remedy.contains(remedy)
    };
    assert!(found.len() == 1 && is_it(&found[0]), "{text}\n→ {found:#?}");
}

const EHR: &str = "[[ehr]]\nid = \"lab\"\nbase_url = \"https://ehr.example/r4\"\n";

#[test]
fn mistakes_in_the_server_section_are_told_with_line_and_remedy() {
    for (text, line, key, remedy) in [
        ("[server]\nlisten = \"8080\"", 2, "server.listen", "\"127.0.0.1:8080\""),
        ("[server]\nlisten = 8080", 2, "server.listen", "expected text in quotes"),
        ("[server]\n\nlisten_adress = \"x\"", 3, "server.listen_adress", "did you mean `listen`?"),
        ("[server]\nadmin_listen = \"127.0.0.1:8080\"", 2, "server.admin_listen", "another address or port"),
        ("[server]\npatient_url = \"http://r.example\"", 2, "server.patient_url", "without https"),
        ("[server]\nstaff_url = \"http://desk.example\"", 2, "server.staff_url", "without https"),
        ("[server]\npatient_url = \"https://r.example/links\"", 2, "server.patient_url", "without a path"),
        ("[server]\npatient_url = \"https://r.example/?x\"", 2, "server.patient_url", "without ? and #"),
        ("[server]\npatient_url = \"ftp://r.example\"", 2, "server.patient_url", "https://r.clinic.example"),
        ("[server]\ntrusted_proxies = [\"10.0.0.1\",\n\"10.0/8\"]", 3, "server.trusted_proxies", "\"10.0.0.0/8\""),
        ("[server]\ntrusted_proxies = \"10.0.0.1\"", 2, "server.trusted_proxies", "expected a list"),
        ("[server]\ndisplay_name = \" \"", 2, "server.display_name", "not nothing"),
        (
            "[server]\npatient_url = \"https://a.example\"\nstaff_url = \"https://a.example:443\"",
            3,
            "server.staff_url",
            "another origin",
        ),
    ] {
        check(text, line, key, remedy);
    }
}

#[test]
fn a_server_that_others_reach_needs_its_addresses_told() {
    let found = mistakes("[server]\nlisten = \"0.0.0.0:80\"", &[]);
    let keys: Vec<_> = found.iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(keys, ["server.patient_url", "server.staff_url"]);
}

#[test]
fn mistakes_in_the_plain_sections_are_told_with_line_and_remedy() {
    for (text, line, key, remedy) in [
        ("[sever]", 1, "sever", "did you mean `server`?"),
        ("\nserver = 1", 2, "server", "expected a section, [server]"),
        ("[store]\nurl = \"mysql://x\"", 2, "store.url", "sqlite:PATH or postgres://"),
        ("[store]\nurl = \"sqlite:\"", 2, "store.url", "sqlite:PATH"),
        ("[store]\npassword_file = \"nope\"", 2, "store.password_file", "there is no file /nowhere/nope"),
        ("[blobs]\nurl = \"s3://bucket\"", 2, "blobs.url", "file: and the path"),
        ("[keys]\ndir = \"\"", 2, "keys.dir", "not nothing"),
        ("[keys]\ndirectory = \"keys\"", 2, "keys.directory", "did you mean `dir`?"),
        ("[mode]\nsend = \"on\"", 2, "mode.send", "\"shadow\" or \"live\""),
        ("[mode]\nsend = \"live\"", 2, "mode.send", "without a [mail] or an [sms] section"),
        ("[mode]\nsend = true", 2, "mode.send", "expected text in quotes"),
        ("[policy]\nfile = \"rules.toml\"", 2, "policy.file", "there is no file /nowhere/rules.toml"),
        ("[retention]\nraw_events = \"2h\"", 2, "retention.raw_events", "from \"1m\" to \"1h\""),
        ("[retention]\nquarantine = \"fortnight\"", 2, "retention.quarantine", "in s, m, h, d or y"),
        ("[limits]\ninline_bytes_max = \"16 megs\"", 2, "limits.inline_bytes_max", "\"1KiB\" to \"64MiB\""),
        ("[limits]\nhook_body_bytes_max = 0", 2, "limits.hook_body_bytes_max", "\"1KiB\""),
        ("[limits]\nbreaker_hour_multiple = 1", 2, "limits.breaker_hour_multiple", "from 2 to 100"),
        ("[limits]\nbreaker_hour_multiple = 2.5", 2, "limits.breaker_hour_multiple", "from 2 to 100"),
        ("[limits]\nbreaker_hour_multiple = -1", 2, "limits.breaker_hour_multiple", "from 2 to 100"),
        ("[limits]\nbreaker_hour_multiple = 0x7fffffffffffffffff", 2, "limits.breaker_hour_multiple", "from 2 to 100"),
    ] {
        check(text, line, key, remedy);
    }
}

#[test]
fn mistakes_about_clinics_are_told_with_line_and_remedy() {
    let clinic = |line: &str| {
        CLINIC.trim_start().replace("id = \"main\"", "id = \"second\"").replacen('\n', &format!("\n{line}\n"), 1)
    };
    for (line, key, remedy) in [
        ("language = \"Spanish\"", "[[clinic]] number 1, \"second\": language", "\"en-GB\""),
        ("adult_at_years = 12", "[[clinic]] number 1, \"second\": adult_at_years", "from 16 to 21"),
        ("language = \"nl\"", "[[clinic]] number 1, \"second\": language", "no other language yet"),
        ("messages = \"nowhere\"", "[[clinic]] number 1, \"second\": messages", "there is no folder"),
        ("phon = \"1\"", "[[clinic]] number 1, \"second\": phon", "did you mean `phone`?"),
    ] {
        check(&clinic(line), 2, key, remedy);
    }
    for (from, to, at, key, remedy) in [
        (
            "America/Chicago",
            "America/Chicgo",
            5,
            "[[clinic]] number 1, \"second\": timezone",
            "did you mean `America/Chicago`?",
        ),
        ("+1 555 0100", "call us", 4, "[[clinic]] number 1, \"second\": phone", "3 to 32 digits"),
        ("results@clinic.example", "results", 6, "[[clinic]] number 1, \"second\": from", "exactly one @"),
        ("id = \"second\"", "id = \"Second\"", 2, "[[clinic]] number 1, \"Second\": id", "a-z, 0-9"),
        (
            "name = \"Riverside\"\n",
            "",
            1,
            "[[clinic]] number 1, \"second\": name",
            "missing: expected the clinic's name",
        ),
        ("id = \"second\"", "id = \"main\"", 10, "[[clinic]] number 2, \"main\": id", "give each its own"),
    ] {
        check(&clinic("").replace("[[clinic]]\n\n", "[[clinic]]\n").replace(from, to), at, key, remedy);
    }
    let found = mistakes("[clinic]\nid = \"main\"", &[]);
    assert!(found[0].remedy.contains("write [[clinic]]"), "{found:?}");
}

#[test]
fn mistakes_about_what_an_ehr_is_told_are_told_with_line_and_remedy() {
    for (line, key, remedy) in [
        ("write_back = [\"observation\"]", "write_back", "\"communication\", \"audit_event\""),
        ("write_back = [\"task\", \"task\"]", "write_back", "named once"),
        ("write_back = [\"task\"]\ncompleted_talk = \"releases\"", "completed_talk", "\"noted\" or \"counts\""),
        ("completed_talk = \"counts\"", "completed_talk", "not used without \"task\""),
    ] {
        let found = mistakes(&format!("{EHR}{line}\n{CLINIC}"), &[]);
        let is_it =
            |found: &Mistake| found.key == format!("[[ehr]] number 1, \"lab\": {key}") && found.remedy.contains(remedy);
        assert!(found.iter().any(is_it), "{line}: {found:?}");
    }
}

#[test]
fn mistakes_about_signing_in_are_told_with_line_and_remedy() {
    let lab = |key: &str| format!("[[ehr]] number 1, \"lab\": {key}");
    for (line, key, remedy) in [
        ("auth = \"SMART\"", "auth", "or \"smart\" or \"client_secret\" or \"client_certificate\""),
        ("client_id = \"seal\"", "client_id", "not used with auth = \"none\""),
        ("scope = \"system/*.read\"", "scope", "not used with auth = \"none\""),
        ("signature = \"ES384\"", "signature", "not used with auth = \"none\""),
        ("client_secret_in = \"post\"", "client_secret_in", "not used with auth = \"none\""),
        ("signature = \"RS256\"", "signature", "\"RS384\" or \"ES384\""),
        ("certificate_file = \"nope\"", "certificate_file", "there is no file"),
        ("ca_file = \"nope\"", "ca_file", "there is no file"),
    ] {
        let found = mistakes(&format!("{EHR}{line}\n{CLINIC}"), &[]);
        let is_it = |found: &Mistake| found.key == lab(key) && found.remedy.contains(remedy);
        assert!(found.iter().any(is_it), "{line}\n→ {found:#?}");
    }
    let smart = format!("{EHR}auth = \"smart\"\nclient_id = \"seal\"\n");
    for (line, key, remedy) in [
        ("token_url = \"http://auth.ehr.example/token\"", "token_url", "without https"),
        ("token_url = \"auth\"", "token_url", "https://auth.ehr.example/token"),
        ("scope = \" \"", "scope", "separated by spaces"),
        ("scope = \"a\\nb\"", "scope", "separated by spaces"),
        ("client_secret_in = \"post\"", "client_secret_in", "not used with auth = \"smart\""),
    ] {
        check(&format!("{smart}{line}"), 6, &lab(key), remedy);
    }
    for (text, key, remedy) in [
        (format!("{EHR}auth = \"smart\""), "client_id", "auth = \"smart\" needs it"),
        (
            format!("{EHR}auth = \"client_secret\"\nclient_id = \"seal\""),
            "client_secret_file",
            "auth = \"client_secret\" needs it",
        ),
        (
            format!("{EHR}auth = \"client_certificate\"\nclient_id = \"seal\""),
            "certificate_file",
            "auth = \"client_certificate\" needs it",
        ),
    ] {
        check(&text, 1, &lab(key), remedy);
    }
    for text in ["[keys]\nrotate_signing_keys = \"1h\"", "[keys]\nrotate_signing_keys = \"often\""] {
        check(text, 2, "keys.rotate_signing_keys", "\"never\", or a time from \"1d\"");
    }
}

#[test]
fn a_certificate_without_its_key_and_a_file_that_is_none_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let part = |kind: &str| format!("-----BEGIN {kind}-----\nAA==\n-----END {kind}-----\n");
    fs::write(dir.path().join("cert"), part("CERTIFICATE")).unwrap();
    fs::write(dir.path().join("key"), part("PRIVATE KEY")).unwrap();
    for (lines, key, remedy) in [
        ("certificate_file = \"cert\"", "certificate_key_file", "`certificate_file` is of no use without it"),
        ("certificate_key_file = \"key\"", "certificate_file", "`certificate_key_file` is of no use without it"),
        ("certificate_file = \"key\"\ncertificate_key_file = \"key\"", "certificate_file", "a CERTIFICATE in it"),
        ("certificate_file = \"cert\"\ncertificate_key_file = \"cert\"", "certificate_key_file", "a PRIVATE KEY in it"),
    ] {
        let Err(ConfigError::Mistakes(found)) = parse_at(dir.path(), &format!("{EHR}{lines}\n{CLINIC}"), &[]) else {
            panic!("{lines} is taken");
        };
        let key = format!("[[ehr]] number 1, \"lab\": {key}");
        assert!(found.len() == 1 && found[0].key == key && found[0].remedy.contains(remedy), "{lines}\n→ {found:#?}");
    }
}

#[test]
fn mistakes_about_ehrs_are_told_with_line_and_remedy() {
    for (line, key, remedy) in [
        ("auth = \"oauth\"", "[[ehr]] number 1, \"lab\": auth", "\"none\" or \"basic\" or \"bearer\""),
        ("subscribe = \"R4\"", "[[ehr]] number 1, \"lab\": subscribe", "did you mean `r4`?"),
        ("subscribe = \"topic\"", "[[ehr]] number 1, \"lab\": subscribe", "\"topic-r4b\""),
        ("events = \"loose\"", "[[ehr]] number 1, \"lab\": events", "\"strict\" or \"resetting\" or \"none\""),
        ("topic = \"urn:x\"", "[[ehr]] number 1, \"lab\": topic", "not used without a topic"),
        ("heartbeat_seconds = 60", "[[ehr]] number 1, \"lab\": heartbeat_seconds", "not used without a topic"),
        ("poll_seconds = 0", "[[ehr]] number 1, \"lab\": poll_seconds", "from 1 to 86400"),
        ("poll_seconds = \"60\"", "[[ehr]] number 1, \"lab\": poll_seconds", "a number from 1"),
        ("calls_per_minute = -1", "[[ehr]] number 1, \"lab\": calls_per_minute", "from 0 to 100000"),
        ("panel = \"orders\"", "[[ehr]] number 1, \"lab\": panel", "expected a list"),
        ("panel = [\"everybody\"]", "[[ehr]] number 1, \"lab\": panel", "\"appointments\", \"orders\""),
        ("panel = [\"group:Group/1\"]", "[[ehr]] number 1, \"lab\": panel", "\"group:lab-patients\""),
        ("panel = [\"file:nope.csv\"]", "[[ehr]] number 1, \"lab\": panel", "there is no file /nowhere/nope.csv"),
        ("panel_minutes = 1", "[[ehr]] number 1, \"lab\": panel_minutes", "from 5 to 1440"),
        ("by_date_hours = 169", "[[ehr]] number 1, \"lab\": by_date_hours", "from 0 to 168"),
        ("recheck_minutes = 0", "[[ehr]] number 1, \"lab\": recheck_minutes", "from 1 to 1440"),
        ("without_attachment = \"no\"", "[[ehr]] number 1, \"lab\": without_attachment", "\"write\" or"),
        ("attachment_identity = \"yes\"", "[[ehr]] number 1, \"lab\": attachment_identity", "\"uncontradicted\""),
        ("start_from = \"yesterday\"", "[[ehr]] number 1, \"lab\": start_from", "\"now\" or an instant"),
        ("start_from = 2026-11-01", "[[ehr]] number 1, \"lab\": start_from", "\"now\" or an instant"),
        ("report_age_max = \"7\"", "[[ehr]] number 1, \"lab\": report_age_max", "from \"1h\" to \"1y\""),
        ("clinic = \"mian\"", "[[ehr]] number 1, \"lab\": clinic", "did you mean `main`?"),
        ("clinic = \"zzz\"", "[[ehr]] number 1, \"lab\": clinic", "no [[clinic]] has this id"),
        ("hook_url = \"hooks.example\"", "[[ehr]] number 1, \"lab\": hook_url", "https://hooks.clinic.example"),
        (
            "attachment_origins = [\"https://f.example/x\"]",
            "[[ehr]] number 1, \"lab\": attachment_origins",
            "without a path",
        ),
        ("attachment_origins = [1]", "[[ehr]] number 1, \"lab\": attachment_origins", "text in quotes"),
        ("user = \"seal\"", "[[ehr]] number 1, \"lab\": user", "not used with auth = \"none\""),
        ("token_file = \"nope\"", "[[ehr]] number 1, \"lab\": token_file", "there is no file"),
        ("hook_auth = \"hmac\"", "[[ehr]] number 1, \"lab\": hook_auth", "\"secret\" or \"medplum\" or \"websub\""),
        ("poll_second = 5", "[[ehr]] number 1, \"lab\": poll_second", "did you mean `poll_seconds`?"),
    ] {
        check(&format!("{EHR}{line}"), 4, key, remedy);
    }
    for (text, line, key, remedy) in [
        (
            format!("{EHR}subscribe = \"r4\""),
            1,
            "[[ehr]] number 1, \"lab\": hook_url",
            "cannot be reached from the EHR",
        ),
        (format!("{EHR}{EHR}"), 5, "[[ehr]] number 2, \"lab\": id", "give each its own"),
        (EHR.replace("https", "ftp"), 3, "[[ehr]] number 1, \"lab\": base_url", "the FHIR base"),
        (EHR.replace("id = \"lab\"\n", ""), 1, "[[ehr]] number 1: id", "missing"),
        (
            format!("{EHR}auth = \"bearer\""),
            1,
            "[[ehr]] number 1, \"lab\": token_file",
            "missing: auth = \"bearer\" needs it",
        ),
        (
            format!("{EHR}hook_auth = \"websub\""),
            1,
            "[[ehr]] number 1, \"lab\": hook_secret_file",
            "missing: a signature needs the secret",
        ),
        (
            format!("{EHR}auth = \"basic\"\nuser = \"x\""),
            1,
            "[[ehr]] number 1, \"lab\": password_file",
            "missing: auth = \"basic\" needs it",
        ),
    ] {
        check(&text, line, key, remedy);
    }
}

#[test]
fn mistakes_about_mail_are_told_with_line_and_remedy() {
    for (text, line, key, remedy) in [
        ("[mail]", 1, "mail.url", "missing: expected smtp://HOST:PORT"),
        ("[mail]\nurl = \"relay.example:25\"", 2, "mail.url", "smtp://HOST:PORT"),
        ("[mail]\nurl = \"smtp://r.example\"\ntls = \"none\"", 3, "mail.tls", "in the clear"),
        ("[mail]\nurl = \"smtps://localhost\"\ntls = \"none\"", 3, "mail.tls", "always uses TLS"),
        ("[mail]\nurl = \"smtp://r.example\"\ntls = \"yes\"", 3, "mail.tls", "\"required\" or \"none\""),
        ("[mail]\nurl = \"smtp://r.example\"\nuser = \"x\"", 1, "mail.password_file", "`user` needs it"),
        ("[mail]\nurl = \"smtp://r.example\"\nca_file = \"ca.pem\"", 3, "mail.ca_file", "there is no file"),
        ("[mail]\nurl = \"smtp://r.example\"\nonly_to = []", 3, "mail.only_to", "at least one address"),
        ("[mail]\nurl = \"smtp://r.example\"\nonly_to = [\"ana\"]", 3, "mail.only_to", "exactly one @"),
        ("[mail]\nurl = \"smtp://r.example\"\nconnections_max = 0", 3, "mail.connections_max", "from 1 to 100"),
        ("[mail]\nurl = \"smtp://r.example\"\nattempt_seconds = 90", 3, "mail.attempt_seconds", "from 2 to 55"),
    ] {
        check(text, line, key, remedy);
    }
}

#[test]
fn what_is_not_toml_is_told_with_its_place() {
    let found = mistakes("[server]\nlisten \"x\"\n", &[]);
    assert!(matches!(found[0].place, Place::File { line: 2, .. }), "{found:?}");
    assert!(found[0].remedy.starts_with("this is not TOML: "));
    let found = mistakes("[keys]\ndir = \"a\"\ndir = \"b\"\n", &[]);
    assert!(matches!(found[0].place, Place::File { line: 3, .. }), "{found:?}");
}

#[test]
fn a_mistake_prints_file_line_column_value_and_remedy() {
    let error = parse_at(Path::new("/nowhere"), "[mode]\n  send = \"on\"", &[]).err().unwrap();
    let expected = "/nowhere/chartseal.toml:2:3: mode.send = \"on\": expected \"shadow\" or \"live\"";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "[mode]\nsend = \"on\"\n[limits]\nx = 1\n[server]\nlisten = \"y\"\n[sever]\n";
    let found = mistakes(text, &[("CHARTSEAL__KEYS__DIR", "")]);
    let keys: Vec<_> = found.iter().map(|mistake| mistake.key.as_str()).collect();
    assert_eq!(keys, ["mode.send", "limits.x", "server.listen", "sever", "keys.dir"]);
}

#[test]
fn a_variables_mistake_names_the_variable() {
    for (name, value, remedy) in [
        ("CHARTSEAL__SERVER__LISTEN", "8080", "server.listen = \"8080\": expected an IP address"),
        ("CHARTSEAL__EHR__0__POLL_SECONDS", "0", "[[ehr]] number 1, \"lab\": poll_seconds = \"0\": expected a number"),
        ("CHARTSEAL__SERVER__LISTEM", "x", "did you mean `listen`?"),
        ("CHARTSEAL__SEVER__LISTEN", "x", "did you mean `server`?"),
        ("CHARTSEAL__EHR__BASE_URL", "x", "expected CHARTSEAL__EHR__0__KEY"),
        ("CHARTSEAL__EHR__7__ID", "x", "expected a number from 0 to 1 after EHR"),
        ("CHARTSEAL__SERVER", "x", "expected CHARTSEAL__SERVER__KEY"),
        ("CHARTSEAL__SERVER__A__B", "x", "expected CHARTSEAL__SERVER__KEY"),
        ("CHARTSEAL__STORE__PASSWORD", "", "the variable is empty"),
    ] {
        let found = mistakes(EHR, &[(name, value)]);
        assert_eq!(found.len(), 1, "{name} {found:#?}");
        let text = found[0].to_string();
        assert!(text.starts_with(&format!("{name}: ")) && text.contains(remedy), "{text}");
    }
}

#[test]
fn a_secret_in_the_file_is_refused_with_the_two_right_places() {
    let text = format!("{EHR}auth = \"bearer\"\ntoken = \"hunter2\"");
    let found = mistakes(&text, &[]);
    assert_eq!(found.len(), 1);
    let remedy = &found[0].remedy;
    assert!(remedy.contains("`token_file`") && remedy.contains("CHARTSEAL__EHR__0__TOKEN"), "{remedy}");
}

#[test]
fn a_secret_file_holds_one_line() {
    let dir = tempfile::tempdir().unwrap();
    for (content, is_good) in [("s3cret\n", true), ("", false), ("\n", false), ("a\nb\n", false)] {
        fs::write(dir.path().join("hook"), content).unwrap();
        let read = parse_at(dir.path(), &format!("{EHR}hook_secret_file = \"hook\""), &[]);
        assert_eq!(read.is_ok(), is_good, "{content:?}");
    }
    fs::write(dir.path().join("hook"), "a:b").unwrap();
    assert!(parse_at(dir.path(), &format!("{EHR}hook_secret_file = \"hook\""), &[]).is_err());
}

#[test]
fn mistakes_about_topics_are_told_with_line_and_remedy() {
    let topic = format!("{EHR}subscribe = \"topic-r4\"\nhook_url = \"https://hooks.example\"\n");
    for (line, key, remedy) in [
        ("topic = \"patient-data-feed\"", "topic", "the topic's canonical URL"),
        ("topic = \"http://x.example/t?y=1\"", "topic", "the topic's canonical URL"),
        ("topic_filters = [\"LAB\"]", "topic_filters", "DiagnosticReport?category=LAB"),
        ("topic_filters = [\"DiagnosticReport?status=final\"]", "topic_filters", "hides what is taken back"),
        ("topic_filters = [\"DiagnosticReport?patient=p1\"]", "topic_filters", "the clinic's patients change"),
        ("topic_content = \"all\"", "topic_content", "\"id-only\" or \"empty\" or \"full-resource\""),
        ("heartbeat_seconds = 3601", "heartbeat_seconds", "from 0 to 3600"),
        ("events_per_call = 0", "events_per_call", "from 1 to 1000"),
        ("hook_auth = \"websub\"\nhook_secret_file = \"nope\"", "hook_secret_file", "there is no file"),
    ] {
        let found = mistakes(&format!("{topic}{line}"), &[]);
        assert!(found[0].key.ends_with(key) && found[0].remedy.contains(remedy), "{line}: {found:?}");
    }
    let alone = mistakes(&format!("{EHR}subscribe = \"topic-r5\""), &[]);
    assert!(alone[0].key.ends_with("hook_url"), "{alone:?}");
}

#[test]
fn a_signing_secret_is_long_and_leaves_the_subscription_to_the_ehr() {
    let dir = tempfile::tempdir().unwrap();
    let signed = |secret: &str, more: &str| {
        fs::write(dir.path().join("hook"), secret).unwrap();
        let text = format!("{EHR}hook_auth = \"medplum\"\nhook_secret_file = \"hook\"\n{more}");
        parse_at(dir.path(), &text, &[]).map(drop).map_err(|error| error.to_string())
    };
    let (long, short) = ("0123456789abcdefghijklmn", "0123456789abcdefghijklm");
    assert_eq!(signed(long, ""), Ok(()));
    let refused = |secret, more: &str| signed(secret, more).unwrap_err();
    assert!(refused(short, "").contains("at least 24 characters"));
    assert!(refused("01234567:89abcdefghijklmn", "").contains("without a colon"));
    let subscribes = refused(long, "subscribe = \"r4\"\nhook_url = \"https://hooks.example\"");
    assert!(subscribes.contains("hook_auth") && subscribes.contains("subscribe = \"off\""), "{subscribes}");
    assert!(!format!("{}{subscribes}", refused(short, "")).contains(short));
}

#[test]
fn no_secret_is_ever_part_of_a_message() {
    let secret = "hunter2";
    for text in [
        format!("[store]\npassword = \"{secret}\""),
        format!("[store]\npassword = [\"{secret}\"]"),
        format!("[store]\nurl = \"postgres://seal:{secret}@db.example/x\""),
        format!("[store]\nurl = \"postgres://db.example/x?password={secret}\""),
        format!("[store]\nurl = \"postgres://seal:{secret}?x@db.example/x\""),
        format!("[store]\nurl = \"postgres://seal:x?{secret}@db.example/x\""),
        format!("[store]\nurl = \"postgres:seal:{secret}@db.example/x\""),
        format!("[store]\npasswrd = \"{secret}\""),
        format!("[mail]\nurl = \"smtp://seal:{secret}@relay.example\""),
        format!("[mail]\nurl = \"smtp://relay.example\"\npassword = \"{secret}\""),
        format!("[server]\npatient_url = \"https://seal:{secret}@r.example\""),
        format!("{EHR}hook_secret = \"{secret}\""),
        format!("{EHR}token = \"{secret}\""),
        format!("{EHR}password = \"{secret}\""),
        EHR.replace("https://", &format!("https://seal:{secret}@")),
        format!("[store]\npassword = \"{secret}"),
        format!("[store]\npassword = {secret}"),
        format!("[store]\npassword = \"{secret}\" {secret}"),
    ] {
        let found = mistakes(&text, &[]);
        assert!(!found.is_empty(), "{text}");
        assert!(!format!("{found:?}").contains(secret), "{found:?}");
    }
    for name in ["CHARTSEAL__STORE__PASSWORD", "CHARTSEAL__EHR__0__TOKEN", "CHARTSEAL__EHR__0__PASSWRD"] {
        let found = mistakes(&format!("{EHR}[store]\nurl = \"x\""), &[(name, secret)]);
        assert!(!format!("{found:?}").contains(secret), "{found:?}");
    }
}
