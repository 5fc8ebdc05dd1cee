//! Nobody's terms surprise us: everything we build with is permissively licensed and comes from crates.io.

use std::collections::BTreeSet;
use std::process::Command;

use serde::Deserialize;

use crate::support::part;

/// Licences that ask for no more than their own text and a name.
const PERMISSIVE: [&str; 13] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// What may stay although it is not on the list, with the reason.
const EXCEPTIONS: [(&str, &str, &str); 2] = [
    ("webpki-root-certs", "CDLA-Permissive-2.0", "Mozilla's list of root certificates: data, free to use and change"),
    (
        "libfuzzer-sys",
        "(MIT OR Apache-2.0) AND NCSA",
        "LLVM's older terms, as permissive as MIT's; in the fuzz targets alone, which nobody is given",
    ),
];

/// The product, and the fuzz targets with a lock file of their own.
const MANIFESTS: [&str; 2] = ["Cargo.toml", "fuzz/Cargo.toml"];

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    license: Option<String>,
    source: Option<String>,
}

#[test]
fn every_dependency_is_permissive_and_comes_from_crates_io() {
    for manifest in MANIFESTS {
        let answer = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
            .arg(part::in_project(manifest))
            .output()
            .expect("cargo can be run");
        assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
        let metadata: Metadata = serde_json::from_slice(&answer.stdout).unwrap();
        assert!(metadata.packages.len() > 100, "cargo listed the dependencies");
        let complaints: BTreeSet<_> = metadata.packages.iter().filter_map(complaint).collect();
        assert!(complaints.is_empty(), "{manifest}: {complaints:#?}");
    }
}

/// What is fuzzed is what is shipped; and what the tests have built is used again.
#[test]
fn the_fuzz_targets_are_built_with_the_products_versions() {
    let [product, fuzz] = ["Cargo.lock", "fuzz/Cargo.lock"].map(|lock| {
        let lock: toml::Table = std::fs::read_to_string(part::in_project(lock)).unwrap().parse().unwrap();
        let packages = lock["package"].as_array().unwrap().clone();
        let text = |package: &toml::Value, key: &str| package[key].as_str().unwrap().to_owned();
        packages.iter().map(|one| (text(one, "name"), text(one, "version"))).collect::<BTreeSet<_>>()
    });
    let names: BTreeSet<_> = product.iter().map(|(name, _)| name).collect();
    let strays: Vec<_> = fuzz.difference(&product).filter(|(name, _)| names.contains(name)).collect();
    assert!(strays.is_empty(), "run `cargo update --precise` in fuzz/ until equal to the product's: {strays:?}");
}

fn complaint(package: &Package) -> Option<String> {
    let Package { name, license, source } = package;
    if source.as_deref().is_some_and(|source| source != CRATES_IO) {
        return Some(format!("{name} comes from elsewhere than crates.io"));
    }
    let license = license.as_deref().unwrap_or("no licence");
    let is_excepted = EXCEPTIONS.iter().any(|(n, l, _)| n == name && *l == license);
    (!is_excepted && !is_permissive(license)).then(|| format!("{name}: {license}"))
}

/// Reads an SPDX expression: any side of an OR will do, every side of an AND must.
fn is_permissive(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (answer, rest) = any_of(&words);
    answer && rest.is_empty()
}

fn any_of<'w>(words: &'w [&'w str]) -> (bool, &'w [&'w str]) {
    let (mut answer, mut rest) = all_of(words);
    while let ["OR", more @ ..] = rest {
        let (side, left) = all_of(more);
        (answer, rest) = (answer || side, left);
    }
    (answer, rest)
}

fn all_of<'w>(words: &'w [&'w str]) -> (bool, &'w [&'w str]) {
    let (mut answer, mut rest) = one_of(words);
    while let ["AND", more @ ..] = rest {
        let (side, left) = one_of(more);
        (answer, rest) = (answer && side, left);
    }
    (answer, rest)
}

fn one_of<'w>(words: &'w [&'w str]) -> (bool, &'w [&'w str]) {
    match words {
        ["(", inner @ ..] => match any_of(inner) {
            (answer, [")", rest @ ..]) => (answer, rest),
            (_, rest) => (false, rest),
        },
        [id, "WITH", exception, rest @ ..] => (PERMISSIVE.contains(&format!("{id} WITH {exception}").as_str()), rest),
        [id, rest @ ..] => (PERMISSIVE.contains(id), rest),
        [] => (false, words),
    }
}

#[test]
fn a_licence_is_judged_by_its_whole_expression() {
    for good in
        ["MIT", "MIT/Apache-2.0", "GPL-3.0-only OR MIT", "(MIT OR GPL-2.0) AND Zlib", "Apache-2.0 WITH LLVM-exception"]
    {
        assert!(is_permissive(good), "{good}");
    }
    for bad in [
        "GPL-3.0-or-later",
        "MIT AND MPL-2.0",
        "(MIT OR ISC) AND LGPL-3.0",
        "no licence",
        "",
        "(MIT",
        "MIT)",
        "MIT MIT",
    ] {
        assert!(!is_permissive(bad), "{bad}");
    }
    let stray =
        Package { name: "x".into(), license: Some("MIT".into()), source: Some("git+https://example.test".into()) };
    assert!(complaint(&stray).is_some());
}
