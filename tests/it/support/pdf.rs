//! Small valid PDFs, written by hand: enough for any reader, and exactly known bytes.
//!
//! Source: ISO 32000-1, §7.5 (file structure) and §9.4 (text).

use std::fmt::Write as _;

/// A document of one page per text, each text in 24-point Helvetica on US Letter paper. ASCII only.
pub fn with_pages(texts: &[&str]) -> Vec<u8> {
    let page_count = texts.len();
    let kids: Vec<_> = (0..page_count).map(|n| format!("{} 0 R", 4 + 2 * n)).collect();
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        format!("<< /Type /Pages /Kids [ {} ] /Count {page_count} >>", kids.join(" ")),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
    ];
    for (n, text) in texts.iter().enumerate() {
        let drawing = format!("BT /F1 24 Tf 72 700 Td ({}) Tj ET", escaped(text));
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {} 0 R /Resources << /Font << /F1 3 0 R >> >> >>",
            5 + 2 * n
        ));
        objects.push(format!("<< /Length {} >>\nstream\n{drawing}\nendstream", drawing.len()));
    }
    file(&objects)
}

/// One page, and a stream of at least so many bytes that nothing refers to and of which no two pieces are alike.
pub fn of_size(bytes: usize) -> Vec<u8> {
    let drawing = "BT /F1 24 Tf 72 700 Td (A large one) Tj ET";
    let ballast: String = (0..bytes.div_ceil(10)).map(|n| format!("{n:09}\n")).collect();
    file(&[
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Kids [ 4 0 R ] /Count 1 >>".to_owned(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R /Resources << /Font << /F1 3 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{drawing}\nendstream", drawing.len()),
        format!("<< /Length {} >>\nstream\n{ballast}endstream", ballast.len()),
    ])
}

/// One page whose drawing is this, packed by `FlateDecode`.
pub fn with_packed_page(packed: &[u8]) -> Vec<u8> {
    let mut bytes = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n".to_vec();
    let mut places = vec![9];
    let mut add = |object: &[u8], bytes: &mut Vec<u8>| {
        places.push(bytes.len());
        bytes.extend_from_slice(object);
    };
    add(b"2 0 obj\n<< /Type /Pages /Kids [ 3 0 R ] /Count 1 >>\nendobj\n", &mut bytes);
    add(b"3 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R >>\nendobj\n", &mut bytes);
    let head = format!("4 0 obj\n<< /Length {} /Filter /FlateDecode >>\nstream\n", packed.len());
    add(&[head.as_bytes(), packed, b"\nendstream\nendobj\n"].concat(), &mut bytes);
    let table_at = bytes.len();
    let mut table = "xref\n0 5\n0000000000 65535 f \n".to_owned();
    for at in places {
        writeln!(table, "{at:010} 00000 n ").expect("text grows");
    }
    write!(table, "trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n{table_at}\n%%EOF\n").expect("text grows");
    [bytes, table.into_bytes()].concat()
}

fn file(objects: &[String]) -> Vec<u8> {
    let mut text = "%PDF-1.4\n".to_owned();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (n, object) in objects.iter().enumerate() {
        writeln!(table, "{:010} 00000 n ", text.len()).expect("text grows");
        write!(text, "{} 0 obj\n{object}\nendobj\n", n + 1).expect("text grows");
    }
    let table_at = text.len();
    write!(text, "{table}trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{table_at}\n%%EOF\n", objects.len() + 1)
        .expect("text grows");
    text.into_bytes()
}

fn escaped(text: &str) -> String {
    assert!(text.is_ascii(), "the one font here speaks ASCII");
    text.replace('\\', "\\\\").replace('(', "\\(").replace(')', "\\)")
}

#[test]
fn the_cross_reference_table_points_at_every_object() {
    let bytes = with_pages(&["HbA1c 5.4 %", "(page two)"]);
    let text = String::from_utf8(bytes).unwrap();
    let table_at: usize = text.lines().rev().nth(1).unwrap().parse().unwrap();
    let entries: Vec<usize> =
        text[table_at..].lines().skip(3).take(7).map(|line| line[..10].parse().unwrap()).collect();
    for (n, at) in entries.into_iter().enumerate() {
        assert!(text[at..].starts_with(&format!("{} 0 obj", n + 1)));
    }
    assert!(text.contains("\\(page two\\)"));
}
