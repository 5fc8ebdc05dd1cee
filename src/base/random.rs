//! The operating system's randomness, behind the trait that every consumer takes as an argument.

use getrandom::SysRng;
use rand_core::UnwrapErr;

/// A generator that reads the operating system's entropy at each call.
///
/// A kernel that cannot give randomness ends the process: nothing can be sealed without it.
#[must_use]
pub fn system() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}
