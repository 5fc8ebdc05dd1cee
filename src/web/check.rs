//! Whether a message is from us: anybody may ask with the reference in it, and hears yes or no.
//!
//! Must stay true: nothing is said of whom a message is for, when it was sent or what became of it; one network may try a few
//! references a minute, of a million million; nothing is stored. Works without JavaScript.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::limits::Pace;
use super::page::escape;
use super::{Patient, answers, assets};
use crate::base::{Language, Reference};

const TEMPLATE: &str = include_str!("page/check.html");
/// What a person could type and mean a reference.
const TYPED_BYTES_MAX: usize = 40;

#[derive(Deserialize)]
pub(super) struct Asked {
    language: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Typed {
    #[serde(default)]
    reference: String,
    language: Option<String>,
}

/// What somebody is told.
enum Told {
    Nothing,
    Yes(Reference),
    No(Reference),
    NotAReference,
    TooOften,
}

pub(super) async fn form(patient: web::Data<Patient>, request: HttpRequest, asked: web::Query<Asked>) -> HttpResponse {
    let language = language(&patient, &request, asked.language.as_deref());
    page(&patient, language, &Told::Nothing)
}

pub(super) async fn answer(
    patient: web::Data<Patient>,
    request: HttpRequest,
    typed: Option<web::Form<Typed>>,
) -> HttpResponse {
    let Some(web::Form(Typed { reference, language: chosen })) = typed else {
        return answers::Problem::Malformed.answer();
    };
    let language = language(&patient, &request, chosen.as_deref());
    if patient.check_limit.admit(patient.networks.of(&request)) == Pace::TooFast {
        return page(&patient, language, &Told::TooOften);
    }
    let reference = Some(reference).filter(|typed| typed.len() <= TYPED_BYTES_MAX);
    let Some(Ok(reference)) = reference.map(|typed| Reference::parse_typed(&typed)) else {
        return page(&patient, language, &Told::NotAReference);
    };
    match patient.open.is_from_us(&reference).await {
        Ok(true) => page(&patient, language, &Told::Yes(reference)),
        Ok(false) => page(&patient, language, &Told::No(reference)),
        Err(error) => super::protocol::refused(&error),
    }
}

fn language(patient: &Patient, request: &HttpRequest, chosen: Option<&str>) -> Language {
    chosen.and_then(Language::of_tag).unwrap_or_else(|| patient.page.language_for(request))
}

fn page(patient: &Patient, language: Language, told: &Told) -> HttpResponse {
    let words = assets::words(language);
    let word = |id: &str| escape(words.get(id).and_then(Value::as_str).unwrap_or_default());
    let house = patient.open.house();
    let shown = if house.name.is_empty() { word("house") } else { escape(&house.name) };
    let (title, status) = match told {
        Told::Nothing => ("check.title", StatusCode::OK),
        Told::Yes(_) => ("check.yes.title", StatusCode::OK),
        Told::No(_) => ("check.no.title", StatusCode::OK),
        Told::NotAReference => ("check.shape.title", StatusCode::OK),
        Told::TooOften => ("check.busy.title", StatusCode::TOO_MANY_REQUESTS),
    };
    let tongue = |one: Language| {
        let current = if one == language { " aria-current=\"true\"" } else { "" };
        let name = one.own_name();
        format!("<li><a href=\"/check?language={one}\" lang=\"{one}\" hreflang=\"{one}\"{current}>{name}</a></li>")
    };
    let tongues = Language::ALL.map(tongue).concat();
    // What is typed comes last: it cannot name a placeholder.
    let html = TEMPLATE
        .replace("{{assets}}", &assets::base())
        .replace("{{lang}}", language.as_str())
        .replace("{{language.label}}", &word("language.label"))
        .replace("{{tongues}}", &tongues)
        .replace("{{title}}", &word(title))
        .replace("{{body}}", &body(patient, language, told, &words))
        .replace("{{shown}}", &shown);
    HttpResponse::build(status)
        .insert_header(header::ContentType::html())
        .insert_header((header::CONTENT_LANGUAGE, language.as_str()))
        .insert_header((header::VARY, "Accept-Language"))
        .body(html)
}

fn body(patient: &Patient, language: Language, told: &Told, words: &Map<String, Value>) -> String {
    let word = |id: &str| escape(words.get(id).and_then(Value::as_str).unwrap_or_default());
    let about = |id: &str, reference: &Reference| {
        let shown = format!("<strong class=\"number\" translate=\"no\">{}</strong>", reference.as_str());
        let address = format!("<strong translate=\"no\">{}/r/</strong>", escape(&patient.origin));
        format!("<p>{}</p>", word(id).replace("{reference}", &shown).replace("{address}", &address))
    };
    let again = || format!("<p><a href=\"/check?language={language}\">{}</a></p>", word("check.again"));
    let never = format!("<p class=\"calm\"><span>{}</span></p>", word("check.never"));
    match told {
        Told::Nothing => format!("<p class=\"lead\">{}</p>{}{never}", word("check.lead"), form_of(language, &word)),
        Told::Yes(reference) => format!("{}{}{never}", about("check.yes.text", reference), again()),
        Told::No(reference) => {
            let call = match escape(&patient.open.house().phone) {
                phone if phone.is_empty() => String::new(),
                phone => format!("<p class=\"number\"><strong>{phone}</strong></p>"),
            };
            format!("{}{call}{}{never}", about("check.no.text", reference), again())
        }
        Told::NotAReference => format!("<p>{}</p>{}", word("check.shape.text"), form_of(language, &word)),
        Told::TooOften => format!("<p>{}</p>{}", word("check.busy.text"), again()),
    }
}

fn form_of(language: Language, word: &dyn Fn(&str) -> String) -> String {
    format!(
        "<form class=\"asking\" method=\"post\" action=\"/check\"><input type=\"hidden\" name=\"language\" value=\"{language}\">\
         <label for=\"reference\">{}</label><p class=\"small\" id=\"shape\">{}</p>\
         <input id=\"reference\" name=\"reference\" aria-describedby=\"shape\" maxlength=\"20\" required autocomplete=\"off\" \
         autocapitalize=\"characters\" spellcheck=\"false\">\
         <button type=\"submit\" class=\"primary\">{}</button></form>",
        word("check.label"),
        word("check.form"),
        word("check.do")
    )
}
