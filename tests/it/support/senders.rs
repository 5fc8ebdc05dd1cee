//! Doubles of ours that call hooks as two kinds of EHR do that no test server here is: Medplum, and a hub of `WebSub`.
//!
//! Written after Medplum's documentation of subscriptions and the W3C's `WebSub`, §7; no code of theirs runs here.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// One call, ready to be sent.
#[derive(Clone)]
pub struct Call {
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// Signs with `secret` as its Subscription says, over the bytes that it sends.
pub struct AsMedplum {
    pub secret: &'static str,
}

/// Signs as a hub that was given `secret` at the subscription.
pub struct AsWebSub {
    pub secret: &'static str,
}

impl AsMedplum {
    /// A resource was created or updated: the resource itself.
    pub fn changed(&self, resource: &[u8]) -> Call {
        self.call("update", resource, None)
    }

    /// A resource was deleted: an empty object, and a header that names it.
    pub fn deleted(&self, reference: &str) -> Call {
        self.call("delete", b"{}", Some(reference))
    }

    fn call(&self, interaction: &str, body: &[u8], deleted: Option<&str>) -> Call {
        let mut headers = vec![
            ("Content-Type", "application/fhir+json".to_owned()),
            ("X-Medplum-Subscription", "0196a1c2-7f3e-7000-8000-000000000001".to_owned()),
            ("X-Medplum-Interaction", interaction.to_owned()),
            ("X-Signature", signature(self.secret, body)),
        ];
        headers.extend(deleted.map(|reference| ("X-Medplum-Deleted-Resource", reference.to_owned())));
        Call { headers, body: body.to_vec() }
    }
}

impl AsWebSub {
    pub fn published(&self, body: &[u8]) -> Call {
        let signature = format!("sha256={}", signature(self.secret, body));
        let kind = "application/fhir+json".to_owned();
        Call { headers: vec![("Content-Type", kind), ("X-Hub-Signature", signature)], body: body.to_vec() }
    }
}

impl Call {
    /// The same call with another value in the header `name`, which must be there.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        let header = self.headers.iter_mut().find(|(held, _)| *held == name).expect("the call has this header");
        header.1 = value.into();
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(held, _)| *held != name);
        self
    }

    /// What the header `name` says.
    pub fn header(&self, name: &str) -> &str {
        &self.headers.iter().find(|(held, _)| *held == name).expect("the call has this header").1
    }
}

/// HMAC-SHA256 in lower-case hexadecimal.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
    mac.update(body);
    HEXLOWER.encode(&mac.finalize().into_bytes())
}
