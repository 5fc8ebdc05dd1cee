//! A patient who is told to come later, and does.

use chartseal::sealing::ReceiptOutcome;
use reqwest::StatusCode;

use crate::support::holder::{Granted, Holder};

/// How often a patient presses again when told to come later. PostgreSQL ends a transaction whose client says nothing after
/// half a minute, and what it holds is waited for until then, two seconds at each press.
pub const PRESSES_MAX: usize = 40;

/// What a new browser is told.
pub async fn says(link: &str) -> String {
    let mut holder = Holder::new(link);
    for _ in 0..PRESSES_MAX {
        let looked = holder.look().await;
        if is_final(looked.status) {
            return looked.says();
        }
    }
    panic!("nobody says how the link stands");
}

/// Claims an opening; `None` when told that there is none, or to come later.
pub async fn press(holder: &mut Holder) -> Option<Granted> {
    let mut answer = holder.open().await;
    if answer.status == StatusCode::NOT_FOUND {
        // What proves the visit ends after a while; the page then begins again.
        holder.begin().await;
        answer = holder.open().await;
    }
    (is_final(answer.status) && answer.status == StatusCode::OK).then(|| answer.granted())
}

/// # Panics
/// When the server says that it is broken.
fn is_final(status: StatusCode) -> bool {
    assert!(status != StatusCode::INTERNAL_SERVER_ERROR, "the server broke");
    status != StatusCode::SERVICE_UNAVAILABLE
}

pub async fn fetch(holder: &Holder, granted: &Granted) -> Option<Vec<u8>> {
    let file = granted.files.first().expect("a link has a file");
    for _ in 0..PRESSES_MAX {
        let fetched = holder.file(file.number, None).await;
        if is_final(fetched.status) && fetched.bytes.len() as u64 == file.sealed_bytes {
            return Some(holder.decrypt(granted, file, &fetched.bytes).expect("the file opens"));
        }
    }
    None
}

pub async fn confirm(holder: &Holder) {
    for _ in 0..PRESSES_MAX {
        if is_final(holder.receipt(ReceiptOutcome::Decrypted).await) {
            return;
        }
    }
    panic!("no receipt is taken");
}
