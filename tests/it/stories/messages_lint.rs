//! What a bare message shows all the same: the address that it comes from, and the one that its link leads to.

use crate::support::clinic::{self, Wishes};
use crate::support::place::Place;
use crate::support::program;

/// With this wording; a profile that says none is bare.
fn rules(wording: &str) -> String {
    format!(
        "[policy]\nid = \"test\"\nversion = \"1\"\n[[profile]]\nid = \"routine\"\nwhen = {{ code = \"loinc|4548-4\" }}\n\
         then = {{ action = \"send\"{wording} }}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_names_a_specialty_is_pointed_out_where_messages_are_bare() {
    let folder = Place::new("specialty");
    let wishes = Wishes { send: "shadow", rules: rules(""), ..Wishes::default() };
    let config = clinic::write_installation(&folder, &wishes, "http://127.0.0.1:9/fhir", folder.port()).await;
    let good = std::fs::read_to_string(&config).unwrap();
    let lint = || program::run(&config, &["messages", "lint"]);
    assert!(lint().code == 0 && lint().out.contains("0 remarks"), "{}", lint().all());
    let checked = program::run(&config, &["check", "--json"]);
    assert!(checked.code == 0 && checked.json()["telling_addresses"] == serde_json::json!([]), "{}", checked.all());

    let from = good.replace("results@riverside.example", "Results@Riverside-Oncology.example");
    let bounces = from.replace("[mail]", "[mail]\nbounce_address = \"bounces@hiv.riverside.example\"");
    let telling = bounces.replace("patient_url = \"http://127.0.0.1:", "patient_url = \"http://psych.localhost:");
    std::fs::write(&config, &telling).unwrap();
    let ran = lint();
    assert_eq!(ran.code, 1, "{}", ran.all());
    for (at, word) in
        [("riverside: from", "oncolog"), ("[mail] bounce_address", "hiv"), ("[server] patient_url", "psych")]
    {
        let line = ran.out.lines().find(|line| line.contains(at)).unwrap_or_else(|| panic!("{at}: {}", ran.all()));
        assert!(line.contains(&format!("\"{word}\"")) && line.contains("take an address that names no"), "{line}");
    }
    let checked = program::run(&config, &["check"]);
    assert!(checked.code == 0 && checked.out.contains("Look at from: \"oncolog\""), "{}", checked.all());

    // Where every message names the clinic, its address tells nothing more.
    std::fs::write(folder.join("policy.toml"), rules(", wording = \"generic\"")).unwrap();
    assert_eq!(lint().code, 0, "{}", lint().all());
    let barer = format!(
        "{}\n[[restrict]]\nid = \"teens\"\nwhen = {{ age = \"..18\" }}\nthen = {{ wording = \"bare\" }}\n",
        rules(", wording = \"generic\"")
    );
    std::fs::write(folder.join("policy.toml"), barer).unwrap();
    assert_eq!(lint().code, 1, "a restriction makes messages bare, too: {}", lint().all());
}
