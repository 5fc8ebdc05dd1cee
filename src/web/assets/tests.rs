//! What is said in one language is said in each.

use std::collections::BTreeSet;

use super::*;

/// The plurals of whole numbers below a million (CLDR), and `other`, which the page falls back to.
fn plurals(language: Language) -> &'static [&'static str] {
    match language {
        Language::English | Language::Spanish | Language::German | Language::French => &["one", "other"],
        Language::Polish => &["few", "many", "one", "other"],
    }
}

fn forms(message: &Value) -> Vec<&str> {
    if let Value::Object(forms) = message {
        forms.values().map(|form| form.as_str().unwrap()).collect()
    } else {
        vec![message.as_str().unwrap()]
    }
}

fn placeholders(forms: &[&str]) -> BTreeSet<String> {
    let each = forms.iter().flat_map(|form| form.split('{').skip(1));
    each.map(|rest| rest.split_once('}').expect("a placeholder that ends").0.to_owned()).collect()
}

#[test]
fn each_language_says_the_same_messages_with_the_same_values() {
    let english = words(Language::English);
    assert!(english.len() > 100);
    for language in Language::ALL {
        let words = words(language);
        let ids = |words: &Map<String, Value>| words.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(ids(&words), ids(&english), "{language}");
        for (id, message) in &words {
            let forms = forms(message);
            assert_eq!(placeholders(&forms), placeholders(&self::forms(&english[id])), "{language}: {id}");
            assert!(forms.iter().all(|form| !form.trim().is_empty() && form.trim() == *form), "{language}: {id}");
        }
    }
}

#[test]
fn what_depends_on_a_number_has_every_plural_of_its_language() {
    for language in Language::ALL {
        for (id, message) in words(language) {
            let Value::Object(forms) = message else { continue };
            let found: BTreeSet<_> = forms.keys().map(String::as_str).collect();
            assert_eq!(found, plurals(language).iter().copied().collect(), "{language}: {id}");
        }
    }
}

#[test]
fn only_words_that_are_translated_are_the_same_in_two_languages() {
    // A title made of two values, and words that languages share.
    let shared = ["title.of", "ok", "doc.text", "doc.pages.one", "doc.count"];
    let english = words(Language::English);
    for language in Language::ALL.into_iter().filter(|language| *language != Language::English) {
        for (id, message) in words(language).iter().filter(|(id, _)| !shared.contains(&id.as_str())) {
            assert_ne!(message, &english[id], "{language}: {id} is English");
        }
    }
}
