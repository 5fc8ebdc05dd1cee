//! Signatures that another implementation takes, names that never change, and turns.

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA384, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::Value;

use super::*;
use crate::base::{UtcMillis, hours, random};

const NOW: UtcMillis = UtcMillis(1_780_000_000_500);

fn claims() -> Claims<'static> {
    Claims { client_id: "link-svc", audience: "https://ehr.test/auth/token", now: NOW }
}

fn part(text: &str) -> Value {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(text.as_bytes()).unwrap()).unwrap()
}

fn bytes(jwk: &Value, member: &str) -> Vec<u8> {
    BASE64URL_NOPAD.decode(jwk[member].as_str().unwrap().as_bytes()).unwrap()
}

/// By the public half alone, as an EHR would.
fn verifies(jwk: &Value, message: &[u8], signature: &[u8]) -> bool {
    if jwk["kty"] == "RSA" {
        let public = RsaPublicKeyComponents { n: bytes(jwk, "n"), e: bytes(jwk, "e") };
        return public.verify(&RSA_PKCS1_2048_8192_SHA384, message, signature).is_ok();
    }
    let point = [vec![4], bytes(jwk, "x"), bytes(jwk, "y")].concat();
    UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature).is_ok()
}

#[test]
fn an_assertion_says_what_smart_asks_and_verifies_with_the_published_half() {
    for algorithm in Algorithm::ALL {
        let (key, private) = SigningKey::make(algorithm).unwrap();
        let assertion = key.assertion(&claims(), &mut random::system()).unwrap();
        let [header, body, signature]: [&str; 3] =
            assertion.expose().split('.').collect::<Vec<_>>().try_into().unwrap();
        let jwk = key.public().jwk();
        assert_eq!(part(header)["alg"], algorithm.as_str());
        assert_eq!((&part(header)["kid"], &part(header)["typ"]), (&jwk["kid"], &Value::from("JWT")));
        assert_eq!(part(header).as_object().unwrap().len(), 3, "no jku, no x5u");
        let said = part(body);
        assert_eq!((&said["iss"], &said["sub"]), (&Value::from("link-svc"), &Value::from("link-svc")));
        assert_eq!(said["aud"], "https://ehr.test/auth/token");
        assert_eq!(said["exp"].as_i64(), Some(1_780_000_240), "four minutes");
        let message = format!("{header}.{body}");
        let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
        assert!(verifies(jwk, message.as_bytes(), &signature));
        assert!(!verifies(jwk, b"something else", &signature));

        let again = SigningKey::read(algorithm, private.expose()).unwrap();
        assert_eq!(again.public(), key.public(), "the same pair after it was kept");
        let repeated = again.assertion(&claims(), &mut random::system()).unwrap();
        let jti = |text: &str| part(text.split('.').nth(1).unwrap())["jti"].clone();
        assert_ne!(jti(repeated.expose()), said["jti"], "each assertion is another one");
    }
}

#[test]
fn a_public_half_holds_nothing_private() {
    for algorithm in Algorithm::ALL {
        let (key, _) = SigningKey::make(algorithm).unwrap();
        for secret in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert!(key.public().jwk().get(secret).is_none(), "{algorithm} shows {secret}");
        }
    }
}

#[test]
fn what_is_no_private_half_of_the_algorithm_is_not_taken() {
    let (_, ec) = SigningKey::make(Algorithm::Es384).unwrap();
    assert!(matches!(SigningKey::read(Algorithm::Rs384, ec.expose()), Err(SigningError::Unreadable)));
    assert!(matches!(SigningKey::read(Algorithm::Es384, b""), Err(SigningError::Unreadable)));
}

#[test]
fn a_pair_takes_over_when_it_is_time_and_was_published_long_enough() {
    let every = RotateEvery::Every(hours(24));
    let ago = |h: u64| NOW.minus(hours(h));
    assert_eq!(take_over(RotateEvery::Never, ago(10_000), ago(10_000), NOW), TakeOver::NotDue);
    assert_eq!(take_over(every, ago(23), ago(23), NOW), TakeOver::NotDue);
    assert_eq!(take_over(every, ago(24), ago(1), NOW), TakeOver::Now);
    let at = NOW.plus(PUBLISHED_MIN);
    assert_eq!(take_over(every, ago(24), NOW, NOW), TakeOver::TooEarly { at });
}

#[test]
fn what_readers_may_keep_is_old_before_a_new_pair_signs() {
    assert!(JWKS_KEPT_BY_READERS * 2 < PUBLISHED_MIN);
}
