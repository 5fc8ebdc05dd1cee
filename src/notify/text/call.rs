//! A call of a gateway as it came over HTTP, before anybody believes it.

use super::webhook::Signed;

/// What the edge hands over. Everything in it may be forged.
#[derive(Clone, Copy)]
pub struct TextCall<'a> {
    pub is_post: bool,
    /// The public address that was called, with its query: as configured, not as the caller says.
    pub url: &'a str,
    pub query: &'a str,
    pub body: &'a [u8],
    pub twilio_signature: Option<&'a [u8]>,
    pub webhook_id: Option<&'a str>,
    pub webhook_timestamp: Option<&'a str>,
    pub webhook_signature: Option<&'a str>,
}

impl<'a> TextCall<'a> {
    /// The fields of a posted form.
    pub(super) fn form(&self) -> Option<Vec<(String, String)>> {
        self.is_post.then(|| pairs(self.body))
    }

    /// What the query of a GET says.
    pub(super) fn asked(&self) -> Option<Vec<(String, String)>> {
        (!self.is_post).then(|| pairs(self.query.as_bytes()))
    }

    pub(super) fn signed(&self) -> Option<Signed<'a>> {
        let signature = self.webhook_signature?;
        self.is_post.then_some(Signed { id: self.webhook_id?, timestamp: self.webhook_timestamp?, signature })
    }
}

fn pairs(encoded: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(encoded).into_owned().collect()
}
