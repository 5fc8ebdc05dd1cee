//! The page's own files, carried in the binary, under an address that changes with their content.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write as _;
use std::sync::LazyLock;

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::RustEmbed;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::answers;
use crate::base::Language;

#[derive(RustEmbed)]
#[folder = "src/web/page/"]
struct Assets;

/// Bytes of the digest in the address.
const HASH_BYTES: usize = 12;
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// One name for all files, so that modules that import each other always come from one release.
static HASH: LazyLock<String> = LazyLock::new(|| {
    let mut names: Vec<_> = Assets::iter().collect();
    names.sort();
    let mut digest = Sha256::new();
    for name in names {
        digest.update(name.as_bytes());
        digest.update([0]);
        if let Some(file) = Assets::get(&name) {
            digest.update(file.metadata.sha256_hash());
        }
    }
    data_encoding::HEXLOWER.encode(digest.finalize().as_slice().get(..HASH_BYTES).unwrap_or_default())
});

/// The larger files as gzip, packed once: the PDF reader alone is 1.4 MB, half a minute on a slow phone.
static PACKED: LazyLock<HashMap<String, Bytes>> = LazyLock::new(|| {
    let packs = |name: &str| {
        type_of(name).is_some_and(|kind| kind.starts_with("text/") || kind == "application/json" || kind == "font/ttf")
    };
    Assets::iter()
        .filter(|name| packs(name))
        .filter_map(|name| {
            let file = Assets::get(&name)?;
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&file.data).ok()?;
            Some((name.into_owned(), Bytes::from(encoder.finish().ok()?)))
        })
        .collect()
});

/// Packs and hashes now, at start, and not when the first patient waits.
pub(super) fn prepare() {
    LazyLock::force(&HASH);
    LazyLock::force(&PACKED);
}

/// The path that the page writes before its files' names, such as `/assets/0123456789abcdef01234567`.
pub(super) fn base() -> String {
    format!("/assets/{}", *HASH)
}

/// The page's words in one language, by message id: a text, or its forms by plural.
pub(super) fn words(language: Language) -> Map<String, Value> {
    let file = Assets::get(&format!("words/{language}.json"));
    file.and_then(|file| serde_json::from_slice(&file.data).ok()).unwrap_or_default()
}

pub(super) async fn asset(request: HttpRequest, path: web::Path<(String, String)>) -> HttpResponse {
    let (hash, name) = path.into_inner();
    if hash != *HASH {
        return answers::nothing_here();
    }
    let (Some(kind), Some(file)) = (type_of(&name), Assets::get(&name)) else { return answers::nothing_here() };
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::CACHE_CONTROL, FOR_EVER))
        .insert_header((header::CONTENT_TYPE, kind))
        .insert_header((header::VARY, "Accept-Encoding"));
    if let Some(packed) = PACKED.get(&name).filter(|_| takes_gzip(&request)) {
        return response.insert_header((header::CONTENT_ENCODING, "gzip")).body(packed.clone());
    }
    match file.data {
        Cow::Borrowed(bytes) => response.body(bytes),
        Cow::Owned(bytes) => response.body(bytes),
    }
}

/// RFC 9110 §12.5.3; every browser writes `gzip` without a weight.
fn takes_gzip(request: &HttpRequest) -> bool {
    let accepted = request.headers().get_all(header::ACCEPT_ENCODING).filter_map(|value| value.to_str().ok());
    accepted.flat_map(|list| list.split(',')).any(|coding| coding.trim().eq_ignore_ascii_case("gzip"))
}

/// `None` for what is no part of the page: its template, and notes for those who build it.
fn type_of(name: &str) -> Option<&'static str> {
    let file = name.rsplit_once('/').map_or(name, |(_, file)| file);
    Some(match file.rsplit_once('.').map_or(file, |(_, extension)| extension) {
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "ttf" => "font/ttf",
        "bcmap" | "pfb" => "application/octet-stream",
        "LICENSE" | "LICENSE_FOXIT" | "LICENSE_LIBERATION" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
