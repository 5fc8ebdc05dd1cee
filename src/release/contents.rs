//! What stands beside the documents of a link: what each is called, and what staff say. Sealed as they are.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::link::Making;
use super::{Hindrance, Release};
use crate::base::{DeliveryId, MediaType, SecretText};
use crate::policy::ReviewReason;
use crate::sealing::Purpose;
use crate::store::NewFile;

impl Release {
    /// The sealed file that says so; `None` where there is nothing to say: a single document needs no name, and names that do not tell
    /// documents apart are none.
    pub(super) async fn make_contents(&self, making: &Making<'_>) -> Result<Option<NewFile>, Hindrance> {
        let notes: Vec<&str> = making.notes().map(SecretText::expose).collect();
        let told_apart: BTreeSet<&str> = making.titles().map(|(_, title)| title.expose()).collect();
        let titles: Map<String, Value> = match making.file_count() {
            count @ 2.. if told_apart.len() == count => {
                making.titles().map(|(number, title)| (number.to_string(), title.expose().into())).collect()
            }
            _ => Map::new(),
        };
        if notes.is_empty() && titles.is_empty() {
            return Ok(None);
        }
        let Some((about, lead)) = making.next(MediaType::Contents) else { return Ok(None) };
        let contents = Zeroizing::new(json!({"titles": titles, "notes": notes}).to_string().into_bytes());
        self.seal_bytes(&contents, making.content(), about, lead).await.map(Some)
    }

    pub(super) fn open_note(&self, delivery: &DeliveryId, sealed: &[u8]) -> Result<SecretText, Hindrance> {
        let plain = self.vault.open_record(Purpose::Note, delivery.as_str(), sealed).ok();
        let text = plain.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
        text.map(SecretText::new).ok_or(Hindrance::Review(ReviewReason::KeyGone))
    }
}
