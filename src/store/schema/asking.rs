//! What links ask before they open and offer once they are open, what is said of those that nobody opens, and what patients want, as
//! tables.

diesel::table! {
    challenge (link_id) {
        link_id -> Text,
        attempts -> Integer,
        attempts_left -> Integer,
        unlocked_at -> Nullable<BigInt>,
        unlock_by -> Nullable<Text>,
        unlock_left -> Integer,
        unlock_sealed -> Nullable<Binary>,
        unlock_until -> Nullable<BigInt>,
    }
}

diesel::table! {
    asked (link_id, kind) {
        link_id -> Text,
        kind -> Text,
        how -> Text,
        question_sealed -> Nullable<Binary>,
        answer_sealed -> Nullable<Binary>,
        until_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    answered (link_id, cookie_hash, kind) {
        link_id -> Text,
        cookie_hash -> Binary,
        kind -> Text,
        answered_at -> BigInt,
    }
}

diesel::table! {
    question (delivery_id) {
        delivery_id -> Text,
        question_sealed -> Binary,
        answer_sealed -> Binary,
    }
}

diesel::table! {
    slip (reference) {
        reference -> Text,
        clinic -> Text,
        code_sealed -> Binary,
        order_index -> Nullable<Binary>,
        printed_at -> BigInt,
        printed_by -> Text,
        bound_at -> Nullable<BigInt>,
        bound_by -> Nullable<Text>,
    }
}

diesel::table! {
    reminder (link_id) {
        link_id -> Text,
        due_at -> Nullable<BigInt>,
        secret_sealed -> Nullable<Binary>,
        call_since -> Nullable<BigInt>,
        called_at -> Nullable<BigInt>,
        called_by -> Nullable<Text>,
    }
}

diesel::table! {
    wish (link_id) {
        link_id -> Text,
        asked_at -> BigInt,
        looked_at -> Nullable<BigInt>,
        answered_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    opt_out (contact_index) {
        contact_index -> Binary,
        since -> BigInt,
    }
}

diesel::table! {
    health_link (link_id) {
        link_id -> Text,
        id_index -> Nullable<Binary>,
        passcode_sealed -> Nullable<Binary>,
        attempts_left -> Integer,
        blob -> Text,
        file_bytes -> BigInt,
    }
}

diesel::table! {
    staff_mail (id) {
        id -> Text,
        delivery_id -> Text,
        link_id -> Text,
        tells -> Text,
        created_at -> BigInt,
        state -> Text,
        due_at -> BigInt,
        attempts -> Integer,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    staff_note (delivery_id) {
        delivery_id -> Text,
        note_sealed -> Binary,
    }
}
