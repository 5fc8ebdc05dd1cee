//! The words of every message: ours in each language, and those that a clinic puts in their place.
//!
//! Job: find the text for a language, a kind and whether the clinic may be named; read a clinic's own.
//! Must stay true: each text was judged whole when it was read ([`text`]), so that no message can lack its link, its end or its
//! reference, or hold anything of a patient; what a clinic does not write, we do.
//! Must not know: any notice, any patient.

mod leaflet;
mod lint;
mod specialty;
mod text;
mod when;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use chrono_tz::Tz;

use super::template::NoticeKind;
use crate::base::{Language, UtcMillis};

pub use leaflet::{LeafletFacts, leaflet};
pub use lint::Remark;
pub use specialty::specialty_in;
pub(super) use text::{Block, MessageText, Piece, Placeholder};
pub use text::{Fault, SUBJECT_CHARACTERS_MAX};

/// Largest file of a clinic's own message, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024;

/// Whether a message names the clinic, or could be read over a shoulder without saying who sent it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Naming {
    Named,
    Bare,
}

/// Which of the texts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MessageKey {
    pub language: Language,
    pub kind: NoticeKind,
    pub naming: Naming,
}

/// The texts of one clinic.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    own: BTreeMap<MessageKey, MessageText>,
}

/// What is wrong with a clinic's own messages.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MessagesError {
    #[error("{}: {fault}", file.display())]
    Fault { file: PathBuf, fault: Fault },
    #[error("{}: no message is called so; write {expected}", file.display())]
    NotAMessage { file: PathBuf, expected: String },
    #[error("{}: it cannot be read ({kind})", file.display())]
    Unreadable { file: PathBuf, kind: std::io::ErrorKind },
    #[error("{}: it is larger than 16 KiB, which no message needs", file.display())]
    TooLarge { file: PathBuf },
}

static OURS: LazyLock<BTreeMap<MessageKey, MessageText>> = LazyLock::new(|| {
    let read = |key: MessageKey| MessageText::parse(built_in(key), key).ok().map(|text| (key, text));
    MessageKey::all().filter_map(read).collect()
});

impl Naming {
    pub const ALL: [Self; 2] = [Self::Named, Self::Bare];
}

impl MessageKey {
    pub fn all() -> impl Iterator<Item = Self> {
        let kinds = |language| NoticeKind::ALL.into_iter().map(move |kind| (language, kind));
        let named = |(language, kind)| Naming::ALL.into_iter().map(move |naming| Self { language, kind, naming });
        Language::ALL.into_iter().flat_map(kinds).flat_map(named)
    }

    /// The file in a clinic's folder: `de/new.txt`, `de/new.bare.txt`.
    #[must_use]
    pub fn file(self) -> String {
        let bare = match self.naming {
            Naming::Named => "",
            Naming::Bare => ".bare",
        };
        format!("{}/{}{bare}.txt", self.language, self.kind.as_str())
    }
}

impl Messages {
    /// Reads the messages in `folder`; those that it has not are ours.
    ///
    /// # Errors
    /// Everything that is wrong in any of the files.
    pub fn read(folder: &Path) -> Result<Self, Vec<MessagesError>> {
        let (mut own, mut errors) = (BTreeMap::new(), strangers(folder));
        for key in MessageKey::all() {
            let file = folder.join(key.file());
            match read_text(&file) {
                Ok(None) => {}
                Ok(Some(text)) => match MessageText::parse(&text, key) {
                    Ok(text) => drop(own.insert(key, text)),
                    Err(faults) => {
                        errors
                            .extend(faults.into_iter().map(|fault| MessagesError::Fault { file: file.clone(), fault }));
                    }
                },
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(Self { own }) } else { Err(errors) }
    }

    /// `None` cannot be: we have a text for every key.
    pub(super) fn text(&self, key: MessageKey) -> Option<&MessageText> {
        self.own.get(&key).or_else(|| OURS.get(&key))
    }

    /// Those that the clinic wrote.
    pub fn own_keys(&self) -> impl Iterator<Item = MessageKey> {
        self.own.keys().copied()
    }

    /// What is allowed and yet unwise, in each text that the clinic wrote.
    #[must_use]
    pub fn remarks(&self, clinic_name: &str) -> Vec<(MessageKey, Remark)> {
        let of = |(key, text): (&MessageKey, &MessageText)| {
            lint::remarks(text, *key, clinic_name).into_iter().map(|remark| (*key, remark)).collect::<Vec<_>>()
        };
        self.own.iter().flat_map(of).collect()
    }
}

/// Our own text, as a clinic may begin with it.
#[must_use]
pub fn built_in(key: MessageKey) -> &'static str {
    macro_rules! files {
        ($folder:literal) => {
            match (key.kind, key.naming) {
                (NoticeKind::New, Naming::Named) => {
                    include_str!(concat!("../../../templates/notify/", $folder, "/new.txt"))
                }
                (NoticeKind::New, Naming::Bare) => {
                    include_str!(concat!("../../../templates/notify/", $folder, "/new.bare.txt"))
                }
                (NoticeKind::Updated, Naming::Named) => {
                    include_str!(concat!("../../../templates/notify/", $folder, "/updated.txt"))
                }
                (NoticeKind::Updated, Naming::Bare) => {
                    include_str!(concat!("../../../templates/notify/", $folder, "/updated.bare.txt"))
                }
                (NoticeKind::Reminder, Naming::Named) => {
                    include_str!(concat!("../../../templates/notify/", $folder, "/reminder.txt"))
                }
                (NoticeKind::Reminder, Naming::Bare) => {
                    include_str!(concat!("../../../templates/notify/", $folder, "/reminder.bare.txt"))
                }
                (NoticeKind::Waiting, Naming::Named) => {
                    include_str!(concat!("../../../templates/notify/", $folder, "/waiting.txt"))
                }
                (NoticeKind::Waiting, Naming::Bare) => {
                    include_str!(concat!("../../../templates/notify/", $folder, "/waiting.bare.txt"))
                }
            }
        };
    }
    match key.language {
        Language::English => files!("en"),
        Language::Spanish => files!("es"),
        Language::Polish => files!("pl"),
        Language::German => files!("de"),
        Language::French => files!("fr"),
    }
}

/// When something is, in words: `Tuesday, 24 November 2026, 16:05 (Chicago time)`.
#[must_use]
pub fn day_and_time(at: UtcMillis, zone: Tz, language: Language) -> String {
    when::day_and_time(at, zone, language)
}

/// `24 November`
#[must_use]
pub fn day(at: UtcMillis, zone: Tz, language: Language) -> String {
    when::day(at, zone, language)
}

fn read_text(file: &Path) -> Result<Option<String>, MessagesError> {
    let unreadable = |error: std::io::Error| MessagesError::Unreadable { file: file.to_owned(), kind: error.kind() };
    match fs::metadata(file) {
        Ok(about) if about.len() > FILE_BYTES_MAX => Err(MessagesError::TooLarge { file: file.to_owned() }),
        Ok(_) => fs::read_to_string(file).map(Some).map_err(unreadable),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(error)),
    }
}

/// Files that no message is read from: a typing mistake would otherwise send our words, and nobody would know why.
fn strangers(folder: &Path) -> Vec<MessagesError> {
    let known: Vec<PathBuf> = MessageKey::all().map(|key| folder.join(key.file())).collect();
    let languages: Vec<PathBuf> = Language::ALL.into_iter().map(|language| folder.join(language.as_str())).collect();
    let mut found = Vec::new();
    let mut look = |folder: &Path, expected: &[PathBuf], says: &str| match entries(folder) {
        Ok(all) => {
            let strange = all.into_iter().filter(|path| !expected.contains(path));
            found.extend(strange.map(|file| MessagesError::NotAMessage { file, expected: says.to_owned() }));
        }
        Err(error) => found.push(error),
    };
    look(folder, &languages, "a folder for a language: en, es, pl, de, fr");
    let kinds = NoticeKind::ALL.map(NoticeKind::as_str).join(", ");
    for language in languages.iter().filter(|language| language.exists()) {
        look(language, &known, &format!("one of {kinds}, each with .txt or .bare.txt behind it"));
    }
    found
}

/// What lies in a folder, but for what editors and systems hide there.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, MessagesError> {
    let unreadable = |error: std::io::Error| MessagesError::Unreadable { file: folder.to_owned(), kind: error.kind() };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests;
