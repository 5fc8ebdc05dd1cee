//! The starter rules for kinds of clinics: whole files that load as they are, each with its own tests.
//!
//! Must stay true: what ships has no fault, and no sensitive report leaves by itself without a hold or a second step.

/// Name and text of every starter file, in the order of their names; beside them stands the first file that `init`
/// writes, [`super::STARTER_RULES`].
pub const STARTERS: [(&str, &str); 8] = [
    ("dermatology", include_str!("../../policies/dermatology.toml")),
    ("fertility", include_str!("../../policies/fertility.toml")),
    ("general-clinic", include_str!("../../policies/general-clinic.toml")),
    ("imaging", include_str!("../../policies/imaging.toml")),
    ("laboratory", include_str!("../../policies/laboratory.toml")),
    ("occupational-medicine", include_str!("../../policies/occupational-medicine.toml")),
    ("post-visit", include_str!("../../policies/post-visit.toml")),
    ("telemedicine", include_str!("../../policies/telemedicine.toml")),
];

/// The text of one starter file.
#[must_use]
pub fn starter(name: &str) -> Option<&'static str> {
    STARTERS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
