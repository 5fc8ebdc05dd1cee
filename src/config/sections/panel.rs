//! The patients that an EHR is asked about one by one.

use crate::base::FhirId;
use crate::config::PanelList;
use crate::config::section::Section;

const EXPECTED: &str =
    "expected \"appointments\", \"orders\", \"group:\" and the id of a Group, or \"file:\" and the path of a list";
/// Over all patients one search asks for what is new.
const POLL_SECONDS: u64 = 60;
/// One by one it takes a search for each.
const POLL_SECONDS_OF_PATIENTS: u64 = 900;

pub(super) fn lists(section: &mut Section<'_>) -> Vec<PanelList> {
    let base_dir = section.base_dir().to_owned();
    let parse = |text: &str| match text.split_once(':') {
        None if text == "appointments" => Ok(PanelList::Appointments),
        None if text == "orders" => Ok(PanelList::Orders),
        Some(("group", id)) => FhirId::parse(id)
            .map(PanelList::Group)
            .map_err(|_| "expected the id of the Group alone, such as \"group:lab-patients\"".to_owned()),
        Some(("file", path)) if !path.is_empty() => {
            let path = base_dir.join(path);
            if path.is_file() { Ok(PanelList::File(path)) } else { Err(format!("there is no file {}", path.display())) }
        }
        None | Some(_) => Err(EXPECTED.to_owned()),
    };
    section.list("panel", parse).unwrap_or_default()
}

/// How often it is polled where nothing is written.
pub(super) fn poll_seconds(panel: &[PanelList]) -> u64 {
    if panel.is_empty() { POLL_SECONDS } else { POLL_SECONDS_OF_PATIENTS }
}
