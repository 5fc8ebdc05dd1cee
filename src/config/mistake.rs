//! What is wrong with a configuration: where, what was written, and what would be right.

use std::cell::RefCell;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Why there is no configuration. All of it is staff's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{} cannot be read ({kind}): run `chartseal init` to write one, or name another with --config", .path.display())]
    Unreadable { path: PathBuf, kind: std::io::ErrorKind },
    /// Never empty; in the order of the file, then of the variables' names.
    #[error("{}", listed(.0))]
    Mistakes(Vec<Mistake>),
}

fn listed(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n")
}

/// One mistake. Prints as `chartseal.toml:12:9: server.listen = "x": expected …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub place: Place,
    /// `server.listen`, `[[ehr]] number 1, "lab": base_url`; empty for the file as a whole.
    pub key: String,
    /// What was written; absent where it may be a secret, or where nothing was written.
    pub value: Option<String>,
    /// What would be right.
    pub remedy: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Line and column count from 1; columns are characters.
    File { file: Arc<str>, line: usize, column: usize },
    /// A variable of the environment.
    Variable(String),
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File { file, line, column } => write!(f, "{file}:{line}:{column}: ")?,
            Place::Variable(name) => write!(f, "{name}: ")?,
        }
        match (self.key.as_str(), &self.value) {
            ("", _) => {}
            (key, None) => write!(f, "{key}: ")?,
            (key, Some(value)) => write!(f, "{key} = {value}: ")?,
        }
        f.write_str(&self.remedy)
    }
}

/// Gathers mistakes while the reading goes on.
#[derive(Default)]
pub(super) struct Mistakes(RefCell<Vec<Mistake>>);

impl Mistakes {
    pub(super) fn add(&self, place: &Place, key: impl Into<String>, value: Option<String>, remedy: impl Into<String>) {
        let mistake = Mistake { place: place.clone(), key: key.into(), value, remedy: remedy.into() };
        self.0.borrow_mut().push(mistake);
    }

    pub(super) fn into_result(self) -> Result<(), ConfigError> {
        let mut mistakes = self.0.into_inner();
        if mistakes.is_empty() {
            return Ok(());
        }
        mistakes.sort_by(|a, b| a.place.cmp(&b.place));
        Err(ConfigError::Mistakes(mistakes))
    }
}

/// The known word that `word` was probably meant to be, as a question to put after the remedy.
pub(super) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const SIMILARITY_MIN: f64 = 0.82;
    let nearest = known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    nearest.map_or_else(String::new, |(_, candidate)| format!("; did you mean `{candidate}`?"))
}

/// A value fit for a message: quoted, cut, and without the parts of a URL or an address that may hold a
/// secret: what stands before the last `@`, and what follows the first `?` or `#`.
pub(super) fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 80;
    let (text, query) = match text.find(['?', '#']) {
        Some(at) => (text.get(..=at).unwrap_or_default(), "…"),
        None => (text, ""),
    };
    let visible = match text.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
            format!("{scheme}…@{host}{query}")
        }
        // A password may hold the ? itself, and its @ then follows.
        None if !query.is_empty() && text.contains(':') => {
            let scheme = text.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
            format!("{scheme}…")
        }
        None => format!("{text}{query}"),
    };
    let mut cut: String = visible.chars().take(SHOWN_CHARS_MAX).collect();
    if cut.len() < visible.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}
