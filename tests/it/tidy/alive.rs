//! What the audit and the review list can say is said somewhere: an event or a reason that nothing makes is a false promise.

use super::rules::{without_comments_and_literals, words_of};
use super::{Source, sources_below};

#[test]
fn every_audit_event_is_written_somewhere() {
    assert_eq!(never_made("AuditEvent", "src/audit/"), Vec::<String>::new());
}

#[test]
fn every_reason_for_review_is_given_somewhere() {
    assert_eq!(never_made("ReviewReason", "src/policy/decision.rs"), Vec::<String>::new());
}

#[test]
fn a_pattern_makes_nothing() {
    let code = |text: &str| words_of(&without_comments_and_literals(text));
    assert!(makes(&code("let r = ReviewReason::Breaker { why };"), "ReviewReason", "Breaker"));
    assert!(makes(&code("Some(ReviewReason::TooOld)"), "ReviewReason", "TooOld"));
    for other in [
        "ReviewReason::Breaker { .. } => 1",
        "// ReviewReason::Breaker { why }",
        "OtherReason::Breaker { why }",
        "ReviewReason::BreakerOf { why }",
    ] {
        assert!(!makes(&code(other), "ReviewReason", "Breaker"), "{other}");
    }
}

/// The variants of `name` that no code outside `home` makes; tests do not count.
fn never_made(name: &str, home: &str) -> Vec<String> {
    let sources = sources_below(&["src"]);
    let definition = format!("pub enum {name} {{");
    let defined = sources.iter().find(|source| source.text.contains(&definition)).expect("the enum is defined");
    let variants = variants(defined.text.split_once(&definition).expect("it is there").1);
    assert!(variants.len() > 5, "the variants were found");
    let code: Vec<Vec<String>> = sources
        .iter()
        .filter(|source| !source.path.starts_with(home) && !is_test(&source.path))
        .map(|source| words_of(&without_comments_and_literals(before_tests(source))))
        .collect();
    variants.into_iter().filter(|variant| !code.iter().any(|words| makes(words, name, variant))).collect()
}

/// The names that stand one step in, up to the end of the enum.
fn variants(body: &str) -> Vec<String> {
    let lines = body.lines().take_while(|line| *line != "}");
    let inner = lines.filter_map(|line| line.strip_prefix("    "));
    let named = inner.filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase()));
    named.map(|line| line.chars().take_while(|c| c.is_alphanumeric()).collect()).collect()
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

fn before_tests(source: &Source) -> &str {
    source.text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(&source.text)
}

fn makes(words: &[String], name: &str, variant: &str) -> bool {
    (0..words.len()).any(|at| {
        let rest = &words[at..];
        let is_named = rest.starts_with(&[name, "::", variant].map(String::from));
        is_named && !rest[3..].starts_with(&["{", ".", "."].map(String::from))
    })
}
