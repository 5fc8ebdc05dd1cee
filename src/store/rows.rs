//! From stored text back to types: a value that this version cannot have written is an error, never a guess.

use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::StoreError;
use crate::record::{Addressee, RecipientRole};

pub(super) fn parse<T: FromStr>(column: &'static str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::BadRow { column })
}

pub(super) fn parse_opt<T: FromStr>(column: &'static str, text: Option<&str>) -> Result<Option<T>, StoreError> {
    text.map(|text| parse(column, text)).transpose()
}

pub(super) fn from_json<T: DeserializeOwned>(column: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::BadRow { column })
}

pub(super) fn to_json<T: Serialize>(column: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::BadRow { column })
}

pub(super) fn hash32(column: &'static str, bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| StoreError::BadRow { column })
}

pub(super) fn addressee(column: &'static str, bytes: &[u8]) -> Result<Addressee, StoreError> {
    Addressee::from_bytes(bytes).ok_or(StoreError::BadRow { column })
}

pub(super) fn role(column: &'static str, word: &str) -> Result<RecipientRole, StoreError> {
    RecipientRole::ALL.into_iter().find(|role| role.as_str() == word).ok_or(StoreError::BadRow { column })
}

pub(super) fn unsigned<T: TryFrom<i64>>(column: &'static str, number: i64) -> Result<T, StoreError> {
    T::try_from(number).map_err(|_| StoreError::BadRow { column })
}

pub(super) fn signed<T: TryInto<i64>>(column: &'static str, number: T) -> Result<i64, StoreError> {
    number.try_into().map_err(|_| StoreError::BadRow { column })
}
