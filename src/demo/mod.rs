//! A trial on one machine: the whole service between a stand-in EHR and a mail catcher, and a page that explains it.
//!
//! Job: make a scratch installation, start everything on loopback, let sample reports arrive, and leave nothing behind.
//! Must stay true: Chartseal itself is the same that `serve` runs, built by the same wiring from the same configuration;
//! whoever is not a browser of this machine on the demo's own page changes nothing; every person in it is invented.
//! Must not know: how the steps work. It acts as those outside do: as the EHR, the relay, the staff at the desk.
