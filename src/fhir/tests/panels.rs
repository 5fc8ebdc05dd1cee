//! Panels inside panels, and what a laboratory says of a result: nothing stands where it could be taken for another's.

use serde_json::{Value, json};

use super::results::{Case, body, instead_of_value, observation};

fn named(id: &str, name: &str, value: &str) -> Value {
    observation(&[("id", json!(id)), ("code", json!({"text": name})), ("valueString", json!(value))])
}

fn panel(id: &str, name: &str, members: &[&str]) -> Value {
    let members: Vec<Value> = members.iter().map(|id| json!({"reference": format!("Observation/{id}")})).collect();
    observation(&[
        ("id", json!(id)),
        ("code", json!({"text": name})),
        ("valueString", Value::Null),
        ("hasMember", json!(members)),
    ])
}

/// The document's lines in their order: headings behind `#`, rows as they begin.
fn lines(html: &str) -> Vec<String> {
    let mut found = Vec::new();
    for part in html.split("<tr").skip(1) {
        let text = |part: &str| {
            let mut text = String::new();
            let mut inside = true;
            for c in part.chars() {
                match c {
                    '<' => inside = false,
                    '>' => inside = true,
                    c if inside => text.push(c),
                    _ => {}
                }
            }
            text
        };
        let part = part.split("</tr>").next().unwrap();
        let (head, cells) = part.split_once('>').unwrap();
        if head.contains("group") {
            found.push(format!("# {}", text(cells)));
        } else if cells.contains("scope=\"row\"") {
            found.push(text(cells.split("</th>").next().unwrap()));
        }
    }
    found
}

#[tokio::test]
async fn what_stands_behind_an_inner_panel_is_said_to_be_the_outer_ones() {
    let case = Case::of(panel("o", "Blood count", &["hb", "diff", "plt"]))
        .with(named("hb", "Haemoglobin", "13"))
        .with(panel("diff", "Differential", &["neu", "lym"]))
        .with(named("neu", "Neutrophils", "60"))
        .with(named("lym", "Lymphocytes", "30"))
        .with(named("plt", "Platelets", "250"));
    let shown = lines(&body(&case.read().await));
    let expected = ["Haemoglobin", "# Differential", "Neutrophils", "Lymphocytes", "# Blood count", "Platelets"];
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn two_panels_of_one_name_are_never_run_together() {
    let of = |first: &[(&str, Value)], second: &[(&str, Value)]| {
        let with = |mut panel: Value, changes: &[(&str, Value)]| {
            for (name, value) in changes {
                panel[*name] = value.clone();
            }
            panel
        };
        Case::of(panel("o", "Urine culture", &["a", "b"]))
            .with(with(panel("a", "Susceptibility", &["a1"]), first))
            .with(with(panel("b", "Susceptibility", &["b1"]), second))
            .with(named("a1", "Ampicillin", "S"))
            .with(named("b1", "Ampicillin", "R"))
    };
    let why = of(&[], &[]).why_not().await;
    assert!(why.contains("is a panel like another beside it, and nothing tells them apart"), "{why}");
    // What the first says of itself is said of it alone.
    let told_apart = of(&[("note", json!([{"text": "of E. coli"}]))], &[("note", json!([{"text": "of Klebsiella"}]))]);
    let html = body(&told_apart.read().await);
    assert_eq!(lines(&html), ["# Susceptibility", "Ampicillin", "# Susceptibility", "Ampicillin"]);
    let at = |word: &str| html.find(word).unwrap_or_else(|| panic!("{word} is not shown"));
    assert!(at("of E. coli") < at(">S<") && at(">S<") < at("of Klebsiella") && at("of Klebsiella") < at(">R<"));
    let mut two = of(&[], &[]);
    two.report["result"] = json!([{"reference": "Observation/a"}, {"reference": "Observation/b"}]);
    two.resources.remove("Observation/o");
    assert!(two.why_not().await.contains("nothing tells them apart"), "beside each other in the report itself");
}

/// "R" is resistant to one laboratory and reactive to another.
#[tokio::test]
async fn a_judgement_is_put_into_our_words_only_where_its_table_is_known() {
    const TABLE: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";
    for (interpretation, shown) in [
        (json!({"coding": [{"system": TABLE, "code": "R"}]}), "Resistant"),
        (json!({"coding": [{"code": "R", "display": "Reactive"}]}), "Reactive"),
        (json!({"coding": [{"system": "urn:local", "code": "I", "display": "Inconclusive"}]}), "Inconclusive"),
        (json!({"text": "R"}), "R"),
        (json!({"text": "D"}), "D"),
        (json!({"text": "ND"}), "ND"),
        (json!({"text": "HH"}), "Critically high"),
        (json!({"coding": [{"code": "NEG"}]}), "Negative"),
        (json!({"coding": [{"system": TABLE, "code": "H", "display": "High"}]}), "High"),
        (
            json!({"coding": [{"system": TABLE, "code": "H"}, {"system": "urn:local", "code": "CR", "display": "Critical, call physician"}]}),
            "High (Critical, call physician)",
        ),
        (json!({"coding": [{"system": TABLE, "code": "N"}], "text": "Borderline"}), "Normal (Borderline)"),
    ] {
        let html = body(&Case::of(observation(&[("interpretation", json!([interpretation]))])).read().await);
        assert!(html.contains(&format!(">{shown}</span></strong>")), "{shown}: {html}");
    }
    let only_codes = json!([{"coding": [{"code": "R"}, {"system": "urn:local", "code": "H"}]}]);
    let why = Case::of(observation(&[("interpretation", only_codes)])).why_not().await;
    assert!(why.contains("has no words, only a code"), "{why}");
}

/// Laboratories that came from HL7 v2 send tables as text.
#[tokio::test]
async fn text_in_columns_keeps_them_and_every_line_ends_in_one_way() {
    let table = "Antibiotic    E. coli   Klebsiella\r\nAmpicillin    R\rCefazolin               S";
    let html = body(&instead_of_value("valueString", json!(table)).read().await);
    let kept = "<span dir=\"auto\" class=\"columns\">Antibiotic    E. coli   Klebsiella\nAmpicillin    R\nCefazolin               S</span>";
    assert!(html.contains(kept), "{html}");
    for prose in ["One line   with a gap", "Two lines.  Two\nspaces behind a full stop."] {
        assert!(!body(&instead_of_value("valueString", json!(prose)).read().await).contains("columns"), "{prose}");
    }
}

#[tokio::test]
async fn a_result_inside_the_report_that_nothing_can_name_is_for_a_person() {
    let mut twice = Case::of(observation(&[]));
    twice.report["contained"] = json!([named("a", "Sodium", "1"), named("a", "Sodium", "2")]);
    twice.report["result"] = json!([{"reference": "#a"}, {"reference": "#a"}]);
    assert!(twice.why_not().await.contains("has the id of another beside it"));
    let mut nameless = Case::of(observation(&[]));
    nameless.report["contained"] = json!([observation(&[("id", Value::Null)])]);
    assert!(nameless.why_not().await.contains("is a result that nothing can name"));
}

#[tokio::test]
async fn a_code_is_read_as_a_unit_only_where_it_is_one() {
    let of = |quantity: Value| instead_of_value("valueQuantity", quantity);
    let ucum = json!({"value": 7, "system": "http://unitsofmeasure.org", "code": "mmol/L"});
    assert!(body(&of(ucum).read().await).contains(">7 mmol/L<"));
    assert!(body(&of(json!({"value": 7, "code": "g"})).read().await).contains(">7 g<"));
    for quantity in [
        json!({"value": 12, "system": "http://snomed.info/sct", "code": "258796002"}),
        json!({"value": 12, "system": "urn:local", "code": "U7"}),
        json!({"value": 12, "code": "258796002"}),
    ] {
        let why = of(quantity.clone()).why_not().await;
        assert!(why.contains("has a unit without words"), "{quantity}: {why}");
    }
}

#[tokio::test]
async fn how_long_a_patient_fasted_is_shown_in_either_form() {
    let mut case = Case::whole();
    case.resources["Specimen/blood"]["collection"] = json!({"fastingStatusDuration": {"value": 8, "unit": "h"}});
    let html = body(&case.read().await);
    assert!(html.contains("<dt>Fasting</dt>") && html.contains(">8 h<"), "{html}");
}
