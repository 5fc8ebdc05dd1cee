//! The rules themselves. Each returns its complaints as `path: what is wrong`.

use super::Source;

/// The rooms, lowest first. A room imports only from lower layers, and from its own layer only what [`NEIGHBOURS`] says.
const LAYERS: [&[&str]; 9] = [
    &["base"],
    &["policy", "record", "sealing", "signing", "audit", "paper", "foreign", "whose"],
    &["store", "fhir", "blobs", "keys", "notify", "cell", "scan"],
    &["intake", "resolve", "release", "outbox", "open", "desk", "sweep", "sign_in", "write_back"],
    &["web"],
    &["config", "app"],
    // The whole service with stand-ins around it.
    &["demo"],
    // `serve` and `demo` are commands, so the commands stand above the wiring.
    &["cli"],
    &["main", "lib", "reader"],
];

/// Who may import whom within a layer: a record knows its terms, an audit line knows what it records, what a stranger wrote
/// becomes a paper.
const NEIGHBOURS: [(&str, &str); 4] =
    [("record", "policy"), ("audit", "record"), ("foreign", "paper"), ("app", "config")];

/// What a room may not import although it lies lower.
const CLOSED_DOORS: [(&str, &str); 1] = [("web", "store")];

/// Crates that live in some rooms only.
const CONFINED_CRATES: [(&str, &[&str]); 17] = [
    ("diesel", &["store"]),
    ("diesel_migrations", &["store"]),
    ("fhirbolt", &["fhir"]),
    ("reqwest", &["fhir", "notify"]),
    ("actix_web", &["web", "app", "demo"]),
    ("lettre", &["notify"]),
    ("hickory_resolver", &["notify"]),
    ("aes_gcm", &["sealing"]),
    ("argon2", &["sealing"]),
    ("aead_stream", &["sealing"]),
    ("rsa", &["signing"]),
    ("seccompiler", &["cell"]),
    ("rustix", &["cell"]),
    ("pdf_extract", &["foreign"]),
    ("html5ever", &["foreign"]),
    ("roxmltree", &["foreign"]),
    ("unsafe", &[]),
];

const FILE_LINES_MAX: usize = 500;

/// Words that say nothing about a thing's job.
const EMPTY_WORDS: [&str; 3] = ["manager", "helper", "util"];

pub fn complaints(source: &Source) -> Vec<String> {
    let mut found = complaints_about_shape(source);
    if is_rust(&source.path) {
        let words = words_of(&without_comments_and_literals(&source.text));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let room = room_of(&source.path);
        found.extend(unknown_room(room));
        found.extend(imports(&source.path, &words).iter().filter_map(|import| forbidden_import(room, import)));
        found.extend(confined_crates(room, &words));
        found.extend(hollow_names(&words));
        if words.windows(3).any(|w| w == ["super", "::", "super"]) {
            found.push("says super::super; say crate::…".into());
        }
    }
    found.iter().map(|what| with_path(source, what)).collect()
}

/// The rules that hold for tests as well.
pub fn complaints_about_shape(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        found.push(format!("has {lines} lines; {FILE_LINES_MAX} are allowed"));
    }
    if is_rust(&source.path) && !source.text.starts_with("//! ") {
        found.push("does not begin with `//!` and its job".into());
    }
    found.extend(
        source.text.lines().filter(|line| is_nobodys_task(line)).map(|line| format!("nobody's task: {}", line.trim())),
    );
    let path = source.path.to_lowercase();
    found.extend(EMPTY_WORDS.iter().filter(|word| path.contains(*word)).map(|word| format!("is called {word}")));
    found.iter().map(|what| with_path(source, what)).collect()
}

fn with_path(source: &Source, what: &str) -> String {
    if what.starts_with(&source.path) { what.to_owned() } else { format!("{}: {what}", source.path) }
}

fn is_rust(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|kind| kind == "rs")
}

/// `src/store/links.rs` and `src/store.rs` are both the room `store`.
fn room_of(path: &str) -> &str {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
}

fn layer_of(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

fn unknown_room(room: &str) -> Option<String> {
    layer_of(room).is_none().then(|| format!("the room {room} has no layer in tests/it/tidy/rules.rs"))
}

fn forbidden_import(room: &str, import: &str) -> Option<String> {
    // What is not a room is a name re-exported or a macro at the root; rooms without a layer complain for themselves.
    let (here, there) = (layer_of(room)?, layer_of(import)?);
    let is_closed = CLOSED_DOORS.contains(&(room, import));
    let is_allowed = room == import || room == "lib" || there < here || NEIGHBOURS.contains(&(room, import));
    (is_closed || !is_allowed).then(|| format!("{room} may not import {import}"))
}

/// Every first name after `crate::` or `chartseal::`, also inside braces; and after `super::` where that is the root.
fn imports(path: &str, words: &[&str]) -> Vec<String> {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    let is_top = !inside.contains('/') || (inside.matches('/').count() == 1 && inside.ends_with("/mod.rs"));
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let leads_to_root = matches!(*word, "crate" | "chartseal") || (*word == "super" && is_top);
        if !leads_to_root || words.get(at + 1) != Some(&"::") {
            continue;
        }
        match words.get(at + 2..) {
            Some(["{", inner @ ..]) => found.extend(first_names(inner)),
            Some([name, ..]) => found.push((*name).to_owned()),
            Some([]) | None => {}
        }
    }
    found
}

/// The first names of `{a::b, c::{d, e}}`: a, c.
fn first_names(words: &[&str]) -> Vec<String> {
    let mut names = Vec::new();
    let (mut depth, mut expects_name) = (0_u32, true);
    for word in words {
        match *word {
            "{" => depth += 1,
            "}" if depth == 0 => break,
            "}" => depth -= 1,
            "," if depth == 0 => expects_name = true,
            name if depth == 0 && expects_name => {
                names.push(name.to_owned());
                expects_name = false;
            }
            _ => {}
        }
    }
    names
}

fn confined_crates(room: &str, words: &[&str]) -> Vec<String> {
    let is_strayed = |(name, rooms): &&(&str, &[&str])| words.contains(name) && !rooms.contains(&room);
    CONFINED_CRATES.iter().filter(is_strayed).map(|(name, _)| format!("{room} may not use {name}")).collect()
}

/// What a stranger's trait calls its methods.
const STRANGERS_NAMES: [&str; 2] = ["get_document", "get_template_contents"];

fn hollow_names(words: &[&str]) -> Vec<String> {
    let defines = ["struct", "enum", "trait", "type", "mod", "fn"];
    let is_hollow = |keyword: &str, name: &str| {
        let lower = name.to_lowercase();
        EMPTY_WORDS.iter().any(|word| lower.contains(word))
            || (keyword == "fn" && name.starts_with("get_") && !STRANGERS_NAMES.contains(&name))
    };
    let pairs = words.windows(2).filter(|pair| defines.contains(&pair[0]) && is_hollow(pair[0], pair[1]));
    pairs.map(|pair| format!("{} {} says nothing about its job", pair[0], pair[1])).collect()
}

/// A task without `(name)` after its mark is nobody's. Written in halves: this file obeys the rule too.
fn is_nobodys_task(line: &str) -> bool {
    [concat!("TO", "DO"), concat!("FIX", "ME")].iter().any(|mark| {
        line.match_indices(mark).any(|(at, _)| {
            let is_word = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            is_word && !line[at + mark.len()..].starts_with('(')
        })
    })
}

/// Identifiers, `::`, and every other character that is not white space, in order.
pub fn words_of(code: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut was_in_name = false;
    let mut rest = code.chars().peekable();
    while let Some(c) = rest.next() {
        let is_in_name = c.is_alphanumeric() || c == '_';
        match words.last_mut() {
            Some(word) if is_in_name && was_in_name => word.push(c),
            _ if c == ':' && rest.peek() == Some(&':') => {
                rest.next();
                words.push("::".into());
            }
            _ if c.is_whitespace() => {}
            _ => words.push(c.into()),
        }
        was_in_name = is_in_name;
    }
    words
}

/// The code with comments, strings and characters blanked out; raw strings up to two hashes.
pub fn without_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = literal_or_comment(rest, code.chars().next_back());
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[skipped..];
        }
    }
    code
}

/// How many bytes of `rest` are a comment or a literal that starts right here.
fn literal_or_comment(rest: &str, before: Option<char>) -> usize {
    let to_end_of = |from: usize, end: &str| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return to_end_of(2, "*/");
    }
    let is_in_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    for (open, close) in [("r##\"", "\"##"), ("r#\"", "\"#"), ("r\"", "\"")] {
        if rest.starts_with(open) && (!is_in_name || before == Some('b')) {
            return to_end_of(open.len(), close);
        }
    }
    if rest.starts_with('"') {
        return quoted(rest, '"');
    }
    let is_character = rest.starts_with("'\\") || (rest.starts_with('\'') && rest.chars().nth(2) == Some('\''));
    if is_character { quoted(rest, '\'') } else { 0 }
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !is_escaped {
            return at + 1;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    rest.len()
}
