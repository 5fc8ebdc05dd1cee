//! Why a document is not carried over.

use serde::{Deserialize, Serialize};

/// What stands in a document that could not be carried over whole. Holds no word of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Obstacle {
    #[error("it is cut short or malformed")]
    Malformed,
    #[error("it is not in a character encoding that can be read for certain")]
    Encoding,
    #[error("it holds characters that have no certain letter")]
    StrangeCharacter,
    #[error("it says nothing")]
    Empty,
    #[error("it is longer than Chartseal carries over")]
    TooLong,
    #[error("it is nested more deeply than Chartseal reads")]
    TooDeep,
    #[error("it holds a picture")]
    Picture,
    #[error("it holds an embedded object or another page")]
    Object,
    #[error("it holds a script")]
    Script,
    #[error("it holds a form")]
    Form,
    #[error("it holds hidden text")]
    Hidden,
    #[error("it holds text that is crossed out")]
    CrossedOut,
    #[error("it holds tracked changes")]
    Changes,
    #[error("its look may hide or add text, and cannot be judged")]
    Look,
    #[error("it holds text whose colour may not show")]
    Colour,
    #[error("it holds a drawing or a text box")]
    Drawing,
    #[error("it holds a field whose result is not certain")]
    Field,
    #[error("it holds a footnote, comment or other text apart")]
    Apart,
    #[error("it holds a table that cannot be carried over as it is")]
    Table,
    #[error("it holds a list that cannot be carried over as it is")]
    List,
    #[error("it holds right-to-left or other text whose order is not certain")]
    Direction,
    #[error("it holds an element that Chartseal does not know")]
    Unknown,
    #[error("it refers to text outside itself")]
    Elsewhere,
    #[error("a section of it has entries and no text")]
    NoNarrative,
    #[error("a part of it is marked as absent or withheld")]
    Withheld,
    #[error("it names more than one patient")]
    SeveralPatients,
}
