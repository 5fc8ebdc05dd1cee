//! The inert page: the same for everyone but for a reference made from the id. Nothing is looked up.

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};

use super::{Patient, answers, assets};

const TEMPLATE: &str = include_str!("page/open.html");
/// Where the id is no id. As many bytes as a reference has.
const NO_REFERENCE: &str = "———";
const LINK_CHARACTERS: usize = 16;

/// The template, filled in but for the reference.
pub(super) struct Page {
    pieces: Vec<String>,
}

impl Page {
    pub(super) fn new(clinic: &str) -> Self {
        assets::prepare();
        let filled = TEMPLATE.replace("{{assets}}", &assets::base());
        // The clinic's name last and piecewise: it must not be able to name another placeholder.
        let pieces = filled.split("{{reference}}").map(|piece| piece.replace("{{clinic}}", &escape(clinic))).collect();
        Self { pieces }
    }

    fn with(&self, reference: &str) -> String {
        self.pieces.join(reference)
    }
}

pub(super) async fn page(patient: web::Data<Patient>, request: HttpRequest) -> HttpResponse {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return answers::method_not_allowed("GET, HEAD");
    }
    let asked = request.match_info().query("rest");
    let reference = patient.open.reference_of(leading_id(asked));
    let body = patient.page.with(reference.as_ref().map_or(NO_REFERENCE, |reference| reference.as_str()));
    HttpResponse::Ok().insert_header(header::ContentType::html()).body(body)
}

/// The id at the start of what was asked for; the rest may be what a mail programme made of the fragment.
fn leading_id(asked: &str) -> &str {
    let is_id = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let length = asked.bytes().take_while(|b| is_id(*b)).count();
    if length == LINK_CHARACTERS { asked.get(..length).unwrap_or("") } else { "" }
}

fn escape(text: &str) -> String {
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
        let page = Page::new("A & \"B\" <script> {{reference}} {{assets}}").with("ABCD-EFGH");
        assert!(page.contains("A &amp; &quot;B&quot; &lt;script&gt; {{reference}} {{assets}}"));
        assert!(!page.contains("{{clinic}}"));
        assert!(page.contains("<strong id=\"reference\" translate=\"no\">ABCD-EFGH</strong>"));
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
