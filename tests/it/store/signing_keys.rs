//! The pairs by which EHRs know us: one current and one next of each kind, whoever makes and changes them at once.

use std::time::Duration;

use chartseal::audit::Actor;
use chartseal::signing::Algorithm;
use chartseal::store::{self, NewSigningKey, SigningKeyRow, SigningTurn, StoreError, TurnOver, Tx};

use super::bed::{Bed, Engine};
use super::stage::NOW;

fn pair(kid: &str) -> NewSigningKey {
    NewSigningKey { kid: kid.to_owned(), algorithm: Algorithm::Es384, jwk: "{}".to_owned(), sealed: vec![1, 2, 3] }
}

fn add(tx: &mut Tx, kid: &str) -> Result<bool, StoreError> {
    store::add_signing_key(tx, &pair(kid), NOW, &Actor::System)
}

fn turn(tx: &mut Tx, current: &str, next: &str, after: &str) -> Result<(), StoreError> {
    let over = TurnOver {
        algorithm: Algorithm::Es384,
        current: current.to_owned(),
        next: next.to_owned(),
        after: pair(after),
        former_ends_at: NOW.plus(Duration::from_secs(60)),
    };
    store::turn_signing_keys(tx, &over, NOW, &Actor::System)
}

fn stand(rows: &[SigningKeyRow], wanted: impl Fn(SigningTurn) -> bool) -> Vec<&str> {
    rows.iter().filter(|row| wanted(row.turn)).map(|row| row.kid.as_str()).collect()
}

fn is_current(turn: SigningTurn) -> bool {
    turn == SigningTurn::Current { signs_since: NOW }
}

fn is_next(turn: SigningTurn) -> bool {
    turn == SigningTurn::Next
}

on_both! {
    async fn of_many_who_make_pairs_at_once_two_are_kept(bed: Bed) {
        let answers = bed.all_at_once(8, |tx, number| add(tx, &format!("k{number}"))).await;
        let kept = answers.into_iter().map(Result::unwrap).filter(|kept| *kept).count();
        let rows = bed.read(store::signing_keys).await;
        assert_eq!((kept, rows.len()), (2, 2));
        assert_eq!((stand(&rows, is_current).len(), stand(&rows, is_next).len()), (1, 1));
        assert_eq!((rows[0].sealed.as_slice(), rows[0].algorithm), (&[1, 2, 3][..], Algorithm::Es384));
    }

    async fn of_many_who_change_turns_at_once_one_does(bed: Bed) {
        bed.write(|tx| add(tx, "a")).await;
        bed.write(|tx| add(tx, "b")).await;
        let answers = bed.all_at_once(6, |tx, number| turn(tx, "a", "b", &format!("c{number}"))).await;
        let done = answers.iter().filter(|answer| answer.is_ok()).count();
        assert!(answers.iter().all(|answer| matches!(answer, Ok(()) | Err(StoreError::Moved))));
        let rows = bed.read(store::signing_keys).await;
        assert_eq!((done, rows.len(), stand(&rows, is_current)), (1, 3, vec!["b"]));
        assert_eq!(stand(&rows, is_next).len(), 1);
    }

    async fn a_former_pair_goes_when_its_time_is_over_and_no_other_does(bed: Bed) {
        for kid in ["a", "b"] {
            bed.write(move |tx| add(tx, kid)).await;
        }
        bed.write(|tx| turn(tx, "a", "b", "c")).await;
        assert_eq!(bed.write(|tx| store::end_signing_keys(tx, NOW.plus(Duration::from_secs(59)))).await, 0);
        assert_eq!(bed.write(|tx| store::end_signing_keys(tx, NOW.plus(Duration::from_secs(60)))).await, 1);
        let rows = bed.read(store::signing_keys).await;
        let mut left: Vec<_> = rows.iter().map(|row| row.kid.as_str()).collect();
        left.sort_unstable();
        assert_eq!(left, ["b", "c"]);
    }
}
