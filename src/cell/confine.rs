//! Taking everything away from this process.
//!
//! Must stay true: what is not in the list of calls kills the process; `read` and `write` know the three pipes only, whatever
//! else was inherited; nothing executable can be mapped.

use std::collections::BTreeMap;

use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// All of the process's memory, its own code among it.
const ADDRESS_SPACE_BYTES: u64 = 1024 * 1024 * 1024;
/// What it may take for itself.
const DATA_BYTES: u64 = 384 * 1024 * 1024;
const CPU_SECONDS: u64 = 20;

/// Something that could not be taken away.
pub(super) struct Unconfined;

/// From here on the process can read its input, write its answer, use some memory and time, and end.
pub(super) fn confine() -> Result<(), Unconfined> {
    if std::env::vars_os().next().is_some() {
        return Err(Unconfined);
    }
    for (what, most) in [
        (Resource::Core, 0),
        (Resource::Fsize, 0),
        (Resource::Nofile, 0),
        (Resource::Nproc, 0),
        (Resource::Memlock, 0),
        (Resource::Cpu, CPU_SECONDS),
        (Resource::As, ADDRESS_SPACE_BYTES),
        (Resource::Data, DATA_BYTES),
    ] {
        let most = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(what, most).map_err(|_| Unconfined)?;
    }
    // Also sets no_new_privs.
    let filter = filter().map_err(|_| Unconfined)?;
    seccompiler::apply_filter(&filter).map_err(|_| Unconfined)
}

fn filter() -> Result<BpfProgram, Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(rules()?, SeccompAction::KillProcess, SeccompAction::Allow, arch)?;
    Ok(BpfProgram::try_from(filter)?)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn rules() -> Result<Rules, BackendError> {
    let is = |argument, value| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value);
    let lacks =
        |argument, bits| SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(bits), 0);
    let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
    let no_file = u64::from(u32::MAX);
    let mut rules: Rules = [
        // Memory.
        libc::SYS_brk,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        // Waiting for itself, dying, the time, the seeds of hash tables.
        libc::SYS_futex,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigaction,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_gettid,
        libc::SYS_getpid,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ]
    .into_iter()
    .map(|call| (call, Vec::new()))
    .collect();
    rules.insert(libc::SYS_read, vec![SeccompRule::new(vec![is(0, 0)?])?]);
    rules.insert(libc::SYS_write, vec![SeccompRule::new(vec![is(0, 1)?])?, SeccompRule::new(vec![is(0, 2)?])?]);
    rules.insert(libc::SYS_mmap, vec![SeccompRule::new(vec![is(4, no_file)?, lacks(2, executable)?])?]);
    rules.insert(libc::SYS_mprotect, vec![SeccompRule::new(vec![lacks(2, executable)?])?]);
    Ok(rules)
}
