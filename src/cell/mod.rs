//! The process in which a stranger's document is read: this program, or the small one beside it, started for one document, without
//! anything.
//!
//! Job: hand one document to such a process through a pipe, and take one bounded answer back, or say how it failed.
//! Must stay true: before it reads the first byte the process has no environment, cannot open a file or a socket, start a program or
//! another process, nor use more memory and time than it is given; where that cannot be had, it reads nothing. A document and what
//! is read of it go through pipes only. What comes back is as untrusted as the document. A process reads one document.
//! Must not know: whose the document is, what becomes of the answer.

mod answer;
mod confine;
mod inside;
mod outside;
mod trial;

pub use answer::{Answer, Errand, INPUT_BYTES_MAX, Trial};
pub use inside::{COMMAND, serve, useless};
pub use outside::{CellFault, CellLimits, Program, Reader, Reading};
