//! How much memory large attachments take: sealed, mailed, and downloaded by the patient.

use std::sync::Arc;

use chartseal::base::LinkId;
use mail_parser::MessageParser;

use crate::ehr::report_id;
use crate::house::House;
use crate::measure::{Figure, Goal, Measure, Spread, millis, number, process, timed_async};
use crate::support::clinic::Database;
use crate::support::holder::{GrantedFile, Holder};

const MB: u64 = 1_000_000;
const READERS: usize = 8;
const GOAL: Goal = Goal::AtMost(32.0);
const NOTE: &str = "most memory resident meanwhile, above what was resident before the first of them; raw bytes behind a Binary's URL; the sealed \
                    file has the size of the report";

pub async fn memory(measure: &Measure) {
    let house = Arc::new(House::open(Database::Sqlite).await);
    let idle = process::rss_mib(house.pid);
    let hundred: u64 = measure.count(20 * MB, 100 * MB);
    let large: u64 = measure.count(100 * MB, 2_000 * MB);
    // A link is one browser's at a time: as many reports as readers.
    let (mut above, mut readers) = (Vec::new(), Vec::new());
    for number in 1..=READERS {
        above.push(sealed(&house, idle, hundred, number).await.above_mib);
        readers.push(Reader::open(&house).await);
    }
    tell(format!("memory to seal and mail {}", size(hundred)), above);
    let mut above = Vec::new();
    for _ in 0..measure.rounds() {
        above.push(downloaded(&house, idle, &readers).await.above_mib);
    }
    tell(format!("memory for {READERS} downloads of {} at once, each in two ranges", size(hundred)), above);

    let sealing = sealed(&house, idle, large, READERS + 1).await;
    tell(format!("memory to seal and mail {}", size(large)), vec![sealing.above_mib]);
    rate(format!("sealing and mailing {}", size(large)), large, sealing.seconds);
    let download = downloaded(&house, idle, &[Reader::open(&house).await]).await;
    tell(format!("memory for a download of {} in two ranges", size(large)), vec![download.above_mib]);
    rate(format!("downloading {}", size(large)), large, download.seconds);
}

struct Taken {
    above_mib: f64,
    seconds: f64,
}

/// The service's memory while `work` goes on.
async fn taken(house: &House, idle: f64, work: impl Future<Output = ()>) -> Taken {
    process::forget_peak(house.pid);
    let ((), took) = timed_async(work).await;
    let peak = process::peak_rss_mib(house.pid);
    eprintln!("  idle {idle:.1} MiB, peak {peak:.1} MiB");
    Taken { above_mib: peak - idle, seconds: millis(took) / 1_000.0 }
}

async fn sealed(house: &House, idle: f64, bytes: u64, number: usize) -> Taken {
    let number = u32::try_from(number).expect("a few");
    let before = house.sink.arrivals().len();
    let work = async {
        house.hook(bytes, number).await;
        house
            .until(&format!("the message of {}", report_id(bytes, number)), || house.sink.arrivals().len() > before)
            .await;
    };
    taken(house, idle, work).await
}

async fn downloaded(house: &House, idle: f64, readers: &[Arc<Reader>]) -> Taken {
    taken(house, idle, async {
        let downloads: Vec<_> = readers.iter().map(|reader| tokio::spawn(Arc::clone(reader).download())).collect();
        for download in downloads {
            download.await.expect("the service answers");
        }
    })
    .await
}

/// A patient's browser that has claimed its opening.
struct Reader {
    holder: Holder,
    file: GrantedFile,
}

impl Reader {
    /// With the link of the last message.
    async fn open(house: &House) -> Arc<Self> {
        let mut holder = Holder::new(&link(house));
        let file = holder.open().await.granted().files[0].clone();
        Arc::new(Self { holder, file })
    }

    /// Half of the file, then the rest; the bytes are counted and dropped.
    async fn download(self: Arc<Self>) {
        let half = self.file.sealed_bytes / 2;
        let mut seen = 0;
        for range in [format!("0-{}", half - 1), format!("{half}-")] {
            let mut answer = self.holder.start_file(self.file.number, Some(&range)).await;
            while let Some(piece) = answer.chunk().await.expect("nothing is cut") {
                seen += piece.len() as u64;
            }
        }
        assert_eq!(seen, self.file.sealed_bytes, "the whole file comes");
    }
}

/// The link of the last message.
fn link(house: &House) -> String {
    let last = house.sink.last();
    let message = MessageParser::default().parse(&last).expect("the mail can be read");
    let text = message.body_text(0).expect("it has a text").into_owned();
    let link = text.split_whitespace().find(|word| word.contains("/r/")).expect("a link");
    let id = link.split_once("/r/").and_then(|(_, rest)| rest.split_once('#')).map(|(id, _)| LinkId::parse(id));
    assert!(matches!(id, Some(Ok(_))), "the link is whole");
    link.to_owned()
}

fn tell(name: String, above: Vec<f64>) {
    Figure::new(name, "MiB", Spread::of(above)).goal(GOAL).note(NOTE).tell();
}

fn rate(name: String, bytes: u64, seconds: f64) {
    let rate = number(usize::try_from(bytes / MB).expect("megabytes are few")) / seconds;
    Figure::new(name, "MB/s", Spread::of(vec![rate])).tell();
}

fn size(bytes: u64) -> String {
    if bytes >= 1_000 * MB { format!("{} GB", bytes / (1_000 * MB)) } else { format!("{} MB", bytes / MB) }
}
