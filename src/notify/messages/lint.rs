//! What is allowed in a clinic's own message and yet unwise: words from which somebody could guess what it is about.

use super::text::{Block, MessageText, Piece};
use super::{MessageKey, Naming};
use crate::base::Language;

/// Something that a person should look at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Remark {
    /// A word that tells of a report, of an illness or of a body.
    TellsOfTheReport { word: String },
    /// A bare message that names the clinic in its words.
    NamesTheClinic { word: String },
}

impl std::fmt::Display for Remark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TellsOfTheReport { word } => {
                write!(f, "\"{word}\" lets somebody who sees the message guess what it is about: say \"document\"")
            }
            Self::NamesTheClinic { word } => {
                write!(f, "\"{word}\" is part of the clinic's name, which a bare message does not say")
            }
        }
    }
}

pub(super) fn remarks(text: &MessageText, key: MessageKey, clinic_name: &str) -> Vec<Remark> {
    let mut found = Vec::new();
    let telling = telling_words(key.language);
    let names: Vec<String> = match key.naming {
        Naming::Named => Vec::new(),
        Naming::Bare => words_of(clinic_name).filter(|word| word.chars().count() > 3).collect(),
    };
    for said in said(text) {
        for word in words_of(&said) {
            let remark = if telling.iter().any(|telling| tells(&word, telling)) {
                Remark::TellsOfTheReport { word }
            } else if names.contains(&word) {
                Remark::NamesTheClinic { word }
            } else {
                continue;
            };
            if !found.contains(&remark) {
                found.push(remark);
            }
        }
    }
    found
}

/// A short word tells by itself, a longer one also at the beginning of another: "still" speaks of no STI.
fn tells(word: &str, telling: &str) -> bool {
    if telling.chars().count() > 3 { word.starts_with(telling) } else { word == telling }
}

fn said(text: &MessageText) -> Vec<String> {
    let words = |pieces: &[Piece]| {
        let of = |piece: &Piece| match piece {
            Piece::Words(words) => words.clone(),
            Piece::Put(_) => " ".to_owned(),
        };
        pieces.iter().map(of).collect::<String>()
    };
    let mut said = vec![words(&text.subject), words(&text.title)];
    said.extend(text.button.iter().chain(&text.copy).cloned());
    said.extend(text.blocks.iter().filter_map(|block| match block {
        Block::Paragraph(pieces) => Some(words(pieces)),
        Block::Link | Block::Rule => None,
    }));
    said
}

fn words_of(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Beginnings of words, in small letters.
const fn telling_words(language: Language) -> &'static [&'static str] {
    match language {
        Language::English => ENGLISH,
        Language::Spanish => SPANISH,
        Language::Polish => POLISH,
        Language::German => GERMAN,
        Language::French => FRENCH,
    }
}

#[rustfmt::skip]
const ENGLISH: &[&str] = &[
    "result", "test", "lab", "labs", "labora", "blood", "urine", "hiv", "std", "sti", "cancer", "tumo", "biops", "patholog",
    "histolog", "oncolog", "pregnan", "fertil", "genetic", "diagnos", "patient", "health", "medical", "doctor",
    "psych", "scan", "xray", "mri", "positive", "negative", "abnormal", "drug", "vaccin",
];

#[rustfmt::skip]
const SPANISH: &[&str] = &[
    "resultado", "prueba", "análisis", "analítica", "laborator", "sangre", "orina", "vih", "cáncer", "tumor",
    "biops", "patolog", "oncolog", "embaraz", "fertil", "genétic", "diagn", "paciente", "salud", "médic", "doctor",
    "psico", "psiqu", "radiograf", "positiv", "negativ", "droga", "vacun",
];

#[rustfmt::skip]
const POLISH: &[&str] = &[
    "wynik", "badani", "test", "laborator", "krew", "krwi", "mocz", "hiv", "rak", "raka", "raku", "nowotw", "guz", "guza", "guzy", "biopsj",
    "histopat", "onkolog", "ciąż", "płodno", "genety", "diagno", "pacjent", "zdrow", "lekar", "medycz", "psych",
    "rentgen", "tomogra", "dodatni", "ujemn", "narkot", "szczep",
];

#[rustfmt::skip]
const GERMAN: &[&str] = &[
    "befund", "ergebnis", "test", "labor", "blut", "urin", "hiv", "krebs", "tumor", "biops", "patholog", "histolog",
    "onkolog", "schwanger", "fertil", "kinderwunsch", "genet", "diagnos", "patient", "gesundheit", "medizin",
    "arzt", "ärzt", "psych", "röntgen", "mrt", "positiv", "negativ", "drogen", "impf",
];

#[rustfmt::skip]
const FRENCH: &[&str] = &[
    "résultat", "test", "analyse", "labo", "sang", "urin", "vih", "cancer", "tumeur", "biops", "patholog",
    "oncolog", "enceinte", "grossesse", "fertil", "génétiq", "diagnos", "patient", "santé", "médic", "médec",
    "docteur", "psy", "psych", "radio", "irm", "positif", "négatif", "drogue", "vaccin",
];
