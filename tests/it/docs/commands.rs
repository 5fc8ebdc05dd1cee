//! Every `chartseal …` that a document shows is understood by the program: its words and its flags.

use std::path::Path;

use super::{fenced, pages, prose};
use crate::support::program;

#[test]
fn every_command_that_a_document_shows_exists_with_its_flags() {
    let mut shown = Vec::new();
    for (name, text) in pages() {
        shown.extend(commands_in(&text).into_iter().map(|line| (name.clone(), line)));
    }
    assert!(shown.len() > 20, "only {} commands were found", shown.len());
    let wrong: Vec<String> =
        shown.iter().filter_map(|(page, line)| Some(format!("{page}: `{line}`: {}", complaint(line)?))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_wrong_command_is_noticed() {
    for (line, why) in [
        ("chartseal deliverys list", "there is no `deliverys`"),
        ("chartseal deliveries vanish ID", "there is no `vanish`"),
        ("chartseal pause --because 'x y'", "there is no flag --because"),
        ("chartseal resume now", "`now` is one word too many"),
        ("chartseal deliveries revoke --reason mistaken", "it needs more words"),
        ("chartseal backup --json", "it needs more words"),
    ] {
        assert_eq!(complaint(line).as_deref(), Some(why), "{line}");
    }
    for right in [
        "chartseal",
        "chartseal prove-shred",
        "chartseal serve --after-restore --replica b",
        "chartseal deliveries list --state review --json",
        "chartseal deliveries revoke ID --as \"Eve Admin\"   # a remark",
        "chartseal init ./here --clinic-name 'A Clinic'",
    ] {
        assert_eq!(complaint(right), None, "{right}");
    }
}

/// Lines of fenced code and inline code that begin with the program's name.
fn commands_in(text: &str) -> Vec<String> {
    let lines = fenced(text).into_iter().map(|(_, line)| line.trim().to_owned());
    let prose = prose(text);
    let inline = prose.split('`').skip(1).step_by(2).map(|code| code.split_whitespace().collect::<Vec<_>>().join(" "));
    let marks = ["$ ", "sudo ", "-u chartseal "];
    let bare = |line: String| marks.iter().fold(line.as_str(), |line, mark| line.trim_start_matches(mark)).to_owned();
    let all = lines.chain(inline).map(bare);
    all.filter(|line| line == "chartseal" || line.starts_with("chartseal ")).collect()
}

/// What the program's own help says against this line.
fn complaint(line: &str) -> Option<String> {
    let words = words_of(line);
    let mut path: Vec<&str> = Vec::new();
    let mut page = help(&path);
    let mut rest = words.iter().skip(1).map(String::as_str).peekable();
    let mut positional = 0;
    while let Some(word) = rest.next() {
        if word.starts_with('-') {
            let flag = word.split('=').next().unwrap_or(word);
            let Some(of_flag) = page.lines().find(|line| line.trim_start().starts_with(flag)) else {
                return Some(format!("there is no flag {flag}"));
            };
            if of_flag.contains('<') && !word.contains('=') {
                rest.next();
            }
        } else if is_listed(&page, word) {
            path.push(word);
            page = help(&path);
        } else if page.contains("Commands:\n") && !page.contains("Arguments:\n") {
            return Some(format!("there is no `{word}`"));
        } else {
            positional += 1;
            if positional > places(&page).count() {
                return Some(format!("`{word}` is one word too many"));
            }
        }
    }
    let needed = places(&page).filter(|place| place.starts_with('<')).count();
    // The name of a command, and nothing else, speaks of it.
    let is_name = words.len() == path.len() + 1;
    (positional < needed && !is_name).then(|| "it needs more words".to_owned())
}

/// Whether the page lists a command of this name.
fn is_listed(page: &str, word: &str) -> bool {
    let listed = page.split("Commands:\n").nth(1).unwrap_or_default();
    let names = listed.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    names.into_iter().any(|name| name == word)
}

/// The places for words in the usage line: `<ID>`, `[FOLDER]`.
fn places(page: &str) -> impl Iterator<Item = &str> {
    let usage = page.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap_or_default();
    let words = usage.split_whitespace().collect::<Vec<_>>();
    let after_flag = |at: usize| at > 0 && words[at - 1].starts_with('-');
    let places: Vec<&str> = (0..words.len())
        .filter(|at| !after_flag(*at) && words[*at] != "[OPTIONS]" && words[*at].starts_with(['<', '[']))
        .map(|at| words[at])
        .collect();
    places.into_iter()
}

fn help(path: &[&str]) -> String {
    let ran = program::run(Path::new("chartseal.toml"), &[path, &["--help"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.all());
    ran.out
}

/// As a shell would: quotes hold words together, `#` begins a remark, a pipe ends the command.
fn words_of(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut quote, mut is_open) = (None, false);
    for c in line.chars() {
        match (c, quote) {
            ('\'' | '"', None) => {
                quote = Some(c);
                if !is_open {
                    words.push(String::new());
                }
                is_open = true;
            }
            (c, Some(open)) if c == open => quote = None,
            ('#', None) if !is_open => break,
            ('|' | '>' | ';' | '&', None) => break,
            (c, None) if c.is_whitespace() => is_open = false,
            (c, _) => {
                if !is_open {
                    words.push(String::new());
                }
                is_open = true;
                words.last_mut().expect("one was pushed").push(c);
            }
        }
    }
    words
}
