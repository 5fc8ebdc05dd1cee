//! The image and the trial, as far as they can be judged without an engine that runs them.

use std::path::{Component, Path, PathBuf};

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
    let mut needed: Vec<String> = ["src", "benches", "docker/start", ".cargo", "Cargo.toml", "Cargo.lock"]
        .into_iter()
        .flat_map(|path| files_below(Path::new(path)))
        .collect();
    let embedded = embedded_files();
    for one in ["docs/sealed-format.md", "policies/starter.toml", "src/web/page/open.html", "src/demo/rules.toml"] {
        assert!(embedded.iter().any(|path| path == one), "{one} was not found in {embedded:?}");
    }
    for folder in ["migrations/sqlite/", "migrations/postgres/", "templates/notify/", "src/web/page/vendor/"] {
        assert!(embedded.iter().any(|path| path.starts_with(folder)), "nothing of {folder} was found in {embedded:?}");
    }
    needed.extend(embedded);
    for path in needed {
        assert!(!is_ignored(&ignored, &path), "{path} is ignored");
    }
    for kept_out in ["docker/.env", "my-clinic/keys/root/root", "target/release/chartseal", "docs/pictures/demo.png"] {
        assert!(is_ignored(&ignored, kept_out), "{kept_out} goes into the image's build");
    }
}

/// Every file that the program carries in itself: named in `src`, outside of tests.
fn embedded_files() -> Vec<String> {
    let mut found = Vec::new();
    for file in files_below(Path::new("src")) {
        let path = Path::new(&file);
        let is_test = path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs");
        if is_test || path.extension().is_none_or(|kind| kind != "rs") {
            continue;
        }
        let text = text(&file);
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let here = path.parent().unwrap();
        for (mark, from) in [
            ("include_str!(", here),
            ("include_bytes!(", here),
            ("include!(", here),
            ("#[folder = ", Path::new("")),
            ("embed_migrations!(", Path::new("")),
            ("#[template(path = ", Path::new("templates")),
        ] {
            for rest in code.split(mark).skip(1) {
                // Put together of pieces, of which the first ends with the folder.
                let rest = rest.trim_start().strip_prefix("concat!(").unwrap_or(rest);
                let named = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
                let named = named.unwrap_or_else(|| panic!("{file}: {mark} without a text"));
                found.extend(files_below(&from.join(named)));
            }
        }
    }
    found
}

/// The file, or all files of the folder, from the project's root.
fn files_below(path: &Path) -> Vec<String> {
    let mut straight = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            straight.pop();
        } else {
            straight.push(part);
        }
    }
    let place = part::in_project(straight.to_str().unwrap());
    assert!(place.exists(), "{}", place.display());
    if place.is_file() {
        return vec![straight.to_str().unwrap().to_owned()];
    }
    let entries = std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().file_name());
    entries.flat_map(|name| files_below(&straight.join(name))).collect()
}

/// As Docker does: the last line that fits the path, or a folder around it, decides. Knows the forms that our file uses.
fn is_ignored(lines: &str, path: &str) -> bool {
    let fits = |pattern: &str| {
        let (pattern, path): (Vec<&str>, Vec<&str>) = (pattern[1..].split('/').collect(), path.split('/').collect());
        pattern.len() <= path.len() && pattern.iter().zip(path).all(|(wanted, part)| *wanted == "*" || *wanted == part)
    };
    let last = lines.lines().rfind(|line| {
        let pattern = line.trim_start_matches('!');
        let is_known = pattern.starts_with('/') && !pattern.replace("/*", "").contains(['*', '?', '[', '\\', '#']);
        assert!(is_known, "a form that this test does not know: {line}");
        fits(pattern)
    });
    last.is_some_and(|line| !line.starts_with('!'))
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
