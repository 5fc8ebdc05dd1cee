//! From rows to pairs that sign, and back.

use std::sync::Arc;

use super::SignInError;
use crate::fhir::KeysNow;
use crate::keys::{Vault, VaultError};
use crate::sealing::Purpose;
use crate::signing::{Algorithm, SigningKey};
use crate::store::{NewSigningKey, SigningKeyRow, SigningTurn, StoreError};

/// Makes a pair, its private half sealed to its row.
pub(super) fn make(vault: &Vault, algorithm: Algorithm) -> Result<NewSigningKey, SignInError> {
    let (key, private) = SigningKey::make(algorithm)?;
    let kid = key.id().to_string();
    let sealed = vault.seal_record(Purpose::Record, &context(&kid), private.expose());
    Ok(NewSigningKey { kid, algorithm, jwk: key.public().jwk().to_string(), sealed })
}

pub(super) fn open(vault: &Vault, row: &SigningKeyRow) -> Result<SigningKey, SignInError> {
    let private = vault.open_record(Purpose::Record, &context(&row.kid), &row.sealed)?;
    let key = SigningKey::read(row.algorithm, &private)?;
    if key.id().as_str() == row.kid { Ok(key) } else { Err(VaultError::NotOurs.into()) }
}

pub(super) const fn is_current(row: &SigningKeyRow) -> bool {
    match row.turn {
        SigningTurn::Current { .. } => true,
        SigningTurn::Next | SigningTurn::Former { .. } => false,
    }
}

/// The current pair and, of the former ones, the one that signed last.
pub(super) fn choose(vault: &Vault, rows: &[SigningKeyRow], algorithm: Algorithm) -> Result<KeysNow, SignInError> {
    let of = || rows.iter().filter(|row| row.algorithm == algorithm);
    let current = of().find(|row| is_current(row)).ok_or(StoreError::Moved)?;
    let former = of()
        .filter_map(|row| match row.turn {
            SigningTurn::Former { ends_at } => Some((ends_at, row)),
            SigningTurn::Next | SigningTurn::Current { .. } => None,
        })
        .max_by_key(|(ends_at, _)| *ends_at);
    Ok(KeysNow {
        current: Arc::new(open(vault, current)?),
        former: former.map(|(_, row)| open(vault, row)).transpose()?.map(Arc::new),
    })
}

/// Binds a sealed half to its row.
fn context(kid: &str) -> String {
    format!("signing_key/{kid}")
}
