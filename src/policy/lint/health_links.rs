//! SMART Health Links that no patient would ever be offered.

use super::Look;
use crate::policy::columns::Column;
use crate::policy::errors::Code;
use crate::policy::rules::Spot;
use crate::policy::vocabulary::{Action, HealthLink};

/// Only where the row itself says both: what another row adds takes the offer away as it is meant to.
pub(super) fn look(look: &mut Look<'_, '_>) {
    let content = look.content;
    for profile in &content.profiles {
        if profile.then.action == Action::Send && profile.then.offers_in_vain() {
            warn(look, &profile.id, profile.spot);
        }
    }
    for restrict in &content.restricts {
        if restrict.said.has(Column::HealthLink) && restrict.then.offers_in_vain() {
            warn(look, &restrict.id, restrict.spot);
        }
    }
}

fn warn(look: &mut Look<'_, '_>, id: &str, spot: Spot) {
    let what = format!(
        "'{id}' offers a health link, and its links ask something, open only once or let nothing be saved, so none is offered"
    );
    let never = HealthLink::Never.as_str();
    let remedy = format!("write health_link = \"{never}\", or take out what stands against it");
    look.at(Code::IdleHealthLink, spot, &["then", "health_link"], what, remedy);
}
