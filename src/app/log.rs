//! The log: one JSON object per line on standard error, or plain lines on a terminal.
//!
//! Must stay true: of other libraries only warnings are logged, for their finer messages name addresses.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Begins logging at the level `usual`; `CHARTSEAL_LOG` among `variables` changes what is logged (`error`, `warn`, `info`,
/// or `off`), for Chartseal's own lines only.
pub fn begin(variables: &[(String, String)], usual: &str) {
    let wanted = variables.iter().find(|(name, _)| name == "CHARTSEAL_LOG").map(|(_, value)| value.as_str());
    let filter = match wanted {
        Some(level @ ("error" | "warn" | "info")) => format!("warn,chartseal={level}"),
        Some("off") => "off".to_owned(),
        Some(_) | None => format!("warn,chartseal={usual}"),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_target(true);
    // A second beginning in one process changes nothing.
    if std::io::stderr().is_terminal() {
        let _ = builder.try_init();
    } else {
        let _ = builder.json().try_init();
    }
}
