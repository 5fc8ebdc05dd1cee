//! A folder and ports that only one test uses.
//!
//! Must stay true: both are given back when their place is dropped, and everything is gone when the test process is,
//! however that ended.

use std::fs::Permissions;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use tempfile::TempDir;
use tokio::net::TcpSocket;

/// Dereferences to its folder, which was empty at first.
pub struct Place {
    folder: TempDir,
    ports: Mutex<Vec<TcpSocket>>,
}

impl Place {
    /// # Panics
    /// When the temporary directory is not writable.
    pub fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(root());
        Self { folder: folder.expect("the folder of this run is ours"), ports: Mutex::default() }
    }

    /// A port on 127.0.0.1 for a program of this place, which may listen, end and listen again.
    ///
    /// It is bound here and never listened on: the kernel gives it to nobody else, neither for port 0 nor for a
    /// connection, but lets a program that names it (with `SO_REUSEADDR`, as all do) have it.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub fn port(&self) -> u16 {
        let socket = TcpSocket::new_v4().expect("sockets can be made");
        socket.set_reuseaddr(true).expect("addresses can be reused");
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("loopback has a free port");
        let port = socket.local_addr().expect("a bound socket has an address").port();
        self.ports.lock().expect("no test panics here").push(socket);
        port
    }
}

impl Deref for Place {
    type Target = Path;

    fn deref(&self) -> &Path {
        self.folder.path()
    }
}

impl AsRef<Path> for Place {
    fn as_ref(&self) -> &Path {
        self.folder.path()
    }
}

/// The folder of this run. A shell removes it once the test process is gone, even if it was killed.
fn root() -> &'static Path {
    static ROOT: OnceLock<(PathBuf, Child)> = OnceLock::new();
    let (folder, _) = ROOT.get_or_init(|| {
        let made =
            tempfile::Builder::new().prefix("chartseal-").tempdir().expect("the temporary directory is writable");
        // Also an unprivileged server may look inside.
        std::fs::set_permissions(made.path(), Permissions::from_mode(0o755)).expect("the folder is ours");
        let folder = made.keep();
        let keeper = Command::new("sh")
            // What still runs may make a file while the others are being removed.
            .args(["-c", r#"read -r _; for _ in $(seq 100); do rm -rf -- "$1" && exit; sleep 0.2; done"#, "sh"])
            .arg(&folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        (folder, keeper)
    });
    folder
}

#[tokio::test]
async fn a_port_is_nobody_elses_and_can_be_listened_on_again_and_again() {
    let place = Place::new("ports");
    let port = place.port();
    for _ in 0..2 {
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "nobody listens yet");
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let client = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let served = listener.accept().await.unwrap();
        drop((listener, served, client));
    }
}

#[test]
fn a_place_is_gone_when_it_is_dropped() {
    let place = Place::new("gone");
    let folder = place.to_path_buf();
    std::fs::write(place.join("file"), "x").unwrap();
    drop(place);
    assert!(!folder.exists());
}
