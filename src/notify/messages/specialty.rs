//! Specialties in addresses: a bare message names no clinic, but its sender and its link show where they come from.

/// Parts of names of specialties, of illnesses and of what people rather keep to themselves, as addresses write them: small letters
/// without marks, in any of our languages, and mostly as Greek and Latin have them.
#[rustfmt::skip]
const TELLING: &[&str] = &[
    "hiv", "vih", "aids", "venere", "sexual", "cancer", "krebs", "tumo", "nowotw", "oncolog", "onkolog", "patholog", "patolog",
    "histolog", "biops", "pregnan", "embaraz", "schwanger", "enceinte", "grossesse", "abortion", "fertil", "kinderwunsch",
    "plodnos", "genetic", "genetik", "genetyk", "psych", "psiqui", "psico", "addict", "sucht", "drug", "drog", "narkot", "urolog",
    "gynec", "gynaec", "gynaek", "gynak", "ginec", "ginek", "dialys", "dializ", "hepat", "hemato", "haemato", "cardio", "kardio",
    "neuro", "dermat", "infect", "infekt",
];
/// Short ones, which stand by themselves: "still" speaks of no STI.
const TELLING_ALONE: &[&str] = &["std", "sti", "sida", "ivf", "rak", "tbc"];

/// The part of an address that names a specialty, as it stands in our list.
#[must_use]
pub fn specialty_in(address: &str) -> Option<&'static str> {
    let address = address.to_lowercase();
    let mut words = address.split(|c: char| !c.is_alphanumeric());
    let within = TELLING.iter().find(|telling| address.contains(**telling));
    within.or_else(|| words.find_map(|word| TELLING_ALONE.iter().find(|telling| **telling == word))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specialty_is_found_wherever_it_stands_and_nothing_else_is() {
        for (address, expected) in [
            ("results@hiv-clinic.example", Some("hiv")),
            ("r.riversideoncology.example", Some("oncolog")),
            ("Oncology@riverside.example", Some("oncolog")),
            ("std.county.example", Some("std")),
            ("notices@kinderwunsch-lakeside.example", Some("kinderwunsch")),
            ("RiversidePsych", Some("psych")),
            ("results@riverside.example", None),
            ("still@stirling-standard.example", None),
            ("r.health-lab.example", None),
            ("notices@krakow.example", None),
        ] {
            assert_eq!(specialty_in(address), expected, "{address}");
        }
    }
}
