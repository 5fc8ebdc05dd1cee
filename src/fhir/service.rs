//! The FHIR service base, and what a reference means when read from it.

use url::Url;

use crate::base::{FhirId, VersionId};

/// `https://ehr.example/fhir/`: always ends in a slash, holds no query, fragment or user.
#[derive(Clone)]
pub struct ServiceBase(Url);

/// What a reference points at, if it is a resource of this server.
pub(super) enum Target<'a> {
    Here { kind: &'a str, id: FhirId },
    Contained,
    Elsewhere,
    Unclear,
}

impl ServiceBase {
    /// `None` unless `url` is an http(s) URL with a host and without user, query or fragment.
    #[must_use]
    pub fn new(mut url: Url) -> Option<Self> {
        let plain = matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain {
            return None;
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Some(Self(url))
    }

    pub(super) fn url(&self) -> &Url {
        &self.0
    }

    /// The base with `segments` appended, each escaped.
    pub(super) fn at(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    /// `reference` without this base, if it stands under it.
    pub(super) fn relative<'a>(&self, reference: &'a str) -> &'a str {
        reference.strip_prefix(self.0.as_str()).unwrap_or(reference)
    }

    /// A literal reference, relative or absolute under this base
    /// (<https://hl7.org/fhir/R4/references.html#literal>).
    pub(super) fn target<'a>(&self, reference: &'a str) -> Target<'a> {
        if reference.starts_with('#') {
            return Target::Contained;
        }
        let relative = self.relative(reference);
        if relative.contains("://") {
            return Target::Elsewhere;
        }
        match split_reference(relative) {
            Some((kind, id, _)) => Target::Here { kind, id },
            None => Target::Unclear,
        }
    }
}

/// `Type/id` or `Type/id/_history/v`, nothing before or after.
pub(super) fn split_reference(relative: &str) -> Option<(&str, FhirId, Option<VersionId>)> {
    let mut parts = relative.split('/');
    let (kind, id) = (parts.next()?, FhirId::parse(parts.next()?).ok()?);
    if kind.is_empty() || !kind.bytes().all(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    let version = match (parts.next(), parts.next()) {
        (None, None) => None,
        (Some("_history"), Some(version)) => Some(VersionId::parse(version).ok()?),
        (None | Some(_), None | Some(_)) => return None,
    };
    if parts.next().is_some() { None } else { Some((kind, id, version)) }
}
