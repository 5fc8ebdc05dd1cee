//! The image and the trial, as far as they can be judged without an engine that runs them.

use std::path::Path;

use chartseal::config::{Config, MailSecurity, Mode, Starter, StoreUrl, starter_config};

use crate::support::part;

#[test]
fn the_trials_variables_are_a_configuration_on_postgresql_that_sends_nothing_unless_told() {
    let read = |environment: &[(&str, &str)]| config(&trial_variables(environment));
    let config = read(&[("DATABASE_PASSWORD", "planted")]);
    let StoreUrl::Postgres { url, password } = &config.store else { panic!("the trial is on PostgreSQL") };
    assert_eq!((url.host_str(), url.path()), (Some("database"), "/chartseal"));
    assert!(password.is_some(), "the password is set");
    assert_eq!(config.mode, Mode::Shadow);
    assert!(!config.server.listen.ip().is_loopback(), "the port can be published");
    assert!(config.server.admin_listen.ip().is_loopback(), "health and metrics cannot");
    let mail = config.mail.expect("the catcher is configured");
    assert!(matches!(mail.security, MailSecurity::Plain));
    assert_eq!((mail.host.as_str(), mail.port), ("127.0.0.1", 1025));

    let live =
        [("DATABASE_PASSWORD", "planted"), ("CHARTSEAL_SEND", "live"), ("CHARTSEAL_EHR", "https://fhir.example/r4")];
    let config = read(&live);
    assert_eq!(config.mode, Mode::Live);
    assert_eq!(config.ehrs[0].base_url.host_str(), Some("fhir.example"));
}

#[test]
fn the_image_is_built_with_the_rust_that_the_manifest_asks_for_and_runs_as_nobody_special() {
    let image = text("docker/Dockerfile");
    let manifest: toml::Table = text("Cargo.toml").parse().unwrap();
    let rust = manifest["package"]["rust-version"].as_str().unwrap();
    assert!(image.contains(&format!("FROM rust:{rust}-bookworm AS build\n")), "{rust}");
    let last_stage = image.rsplit("\nFROM ").next().unwrap();
    assert!(last_stage.contains("\nUSER chartseal\n"), "the last stage changes to its user");
    assert!(!last_stage.contains("\nUSER root"), "and stays");
}

#[test]
fn everything_that_the_build_needs_is_sent_to_it() {
    let ignored = text(".dockerignore");
    for needed in ["src", "migrations", "policies", "benches", "docker", ".cargo", "Cargo.toml", "Cargo.lock"] {
        assert!(part::in_project(needed).exists(), "{needed}");
        assert!(!ignored.lines().any(|line| line.trim_matches('/') == needed), "{needed} is ignored");
    }
    assert!(ignored.contains("/docker/.env"), "the password stays out of the image");
}

fn config(variables: &[(String, String)]) -> Config {
    let starter = Starter {
        clinic_id: "main",
        clinic_name: "Your Clinic",
        phone: "+1 555 0100",
        timezone: "America/Chicago",
        language: "en",
        from: "results@clinic.example",
        ehr_id: "ehr",
        ehr_base_url: "http://127.0.0.1:18090/fhir",
    };
    Config::parse(&starter_config(&starter), Path::new("/data/chartseal.toml"), variables.to_vec()).unwrap()
}

/// The lines `CHARTSEAL__…: value` of the trial, with `${NAME:-default}` and `${NAME:?message}` replaced as Compose does.
fn trial_variables(environment: &[(&str, &str)]) -> Vec<(String, String)> {
    let compose = text("docker/compose.yaml");
    let lines = compose.lines().filter_map(|line| line.trim().split_once(": "));
    let ours = lines.filter(|(name, _)| name.starts_with("CHARTSEAL__"));
    ours.map(|(name, value)| (name.to_owned(), replaced(value, environment))).collect()
}

fn replaced(value: &str, environment: &[(&str, &str)]) -> String {
    let Some(inner) = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
        return value.to_owned();
    };
    let (name, otherwise) = inner.split_once(':').expect("a default or a demand");
    let given = environment.iter().find(|(given, _)| *given == name).map(|(_, value)| (*value).to_owned());
    given.unwrap_or_else(|| otherwise.strip_prefix('-').unwrap_or_else(|| panic!("{name} is not set")).to_owned())
}

fn text(path: &str) -> String {
    std::fs::read_to_string(part::in_project(path)).unwrap()
}
