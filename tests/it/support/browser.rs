//! A real browser: Debian's Chromium through its own driver, with everything it said and asked for on record.
//!
//! Each test has its own driver, profile and window. What runs in workers is not on the request record; the page's
//! Content-Security-Policy answers for those, and its violations are console errors.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use thirtyfour::{By, Capabilities, WebDriver};

use super::part::{self, EndWith, Part, Recipe};
use super::place::Place;
use super::{wait, web_client};

/// The driver gives Chromium a minute to start, which a machine with many other starts may exceed.
const START_TRIES: u32 = 3;

/// Chromium's own pages, such as the empty tab it starts with, have faults of their own.
const OWN_PAGES: &str = "chrome://";

/// The part of the screen that shows the page.
#[derive(Clone, Copy)]
pub struct Window {
    pub width_pixels: u32,
    pub height_pixels: u32,
}

/// An old small phone: 320 CSS pixels, the narrowest that WCAG 1.4.10 asks for.
pub const PHONE: Window = Window { width_pixels: 320, height_pixels: 640 };

pub const DESKTOP: Window = Window { width_pixels: 1280, height_pixels: 800 };

#[derive(Clone, Copy)]
pub enum ColorScheme {
    Light,
    Dark,
}

#[derive(Clone, Copy)]
pub enum Network {
    Up,
    Cut,
}

/// A running browser; dereferences to its [`WebDriver`]. It ends when dropped or when the test process dies.
pub struct Browser {
    driver: Option<WebDriver>,
    part: Part,
    console: Mutex<Vec<String>>,
    requests: Mutex<Vec<String>>,
}

impl Browser {
    /// Opens an empty page.
    ///
    /// # Panics
    /// When Chromium or its driver is not installed or does not start.
    pub async fn open(window: Window) -> Self {
        web_client::install_cryptography();
        let chromium = part::installed("/usr/bin/chromium".into());
        let (program, port) = start_driver().await;
        let new_window = || WebDriver::new(format!("http://127.0.0.1:{port}"), capabilities(&chromium, &program));
        let mut driver = new_window().await;
        for _ in 1..START_TRIES {
            if driver.is_err() {
                driver = new_window().await;
            }
        }
        let driver = driver.expect("Chromium opens a window");
        driver.set_script_timeout(wait::HANGS).await.expect("a script may take its time");
        let browser =
            Self { driver: Some(driver), part: program, console: Mutex::default(), requests: Mutex::default() };
        browser.resize(window).await;
        browser
    }

    /// Presses "Save a copy" and waits for the file. A press that lands while the page still moves may hit nothing, as a
    /// finger may; then it is pressed again, as a person would.
    ///
    /// # Panics
    /// When none arrives.
    pub async fn save_copy(&self) -> Vec<u8> {
        self.save_copy_as("pdf").await
    }

    /// [`Browser::save_copy`] of a document of another kind, by the ending of its name.
    pub async fn save_copy_as(&self, kind: &str) -> Vec<u8> {
        let mut pressed: Option<Instant> = None;
        wait::until_async("the saved copy", async || {
            // The browser makes the folder with the first file.
            let folder = std::fs::read_dir(self.downloads()).into_iter().flatten();
            let files: Vec<PathBuf> = folder.filter_map(Result::ok).map(|file| file.path()).collect();
            let ends_with = |file: &PathBuf, ending: &str| file.extension().is_some_and(|end| end == ending);
            if let Some(saved) = files.iter().find(|file| ends_with(file, kind))
                && !files.iter().any(|file| ends_with(file, "crdownload"))
            {
                return std::fs::read(saved).ok().filter(|bytes| !bytes.is_empty());
            }
            if pressed.is_none_or(|at| at.elapsed() > Duration::from_secs(5))
                && let Ok(button) = self.find(By::Css("button.save")).await
                && button.click().await.is_ok()
            {
                pressed = Some(Instant::now());
            }
            None
        })
        .await
    }

    /// Where the browser puts what the patient downloads.
    pub fn downloads(&self) -> PathBuf {
        self.part.folder().join("downloads")
    }

    /// Gives the page exactly this many CSS pixels, also fewer than a desktop window can have.
    pub async fn resize(&self, window: Window) {
        self.set_size(window, 1).await;
    }

    /// [`Browser::resize`] on a screen of twice the dots and without scroll bars, as phones have.
    pub async fn resize_as_phone(&self, window: Window) {
        self.hide_scroll_bars().await;
        self.set_size(window, 2).await;
    }

    pub async fn hide_scroll_bars(&self) {
        self.devtools("Emulation.setScrollbarsHidden", json!({"hidden": true})).await;
    }

    async fn set_size(&self, window: Window, scale: u32) {
        let size = json!({
            "width": window.width_pixels,
            "height": window.height_pixels,
            "deviceScaleFactor": scale,
            "mobile": false,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// What `prefers-color-scheme` says from now on.
    pub async fn prefer(&self, scheme: ColorScheme) {
        let value = match scheme {
            ColorScheme::Light => "light",
            ColorScheme::Dark => "dark",
        };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// What `Accept-Language` and `navigator.languages` say from now on.
    pub async fn prefer_language(&self, accepted: &str) {
        let agent = self.run("return navigator.userAgent").await;
        let spoken = json!({"userAgent": agent, "acceptLanguage": accepted});
        self.devtools("Emulation.setUserAgentOverride", spoken).await;
    }

    /// Pulls the plug of this page, or puts it back.
    pub async fn set_network(&self, network: Network) {
        let is_offline = matches!(network, Network::Cut);
        self.devtools("Network.enable", json!({})).await;
        self.devtools(
            "Network.emulateNetworkConditions",
            json!({"offline": is_offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}),
        )
        .await;
    }

    /// Every console message of level error since the start: exceptions, failed loads, policy violations.
    pub async fn console_errors(&self) -> Vec<String> {
        let entries = self.get_log("browser").await.expect("the driver keeps the console");
        let mut console = self.console.lock().expect("no test panics here");
        let of_a_page = |message: &String| !message.starts_with(OWN_PAGES);
        let severe = entries.into_iter().filter(|entry| entry.level == "SEVERE").map(|entry| entry.message);
        console.extend(severe.filter(of_a_page));
        console.clone()
    }

    /// Every URL the page asked for since the start.
    pub async fn requests(&self) -> Vec<String> {
        let entries = self.get_log("performance").await.expect("the driver keeps the requests");
        let mut requests = self.requests.lock().expect("no test panics here");
        requests.extend(entries.iter().filter_map(|entry| requested_url(&entry.message)));
        requests.clone()
    }

    /// The requests that left `origin` (`http://host:port`); `data:`, `blob:` and the
    /// browser's own pages never leave.
    pub async fn off_origin_requests(&self, origin: &str) -> Vec<String> {
        let inside = format!("{}/", origin.trim_end_matches('/'));
        let stays = |url: &str| {
            url.starts_with(&inside)
                || ["data:", "blob:", "about:", "chrome:"].iter().any(|scheme| url.starts_with(scheme))
        };
        self.requests().await.into_iter().filter(|url| !stays(url)).collect()
    }

    /// Keeps what the page looks like in `target/screens/NAME.png`.
    pub async fn keep_screen(&self, name: &str) -> PathBuf {
        self.keep_in(part::in_project("target/screens"), name).await
    }

    /// A picture for the README: in the folder that `CHARTSEAL_PICTURES` names (`scripts/pictures` does), or with the
    /// screens.
    pub async fn keep_picture(&self, name: &str) -> PathBuf {
        match std::env::var_os("CHARTSEAL_PICTURES") {
            Some(folder) => self.keep_in(folder.into(), name).await,
            None => self.keep_screen(name).await,
        }
    }

    async fn keep_in(&self, folder: PathBuf, name: &str) -> PathBuf {
        let path = folder.join(format!("{name}.png"));
        std::fs::create_dir_all(path.parent().unwrap_or(&folder)).expect("the folder can be made");
        self.screenshot(&path).await.expect("the page can be photographed");
        path
    }

    /// Presses what `selector` finds, once it is there and can be pressed.
    pub async fn press(&self, selector: &str) {
        wait::until_async(&format!("{selector} to be there"), async || {
            self.find(By::Css(selector)).await.ok()?.click().await.ok()
        })
        .await;
    }

    /// Waits until what `selector` finds says `text`.
    pub async fn wait_for_text(&self, selector: &str, text: &str) {
        wait::until_async(&format!("'{text}' in {selector}"), async || {
            self.find(By::Css(selector)).await.ok()?.text().await.ok()?.contains(text).then_some(())
        })
        .await;
    }

    /// Runs `script` in every page that is opened from now on, before any of the page's own.
    pub async fn before_every_page(&self, script: &str) {
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({"source": script})).await;
    }

    /// What `script` returns.
    pub async fn run(&self, script: &str) -> Value {
        self.execute(script, Vec::new()).await.expect("the script runs").json().clone()
    }

    async fn devtools(&self, method: &str, parameters: Value) {
        self.cdp().send_raw(method, parameters).await.unwrap_or_else(|error| panic!("{method}: {error}"));
    }
}

impl Deref for Browser {
    type Target = WebDriver;

    fn deref(&self) -> &WebDriver {
        self.driver.as_ref().expect("the browser is open until it is dropped")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The part ends with its whole process group; a polite farewell would block the runtime.
        if let Some(driver) = self.driver.take() {
            let _ = driver.leak();
        }
    }
}

/// A driver that listens, and its port. It takes a free port of IPv6 and then needs the same one of IPv4, which somebody may
/// have: then it ends, and is started again.
async fn start_driver() -> (Part, u16) {
    let chromedriver = part::installed("/usr/bin/chromedriver".into());
    loop {
        let place = Place::new("browser");
        let recipe = Recipe {
            name: "chromedriver",
            command: vec![chromedriver.clone().into(), "--port=0".into()],
            environment: vec![("HOME", place.as_os_str().to_owned())],
            end_with: EndWith::Terminate,
        };
        let program = Part::start(recipe, place);
        let port = wait::until("chromedriver", || {
            let has_ended = program.exit_code().is_some();
            let log = program.log();
            if has_ended && log.contains("Address already in use") {
                return Some(None);
            }
            program.assert_running();
            let said = log.lines().find_map(|line| line.split_once("started successfully on port "))?.1;
            said.trim_end_matches('.').parse::<u16>().ok().map(Some)
        })
        .await;
        if let Some(port) = port {
            return (program, port);
        }
    }
}

fn capabilities(chromium: &std::path::Path, part: &Part) -> Capabilities {
    let folder = part.folder();
    let arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-crash-reporter",
        "--disable-dev-shm-usage",
        "--password-store=basic",
        "about:blank",
    ];
    let mut arguments: Vec<String> = arguments.map(String::from).to_vec();
    arguments.insert(0, format!("--user-data-dir={}", folder.join("profile").display()));
    let wishes = json!({
        "browserName": "chrome",
        "goog:chromeOptions": {
            "binary": chromium,
            "args": arguments,
            "prefs": {
                "download.default_directory": folder.join("downloads"),
                "download.prompt_for_download": false,
            },
        },
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    });
    let Value::Object(wishes) = wishes else { unreachable!("the wishes are an object") };
    wishes.into()
}

fn requested_url(message: &str) -> Option<String> {
    let message: Value = serde_json::from_str(message).ok()?;
    let event = &message["message"];
    let url = match event["method"].as_str()? {
        "Network.requestWillBeSent" => &event["params"]["request"]["url"],
        "Network.webSocketCreated" => &event["params"]["url"],
        _ => return None,
    };
    url.as_str().map(str::to_owned)
}
