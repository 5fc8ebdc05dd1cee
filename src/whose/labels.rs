//! The labels under which papers say whose they are: English, Spanish, Polish, German, French. Folded letters.

use std::sync::LazyLock;

use regex::Regex;

/// The patient's own, by their words.
const PATIENT_NAME: &[&str] = &[
    r"patient(?:'s|s)? (?:full |legal )?name",
    r"patient name",
    r"pt\.? name",
    r"name of (?:the )?patient",
    r"nombre (?:completo )?del? (?:la )?paciente",
    r"nombre y apellidos del? (?:la )?paciente",
    r"paciente",
    r"imie i nazwisko pacjent(?:a|ki)",
    r"dane pacjenta",
    r"pacjent(?:ka)?",
    r"name (?:des|der) patient(?:en|in)",
    r"name der/des patient(?:in/)?en",
    r"patienten ?name",
    r"patient(?:in|/in|\(in\)|innen)?",
    r"nom (?:et prenom )?(?:du patient|de la patiente)",
    r"patiente",
    r"pat\.?",
    r"pt\.?",
];
/// Anybody's.
const NAME: &[&str] = &[
    r"full name",
    r"legal name",
    r"name and surname",
    r"nombre y apellidos",
    r"nombre completo",
    r"apellidos,? (?:y )?nombres?",
    r"imie i nazwisko",
    r"nazwisko i imie",
    r"nom et prenom",
    r"nom,? prenoms?",
    r"name, ?vorname",
    r"nachname, ?vorname",
    r"last name, ?first name",
    r"name",
];
const FAMILY: &[&str] = &[
    r"last name",
    r"family name",
    r"surname",
    r"apellidos?",
    r"nazwisko",
    r"nachname",
    r"familienname",
    r"nom de famille",
    r"nom",
];
const GIVEN: &[&str] =
    &[r"first name", r"given names?", r"forenames?", r"nombres?", r"imie", r"imiona", r"vornamen?", r"prenoms?"];
const BIRTH: &[&str] = &[
    r"date of birth",
    r"birth ?date",
    r"d\.?o\.?b\.?",
    r"born(?: on)?",
    r"fecha de nacimiento",
    r"fecha nac(?:\.|imiento)?",
    r"f\. ?(?:de )?nac\.?",
    r"fec\. ?nac\.?",
    r"nacid[oa](?: el)?",
    r"data ur(?:odzenia|\.)",
    r"urodzon[ya]",
    r"ur\.",
    r"geburtsdatum",
    r"geb\.?-?(?:datum|dat\.|tag)",
    r"geboren(?: am)?",
    r"geb\.(?: am)?",
    r"date de naissance",
    r"ddn",
    r"nee?(?:\(e\))? le",
    r"\*",
];
const NUMBER: &[&str] = &[
    r"mrn",
    r"m\.r\.n\.",
    r"medical record(?: (?:number|no\.?|nr\.?|#))?",
    r"record (?:number|no\.?)",
    r"patient(?:'s)? (?:id|identifier|number|no\.?|nr\.?|#)",
    r"pat\.?-? ?(?:id|nr\.?|no\.?)",
    r"patienten-? ?(?:id|nr\.?|nummer)",
    r"hospital (?:no\.?|number)",
    r"nhs (?:no\.?|number)",
    r"chart (?:no\.?|number|#)",
    r"nhc",
    r"n\.? ?o? ?de historia(?: clinica)?",
    r"numero de historia(?: clinica)?",
    r"historia clinica",
    r"pesel",
    r"(?:id|nr|numer) pacjenta",
    r"ipp",
    r"n(?:o|umero)? ?(?:de )?dossier",
    r"id",
];
/// Before a label, within its cell: it speaks of somebody else, or of something.
const OTHERS: &str = r"(?:mother|father|mom|mum|dad|spouse|husband|wife|guardian|parents?|partner|next of kin|emergency contact|relative|sibling|donor|baby|child|newborn|girl|boy|infant|son|daughter|twin|physician|doctor|dr\.|provider|prescriber|ordering|ordered|referring|attending|requesting|requested|clinician|practitioner|consultant|pharmacist|nurse|technologist|radiologist|pathologist|author|signed|approved|verified|reported|collected|reviewed|performed|lab|laboratory|hospital|clinic|facility|ward|test|file|drug|medication|product|study|procedure|exam|insurance|insurer|plan|insured|subscriber|policy holder|policyholder|guarantor|collector|specimen|sample|order|accession|visit|user|contact|company|device|arzt|arztin|mutter|vater|ehemann|ehefrau|vormund|kind|einsender|krankenkasse|versicherung|station|praxis|labor|auftrags|madre|padre|medico|medica|tutor|tutora|conyuge|hijo|hija|centro|prueba|matka|matki|ojciec|ojca|lekarz|lekarza|opiekun|opiekuna|dziecko|badania|badanie|mere|pere|medecin|conjoint|conjointe|tuteur|enfant|examen|hopital|service)";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    PatientName,
    Name,
    Family,
    Given,
    Birth,
    Number,
}

pub(super) struct Label {
    pub(super) kind: Kind,
    pub(super) start: usize,
    /// Behind the label and its colon.
    pub(super) end: usize,
    /// A colon, a hash or a date's star: the value follows.
    pub(super) has_sign: bool,
}

static LABEL: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let group = |name: &str, words: &[&str]| format!("(?P<{name}>{})", words.join("|"));
    // Numbers before names: "patient id" is no name.
    let kinds = [
        group("number", NUMBER),
        group("patient", PATIENT_NAME),
        group("birth", BIRTH),
        group("name", NAME),
        group("family", FAMILY),
        group("given", GIVEN),
    ];
    let more =
        r"(?: ?\((?:last|family|first|given|full|vor|nach|surname|name|dd|mm|yyyy|tt|jjjj|aaaa|d|m|y|/|,|\.|-| )*\))?";
    Regex::new(&format!(r"(?:{}){more}(?P<sign> ?[:#=]+)?", kinds.join("|"))).ok()
});

static OTHER: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(&format!(r"\b{OTHERS}\b[^:\t]{{0,24}}$")).ok());

/// What is dated or numbered may have been named before: `guarantor: luis perez dob:`.
static OTHER_NAMED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!(r"\b{OTHERS}\b[^:\t]{{0,16}}: ?[^:\t]{{0,40}}$")).ok());

/// How far before a label another's word may stand.
const BEFORE_BYTES_MAX: usize = 72;

/// The labels in one folded cell, from left to right; those of somebody else are left out.
pub(super) fn find(cell: &str) -> Vec<Label> {
    let (Some(label), Some(other), Some(named)) = (LABEL.as_ref(), OTHER.as_ref(), OTHER_NAMED.as_ref()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(hit) = label.captures_at(cell, from) {
        let Some(whole) = hit.get(0) else { break };
        from = whole.end().max(whole.start() + 1);
        while !cell.is_char_boundary(from) {
            from += 1;
        }
        let kinds = [
            ("patient", Kind::PatientName),
            ("number", Kind::Number),
            ("birth", Kind::Birth),
            ("name", Kind::Name),
            ("family", Kind::Family),
            ("given", Kind::Given),
        ];
        let Some((words, kind)) = kinds.into_iter().find_map(|(name, kind)| Some((hit.name(name)?, kind))) else {
            continue;
        };
        if !is_apart(cell, words.start(), words.end()) {
            continue;
        }
        // A star apart from what follows begins an item of a list.
        let after = cell.get(whole.end()..).unwrap_or_default();
        let is_star = words.as_str() == "*";
        if is_star && !after.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let has_sign = hit.name("sign").is_some() || is_star;
        let before = cell.get(..whole.start()).unwrap_or_default();
        let before = before.get(before.ceil_char_boundary(before.len().saturating_sub(BEFORE_BYTES_MAX))..);
        let before = before.unwrap_or_default();
        let is_others = other.is_match(before)
            || match kind {
                Kind::Birth | Kind::Number => named.is_match(before),
                Kind::PatientName | Kind::Name | Kind::Family | Kind::Given => false,
            };
        if !is_others {
            found.push(Label { kind, start: whole.start(), end: whole.end(), has_sign });
        }
    }
    found
}

/// Whether the words at these places are whole.
fn is_apart(cell: &str, start: usize, end: usize) -> bool {
    let before = cell.get(..start).and_then(|before| before.chars().next_back());
    let after = cell.get(end..).and_then(|after| after.chars().next());
    let last = cell.get(..end).and_then(|words| words.chars().next_back());
    let joins = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    !joins(before) && before != Some('-') && !(joins(last) && (joins(after) || after == Some('\'')))
}
