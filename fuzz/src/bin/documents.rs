//! Documents of other kinds. For every file: reading ends, twice alike; what is carried over has words and makes a page without markup
//! of its own; comparing it with a patient ends.

#![no_main]

use chartseal::foreign::{Foreign, carry_over};
use chartseal::paper::{Letterhead, write_carried};
use chartseal::whose::{Known, KnownBirth, KnownName, compare};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    for kind in [Foreign::Html, Foreign::Cda, Foreign::Rtf] {
        let Ok(carried) = carry_over(kind, file) else { continue };
        assert!(carry_over(kind, file).is_ok_and(|again| again == carried), "one file was read in two ways");
        let text = carried.text();
        assert!(!text.trim().is_empty(), "a document without words was carried over");
        let name = KnownName { family: "Garcia".into(), given: vec!["Ana".into()], text: String::new() };
        let known = Known { names: vec![name], born: KnownBirth::Year(1984), identifiers: vec!["4711".into()] };
        let _ = compare(&text, &known);
        let head = Letterhead { clinic: "Clinic".into(), phone: "+1".into(), zone: chrono_tz::UTC };
        let Ok(page) = write_carried(&carried, &head, kind.spoken()) else { continue };
        let page = String::from_utf8(page).expect("a page is text");
        let (_, body) = page.split_once("<main").expect("a page has a body");
        for never in ["<script", "<img", "<svg", "<a ", "<iframe", "<object", "<style", "<link"] {
            let told = text.to_ascii_lowercase().contains(never);
            assert!(told || !body.contains(never), "markup came through");
        }
    }
});
