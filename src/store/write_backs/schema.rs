//! The outbox to the EHRs, as a table.

diesel::table! {
    write_back (id) {
        id -> Text,
        ehr -> Text,
        delivery_id -> Text,
        link_id -> Nullable<Text>,
        fact -> Text,
        resource -> Text,
        at -> BigInt,
        about -> Text,
        state -> Text,
        due_at -> Nullable<BigInt>,
        lease_until -> Nullable<BigInt>,
        lease_holder -> Nullable<Text>,
        tries -> Integer,
        over_at -> Nullable<BigInt>,
        remote_id -> Nullable<Text>,
        ended_at -> Nullable<BigInt>,
        why -> Nullable<Text>,
    }
}
