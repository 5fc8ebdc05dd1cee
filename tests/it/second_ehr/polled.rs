//! Polling: HAPI pages with opaque links, and forgets them.

use super::{beside, report};
use crate::support::clinic::Hears;
use crate::support::hapi::{self, Release};

#[tokio::test(flavor = "multi_thread")]
async fn polls_alone_find_every_report_over_hapis_own_pages() {
    let hapi = hapi::lease(Release::R4).await;
    let clinic = beside(&hapi, Hears::Polls, "").await;
    let mut emails = Vec::new();
    for number in 0..23 {
        emails.push(report(&hapi, &format!("polled-{number}")).await);
    }
    clinic.hear_and_settle().await;
    clinic.hear_and_settle().await;
    for email in &emails {
        assert_eq!(clinic.mails_to(email).len(), 1, "{email}");
    }
}
