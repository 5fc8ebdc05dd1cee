//! Who acts for a patient: grounds asked of those who have none, and profiles that ask a proxy for none.

use std::collections::BTreeSet;

use super::regions::Region;
use super::{Look, Regions};
use crate::policy::errors::Code;
use crate::policy::facts::RecipientRole;
use crate::policy::rules::Profile;
use crate::policy::vocabulary::Action;
use crate::policy::when::{Condition, Predicate, When};

pub(super) fn look(look: &mut Look<'_, '_>, regions: &Regions<'_>) {
    grounds_of_nobody(look);
    proxies_without_ground(look, regions);
}

/// Classify rows name no recipient.
fn grounds_of_nobody(look: &mut Look<'_, '_>) {
    let content = look.content;
    let profiles = content.profiles.iter().map(|row| (&row.id, row.spot, &row.when));
    let restricts = content.restricts.iter().map(|row| (&row.id, row.spot, &row.when));
    let exceptions = content.exceptions.iter().map(|row| (&row.id, row.spot, &row.when));
    for (id, spot, when) in profiles.chain(restricts).chain(exceptions) {
        if !when.names(Predicate::Basis) || when.roles().contains(&RecipientRole::Proxy) {
            continue;
        }
        let path: &[&str] =
            if when.all.contains_key(&Predicate::Basis) { &["when", "basis"] } else { &["when", "any", "basis"] };
        let what = format!("'{id}' names a basis, and speaks of no proxy: nobody else has one");
        look.at(Code::BasisWithoutProxy, spot, path, what, "add recipient = \"proxy\", or take 'basis' out");
    }
}

/// Unless a restriction or a law keeps all that it would send to proxies.
fn proxies_without_ground(look: &mut Look<'_, '_>, regions: &Regions<'_>) {
    let content = look.content;
    let proxies = Condition::Roles(BTreeSet::from([RecipientRole::Proxy]));
    let sends = |row: &Profile| row.then.action == Action::Send && row.when.roles().contains(&RecipientRole::Proxy);
    for (row, region) in content.profiles.iter().zip(&regions.profiles) {
        let to_proxies = region.with(Predicate::Recipient, &proxies);
        if !sends(row) || asks_for_a_ground(&row.when) || is_kept(look, regions, &to_proxies) {
            continue;
        }
        let what = format!("'{}' sends to whoever acts for the patient", row.id);
        let remedy = "name a 'basis' or a 'consent', as in basis = [\"parent\", \"guardian\"]";
        look.at(Code::ProxyWithoutGround, row.spot, &["when", "recipient"], what, remedy);
    }
}

/// Whether it holds for nobody without a basis or a consent.
fn asks_for_a_ground(when: &When) -> bool {
    let is_ground = |predicate: &Predicate| matches!(predicate, Predicate::Basis | Predicate::Consent);
    when.all.keys().any(is_ground) || !when.any.is_empty() && when.any.keys().all(is_ground)
}

fn is_kept(look: &Look<'_, '_>, regions: &Regions<'_>, region: &Region<'_>) -> bool {
    let restricts = look.content.restricts.iter().map(|row| &row.then).zip(&regions.restricts);
    let laws = regions.laws.iter().map(|law| (law.then, &law.region));
    let mut rows = restricts.chain(laws);
    rows.any(|(then, other)| then.action != Action::Send && region.is_within(other))
}
