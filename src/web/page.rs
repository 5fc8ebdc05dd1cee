//! The inert page: the same for everyone but for a reference made from the id, and the language that the browser prefers.
//! Nothing is looked up.

use std::collections::BTreeMap;

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::Value;

use super::{Patient, answers, assets};
use crate::base::Language;

const TEMPLATE: &str = include_str!("page/open.html");
/// Where the id is no id. As many bytes as a reference has.
const NO_REFERENCE: &str = "———";
const LINK_CHARACTERS: usize = 16;

/// The template in each language, filled in but for the reference.
pub(super) struct Page {
    pieces: BTreeMap<Language, Vec<String>>,
    /// For a browser that prefers none of ours.
    usual: Language,
}

impl Page {
    /// `clinic` may be empty: then each language says "your clinic".
    pub(super) fn new(clinic: &str, usual: Language) -> Self {
        assets::prepare();
        let pieces = Language::ALL.into_iter().map(|language| (language, pieces(clinic, language))).collect();
        Self { pieces, usual }
    }

    fn with(&self, reference: &str, language: Language) -> String {
        self.pieces.get(&language).map_or_else(String::new, |pieces| pieces.join(reference))
    }

    pub(super) fn language_for(&self, request: &HttpRequest) -> Language {
        let accepted = request.headers().get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        accepted.and_then(Language::preferred).unwrap_or(self.usual)
    }
}

/// The page around each place of the reference.
fn pieces(clinic: &str, language: Language) -> Vec<String> {
    let words = assets::words(language);
    let word = |id: &str| words.get(id).and_then(Value::as_str).unwrap_or_default();
    let mut filled = TEMPLATE.replace("{{assets}}", &assets::base()).replace("{{lang}}", language.as_str());
    for id in ["late.title", "late.text", "late.call", "nojs.title", "nojs.text", "reference.label"] {
        filled = filled.replace(&format!("{{{{{id}}}}}"), &escape(&word(id).replace("{clinic}", "{{shown}}")));
    }
    let shown = if clinic.is_empty() { word("house") } else { clinic };
    // The clinic's name last and piecewise: it must not be able to name another placeholder.
    let named = |piece: &str| {
        let pieces: Vec<_> =
            piece.split("{{clinic}}").map(|piece| piece.replace("{{shown}}", &escape(shown))).collect();
        pieces.join(&escape(clinic))
    };
    filled.split("{{reference}}").map(named).collect()
}

pub(super) async fn page(patient: web::Data<Patient>, request: HttpRequest) -> HttpResponse {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return answers::method_not_allowed("GET, HEAD");
    }
    let asked = request.match_info().query("rest");
    let reference = patient.open.reference_of(leading_id(asked));
    let language = patient.page.language_for(&request);
    let body = patient.page.with(reference.as_ref().map_or(NO_REFERENCE, |reference| reference.as_str()), language);
    HttpResponse::Ok()
        .insert_header(header::ContentType::html())
        .insert_header((header::CONTENT_LANGUAGE, language.as_str()))
        .insert_header((header::VARY, "Accept-Language"))
        .body(body)
}

/// The id at the start of what was asked for; the rest may be what a mail programme made of the fragment.
fn leading_id(asked: &str) -> &str {
    let is_id = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let length = asked.bytes().take_while(|b| is_id(*b)).count();
    if length == LINK_CHARACTERS { asked.get(..length).unwrap_or("") } else { "" }
}

pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clinics_name_cannot_write_html_or_placeholders() {
        let name = "A & \"B\" <script> {{reference}} {{assets}} {{shown}} {{clinic}} {clinic}";
        let page = Page::new(name, Language::English).with("ABCD-EFGH", Language::English);
        let written = "A &amp; &quot;B&quot; &lt;script&gt; {{reference}} {{assets}} {{shown}} {{clinic}} {clinic}";
        assert_eq!(page.matches(written).count(), 5);
        assert_eq!(page.matches("{{").count(), 5 * 4);
        assert!(page.contains("<strong id=\"reference\" translate=\"no\">ABCD-EFGH</strong>"));
    }

    #[test]
    fn the_page_comes_in_each_language_whole() {
        for language in Language::ALL {
            let page = Page::new("", language).with("ABCD-EFGH", language);
            assert!(
                page.contains(&format!("<html lang=\"{language}\"")) && page.contains("data-clinic=\"\""),
                "{page}"
            );
            assert!(!page.contains('{') && !page.contains("<h1></h1>") && !page.contains("<p></p>"), "{page}");
        }
    }

    #[test]
    fn the_id_is_found_before_what_mail_programmes_append() {
        assert_eq!(leading_id("AAAAAAAAAAAAAAAA#s"), "AAAAAAAAAAAAAAAA");
        assert_eq!(leading_id("AAAAAAAAAAAAAAAA.>"), "AAAAAAAAAAAAAAAA");
        assert_eq!(leading_id("AAAAAAAAAAAAAAAA/begin"), "AAAAAAAAAAAAAAAA");
        assert_eq!(leading_id("AAAAAAAAAAAAAAAAA"), "");
        assert_eq!(leading_id("AAAA"), "");
        assert_eq!(leading_id(""), "");
    }
}
