//! SARIF 2.1.0 (<https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>): what code scanning reads.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use url::Url;

use super::Linted;
use crate::policy::errors::{Code, RulesError};

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// One run over all files.
pub(super) fn log(linted: &[Linted<'_>]) -> Value {
    let rules: Vec<_> = Code::ALL.into_iter().map(rule).collect();
    let results: Vec<_> =
        linted.iter().flat_map(|one| one.faults.iter().map(|fault| result(one.file, fault))).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "chartseal", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            // Columns count characters, as an editor does.
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(code: Code) -> Value {
    json!({
        "id": code.as_str(),
        "shortDescription": { "text": code.as_str().replace('-', " ") },
        "fullDescription": { "text": code.about() },
        "help": { "text": code.about() },
        "defaultConfiguration": { "level": code.severity().as_str() },
    })
}

fn result(file: &Path, fault: &RulesError) -> Value {
    json!({
        "ruleId": fault.code.as_str(),
        "ruleIndex": Code::ALL.iter().position(|code| *code == fault.code),
        "level": fault.code.severity().as_str(),
        "message": { "text": format!("{}. Help: {}.", fault.what, fault.remedy) },
        "locations": [{ "physicalLocation": {
            "artifactLocation": { "uri": uri(file) },
            "region": {
                "startLine": fault.line, "startColumn": fault.column,
                "endLine": fault.line, "endColumn": fault.column + fault.width,
            },
        } }],
    })
}

/// A whole path as a `file:` URI, another as a relative reference (RFC 3986).
fn uri(file: &Path) -> String {
    if let Ok(whole) = Url::from_file_path(file) {
        return whole.into();
    }
    let mut uri = String::new();
    for byte in file.to_string_lossy().replace('\\', "/").bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(byte.into());
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uris() {
        assert_eq!(uri(Path::new("policies/näh rules.toml")), "policies/n%C3%A4h%20rules.toml");
        assert_eq!(uri(Path::new("/etc/rules one.toml")), "file:///etc/rules%20one.toml");
    }
}
