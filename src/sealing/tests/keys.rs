//! The key schedule, its proofs, wrapping, and the keys that come from the root key.

use std::collections::BTreeMap;

use aes_gcm::aead::{Aead, Payload};
use serde::Deserialize;

use super::*;
use crate::base::{Key256, LinkSecret, random};
use crate::sealing::wrap::cipher;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScheduleVector {
    link: LinkId,
    secret: String,
    share: String,
    content: String,
    auth: String,
    receipt: String,
    nonce: String,
    cookie_hash: String,
    proof: String,
    receipt_decrypted: String,
    receipt_failed: String,
}

#[test]
fn the_key_schedule_and_its_proofs_give_the_published_values() {
    let vector: ScheduleVector = read_json(&vectors_folder().join("schedule.json"));
    let secret = LinkSecret::new(bytes_of(&vector.secret));
    let share = Key256::new(bytes_of(&vector.share));
    let cookie_hash = bytes_of(&vector.cookie_hash);

    let content = ContentKey::derive(&secret, &share, &vector.link);
    assert_eq!(HEXLOWER.encode(content.key().expose()), vector.content);
    let auth = AuthKey::derive(&secret, &vector.link);
    assert_eq!(HEXLOWER.encode(auth.expose()), vector.auth);
    let receipt_key = ReceiptKey::derive(&secret, &vector.link);
    assert_eq!(HEXLOWER.encode(receipt_key.expose()), vector.receipt);

    let given = proof(&auth, &from_hex(&vector.nonce), &vector.link, &cookie_hash);
    assert_eq!(HEXLOWER.encode(&given), vector.proof);
    for (outcome, expected) in
        [(ReceiptOutcome::Decrypted, vector.receipt_decrypted), (ReceiptOutcome::Failed, vector.receipt_failed)]
    {
        let given = receipt(&receipt_key, outcome, &vector.link, &cookie_hash);
        assert_eq!(HEXLOWER.encode(&given), expected);
    }
}

#[test]
fn a_proof_holds_for_its_own_key_nonce_link_and_cookie_only() {
    let (key, other_key) = (AuthKey::from_slice(&[1; 32]).unwrap(), AuthKey::from_slice(&[2; 32]).unwrap());
    let other_link = LinkId::parse("AAAAAAAAAAAAAAAA").unwrap();
    let given = proof(&key, b"nonce", &link(), &[3; 32]);

    let proven = verify_proof(&key, b"nonce", &link(), &[3; 32], &given);
    assert_eq!(proven.as_ref().map(HolderProven::link), Some(&link()));
    assert_eq!(verify_proof(&other_key, b"nonce", &link(), &[3; 32], &given), None);
    assert_eq!(verify_proof(&key, b"nonc", &link(), &[3; 32], &given), None);
    assert_eq!(verify_proof(&key, b"nonce", &other_link, &[3; 32], &given), None);
    assert_eq!(verify_proof(&key, b"nonce", &link(), &[4; 32], &given), None);
    assert_eq!(verify_proof(&key, b"nonce", &link(), &[3; 32], &given[..31]), None);
    assert_eq!(verify_proof(&key, b"nonce", &link(), &[3; 32], b""), None);
}

#[test]
fn a_receipt_holds_for_its_own_outcome_only() {
    let key = ReceiptKey::from_slice(&[1; 32]).unwrap();
    for said in ReceiptOutcome::ALL {
        let given = receipt(&key, said, &link(), &[3; 32]);
        for asked in ReceiptOutcome::ALL {
            assert_eq!(verify_receipt(&key, asked, &link(), &[3; 32], &given), asked == said);
        }
        assert!(!verify_receipt(&key, said, &link(), &[4; 32], &given));
        assert!(!verify_receipt(&key, said, &link(), &[3; 32], b""));
    }
}

#[test]
fn stored_keys_read_back_and_other_lengths_do_not() {
    let auth = AuthKey::derive(&LinkSecret::new([1; 16]), &link());
    assert_eq!(AuthKey::from_slice(auth.expose()).unwrap().expose(), auth.expose());
    assert!(AuthKey::from_slice(&[0; 31]).is_none());
    assert!(ReceiptKey::from_slice(&[0; 33]).is_none());
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nist {
    #[serde(rename = "source")]
    _source: String,
    vectors: Vec<NistVector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NistVector {
    key: String,
    nonce: String,
    plaintext: String,
    aad: String,
    ciphertext: String,
    tag: String,
}

#[test]
fn the_wrapping_cipher_gives_nists_known_answers() {
    let nist: Nist = read_json(&vectors_folder().join("aes-256-gcm.json"));
    assert_eq!(nist.vectors.len(), 8);
    for vector in nist.vectors {
        let cipher = cipher(&Key256::new(bytes_of(&vector.key)));
        let nonce: [u8; 12] = bytes_of(&vector.nonce);
        let (plain, aad) = (from_hex(&vector.plaintext), from_hex(&vector.aad));
        let sealed = cipher.encrypt((&nonce).into(), Payload { msg: &plain, aad: &aad }).unwrap();
        assert_eq!(HEXLOWER.encode(&sealed), vector.ciphertext + &vector.tag);
        assert_eq!(cipher.decrypt((&nonce).into(), Payload { msg: &sealed, aad: &aad }).unwrap(), plain);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrapVector {
    key: String,
    nonce: String,
    context: String,
    plain: String,
    wrapped: BTreeMap<String, String>,
    subkeys: BTreeMap<String, String>,
    blind_index: IndexVector,
    fingerprint: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexVector {
    domain: String,
    value: String,
    index: String,
}

#[test]
fn wrapping_and_the_root_keys_subkeys_give_the_published_values() {
    let vector: WrapVector = read_json(&vectors_folder().join("wrap.json"));
    let key = Key256::new(bytes_of(&vector.key));
    let wrapped = Purpose::ALL.map(|purpose| {
        let mut rng = Script::new(from_hex(&vector.nonce));
        let bytes = wrap(&key, purpose, vector.context.as_bytes(), vector.plain.as_bytes(), &mut rng);
        (purpose.label().to_owned(), HEXLOWER.encode(&bytes))
    });
    assert_eq!(BTreeMap::from(wrapped), vector.wrapped);
    let subkeys =
        RootUse::ALL.map(|root_use| (root_use.label().to_owned(), HEXLOWER.encode(subkey(&key, root_use).expose())));
    assert_eq!(BTreeMap::from(subkeys), vector.subkeys);
    let IndexVector { domain, value, index } = vector.blind_index;
    assert_eq!(HEXLOWER.encode(&blind_index(&key, &domain, &value)), index);
    assert_eq!(HEXLOWER.encode(&fingerprint(&key)), vector.fingerprint);
}

#[test]
fn a_wrapped_secret_opens_for_its_own_key_purpose_and_context_only() {
    let (key, other_key) = (Key256::new([1; 32]), Key256::new([2; 32]));
    for wrapped_for in Purpose::ALL {
        let wrapped = wrap(&key, wrapped_for, b"row 1", b"secret", &mut random::system());
        assert_eq!(wrapped.len(), b"secret".len() + WRAP_OVERHEAD_BYTES);
        for asked in Purpose::ALL {
            let opened = unwrap(&key, asked, b"row 1", &wrapped);
            if asked == wrapped_for {
                assert_eq!(opened.unwrap().as_slice(), b"secret");
            } else {
                assert_eq!(opened, Err(WrapError::NotAuthentic));
            }
        }
        assert_eq!(unwrap(&key, wrapped_for, b"row 2", &wrapped), Err(WrapError::NotAuthentic));
        assert_eq!(unwrap(&other_key, wrapped_for, b"row 1", &wrapped), Err(WrapError::NotAuthentic));
    }
}

#[test]
fn a_wrapped_secret_that_was_cut_or_changed_anywhere_does_not_open() {
    let key = Key256::new([1; 32]);
    let wrapped = wrap(&key, Purpose::Share, b"row", b"", &mut random::system());
    assert_eq!(unwrap(&key, Purpose::Share, b"row", &wrapped).unwrap().as_slice(), b"");
    for length in 0..wrapped.len() {
        assert_eq!(unwrap(&key, Purpose::Share, b"row", &wrapped[..length]), Err(WrapError::NotWrapped));
    }
    for at in 0..wrapped.len() {
        let mut changed = wrapped.clone();
        changed[at] ^= 0x80;
        let expected = if at == 0 { WrapError::NotWrapped } else { WrapError::NotAuthentic };
        assert_eq!(unwrap(&key, Purpose::Share, b"row", &changed), Err(expected));
    }
}

#[test]
fn wrapping_twice_never_gives_the_same_bytes() {
    let (key, mut rng) = (Key256::new([1; 32]), random::system());
    let mut twice = || wrap(&key, Purpose::Record, b"", b"same", &mut rng);
    assert_ne!(twice(), twice());
}

#[test]
fn every_use_of_the_root_key_has_a_key_of_its_own() {
    let root = Key256::new([9; 32]);
    let mut keys: Vec<[u8; 32]> = RootUse::ALL.iter().map(|root_use| *subkey(&root, *root_use).expose()).collect();
    keys.push(*root.expose());
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), RootUse::ALL.len() + 1);
}

#[test]
fn a_blind_index_keeps_keys_domains_and_values_apart() {
    let key = Key256::new([1; 32]);
    let index = blind_index(&key, "email", "a@example.org");
    assert_eq!(index, blind_index(&key, "email", "a@example.org"));
    assert_ne!(index, blind_index(&key, "phone", "a@example.org"));
    assert_ne!(index, blind_index(&key, "email", "b@example.org"));
    assert_ne!(index, blind_index(&Key256::new([2; 32]), "email", "a@example.org"));
    assert_ne!(blind_index(&key, "a", "bc"), blind_index(&key, "ab", "c"));
}

#[test]
fn hmac_gives_the_known_answer_of_rfc_4231_in_one_part_or_many() {
    // RFC 4231 §4.3; HMAC pads keys with zeros, so that its 4-byte key may be written as 32 bytes.
    let mut key = [0; 32];
    key[..4].copy_from_slice(b"Jefe");
    let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    for parts in [vec![b"what do ya want for nothing?".as_slice()], vec![b"what do ya ", b"", b"want for nothing?"]] {
        assert_eq!(HEXLOWER.encode(&hmac_sha256(&Key256::new(key), &parts)), expected);
    }
}
