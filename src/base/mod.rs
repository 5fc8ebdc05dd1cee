//! The vocabulary: parsed values that every room may use.
//!
//! Job: turn outside text into types once, at the door. Past it no `String` means an address, an id,
//! a code or a secret.
//! Must stay true: nothing here does I/O, except [`clock`], which reads the machine's monotonic clock.
//! Must not know: databases, FHIR, HTTP, mail, or any other module of this crate.

pub mod address;
pub mod bell;
#[cfg(test)]
pub mod cases;
pub mod clock;
pub mod contact;
pub mod ids;
pub mod language;
pub mod media;
pub mod phone;
pub mod random;
pub mod secret;
pub mod slip;
pub mod time;
mod title;

pub use address::{AddressError, EmailAddress};
pub use bell::Bell;
pub use clock::Clock;
pub use contact::Contact;
pub use ids::{
    ClinicId, DeliveryId, EhrId, EventId, FhirId, IdError, LinkId, NoticeId, OpeningId, OperatorName, Reference,
    ResourceKey, ResourceType, SourceId, ToldId, VersionId,
};
pub use language::{Language, LanguageError, LanguageTag};
pub use media::MediaType;
pub use phone::{PhoneError, PhoneNumber, Region, RegionError};
pub use secret::{Key256, LinkSecret, SecretBytes, SecretText};
pub use slip::{SlipCode, SlipReference};
pub use time::{UtcMillis, hours, millis, minutes, seconds};
pub use title::{DocumentTitle, is_invisible};
