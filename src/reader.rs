//! The small program that reads one stranger's document and ends ([`chartseal::cell`]): what the large one would do if it were started
//! again for it, without the libraries that this needs none of and that take most of a start's time.

use std::alloc::System;
use std::process::ExitCode;

use chartseal::cell;
use zeroizing_alloc::ZeroAlloc;

/// As in the large program: what is freed is overwritten.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some(cell::COMMAND) => cell::serve(arguments),
        Some(_) | None => cell::useless(),
    }
}
