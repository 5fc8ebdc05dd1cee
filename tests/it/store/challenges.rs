//! The count of wrong answers, exact whoever asks at once; who may claim.

use chartseal::base::{LinkId, minutes};
use chartseal::policy::Challenge as Check;
use chartseal::record::Ask;
use chartseal::store::{self, Attempt, ClaimRefusal, LetIn, NewAsk, NewChallenge, StoreError, Tx, Unlocked};

use super::bed::{Bed, Engine};
use super::stage::{self, NOW, Won, begin, browser, claim};

const ANSWER: &[u8] = b"planted-answer-2b9f";

fn asking(asks: &[Ask]) -> NewChallenge {
    let new = |ask: &Ask| NewAsk {
        ask: *ask,
        question_sealed: None,
        answer_sealed: (ask.check() == Check::Question).then(|| ANSWER.to_vec()),
    };
    NewChallenge { attempts: 5, asks: asks.iter().map(new).collect(), unlock_by: None }
}

/// A live link that asks.
async fn asked(bed: &Bed, asks: &'static [Ask]) -> stage::Released {
    bed.write(move |tx| {
        let delivery = stage::recorded(tx, 1)?;
        let released = stage::release_asking(tx, &delivery, 3, Some(asking(asks)))?;
        store::lease_notices(tx, NOW, NOW, 100)?;
        Ok(released)
    })
    .await
}

fn let_in(tx: &mut Tx, link: &LinkId, number: u8, ask: Ask) -> Result<LetIn, StoreError> {
    store::let_in(tx, link, &browser(number), ask, ANSWER, NOW)
}

async fn left(bed: &Bed, link: &LinkId) -> u8 {
    let link = link.clone();
    bed.read(move |conn| store::challenge_of(conn, &link)).await.unwrap().left
}

on_both! {
    async fn of_200_answers_at_once_five_are_looked_at(bed: Bed) {
        let it = asked(&bed, &[Ask::BirthDate]).await;
        let link = it.link.clone();
        let answers = bed.all_at_once(200, move |tx, _| store::count_attempt(tx, &link, NOW)).await;
        let counted = answers.into_iter().filter(|one| matches!(one, Ok(Attempt::Counted))).count();
        assert_eq!((counted, left(&bed, &it.link).await), (5, 0));
    }

    async fn a_right_answer_gives_its_attempt_back_and_lets_its_browser_alone_in(bed: Bed) {
        let it = asked(&bed, &[Ask::BirthDate]).await;
        let link = it.link.clone();
        bed.write(move |tx| {
            begin(tx, &link, 1, NOW)?;
            begin(tx, &link, 2, NOW)?;
            assert_eq!(claim(tx, &link, 1, NOW)?, Won::Refused(ClaimRefusal::NotOpen));
            store::count_attempt(tx, &link, NOW)?;
            assert_eq!(let_in(tx, &link, 1, Ask::BirthDate)?, LetIn::Yes);
            assert_eq!(claim(tx, &link, 2, NOW)?, Won::Refused(ClaimRefusal::NotOpen));
            assert_eq!(claim(tx, &link, 1, NOW)?, Won::Granted);
            // Never more than there were.
            assert_eq!(let_in(tx, &link, 2, Ask::BirthDate)?, LetIn::Yes);
            Ok(())
        })
        .await;
        assert_eq!(left(&bed, &it.link).await, 5);
    }

    async fn all_that_is_asked_has_to_be_answered(bed: Bed) {
        let it = asked(&bed, &[Ask::BirthDate, Ask::CodeByStaff]).await;
        bed.write(move |tx| {
            begin(tx, &it.link, 1, NOW)?;
            assert_eq!(let_in(tx, &it.link, 1, Ask::BirthDate)?, LetIn::Yes);
            assert_eq!(claim(tx, &it.link, 1, NOW)?, Won::Refused(ClaimRefusal::NotOpen));
            store::set_code(tx, &it.link, ANSWER, NOW.plus(minutes(10)), NOW)?;
            assert_eq!(let_in(tx, &it.link, 1, Ask::CodeByStaff)?, LetIn::Yes);
            assert_eq!(claim(tx, &it.link, 1, NOW)?, Won::Granted);
            Ok(())
        })
        .await;
    }

    async fn a_code_lets_one_browser_in_however_many_have_it(bed: Bed) {
        let it = asked(&bed, &[Ask::CodeByEmail]).await;
        let link = it.link.clone();
        bed.write(move |tx| store::set_code(tx, &link, ANSWER, NOW.plus(minutes(10)), NOW)).await;
        let link = it.link.clone();
        let answers = bed.all_at_once(32, move |tx, number| let_in(tx, &link, number, Ask::CodeByEmail)).await;
        assert_eq!(answers.into_iter().filter(|one| matches!(one, Ok(LetIn::Yes))).count(), 1);
        bed.write(move |tx| {
            assert_eq!(let_in(tx, &it.link, 99, Ask::CodeByEmail)?, LetIn::TooLate);
            store::set_code(tx, &it.link, ANSWER, NOW, NOW)?;
            assert_eq!(let_in(tx, &it.link, 99, Ask::CodeByEmail)?, LetIn::TooLate, "it ran out");
            Ok(())
        })
        .await;
    }

    async fn a_link_is_unlocked_once_and_only_when_it_is_locked(bed: Bed) {
        let it = asked(&bed, &[Ask::BirthDate]).await;
        let link = it.link.clone();
        bed.write(move |tx| {
            assert_eq!(store::unlock(tx, &link, NOW)?, Unlocked::NotLocked);
            for _ in 0..5 {
                assert_eq!(store::count_attempt(tx, &link, NOW)?, Attempt::Counted);
            }
            assert_eq!(store::count_attempt(tx, &link, NOW)?, Attempt::Refused);
            Ok(())
        })
        .await;
        let link = it.link.clone();
        let done = bed.all_at_once(16, move |tx, _| store::unlock(tx, &link, NOW)).await;
        assert_eq!(done.into_iter().filter(|one| matches!(one, Ok(Unlocked::Done))).count(), 1);
        assert_eq!(left(&bed, &it.link).await, 5);
        bed.write(move |tx| {
            for _ in 0..5 {
                store::count_attempt(tx, &it.link, NOW)?;
            }
            assert_eq!(store::unlock(tx, &it.link, NOW)?, Unlocked::Before);
            Ok(())
        })
        .await;
    }

    async fn a_dead_link_takes_no_answer_and_keeps_none(bed: Bed) {
        let it = asked(&bed, &[Ask::BirthDate]).await;
        let link = it.link.clone();
        let row = bed
            .write(move |tx| {
                let_in(tx, &link, 1, Ask::BirthDate)?;
                stage::revoke(tx, &it.delivery, NOW)?;
                assert_eq!(store::count_attempt(tx, &link, NOW)?, Attempt::Refused);
                assert_eq!(let_in(tx, &link, 2, Ask::BirthDate)?, LetIn::TooLate);
                assert!(store::answered_by(tx.conn(), &link, &browser(1))?.is_empty());
                store::challenge_of(tx.conn(), &link)
            })
            .await
            .unwrap();
        assert!(row.asks.iter().all(|asked| asked.answer_sealed.is_none() && asked.question_sealed.is_none()));
    }
}
