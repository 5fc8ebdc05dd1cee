//! What is carried over, and what stands in the way of it.

use std::fmt::Write as _;

use super::{Foreign, Obstacle, carry_over};
use crate::paper::carried::{Block, Mark};
use crate::paper::{Carried, Letterhead, write_carried};

fn carried(kind: Foreign, text: &str) -> Carried {
    carry_over(kind, text.as_bytes()).unwrap_or_else(|obstacle| panic!("{obstacle}: {text}"))
}

/// The body as our page has it.
fn page(carried: &Carried) -> String {
    let head = Letterhead { clinic: "Clinic".into(), phone: "+1".into(), zone: chrono_tz::UTC };
    let page = String::from_utf8(write_carried(carried, &head, "a document").unwrap()).unwrap();
    let (_, after) = page.split_once("<div class=\"words\"").unwrap();
    let (_, after) = after.split_once(">\n").unwrap();
    after.split_once("</div>\n<footer").unwrap().0.replace("<span>", "").replace("</span>", "").replace('\n', "")
}

fn assert_carried(kind: Foreign, cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(page(&carried(kind, text)), *expected, "{text}");
    }
}

fn assert_stays(kind: Foreign, cases: &[(Obstacle, &str)]) {
    for (obstacle, text) in cases {
        match carry_over(kind, text.as_bytes()) {
            Err(found) => assert_eq!(found, *obstacle, "{text}"),
            Ok(carried) => panic!("{text} was carried over: {}", page(&carried)),
        }
    }
}

#[test]
fn html_is_carried_over_word_for_word() {
    let said = |words: &str| format!("<p class=\"said\" dir=\"auto\">{words}</p>");
    for (text, expected) in [
        ("<p>HbA1c\n  <b>5.4</b> %</p>", said("HbA1c <strong>5.4</strong> %")),
        ("Na<sup>+</sup> 10<sup>9</sup>/l, H<sub>2</sub>O", said("Na<sup>+</sup> 10<sup>9</sup>/l, H<sub>2</sub>O")),
        ("<p>5 &lt; 6 &amp; &quot;x&quot;</p>", said("5 &#60; 6 &#38; &#34;x&#34;")),
        ("<p style='font-weight:bold;font-family:Arial'>x</p>", said("<strong>x</strong>")),
        (
            "<style>td.h, .high { font-weight: bold } p { margin: 0 }</style><p class='high'>7.9</p>",
            said("<strong>7.9</strong>"),
        ),
        ("<style>div .high { font-weight: bold }</style><p class='high'>7.9</p>", said("7.9")),
        ("<p style='color:red'>7.9</p>", said("<strong>7.9</strong>")),
        ("<p style='background:#003366;color:#fff'>x</p>", said("<strong>x</strong>")),
        ("<a href='https://lab.example'>Lab</a>", said("Lab")),
        ("<!-- nothing --><p>x<p>y", said("x") + &*said("y")),
    ] {
        assert_eq!(page(&carried(Foreign::Html, text)), expected, "{text}");
    }
    assert_carried(
        Foreign::Html,
        &[
            ("<h1>Result</h1><h2>More</h2>", "<h2 dir=\"auto\">Result</h2><h3 dir=\"auto\">More</h3>"),
            (
                "<ol start=3><li>a</li><li>b<ul><li>c</ul></li></ol>",
                "<ol start=\"3\"><li><p class=\"said\" dir=\"auto\">a</p></li><li><p class=\"said\" dir=\"auto\">b</p><ul><li><p class=\"said\" dir=\"auto\">c</p></li></ul></li></ol>",
            ),
            (
                "<table><thead><tr><th>Test<th>Value<tbody><tr><th>Na<td rowspan=2>140<tr><td>K</table>",
                "<table class=\"carried\"><thead><tr><th scope=\"col\"><p class=\"said\" dir=\"auto\">Test</p></th><th scope=\"col\"><p class=\"said\" dir=\"auto\">Value</p></th></tr></thead><tbody><tr><th scope=\"row\"><p class=\"said\" dir=\"auto\">Na</p></th><td rowspan=\"2\"><p class=\"said\" dir=\"auto\">140</p></td></tr><tr><td><p class=\"said\" dir=\"auto\">K</p></td></tr></tbody></table>",
            ),
            (
                "<pre>Na   140\nK      4</pre>",
                "<div class=\"columns\"><span class=\"line\">Na   140<span class=\"line\">K      4</div>",
            ),
        ],
    );
}

#[test]
fn html_that_says_more_than_words_stays() {
    assert_stays(
        Foreign::Html,
        &[
            (Obstacle::Empty, "<p> </p>"),
            (Obstacle::Malformed, "<html><body><p>cut"),
            (Obstacle::Malformed, "<p>cut <b"),
            (Obstacle::Malformed, "<table><tr>astray<td>x</td></tr></table>"),
            (Obstacle::Picture, "<p>x<img src=x>"),
            (Obstacle::Picture, "<svg><text>x</text></svg>"),
            (Obstacle::Object, "<iframe src=x></iframe>"),
            (Obstacle::Script, "<p>x</p><script>1</script>"),
            (Obstacle::Script, "<p onclick='x()'>x</p>"),
            (Obstacle::Script, "<a href='javascript:x'>x</a>"),
            (Obstacle::Form, "<form><p>x</form>"),
            (Obstacle::Form, "<input value=5>"),
            (Obstacle::Hidden, "<p hidden>x</p>"),
            (Obstacle::Hidden, "<p style='display: none'>x</p>"),
            (Obstacle::Hidden, "<style>.a{display:none}</style><p class=a>x</p>"),
            (Obstacle::Hidden, "<p style='font-size:0'>x</p>"),
            (Obstacle::Hidden, "<p style='text-indent:-999px'>x</p>"),
            (Obstacle::Hidden, "<details><summary>x</summary>y</details>"),
            (Obstacle::Colour, "<p style='color:#fff'>x</p>"),
            (Obstacle::Colour, "<font color=white>x</font>"),
            (Obstacle::Colour, "<p style='color: papayawhip'>x</p>"),
            (Obstacle::Colour, "<div style='background:#000'><p>x</p></div>"),
            (Obstacle::CrossedOut, "<p><s>5.4</s> 6.4</p>"),
            (Obstacle::CrossedOut, "<p style='text-decoration: line-through'>5.4</p>"),
            (Obstacle::Changes, "<ins>x</ins>"),
            (Obstacle::Look, "<style>p::before{content:'not '}</style><p>x</p>"),
            (Obstacle::Look, "<style>@media print{p{display:none}}</style><p>x</p>"),
            (Obstacle::Look, "<p style='position:absolute'>x</p>"),
            (Obstacle::Look, "<p style='text-transform:uppercase'>mg</p>"),
            (Obstacle::Look, "<p style='display:flex'>x</p>"),
            (Obstacle::Elsewhere, "<link rel=stylesheet href=x.css><p>x</p>"),
            (Obstacle::Elsewhere, "<p>x <a href='more.html'></a></p>"),
            (Obstacle::Direction, "<p dir=rtl>x</p>"),
            (Obstacle::List, "<ol type=a><li>x</ol>"),
            (Obstacle::Table, "<table><tr><td><table><tr><td>x</table></table>"),
            (Obstacle::Table, "<table><tr><td rowspan=3>x</table>"),
            (Obstacle::Unknown, "<blink-o>x</blink-o>"),
            (Obstacle::StrangeCharacter, "<p>a\u{202e}b</p>"),
            (Obstacle::TooDeep, &format!("<p>x{}", "<div>".repeat(70))),
        ],
    );
    assert_eq!(carry_over(Foreign::Html, b"<p>Gr\xfc\xdfe</p>").err(), Some(Obstacle::Encoding));
    let said = b"<html><head><meta charset=iso-8859-1></head><body>Gr\xfc\xdfe</body></html>";
    assert!(page(&carry_over(Foreign::Html, said).ok().unwrap()).contains("Gr\u{fc}\u{df}e"));
}

fn clinical(header: &str, sections: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ClinicalDocument xmlns=\"urn:hl7-org:v3\"><title>Discharge</title>\
         <effectiveTime value=\"20261101\"/><languageCode code=\"en-US\"/>{header}<component><structuredBody>{sections}\
         </structuredBody></component></ClinicalDocument>"
    )
}

const TARGET: &str = "<recordTarget><patientRole><id root=\"1.2\" extension=\"8837461\"/><patient><name><given>Ana</given><family>Garcia</family></name>\
     <birthTime value=\"19840506\"/></patient></patientRole></recordTarget>";

fn section(inner: &str) -> String {
    clinical(TARGET, &format!("<component><section><title>Results</title>{inner}</section></component>"))
}

#[test]
fn cda_is_its_narrative_under_its_header() {
    let text = section(
        "<text><paragraph>Sodium <content styleCode=\"Bold\">140</content></paragraph><list listType=\"ordered\"><item>a</item></list>\
         <table><thead><tr><th>Test</th></tr></thead><tbody><tr><td>K</td></tr></tbody></table></text><entry/>",
    );
    let carried = carried(Foreign::Cda, &text);
    assert_eq!((carried.title.as_deref(), carried.language.as_deref()), (Some("Discharge"), Some("en-US")));
    let words = carried.text();
    for line in
        ["Patient\tAna Garcia", "Date of birth\t1984-05-06", "Patient ID\t8837461", "Date of the document\t2026-11-01"]
    {
        assert!(words.lines().any(|one| one == line), "{line} is not in {words}");
    }
    let page = page(&carried);
    for piece in
        ["<h2 dir=\"auto\">Results</h2>", "Sodium <strong>140</strong>", "<ol start=\"1\"><li>", "<th scope=\"col\">"]
    {
        assert!(page.contains(piece), "{piece} is not in {page}");
    }
}

#[test]
fn cda_that_cannot_be_read_by_a_person_stays() {
    assert_stays(
        Foreign::Cda,
        &[
            (Obstacle::NoNarrative, &section("<entry/>")),
            (Obstacle::NoNarrative, &section("<text/><entry/>")),
            (Obstacle::Picture, &section("<text>x<renderMultiMedia referencedObject=\"a\"/></text>")),
            (Obstacle::Apart, &section("<text>x<footnote>y</footnote></text>")),
            (Obstacle::Withheld, &section("<text nullFlavor=\"MSK\">x</text>")),
            (Obstacle::Withheld, &section("<confidentialityCode code=\"R\"/><text>x</text>")),
            (
                Obstacle::Withheld,
                &clinical(TARGET, "<component><section nullFlavor=\"NI\"><text>x</text></section></component>"),
            ),
            (Obstacle::Changes, &section("<text><content revised=\"delete\">x</content></text>")),
            (Obstacle::Look, &section("<text><content styleCode=\"xSecret\">x</content></text>")),
            (Obstacle::Table, &section("<text><table><tbody><tr><td><table/></td></tr></tbody></table></text>")),
            (Obstacle::Unknown, &section("<text><blink>x</blink></text>")),
            (Obstacle::SeveralPatients, &clinical(&TARGET.repeat(2), "")),
            (Obstacle::SeveralPatients, &section("<subject/><text>x</text>")),
            (Obstacle::Malformed, &clinical("", "")),
            (Obstacle::Malformed, &section("<text>cut").replace("</ClinicalDocument>", "")),
            (
                Obstacle::Malformed,
                "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><ClinicalDocument xmlns=\"urn:hl7-org:v3\">&b;</ClinicalDocument>",
            ),
            (
                Obstacle::Object,
                &clinical(TARGET, "").replace(
                    "<structuredBody></structuredBody>",
                    "<nonXMLBody><text mediaType=\"application/pdf\">JVBE</text></nonXMLBody>",
                ),
            ),
        ],
    );
}

#[test]
fn rtf_is_carried_over_word_for_word() {
    let said = |words: &str| format!("<p class=\"said\" dir=\"auto\">{words}</p>");
    let font = "{\\fonttbl{\\f0\\fswiss\\fcharset0 Arial;}{\\f1\\fcharset238 Arial CE;}{\\f2\\ftech\\fcharset2 Symbol;}}{\\colortbl;\\red255\\green0\\blue0;\\red255\\green255\\blue255;}";
    for (text, expected) in [
        ("HbA1c {\\b 5.4} %\\par", said("HbA1c <strong>5.4</strong> %")),
        ("\\pard\\plain\\f0\\fs22 x\\line y\\par", said("<span class=\"line\">x<span class=\"line\">y")),
        ("10{\\super 9}/l", said("10<sup>9</sup>/l")),
        ("Gr\\'fc\\'dfe {\\f1 \\'b9}", said("Gr\u{fc}\u{df}e \u{105}")),
        ("\\u8804?5 \\u-10179?\\u-8704?", said("\u{2264}5 \u{1f600}")),
        ("{\\cf1 7.9}", said("<strong>7.9</strong>")),
        ("{\\*\\generator Msftedit;}x{\\*\\bkmkstart a}{\\*\\bkmkend a}", said("x")),
        ("{\\field{\\*\\fldinst HYPERLINK \"http://x\"}{\\fldrslt lab}}", said("lab")),
        (
            "{\\header Clinic\\par}{\\footer Page {\\field{\\*\\fldinst PAGE}{\\fldrslt 1}}}x\\par",
            said("Clinic") + &*said("x") + &*said("Page"),
        ),
        ("\\pard\\ls1{\\listtext\\f2 \\'b7\\tab}one\\par", said("•\u{2003}one")),
        ("a\\tab b\\~c\\_d", said("a\u{2003}b\u{a0}c\u{2011}d")),
    ] {
        let text = format!("{{\\rtf1\\ansi\\ansicpg1252\\deff0{font}{text}}}");
        assert_eq!(page(&carried(Foreign::Rtf, &text)), expected, "{text}");
    }
    let table = "{\\rtf1\\ansi\\trowd\\trhdr\\cellx1000\\cellx2000\\pard\\intbl Test\\cell Value\\cell\\row\\trowd\\cellx2000\\pard\\intbl all\\cell\\row\\pard after\\par}";
    let table = carried(Foreign::Rtf, table);
    assert_eq!(table.text(), "Test\tValue\nall\nafter\n");
    assert!(page(&table).contains("<td colspan=\"2\">"));
    assert!(matches!(table.blocks.first(), Some(Block::Table(_))));
}

#[test]
fn rtf_that_says_more_than_words_stays() {
    for (obstacle, text) in [
        (Obstacle::Empty, ""),
        (Obstacle::Picture, "x{\\pict\\pngblip 8950}"),
        (Obstacle::Picture, "x{\\*\\shppict{\\pict 89}}"),
        (Obstacle::Object, "{\\object\\objemb x}"),
        (Obstacle::Object, "x\\bin3 abc"),
        (Obstacle::Drawing, "{\\shp{\\*\\shpinst x}}"),
        (Obstacle::Hidden, "a{\\v not }b"),
        (Obstacle::Hidden, "{\\fs2 x}"),
        (Obstacle::CrossedOut, "{\\strike 5.4}"),
        (Obstacle::Changes, "{\\deleted 5.4}"),
        (Obstacle::Changes, "{\\revised 5.4}"),
        (Obstacle::Look, "{\\caps mg}"),
        (Obstacle::Field, "{\\field{\\*\\fldinst DATE}{\\fldrslt 1 May}}"),
        (Obstacle::Field, "{\\field{\\*\\fldinst FORMTEXT}{\\fldrslt x}}"),
        (Obstacle::Apart, "x{\\footnote y}"),
        (Obstacle::Apart, "x{\\*\\annotation y}"),
        (Obstacle::Unknown, "x{\\newthing y}"),
        (Obstacle::Unknown, "x\\newthing y"),
        (Obstacle::Table, "\\trowd\\clvmgf\\cellx100\\pard\\intbl x\\cell\\row"),
        (Obstacle::Table, "\\trowd\\cellx100\\pard\\intbl x\\cell y\\cell\\row"),
        (Obstacle::Malformed, "\\trowd\\cellx100\\pard\\intbl x\\cell"),
        (Obstacle::List, "\\pard\\ls1 one\\par"),
        (Obstacle::Direction, "\\rtlch x"),
        (Obstacle::Encoding, "{\\fonttbl{\\f0\\fcharset128 Gothic;}}\\f0 \\'82\\'a0"),
        (Obstacle::StrangeCharacter, "{\\fonttbl{\\f0\\fcharset2 Symbol;}}\\f0 a"),
        (Obstacle::Malformed, "\\u-10179?x"),
        (Obstacle::Malformed, "\\'zz"),
        (Obstacle::Colour, "{\\colortbl;\\red255\\green255\\blue255;}\\cf1 x"),
    ] {
        assert_stays(Foreign::Rtf, &[(obstacle, &format!("{{\\rtf1\\ansi {text}}}"))]);
    }
    assert_stays(
        Foreign::Rtf,
        &[
            (Obstacle::Malformed, "{\\rtf1 cut"),
            (Obstacle::Malformed, "{\\rtf1 x}}"),
            (Obstacle::Malformed, "{\\rtf1 x}{\\rtf1 y}"),
            (Obstacle::TooDeep, &format!("{{\\rtf1 {}x{}}}", "{".repeat(200), "}".repeat(200))),
        ],
    );
}

#[test]
fn markup_in_words_stays_words() {
    let carried = carried(Foreign::Rtf, "{\\rtf1\\ansi <script>alert('x')</script> & \"y\"}");
    assert_eq!(
        page(&carried),
        "<p class=\"said\" dir=\"auto\">&#60;script&#62;alert(&#39;x&#39;)&#60;/script&#62; &#38; &#34;y&#34;</p>"
    );
    assert!(!carried.blocks.iter().any(|block| matches!(block, Block::Heading { .. })));
    let _ = Mark::Strong;
}

#[test]
fn the_text_of_a_pdf_is_read_line_by_line_as_it_stands_on_the_page() {
    let drawing = "BT /F1 12 Tf 300 700 Td (DOB: 06/05/1984) Tj ET BT /F1 12 Tf 72 700 Td (Patient: Ana) Tj 40 0 Td ( ) Tj ET BT /F1 12 Tf 72 680 Td (HbA1c 5.4 %) Tj ET";
    let text = super::pdf::text(&pdf(drawing)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("Patient: Ana") && lines[0].ends_with("\tDOB: 06/05/1984"), "{lines:?}");
    assert_eq!(lines[1], "HbA1c 5.4 %");
    assert!(super::pdf::text(b"%PDF-1.7\n%%EOF\n").is_none());
}

fn pdf(drawing: &str) -> Vec<u8> {
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [ 4 0 R ] /Count 1 >>".to_owned(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R /Resources << /Font << /F1 3 0 R >> >> >>".to_owned(),
        format!("<< /Length {} >>\nstream\n{drawing}\nendstream", drawing.len()),
    ];
    let (mut file, mut table) =
        ("%PDF-1.4\n".to_owned(), format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1));
    for (n, object) in objects.iter().enumerate() {
        writeln!(table, "{:010} 00000 n ", file.len()).unwrap();
        write!(file, "{} 0 obj\n{object}\nendobj\n", n + 1).unwrap();
    }
    let at = file.len();
    write!(file, "{table}trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{at}\n%%EOF\n", objects.len() + 1).unwrap();
    file.into_bytes()
}
