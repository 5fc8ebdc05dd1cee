//! Hook bodies. For every body: reading ends, twice alike, within the bounds; nothing is heard that was not said.

#![no_main]

use std::collections::BTreeSet;

use chartseal::fhir::{HEARD_MAX, HookContent, HookMethod, HookPath, read_hook};
use chartseal_fuzz::json;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use serde_json::Value;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| { json::mutate(data, size, max_size, seed) });

fuzz_target!(|body: &[u8]| {
    let said: Option<Value> = serde_json::from_slice(body).ok();
    let named = HookPath::Resource { kind: "DocumentReference", id: "in-the-path" };
    for (path, method) in [
        (HookPath::Bare, HookMethod::Post),
        (named, HookMethod::Put),
        (named, HookMethod::Delete),
        (HookPath::Resource { kind: "Patient", id: "p" }, HookMethod::Put),
    ] {
        let content = read_hook(body, path, method).content;
        assert!(content == read_hook(body, path, method).content, "one body was read in two ways");
        match &content {
            HookContent::Changed(heard) => {
                assert!((1..=HEARD_MAX + 1).contains(&heard.len()), "{} resources were heard", heard.len());
                let distinct: BTreeSet<_> = heard.iter().map(|one| (one.kind, one.id.as_str())).collect();
                assert_eq!(distinct.len(), heard.len(), "one resource was heard twice");
                for one in heard.iter().filter(|one| one.id.as_str() != "in-the-path") {
                    let said = said.as_ref().expect("only JSON names resources");
                    assert!(json::mentions(said, one.id.as_str()), "an id was made up");
                    let version = one.version.as_ref().map_or("", |version| version.as_str());
                    assert!(json::mentions(said, version), "a version was made up");
                }
            }
            HookContent::Other(name) => assert!(name.len() <= 64 && !name.contains(['<', '\n']), "not fit for a log"),
            HookContent::Ping | HookContent::Unreadable { .. } => {}
        }
        if matches!(path, HookPath::Resource { kind: "DocumentReference", .. }) {
            assert!(matches!(content, HookContent::Changed(_)), "what the address named was not heard");
        }
    }
});
