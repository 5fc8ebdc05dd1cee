//! Operators as rows: one name is one person for ever, and there is always a lead.

use chartseal::base::OperatorName;
use chartseal::store::{self, Ended, NewOperator, Rekeyed, Role, StoreError, Tx};

use super::bed::{Bed, Engine};
use super::stage::NOW;

fn name(text: &str) -> OperatorName {
    OperatorName::parse(text).unwrap()
}

fn add(tx: &mut Tx, who: &str, role: Role) -> Result<(), StoreError> {
    store::add_operator(tx, &NewOperator { name: name(who), role, key_mac: [1; 32] }, NOW, "Eve Admin")
}

on_both! {
    async fn the_first_operator_is_a_lead(bed: Bed) {
        let refused = bed.store.write(|tx| add(tx, "Ann", Role::Author)).await;
        assert!(matches!(refused, Err(StoreError::Moved)));
        bed.write(|tx| add(tx, "Lea", Role::Lead)).await;
        bed.write(|tx| add(tx, "Ann", Role::Author)).await;
        let found = bed.read(|conn| store::operator(conn, &name("Ann"))).await.unwrap();
        assert_eq!((found.role, found.key_mac, found.ended_at), (Role::Author, [1; 32], None));
    }

    async fn a_name_that_was_used_is_not_given_again(bed: Bed) {
        bed.write(|tx| add(tx, "Lea", Role::Lead)).await;
        bed.write(|tx| add(tx, "Ann", Role::Author)).await;
        assert_eq!(bed.write(|tx| store::end_operator(tx, &name("Ann"), NOW, "Lea")).await, Ended::Done);
        assert_eq!(bed.write(|tx| store::end_operator(tx, &name("Ann"), NOW, "Lea")).await, Ended::Nobody);
        assert_eq!(bed.write(|tx| store::rekey_operator(tx, &name("Ann"), &[2; 32], NOW)).await, Rekeyed::Nobody);
        let again = bed.store.write(|tx| add(tx, "Ann", Role::Author)).await;
        assert!(matches!(again, Err(StoreError::Duplicate)));
    }

    async fn only_an_acting_lead_is_given_a_key_by_roots_word(bed: Bed) {
        bed.write(|tx| add(tx, "Lea", Role::Lead)).await;
        bed.write(|tx| add(tx, "Leo", Role::Lead)).await;
        bed.write(|tx| add(tx, "Ann", Role::Author)).await;
        assert_eq!(bed.write(|tx| store::end_operator(tx, &name("Leo"), NOW, "Lea")).await, Ended::Done);
        for (who, becomes) in [("Lea", Rekeyed::Done), ("Leo", Rekeyed::Nobody), ("Ann", Rekeyed::Nobody)] {
            assert_eq!(bed.write(move |tx| store::recover_lead(tx, &name(who), &[2; 32], NOW)).await, becomes, "{who}");
        }
        let all = bed.read(store::operators).await;
        let told: Vec<_> = all.iter().map(|row| (row.name.as_str(), row.key_mac, row.recovered_at)).collect();
        assert_eq!(told, [("Ann", [1; 32], None), ("Lea", [2; 32], Some(NOW)), ("Leo", [1; 32], None)]);
    }

    async fn two_leads_who_end_each_other_leave_one(bed: Bed) {
        bed.write(|tx| add(tx, "Lea", Role::Lead)).await;
        bed.write(|tx| add(tx, "Leo", Role::Lead)).await;
        let answers = bed
            .all_at_once(2, |tx, number| {
                let (by, ended) = if number == 0 { ("Lea", "Leo") } else { ("Leo", "Lea") };
                store::end_operator(tx, &name(ended), NOW, by)
            })
            .await;
        let ended: Vec<Ended> = answers.into_iter().map(Result::unwrap).collect();
        assert!(ended.contains(&Ended::Done) && ended.contains(&Ended::LastLead), "{ended:?}");
    }
}
