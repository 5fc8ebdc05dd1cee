//! Which addresses may be asked.

use super::*;

fn guard(base: &str, listed: &[&str]) -> Guard {
    let url = |text: &str| Url::parse(text).unwrap();
    let listed = listed.iter().map(|text| Origin::of(&url(text)).unwrap()).collect();
    Guard::new(&ServiceBase::new(url(base)).unwrap(), listed).unwrap()
}

fn place(guard: &Guard, text: &str) -> Option<Place> {
    guard.place(&Url::parse(text).unwrap()).ok()
}

#[test]
fn only_the_ehr_and_listed_origins_are_followed() {
    let guard = guard("https://ehr.test/fhir", &["https://files.test", "http://plain.test:8080"]);
    for (url, found) in [
        ("https://ehr.test/anything", Some(Place::Ehr)),
        ("https://EHR.test:443/x", Some(Place::Ehr)),
        ("http://ehr.test/x", None),
        ("https://ehr.test:8443/x", None),
        ("https://ehr.test.evil.test/x", None),
        ("https://ehr.test@evil.test/x", None),
        ("https://files.test/x?sig=1", Some(Place::Listed)),
        ("https://me@files.test/x", None),
        ("http://plain.test:8080/x", Some(Place::Listed)),
        ("http://plain.test/x", None),
        ("gopher://ehr.test/x", None),
    ] {
        assert_eq!(place(&guard, url), found, "{url}");
    }
}

#[test]
fn a_listed_literal_inside_is_followed_only_when_the_ehr_lives_there() {
    let listed = ["http://10.0.0.9", "http://169.254.169.254", "http://[::ffff:169.254.169.254]", "http://[fe80::1]"];
    let from = |base: &str, url: &str| place(&guard(base, &listed), url);
    assert_eq!(from("http://10.0.0.1/fhir", "http://10.0.0.9/x"), Some(Place::Listed));
    assert_eq!(from("https://9.9.9.9/fhir", "http://10.0.0.9/x"), None);
    for url in &listed[1..] {
        assert_eq!(from("http://10.0.0.1/fhir", url), None, "{url}");
    }
    // Other spellings of the same address are read by the URL parser before they are judged.
    assert_eq!(from("http://10.0.0.1/fhir", "http://2852039166/x"), None);
}

#[test]
fn every_kind_of_inner_address_is_known() {
    for (text, expected) in [
        ("8.8.8.8", Reach::Public),
        ("2606:4700::1111", Reach::Public),
        ("2001:4860:4860::8888", Reach::Public),
        ("127.0.0.1", Reach::Inside),
        ("10.1.2.3", Reach::Inside),
        ("172.31.0.1", Reach::Inside),
        ("192.168.1.1", Reach::Inside),
        ("100.64.0.1", Reach::Inside),
        ("198.18.0.1", Reach::Inside),
        ("::1", Reach::Inside),
        ("fd00::1", Reach::Inside),
        ("2001:db8::1", Reach::Inside),
        ("::ffff:10.0.0.1", Reach::Inside),
        ("64:ff9b::a00:1", Reach::Inside),
        ("2002:a00:1::", Reach::Inside),
        ("169.254.169.254", Reach::Never),
        ("100.100.100.200", Reach::Never),
        ("0.0.0.0", Reach::Never),
        ("224.0.0.1", Reach::Never),
        ("255.255.255.255", Reach::Never),
        ("::", Reach::Never),
        ("fe80::1", Reach::Never),
        ("ff02::1", Reach::Never),
        ("fd00:ec2::254", Reach::Never),
        ("::ffff:169.254.169.254", Reach::Never),
        ("64:ff9b::a9fe:a9fe", Reach::Never),
    ] {
        assert_eq!(reach(text.parse().unwrap()), expected, "{text}");
    }
}
