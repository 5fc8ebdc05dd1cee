//! Whether an EHR granted what was asked for
//! (<https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html>).

/// What the EHR granted last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    AsAsked,
    /// Without these of the scopes that were asked for.
    Less {
        lacking: Vec<String>,
    },
}

impl Granted {
    /// An EHR that names no scope grants what was asked for (RFC 6749 §5.1).
    pub(super) fn of(asked: &str, granted: Option<&str>) -> Self {
        let Some(granted) = granted else { return Self::AsAsked };
        let words: Vec<&str> = granted.split_ascii_whitespace().collect();
        let covered = |asked: &str| words.contains(&asked) || is_covered(asked, &words);
        let lacking: Vec<String> =
            asked.split_ascii_whitespace().filter(|asked| !covered(asked)).map(str::to_owned).collect();
        if lacking.is_empty() { Self::AsAsked } else { Self::Less { lacking } }
    }
}

/// What was heard, and whether staff were told.
#[derive(Default)]
pub(super) struct News {
    heard: Option<Granted>,
    told: Option<Granted>,
}

impl News {
    pub(super) fn heard(&mut self, granted: Granted) {
        self.heard = Some(granted);
    }

    pub(super) fn untold(&self) -> Option<Granted> {
        self.heard.clone().filter(|heard| self.told.as_ref() != Some(heard))
    }

    pub(super) fn told(&mut self, granted: &Granted) {
        self.told = Some(granted.clone());
    }
}

/// All that `asked` allows is allowed by `granted` together, of one type or of all.
fn is_covered(asked: &str, granted: &[&str]) -> bool {
    let Some((kind, wanted)) = of_system(asked) else { return false };
    let allows = |letter: char| {
        granted
            .iter()
            .filter_map(|scope| of_system(scope))
            .any(|(of, letters)| (of == "*" || of == kind) && letters.contains(letter))
    };
    !wanted.is_empty() && wanted.chars().all(allows)
}

/// `system/Patient.rs`, and `system/Patient.read` as the first version wrote it: the type and the letters. One with a search
/// behind it covers less than it seems, and is compared as a word.
fn of_system(scope: &str) -> Option<(&str, &str)> {
    let (kind, may) = scope.strip_prefix("system/")?.split_once('.')?;
    let letters = match may {
        "read" => "rs",
        "write" => "cud",
        "*" => "cruds",
        letters if letters.chars().all(|letter| "cruds".contains(letter)) => letters,
        _ => return None,
    };
    Some((kind, letters))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_13_a_narrower_scope_is_noticed_and_another_spelling_is_not_narrower() {
        let asked = "system/DiagnosticReport.rs system/Patient.rs system/Subscription.cruds";
        for (granted, lacking) in [
            ("system/*.cruds", ""),
            ("system/*.read system/*.write", ""),
            ("system/*.*", ""),
            ("system/Patient.r system/Patient.s system/DiagnosticReport.cruds system/Subscription.*", ""),
            ("system/Patient.rs system/DiagnosticReport.rs system/Subscription.r", "system/Subscription.cruds"),
            ("system/*.read", "system/Subscription.cruds"),
            ("system/Patient.rs?category=LAB", asked),
            ("user/*.cruds patient/*.cruds", asked),
            ("", asked),
        ] {
            let expected: Vec<String> = lacking.split_ascii_whitespace().map(str::to_owned).collect();
            let expected = if expected.is_empty() { Granted::AsAsked } else { Granted::Less { lacking: expected } };
            assert_eq!(Granted::of(asked, Some(granted)), expected, "{granted}");
        }
        assert_eq!(Granted::of(asked, None), Granted::AsAsked);
        assert_eq!(Granted::of("fhir.all", Some("fhir.all openid")), Granted::AsAsked);
    }
}
