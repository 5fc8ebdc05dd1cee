//! The headers of every answer, and the reasons to refuse a request by its headers alone.

use actix_web::HttpRequest;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::Url;

/// Trusted Types name one policy: the page makes its workers' own addresses with it. Safari before 15.5 does not know
/// `worker-src` and asks `child-src` about workers; that one would let frames in too, so frames are refused by name.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' blob:; font-src 'self'; connect-src 'self'; worker-src 'self'; child-src 'self'; \
     frame-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types chartseal-worker";

/// `web-share` is ours to use without being named, and Chromium complains of the name where it cannot share.
const PERMISSIONS_POLICY: &str = "accelerometer=(), autoplay=(), browsing-topics=(), camera=(), \
     clipboard-read=(), clipboard-write=(self), display-capture=(), encrypted-media=(), fullscreen=(), gamepad=(), \
     geolocation=(), gyroscope=(), hid=(), idle-detection=(), interest-cohort=(), local-fonts=(), magnetometer=(), \
     microphone=(), midi=(), payment=(), picture-in-picture=(), publickey-credentials-get=(), screen-wake-lock=(), \
     serial=(), storage-access=(), usb=(), window-management=(), xr-spatial-tracking=()";

/// Two years, as browsers' preload lists ask for.
const STRICT_TRANSPORT_SECURITY: &str = "max-age=63072000; includeSubDomains";

const ALWAYS: [(HeaderName, &str); 8] = [
    (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
    (header::PERMISSIONS_POLICY, PERMISSIONS_POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
    (header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"),
    (HeaderName::from_static("x-robots-tag"), "noindex, nofollow, noarchive"),
];

/// Whether patients reach us by https. Browsers must then never try without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Https,
    /// Only on this machine itself: the configuration refuses it elsewhere.
    Plain,
}

impl Transport {
    pub(super) fn of(url: &Url) -> Self {
        if url.scheme() == "https" { Self::Https } else { Self::Plain }
    }
}

pub(super) fn put(headers: &mut HeaderMap, transport: Transport) {
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    match transport {
        Transport::Https => {
            let value = HeaderValue::from_static(STRICT_TRANSPORT_SECURITY);
            headers.insert(header::STRICT_TRANSPORT_SECURITY, value);
        }
        Transport::Plain => {}
    }
}

/// What a request's headers say of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// Our own page, as far as the browser tells; an old one tells nothing.
    OurPage,
    /// Another site, or a browser that only guesses what may be wanted.
    Stranger,
}

/// What a browser writes for an origin that it does not tell.
const UNTOLD_ORIGIN: &str = "null";

/// Judges by `Origin`, `Sec-Fetch-Site`, `Sec-Purpose` and `Purpose`. Absence is neutral: old web views send none. So is
/// `Origin: null`: our own page asks for `no-referrer`, and older Firefox then hides its origin even from us. Browsers
/// new enough to say `Sec-Fetch-Site` are judged by that.
pub(super) fn sender(request: &HttpRequest, our_origin: &str) -> Sender {
    let headers = request.headers();
    let says = |name: &str, allowed: &[&str]| {
        headers.get_all(name).all(|value| allowed.iter().any(|allowed| value.as_bytes() == allowed.as_bytes()))
    };
    let prefetches = |name: &str| {
        headers
            .get_all(name)
            .any(|value| value.to_str().is_ok_and(|text| text.to_ascii_lowercase().contains("prefetch")))
    };
    let foreign = !says("Origin", &[our_origin, UNTOLD_ORIGIN]) || !says("Sec-Fetch-Site", &["same-origin"]);
    if foreign || prefetches("Sec-Purpose") || prefetches("Purpose") { Sender::Stranger } else { Sender::OurPage }
}
