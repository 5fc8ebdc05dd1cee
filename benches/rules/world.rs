//! Rules and reports of the shape that clinics have.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use chartseal::base::ResourceType;
use chartseal::fhir::Report;
use chartseal::policy::facts::{Age, FactPath, Flag, Gathered, PatternId, TextFacts};
use chartseal::policy::{Coding, Facts, RecipientRole, ReportStatus, RuleSet};

/// Every pattern of the rules was tried, as it is when the facts are made.
static TRIED: LazyLock<BTreeSet<PatternId>> = LazyLock::new(|| {
    let rules = RuleSet::parse(EXAMPLE).unwrap_or_else(|errors| panic!("{errors}"));
    rules.patterns().read([], BTreeSet::new()).tried
});
/// The contract's worked example.
const EXAMPLE: &str = include_str!("../../src/policy/tests/example.toml");
const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/v2-0074";
const LOINC: &str = "http://loinc.org";

/// A blood count as US Core shows one, without its narrative.
pub const REPORT: &str = r#"{"resourceType":"DiagnosticReport","id":"cbc","meta":{"versionId":"3",
"lastUpdated":"2026-11-20T16:02:11.123Z","profile":["http://hl7.org/fhir/us/core/StructureDefinition/us-core-diagnosticreport-lab"]},
"identifier":[{"system":"https://lab.example/reports","value":"2026-58410"}],
"basedOn":[{"reference":"ServiceRequest/cbc-order"}],"status":"final",
"category":[{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0074","code":"LAB","display":"Laboratory"}]},
{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0074","code":"HM","display":"Hematology"}]}],
"code":{"coding":[{"system":"http://loinc.org","code":"58410-2","display":"CBC panel - Blood by Automated count"},
{"system":"http://lab.example/tests","code":"17"}],"text":"Complete blood count"},
"subject":{"reference":"Patient/example","display":"An example"},
"encounter":{"reference":"Encounter/example-1"},
"effectiveDateTime":"2026-11-20T15:30:00-06:00","issued":"2026-11-20T16:00:00-06:00",
"performer":[{"reference":"Organization/lab-7","display":"Acme Labs"}],
"result":[{"reference":"Observation/cbc-leukocytes","display":"LEUKOCYTES"},
{"reference":"Observation/cbc-erythrocytes","display":"ERYTHROCYTES"},
{"reference":"Observation/cbc-hemoglobin","display":"HEMOGLOBIN"},
{"reference":"Observation/cbc-hematocrit","display":"HEMATOCRIT"},
{"reference":"Observation/cbc-mcv","display":"MCV"},{"reference":"Observation/cbc-mch","display":"MCH"},
{"reference":"Observation/cbc-mchc","display":"MCHC"},{"reference":"Observation/cbc-platelets","display":"PLATELETS"}],
"presentedForm":[{"contentType":"application/pdf","language":"en","url":"https://ehr.example/fhir/Binary/cbc",
"size":48211,"hash":"5nS2tW6galINvmCpOXr0OJzF2DA=","title":"Complete blood count","creation":"2026-11-20T16:00:00-06:00"}]}"#;

/// The example, and more rows of its kinds up to `rows` that name `codes` codes of the clinic's laboratory.
pub fn policy((rows, codes): (usize, usize)) -> String {
    let more = rows - EXAMPLE.matches("\n[[").count();
    let mut text = EXAMPLE.to_owned();
    for at in 0..more {
        let own: Vec<_> = (codes * at / more..codes * (at + 1) / more)
            .map(|code| format!("\"http://lab.example/tests|{code}\""))
            .collect();
        let own = own.join(", ");
        text += &match at % 8 {
            0 | 3 | 6 => {
                format!("[[classify]]\nid = \"more-{at}\"\ntag = \"T{}\"\nany = {{ holds = [{own}] }}\n", at % 40)
            }
            1 | 2 => format!(
                "[[profile]]\nid = \"more-{at}\"\nwhen = {{ category = [\"LAB\", \"CH\"], code = [{own}] }}\n\
                 then = {{ action = \"send\", expiry = \"72h\", opens = 3 }}\n"
            ),
            4 => format!(
                "[[profile]]\nid = \"more-{at}\"\nover = [\"routine-lab\"]\n\
                 when = {{ service = \"dermatology\", code = [{own}] }}\nthen = {{ action = \"send\", expiry = \"7d\" }}\n"
            ),
            5 => format!(
                "[[restrict]]\nid = \"more-{at}\"\nwhen = {{ recipient = \"patient\", holds = [{own}] }}\n\
                 then = {{ opens = 1, verify = [\"code\"], expiry = \"48h\" }}\n"
            ),
            _ => format!(
                "[[restrict]]\nid = \"more-{at}\"\nwhen = {{ recipient = [\"patient\", \"proxy\"], age = \"12..18\", holds = [{own}] }}\n\
                 then = {{ wording = \"bare\", hold = \"72h\" }}\n"
            ),
        };
    }
    text
}

/// Reports of many kinds: one to nine codes, some sensitive, some for a proxy, some of which not all is known.
pub fn facts() -> Vec<Facts> {
    (0..64).map(one).collect()
}

/// A report with so many different codings.
pub fn crowded(codings: usize) -> Facts {
    let mut facts = one(1);
    for at in 0..codings {
        facts.results.add(coding("http://lab.example/tests", &at.to_string()), FactPath(format!("result[{at}].code")));
    }
    facts
}

/// What the report says itself; everything else is taken to be known and empty.
pub fn facts_of(report: Report) -> Facts {
    let mut facts = Facts { issued: report.issued, codes: report.codes, categories: report.categories, ..whole() };
    for performer in report.performers {
        facts.performers.add(performer, FactPath("performer".to_owned()));
    }
    facts
}

fn one(at: usize) -> Facts {
    let mut facts = whole();
    facts.codes = vec![coding(LOINC, ["58410-2", "24323-8", "56888-1", "4548-4"][at % 4])];
    facts.codes.push(coding("http://lab.example/tests", &(at * 57).to_string()));
    facts.categories = vec![coding(CATEGORY, ["LAB", "CH", "RAD", "HM"][at / 4 % 4])];
    for member in 0..at % 8 {
        let code = coding("urn:oid:2.16.840.1.113883.6.1", ["718-7", "789-8", "4544-3", "2106-3"][member % 4]);
        facts.results.add(code, FactPath(format!("result[{member}].code")));
    }
    facts.orders.add(coding(LOINC, "58410-2"), FactPath("basedOn[0].code".to_owned()));
    facts.reasons.add(
        coding("http://hl7.org/fhir/sid/icd-10-cm", ["Z00.00", "E11.9", "C50.912"][at % 3]),
        FactPath("basedOn[0].reasonCode".to_owned()),
    );
    facts.performers.add("Organization/lab-7".to_owned(), FactPath("performer[0]".to_owned()));
    facts
        .encounters
        .add(coding("http://terminology.hl7.org/CodeSystem/v3-ActCode", "AMB"), FactPath("encounter.class".to_owned()));
    if at % 8 == 5 {
        facts.recipient = RecipientRole::Proxy;
        facts.age = Age::Years { least: 15, most: 15 };
    }
    if at % 16 == 7 {
        facts.labels = Gathered::default();
    }
    facts
}

fn whole() -> Facts {
    Facts {
        recipient: RecipientRole::Patient,
        issued: None,
        results: Gathered::none(),
        labels: Gathered::none(),
        orders: Gathered::none(),
        reasons: Gathered::none(),
        performers: Gathered::none(),
        specialties: Gathered::none(),
        encounters: Gathered::none(),
        text: TextFacts { tried: TRIED.clone(), matched: Gathered::none() },
        age: Age::Years { least: 40, most: 40 },
        consents: Gathered::none(),
        preferences: Gathered::none(),
        critical: Flag::No,
        ..Facts::bare(ResourceType::DiagnosticReport, ReportStatus::Final)
    }
}

fn coding(system: &str, code: &str) -> Coding {
    Coding { system: Some(system.to_owned()), code: code.to_owned() }
}
