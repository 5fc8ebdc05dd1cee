//! What control words mean.

use super::{FOOT, HEAD, Obstacle};
use crate::paper::carried::Mark;

/// What becomes of what a group holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    /// Words of the flow of this number.
    Text(usize),
    FieldResult,
    /// The number or sign of a list's item, as the writer drew it.
    ListNumber,
    Fonts,
    Colors,
    FieldInstruction,
    Skipped,
}

/// What one word changes.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    Nothing,
    Set(Mark),
    Unset(Mark),
    Baseline,
    Plain,
    Hide,
    Show,
    RightToLeft,
    LeftToRight,
    Color(usize),
    Ground(usize),
    Font(i32),
    DefaultFont(i32),
    Skips(usize),
    CodePage(i32),
    Words(&'static str),
    Tab,
    Paragraph,
    Line,
    NewParagraph,
    Listed,
    InTable,
    RowBegins,
    CellEnd(i32),
    HeadRow,
    Cell,
    Row,
}

/// What a field's result is worth.
pub(super) enum Field {
    Shown,
    /// Numbers of pages: the patient's have others.
    OfThePage,
}

/// What the group is whose first word this is; `None`: the word is no group's name.
pub(super) fn destination(word: &str, may_skip: bool) -> Result<Option<Destination>, Obstacle> {
    Ok(Some(match word {
        "rtf" | "field" => return Ok(None),
        "fonttbl" => Destination::Fonts,
        "colortbl" => Destination::Colors,
        "header" | "headerl" | "headerr" | "headerf" => Destination::Text(HEAD),
        "footer" | "footerl" | "footerr" | "footerf" => Destination::Text(FOOT),
        "listtext" | "pntext" => Destination::ListNumber,
        "fldinst" => Destination::FieldInstruction,
        "fldrslt" => Destination::FieldResult,
        "stylesheet" | "info" | "listtable" | "listoverridetable" | "revtbl" | "rsidtbl" | "filetbl" | "xmlnstbl"
        | "bkmkstart" | "bkmkend" | "pnseclvl" | "pn" | "generator" | "ftnsep" | "ftnsepc" | "aftnsep" | "aftnsepc"
        | "themedata" | "colorschememapping" | "latentstyles" | "datastore" | "panose" | "falt" => Destination::Skipped,
        "pict" | "shppict" | "nonshppict" | "blipuid" => return Err(Obstacle::Picture),
        "object" | "objdata" | "result" | "objclass" => return Err(Obstacle::Object),
        "shp" | "shpinst" | "shptxt" | "do" | "dptxbxtext" | "shpgrp" | "background" => return Err(Obstacle::Drawing),
        "footnote" | "annotation" | "atnid" | "atnauthor" | "atrfstart" | "atnref" => return Err(Obstacle::Apart),
        "formfield" | "ffname" => return Err(Obstacle::Form),
        "upr" | "ud" => return Err(Obstacle::Encoding),
        "tc" | "xe" | "rxe" | "txe" | "nesttableprops" | "nonesttables" | "passwordhash" => {
            return Err(Obstacle::Unknown);
        }
        _ if may_skip => Destination::Skipped,
        _ => return if is_known(word) { Ok(None) } else { Err(Obstacle::Unknown) },
    }))
}

/// Inside what is skipped, the names of what must not be.
pub(super) fn is_in_the_way(word: &str) -> bool {
    matches!(word, "footnote" | "annotation" | "shptxt" | "objdata")
}

pub(super) fn field(instruction: &str) -> Result<Field, Obstacle> {
    let name = instruction.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
    match name.as_str() {
        "HYPERLINK" => Ok(Field::Shown),
        "PAGE" | "NUMPAGES" | "SECTIONPAGES" => Ok(Field::OfThePage),
        _ => Err(Obstacle::Field),
    }
}

pub(super) fn meaning(word: &str, number: Option<i32>) -> Result<Meaning, Obstacle> {
    let is_on = number != Some(0);
    let set = |mark| if is_on { Meaning::Set(mark) } else { Meaning::Unset(mark) };
    let place = |number: Option<i32>| usize::try_from(number.unwrap_or(0)).map_err(|_| Obstacle::Malformed);
    Ok(match word {
        "b" => set(Mark::Strong),
        "i" => set(Mark::Slanted),
        "ul" | "uld" | "uldb" | "ulw" | "ulwave" | "ulth" | "uldash" | "uldashd" | "uldashdd" => set(Mark::Underlined),
        "ulnone" => Meaning::Unset(Mark::Underlined),
        "super" => set(Mark::Raised),
        "sub" => set(Mark::Lowered),
        "up" if number.is_none_or(|by| by > 0) => Meaning::Set(Mark::Raised),
        "dn" if number.is_none_or(|by| by > 0) => Meaning::Set(Mark::Lowered),
        "nosupersub" | "up" | "dn" => Meaning::Baseline,
        "plain" => Meaning::Plain,
        "v" | "webhidden" => {
            if is_on {
                Meaning::Hide
            } else {
                Meaning::Show
            }
        }
        "strike" | "striked" if is_on => return Err(Obstacle::CrossedOut),
        "deleted" | "revised" if is_on => return Err(Obstacle::Changes),
        "caps" | "scaps" if is_on => return Err(Obstacle::Look),
        "strike" | "striked" | "deleted" | "revised" | "caps" | "scaps" => Meaning::Nothing,
        "rtlch" => Meaning::RightToLeft,
        "ltrch" => Meaning::LeftToRight,
        "rtlpar" | "rtlrow" | "rtldoc" | "rtlmark" => return Err(Obstacle::Direction),
        "cf" => Meaning::Color(place(number)?),
        "cb" | "highlight" | "chcbpat" => Meaning::Ground(place(number)?),
        "f" => Meaning::Font(number.unwrap_or(0)),
        "deff" => Meaning::DefaultFont(number.unwrap_or(0)),
        "fs" if number.is_some_and(|size| size < FONT_HALF_POINTS_MIN) => return Err(Obstacle::Hidden),
        "uc" => Meaning::Skips(place(number)?),
        "ansicpg" => Meaning::CodePage(number.unwrap_or(1252)),
        "mac" | "pc" | "pca" => return Err(Obstacle::Encoding),
        "par" | "sect" | "page" | "column" | "softpage" => Meaning::Paragraph,
        "line" | "lbr" | "softline" => Meaning::Line,
        "tab" => Meaning::Tab,
        "pard" => Meaning::NewParagraph,
        "ls" if number.is_some_and(|list| list > 0) => Meaning::Listed,
        "intbl" => Meaning::InTable,
        "trowd" => Meaning::RowBegins,
        "cellx" => Meaning::CellEnd(number.ok_or(Obstacle::Malformed)?),
        "trhdr" => Meaning::HeadRow,
        "cell" => Meaning::Cell,
        "row" => Meaning::Row,
        "clmgf" | "clmrg" | "clvmgf" | "clvmrg" | "nestcell" | "nestrow" => return Err(Obstacle::Table),
        "itap" if number.is_some_and(|depth| depth > 1) => return Err(Obstacle::Table),
        "chdate" | "chtime" | "chdpl" | "chdpa" | "sectnum" => return Err(Obstacle::Field),
        "chftn" | "chatn" => return Err(Obstacle::Apart),
        "posx" | "posy" | "absw" | "absh" | "dropcapli" | "posxl" | "posxr" | "posxc" => return Err(Obstacle::Look),
        _ => {
            return letter(word)
                .map(Meaning::Words)
                .or_else(|| is_harmless(word).then_some(Meaning::Nothing))
                .ok_or(Obstacle::Unknown);
        }
    })
}

/// Smaller letters cannot be read.
const FONT_HALF_POINTS_MIN: i32 = 8;

fn letter(word: &str) -> Option<&'static str> {
    Some(match word {
        "bullet" => "•",
        "endash" => "–",
        "emdash" => "—",
        "lquote" => "‘",
        "rquote" => "’",
        "ldblquote" => "“",
        "rdblquote" => "”",
        "emspace" => "\u{2003}",
        "enspace" => "\u{2002}",
        "qmspace" => "\u{2005}",
        "zwj" => "\u{200d}",
        "zwnj" => "\u{200c}",
        "zwbo" | "zwnbo" | "ltrmark" | "chpgn" => "",
        _ => return None,
    })
}

fn is_known(word: &str) -> bool {
    !matches!(meaning(word, Some(0)), Err(Obstacle::Unknown))
}

/// Words that leave the text as it is.
const WORDS: &str = "rtf ansi uc landscape facingp widowctrl nowidctlpar widctlpar ftnbj ftnrestart aenddoc fet titlepg sectd \
     linex endnhere cols colsx psz htmautsp useltbaln alntblind lytcalctblwd lyttblrtgr lnbrkrule nobrkwrptbl \
     snaptogridincell allowfieldendsel wrppunct asianbrkrule newtblstyruls nogrowautofit usenormstyforlist \
     noindnmbrts felnbrelev nocxsptable indrlsweleven noafcnsttbl afelev utinl hwelev spltpgpar notcvasp \
     notbrkcnstfrctbl notvatxbx krnprsnet cachedcolbal nouicompat fromtext fromhtml ltrdoc noxlattoyen expshrtn \
     noultrlspc dntblnsbdb nospaceforul horzdoc jexpand jcompress splytwnine ftnlytwnine nolnhtadjtbl trackmoves \
     trackformatting donotembedsysfont donotembedlingdata relyonvml validatexml showplaceholdtext \
     ignoremixedcontent saveinvalidxml showxmlerrors grfdocevents adjustright ql qr qc qj qd qt ltrpar keep keepn \
     pagebb noline contextualspacing itap outlinelevel s cs ds ts ls ilvl tx tb jclisttab intbl lastrow irow \
     irowband cfpat cbpat shading fs af afs ab ai loch hich dbch fcs noproof kerning cgrid outl shad embo impr \
     accnone nocwnd cchs sectunlocked sectdefaultcl field flddirty fldedit fldlock fldpriv deftab hyphpar \
     aspalpha aspnum faauto fahang facenter faroman favar fafixed slmult ltrsect ltrrow nosectexpand insrsid \
     charrsid pararsid sectrsid tblrsid box level fbidi fnil froman fswiss fmodern fscript fdecor ftech lin rin \
     culi noextrasprl viewkind viewscale viewzk viewbksp";

/// The beginnings of families of such words.
const BEGINNINGS: &str = "adef deflang stshf themelang paper marg gutter aftn ftnn ftnstart headery footery pgn vertal hyph dg pgbrdr \
     rsid li ri fi sb sa sl tq tl brdr bg trgaph trleft trrh trkeep trq trpadd trspd trfts trwwidth trwWidth \
     trautofit trbrdr trpat trcbpat trcfpat tbl tab clvertal clbrdr clcbpat clcfpat clshdng cltx clfts clww clwW \
     clpad clNoWrap chshdng chcfpat chbrdr lang expnd charscale prot form nof ulc yts sbk margmir";

fn is_harmless(word: &str) -> bool {
    WORDS.split(' ').any(|one| one == word) || BEGINNINGS.split(' ').any(|start| word.starts_with(start))
}
