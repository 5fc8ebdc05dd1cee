//! What a process and a thread cost, as Linux counts it in `/proc`.

use std::time::Duration;

/// Linux reports process times in hundredths of a second, whatever its own tick.
const TICK_MS: f64 = 10.0;

/// CPU time of all threads of a process so far, those that ended included, in milliseconds; to 10 ms.
///
/// # Panics
/// When there is no such process.
pub fn cpu_ms(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The name in brackets may hold blanks.
    let (_, fields) = stat.rsplit_once(") ").expect("a line of stat");
    let field = |at: usize| fields.split(' ').nth(at).and_then(|text| text.parse::<f64>().ok()).expect("a number");
    (field(11) + field(12)) * TICK_MS
}

/// The most memory that a process ever had resident, in MiB; since [`forget_peak`] if that was called.
///
/// # Panics
/// When there is no such process.
pub fn peak_rss_mib(pid: u32) -> f64 {
    status_mib(pid, "VmHWM:")
}

/// The memory that a process has resident now, in MiB.
///
/// # Panics
/// When there is no such process.
pub fn rss_mib(pid: u32) -> f64 {
    status_mib(pid, "VmRSS:")
}

/// Lets [`peak_rss_mib`] begin anew from what is resident now.
///
/// # Panics
/// When the process is not ours.
pub fn forget_peak(pid: u32) {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the process is ours");
}

/// The process that listens on this port of 127.0.0.1: a service that was started by a shell.
///
/// # Panics
/// When nobody listens there.
pub fn listening_on(port: u16) -> u32 {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux tells its sockets");
    let address = format!("0100007F:{port:04X}");
    let line = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let inodes = line.filter(|line| line.get(1) == Some(&address.as_str()) && line.get(3) == Some(&"0A"));
    let sockets: Vec<String> = inodes.map(|line| format!("socket:[{}]", line[9])).collect();
    let processes = std::fs::read_dir("/proc").expect("Linux tells its processes").flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|file| std::fs::read_link(file.path()).ok())
            .any(|target| target.to_str().is_some_and(|target| sockets.iter().any(|socket| socket == target)))
    })
    .expect("somebody listens there")
}

/// `work` and the time for which this thread had a core meanwhile: what waits for a busy machine is not counted.
///
/// # Panics
/// When the kernel keeps no scheduler statistics.
pub fn on_core<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = on_core_so_far();
    let done = work();
    (done, on_core_so_far().checked_sub(before).expect("time goes on"))
}

fn on_core_so_far() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel keeps schedstat");
    Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("nanoseconds"))
}

fn status_mib(pid: u32, name: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a process has memory");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("kibibytes") / 1_024.0
}
