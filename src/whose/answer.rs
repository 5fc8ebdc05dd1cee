//! What somebody answers about themselves, in forms that can be compared.
//!
//! Case, spaces, marks and signs count for nothing. A date counts in every way in which it can be read: `05/06/1984` is right for the
//! fifth of June and for the sixth of May, for nobody knows in which order its writer writes. That makes at most four guesses of one,
//! and few of them are dates of birth.

use chrono::NaiveDate;

use super::dates;
use super::fold::fold;

/// The most that is read of an answer, in bytes.
const ANSWER_BYTES_MAX: usize = 200;

/// What an answer is compared as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// The day of birth: `1984-05-06`.
    BirthDate,
    /// Words of any kind.
    Words,
}

/// The form of a right answer in which it is kept; `None` where nothing of it could be told from another.
#[must_use]
pub fn normal_form(answer: &str) -> Option<String> {
    let words = words_of(answer);
    match dates_of(&words.folded).as_slice() {
        [one] if words.is_all_date => Some(one.to_string()),
        _ => Some(words.joined).filter(|joined| !joined.is_empty()),
    }
}

/// Every form that an answer may mean, at most a few.
#[must_use]
pub fn forms_of(answer: &str, form: Form) -> Vec<String> {
    let words = words_of(answer);
    let mut forms: Vec<String> = dates_of(&words.folded).into_iter().map(|date| date.to_string()).collect();
    match form {
        Form::BirthDate => {}
        Form::Words if words.joined.is_empty() => {}
        Form::Words => forms.push(words.joined),
    }
    forms.sort();
    forms.dedup();
    forms
}

/// The digits of a code, however they are grouped.
#[must_use]
pub fn code_form(answer: &str) -> String {
    words_of(answer).joined
}

struct Words {
    folded: String,
    /// Letters and digits alone.
    joined: String,
    /// Whether nothing but a date can stand there.
    is_all_date: bool,
}

fn words_of(answer: &str) -> Words {
    let answer = answer.get(..answer.floor_char_boundary(ANSWER_BYTES_MAX)).unwrap_or_default();
    let spaced = fold(answer).split_whitespace().collect::<Vec<_>>().join(" ");
    let folded = [" - ", " / ", " . "].into_iter().fold(spaced, |text, sign| text.replace(sign, sign.trim()));
    let joined = folded.chars().filter(|c| c.is_alphanumeric()).collect();
    let is_all_date = dates::is_whole(&folded) || folded.len() == EIGHT && folded.bytes().all(|b| b.is_ascii_digit());
    Words { folded, joined, is_all_date }
}

const EIGHT: usize = 8;

/// Every day that a folded answer can mean, when it is a date and nothing else.
fn dates_of(folded: &str) -> Vec<NaiveDate> {
    let mut days = if dates::is_whole(folded) { dates::readings_of(folded) } else { Vec::new() };
    days.extend(eight_digits(folded));
    days.sort_unstable();
    days.dedup();
    days
}

/// `19840506`, `06051984` and `05061984`: a keyboard of digits has nothing to put between them.
fn eight_digits(folded: &str) -> Vec<NaiveDate> {
    if folded.len() != EIGHT || !folded.bytes().all(|b| b.is_ascii_digit()) {
        return Vec::new();
    }
    let number = |range: std::ops::Range<usize>| folded.get(range).and_then(|digits| digits.parse::<u32>().ok());
    let day = |year: Option<u32>, month: Option<u32>, day: Option<u32>| {
        NaiveDate::from_ymd_opt(i32::try_from(year?).ok()?, month?, day?)
    };
    let is_likely = |date: &NaiveDate| {
        use chrono::Datelike as _;
        (1850..2100).contains(&date.year())
    };
    let (first, second, last) = (number(0..2), number(2..4), number(4..8));
    let readings = [day(number(0..4), number(4..6), number(6..8)), day(last, second, first), day(last, first, second)];
    readings.into_iter().flatten().filter(is_likely).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_birth_is_found_however_it_is_written() {
        for written in [
            "1984-05-06",
            "6.5.1984",
            "06.05.1984",
            "6/5/1984",
            "05/06/1984",
            "6 May 1984",
            "May 6, 1984",
            "6. Mai 1984",
            "6 mai 1984",
            "6 de mayo de 1984",
            "6 maja 1984",
            " 1984 - 05 - 06 ",
            "19840506",
            "06051984",
            "05061984",
            "6.5.84",
            "\u{ff11}\u{ff19}\u{ff18}\u{ff14}-05-06",
        ] {
            assert!(forms_of(written, Form::BirthDate).contains(&"1984-05-06".to_owned()), "{written}");
        }
    }

    #[test]
    fn what_is_no_date_and_what_is_another_is_not_right() {
        for written in ["", "1984", "May 1984", "1984-05-07", "31.2.1984", "hello", "1984-05-06 or 1984-05-07", "0"] {
            assert!(!forms_of(written, Form::BirthDate).contains(&"1984-05-06".to_owned()), "{written}");
        }
        assert!(forms_of("5/6/84", Form::BirthDate).len() <= 4);
    }

    #[test]
    fn words_count_without_case_marks_spaces_and_signs() {
        let kept = normal_form("St. Mary's, \u{141}\u{f3}d\u{17a}").unwrap();
        for written in ["st marys lodz", "ST. MARY\u{2019}S  \u{141}\u{d3}D\u{179}", "stmaryslodz"] {
            assert!(forms_of(written, Form::Words).contains(&kept), "{written}");
        }
        assert!(!forms_of("st marys", Form::Words).contains(&kept));
        assert_eq!(normal_form(" ... "), None);
    }

    #[test]
    fn an_answer_that_is_a_date_may_be_given_as_any() {
        assert_eq!(normal_form("24 December 2019").as_deref(), Some("2019-12-24"));
        assert!(forms_of("24.12.2019", Form::Words).contains(&"2019-12-24".to_owned()));
        // Nobody knows which day is meant: it has to be written as it was.
        let kept = normal_form("5/6/2019").unwrap();
        assert!(
            forms_of("5.6.2019", Form::Words).contains(&kept) && !forms_of("2019-05-06", Form::Words).contains(&kept)
        );
    }

    #[test]
    fn a_code_counts_however_its_digits_are_grouped() {
        assert_eq!(code_form(" 123 456"), "123456");
        assert_eq!(code_form("123-456"), "123456");
    }
}
