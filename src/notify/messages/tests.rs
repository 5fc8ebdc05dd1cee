//! Texts that clinics write, and ours.

use super::*;

const KEY: MessageKey = MessageKey { language: Language::German, kind: NoticeKind::New, naming: Naming::Named };
const BARE: MessageKey = MessageKey { naming: Naming::Bare, ..KEY };
const WAITING: MessageKey = MessageKey { kind: NoticeKind::Waiting, ..KEY };

fn faults(text: &str, key: MessageKey) -> Vec<String> {
    MessageText::parse(text, key).map_or_else(|faults| faults.iter().map(ToString::to_string).collect(), |_| Vec::new())
}

#[test]
fn each_of_our_own_texts_passes_what_we_ask_of_a_clinics() {
    for key in MessageKey::all() {
        let text = MessageText::parse(built_in(key), key);
        assert!(text.is_ok(), "{}: {:?}", key.file(), faults(built_in(key), key));
        let remarks = lint::remarks(&text.unwrap(), key, "Lakeside Fertility Clinic");
        assert_eq!(remarks, Vec::new(), "{}", key.file());
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_what_would_be_right() {
    let good = built_in(KEY);
    assert_eq!(faults(good, KEY), Vec::<String>::new());
    for (from, to, expected) in [
        ("{reference}", "", "the reference by which staff find it is missing; write {reference}"),
        ("{until}", "bald", "it does not say when the link ends; write {until}"),
        ("\n{link}\n", "\n", "the link is missing; write {link} on a line of its own"),
        ("\n{link}\n", "\nHier: {link}\n", "line 10: the link stands within a line; write {link} on a line of its own"),
        ("\n{link}\n", "\n{link}\n\n{link}\n", "line 12: the link is there twice; write {link} once"),
        (
            "{clinic} hat",
            "{patient} hat",
            "line 6: there is no {patient}; nothing of a patient or a report can be put into",
        ),
        ("{clinic} hat", "{sent} hat", "line 6: {sent} says nothing in a message of this kind; write {link}, {until}"),
        ("{clinic} hat", "{clinic hat", "line 6: a '{' has no '}'; write placeholders as {clinic}"),
        (
            "{clinic} hat",
            "https://praxis.test hat",
            "line 6: it holds an address; the only link in a message is {link}",
        ),
        ("Subject: Ein", "Subject: {reference} Ein", "line 1: only {clinic} may stand in this line"),
        (
            "Subject: Ein",
            &format!("Subject: {}", "lang ".repeat(20)),
            "line 1: the subject is longer than 70 characters",
        ),
        ("Subject:", "Betreff:", "line 1: \"Betreff\" is nothing that a message's head has"),
        ("Title: Ein neues Dokument für Sie\n", "", "line 1: \"Title\" is missing; write \"Title: …\""),
        ("Button: ", "Title: ", "line 3: \"Title\" is there twice; write it once"),
        ("Button: Zum", "Button: {clinic}", "line 3: this line is the same in every message"),
        ("{clinic} hat", "{clinic}\u{202e} hat", "line 6: it holds a control or invisible character"),
    ] {
        assert!(good.contains(from), "{from:?}");
        let found = faults(&good.replacen(from, to, 1), KEY);
        assert!(found.iter().any(|fault| fault.contains(expected)), "{expected}: {found:?}");
    }
}

#[test]
fn a_bare_message_cannot_name_the_clinic() {
    let found = faults(&built_in(BARE).replacen("Ein neues", "{clinic}: Ein neues", 1), BARE);
    assert!(
        found[0].contains("line 1: {clinic} names the clinic; a bare message does not say who sent it"),
        "{found:?}"
    );
}

#[test]
fn a_message_that_only_says_that_one_waits_has_no_link() {
    let found = faults(&built_in(WAITING).replacen("\n---\n", "\n{link}\n", 1), WAITING);
    assert!(found.iter().any(|fault| fault.contains("this message has no link to show")), "{found:?}");
}

#[test]
fn words_that_tell_of_the_report_are_remarked() {
    let text = built_in(BARE).replacen("Ein neues Dokument liegt", "Ihr Laborbefund der Hautklinik liegt", 1);
    let text = MessageText::parse(&text, BARE).unwrap();
    let remarks = lint::remarks(&text, BARE, "Hautklinik am See");
    let told = |word: &str| Remark::TellsOfTheReport { word: word.to_owned() };
    assert_eq!(remarks, [told("laborbefund"), Remark::NamesTheClinic { word: "hautklinik".to_owned() }]);
}

#[test]
fn a_clinics_folder_takes_the_place_of_ours_file_by_file_and_a_mistyped_name_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let german = folder.path().join("de");
    std::fs::create_dir(&german).unwrap();
    let own = built_in(KEY).replace("Zum Dokument", "Jetzt lesen");
    std::fs::write(german.join("new.txt"), own).unwrap();
    let messages = Messages::read(folder.path()).unwrap();
    assert_eq!(messages.own_keys().collect::<Vec<_>>(), [KEY]);
    assert_eq!(messages.text(KEY).unwrap().button.as_deref(), Some("Jetzt lesen"));
    assert_eq!(messages.text(BARE).unwrap().button.as_deref(), Some("Zum Dokument"));

    std::fs::write(german.join("nwe.txt"), "").unwrap();
    std::fs::write(german.join("updated.txt"), "Subject: x\n").unwrap();
    std::fs::create_dir(folder.path().join("nl")).unwrap();
    let errors = Messages::read(folder.path()).unwrap_err();
    let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
    for expected in [
        "nl: no message is called so; write a folder for a language: en, es, pl, de, fr",
        "nwe.txt: no message is called so; write one of new, updated, reminder, waiting, each with .txt",
        "updated.txt: line 1: \"Title\" is missing",
    ] {
        assert!(told.iter().any(|error| error.contains(expected)), "{expected}: {told:?}");
    }
}
