//! Deeds that must not be possible in a confined process, done on purpose: how an installation shows that its kernel holds them off.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use super::answer::{Answer, Trial};

/// More than any reader is given, in pieces that are all written to.
const TOO_MUCH_BYTES: usize = 2 * 1024 * 1024 * 1024;
const PIECE_BYTES: usize = 1024 * 1024;

pub(super) fn dare(trial: Trial) -> Answer {
    let is_done = match trial {
        Trial::OpenFile => File::open("/etc/passwd").is_ok(),
        Trial::WriteFile => File::create("/tmp/chartseal-trial").is_ok(),
        Trial::ListFolder => std::fs::read_dir("/").is_ok(),
        Trial::Connect => TcpStream::connect(("127.0.0.1", 9)).is_ok(),
        Trial::Listen => TcpListener::bind(("127.0.0.1", 0)).is_ok(),
        Trial::Program => Command::new("/bin/true").status().is_ok(),
        Trial::Thread => std::thread::Builder::new().spawn(|| {}).is_ok(),
        Trial::Memory => {
            let pieces: Vec<Vec<u8>> = (0..TOO_MUCH_BYTES / PIECE_BYTES).map(|_| vec![1; PIECE_BYTES]).collect();
            pieces.iter().map(Vec::len).sum::<usize>() == TOO_MUCH_BYTES
        }
        Trial::Forever => loop {
            std::hint::spin_loop();
        },
        Trial::Nothing => false,
    };
    if is_done { Answer::Done } else { Answer::Refused }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That the confined process fails at these shows something only because others do not.
    #[test]
    fn a_process_that_is_not_confined_can_do_it() {
        for trial in [Trial::OpenFile, Trial::ListFolder, Trial::Listen, Trial::Program, Trial::Thread] {
            assert!(dare(trial) == Answer::Done, "{trial:?}");
        }
    }
}
