//! Cookie and nonce: what is accepted back, and from whom.

use super::nonce::{Begun, Nonce, hash_of};
use crate::base::{Key256, UtcMillis, hours, random};

const NOW: UtcMillis = UtcMillis(1_800_000_000_000);

#[test]
fn a_nonce_is_good_only_for_its_link_its_cookie_and_its_time() {
    let pepper = Key256::new([7; 32]);
    let begun = Begun::new("link-a", None, &pepper, NOW, &mut random::system());
    let verify = |link: &str, cookie: &[u8; 32], now| Nonce::verify(&begun.nonce, link, cookie, &pepper, now).is_some();
    assert!(verify("link-a", &begun.cookie_hash, NOW.plus(hours(1))));
    assert!(!verify("link-b", &begun.cookie_hash, NOW));
    assert!(!verify("link-a", &[0; 32], NOW));
    assert!(!verify("link-a", &begun.cookie_hash, NOW.plus(hours(3))));
    assert!(Nonce::verify(&begun.nonce, "link-a", &begun.cookie_hash, &Key256::new([8; 32]), NOW).is_none());
    assert!(Nonce::verify("rubbish", "link-a", &begun.cookie_hash, &pepper, NOW).is_none());
}

#[test]
fn a_browser_keeps_its_cookie_and_a_malformed_one_is_replaced() {
    let pepper = Key256::new([7; 32]);
    let first = Begun::new("x", None, &pepper, NOW, &mut random::system());
    let again = Begun::new("x", Some(first.cookie.expose()), &pepper, NOW, &mut random::system());
    assert_eq!(again.cookie_hash, first.cookie_hash);
    let replaced = Begun::new("x", Some("; Path=/"), &pepper, NOW, &mut random::system());
    assert!(hash_of(replaced.cookie.expose()).is_some());
}
