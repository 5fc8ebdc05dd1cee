//! `[server]`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use url::Url;

use super::{is_loopback, parse_origin};
use crate::config::Server;
use crate::config::section::{Context, Section, not_empty};
use crate::config::source::Table;

const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const ADMIN_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081);

pub(super) fn read(table: Table, context: Context<'_>) -> Server {
    let mut section = Section::new("server", table, context);
    let listen = section.optional("listen", parse_socket).unwrap_or(LISTEN);
    let admin_listen = section.optional("admin_listen", parse_socket).unwrap_or(ADMIN_LISTEN);
    if listen == admin_listen && listen.port() != 0 {
        section.complain("admin_listen", "expected another address or port than `listen`: it shows health and metrics");
    }
    let patient_url = origin(&mut section, "patient_url", listen);
    let staff_url = origin(&mut section, "staff_url", listen);
    if patient_url.origin() == staff_url.origin() && !is_loopback(&patient_url) && section.is_written("staff_url") {
        section
            .complain("staff_url", "expected another origin than `patient_url`: staff and patients must not share one");
    }
    let trusted_proxies = section.list("trusted_proxies", parse_network).unwrap_or_default();
    let display_name = section.optional("display_name", not_empty);
    section.finish();
    Server { listen, admin_listen, patient_url, staff_url, trusted_proxies, display_name }
}

/// Without the key: this server itself, as one reaches it from this machine.
fn origin(section: &mut Section<'_>, key: &'static str, listen: SocketAddr) -> Url {
    let expected = if key == "patient_url" {
        "the origin of patients' links, such as \"https://r.clinic.example\""
    } else {
        "the origin of the console, such as \"https://desk.clinic.example\""
    };
    let parse = |text: &str| {
        let url = parse_origin(text, expected)?;
        if url.scheme() == "https" || is_loopback(&url) {
            Ok(url)
        } else {
            Err(format!("expected {expected}; only this machine itself may be reached without https"))
        }
    };
    let is_written = section.is_written(key);
    let url = section.optional(key, parse);
    let itself = reachable_locally(listen);
    if !is_written && !listen.ip().is_loopback() {
        section.complain(key, format!("missing, and `listen` is not this machine alone: expected {expected}"));
    }
    url.unwrap_or(itself)
}

/// The URL of a listener, from this machine.
#[expect(clippy::expect_used, reason = "an IP address and a port always make a URL")]
pub(super) fn reachable_locally(listen: SocketAddr) -> Url {
    let ip = if listen.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listen.ip() };
    Url::parse(&format!("http://{}/", SocketAddr::new(ip, listen.port()))).expect("a URL of an IP address")
}

fn parse_socket(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "expected an IP address and a port, such as \"127.0.0.1:8080\"")
}

fn parse_network(text: &str) -> Result<IpNet, &'static str> {
    let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.ok_or("expected an IP address or a network, such as \"10.0.0.0/8\"")
}
