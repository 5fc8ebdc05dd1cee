//! The tables as diesel sees them: one schema for both databases, held to the migrations by a test.

mod asking;

pub use asking::{
    answered, asked, challenge, health_link, opt_out, question, reminder, slip, staff_mail, staff_note, wish,
};

diesel::table! {
    control (name) {
        name -> Text,
        value -> Text,
        set_at -> BigInt,
        set_by -> Text,
    }
}

diesel::table! {
    key_mark (kind, name) {
        kind -> Text,
        name -> Text,
        fingerprint -> Text,
        made_at -> BigInt,
        destroyed_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    audit_line (n) {
        n -> BigInt,
        chain -> Text,
        seq -> BigInt,
        at -> BigInt,
        clinic -> Nullable<Text>,
        body -> Text,
        prev -> Binary,
        hash -> Binary,
    }
}

diesel::table! {
    event (id) {
        id -> Text,
        ehr -> Text,
        received_at -> BigInt,
        state -> Text,
        method -> Text,
        path_kind -> Nullable<Text>,
        path_id -> Nullable<Text>,
        sha256 -> Text,
        body_bytes -> BigInt,
        body_sealed -> Nullable<Binary>,
        body_key -> Nullable<Text>,
        due_at -> Nullable<BigInt>,
        lease_until -> Nullable<BigInt>,
        tries -> Integer,
        why -> Nullable<Text>,
        lease_holder -> Nullable<Text>,
    }
}

diesel::table! {
    source (id) {
        id -> Text,
        ehr -> Text,
        kind -> Text,
        resource_id -> Text,
        clinic -> Nullable<Text>,
        heard_at -> BigInt,
        heard_count -> BigInt,
        heard_version -> Nullable<Text>,
        due_at -> Nullable<BigInt>,
        lease_until -> Nullable<BigInt>,
        tries -> Integer,
        read_at -> Nullable<BigInt>,
        read_version -> Nullable<Text>,
        status -> Nullable<Text>,
        content_hash -> Nullable<Binary>,
        subject_index -> Nullable<Binary>,
        gone_at -> Nullable<BigInt>,
        why -> Nullable<Text>,
        lease_holder -> Nullable<Text>,
        urgent_at -> Nullable<BigInt>,
        backfilled_at -> Nullable<BigInt>,
        addressee_index -> Binary,
        recipient -> Text,
        others_since -> Nullable<BigInt>,
    }
}

diesel::table! {
    likeness (mark, source_id) {
        mark -> Binary,
        source_id -> Text,
        kind -> Text,
        content_hash -> Binary,
        noted_at -> BigInt,
    }
}

diesel::table! {
    twin (source_id) {
        source_id -> Text,
        family -> Text,
        decision -> Nullable<Text>,
        trace -> Nullable<Text>,
        rules_hash -> Nullable<Text>,
        noted_at -> BigInt,
    }
}

diesel::table! {
    replacement (ehr, resource_id, by_source) {
        ehr -> Text,
        resource_id -> Text,
        by_source -> Text,
    }
}

diesel::table! {
    delivery (id) {
        id -> Text,
        source_id -> Text,
        ehr -> Text,
        clinic -> Nullable<Text>,
        report_version -> Text,
        content_hash -> Binary,
        recipient -> Text,
        issue_no -> Integer,
        mode -> Text,
        kind -> Text,
        row_version -> BigInt,
        state -> Text,
        state_detail -> Text,
        state_at -> BigInt,
        due_at -> Nullable<BigInt>,
        lease_until -> Nullable<BigInt>,
        tries -> Integer,
        decision -> Text,
        facts -> Text,
        trace -> Text,
        rules_hash -> Text,
        card_sealed -> Nullable<Binary>,
        contact_index -> Nullable<Binary>,
        patient_index -> Nullable<Binary>,
        link_id -> Nullable<Text>,
        replaces -> Nullable<Text>,
        created_at -> BigInt,
        breaker_passed_at -> Nullable<BigInt>,
        lease_holder -> Nullable<Text>,
        kept_at -> Nullable<BigInt>,
        group_index -> Nullable<Binary>,
        addressee_index -> Binary,
    }
}

diesel::table! {
    link (id) {
        id -> Text,
        delivery_id -> Text,
        reference -> Text,
        report_version -> Text,
        created_at -> BigInt,
        life_seconds -> BigInt,
        expires_at -> Nullable<BigInt>,
        opens_max -> Integer,
        opened -> Integer,
        share_wrapped -> Nullable<Binary>,
        epoch -> Text,
        auth_sealed -> Nullable<Binary>,
        receipt_sealed -> Nullable<Binary>,
        ended_at -> Nullable<BigInt>,
        shredded_at -> Nullable<BigInt>,
        files_removed_at -> Nullable<BigInt>,
        view_seconds -> Integer,
        download -> Text,
        notify -> Text,
    }
}

diesel::table! {
    sealed_file (link_id, number) {
        link_id -> Text,
        number -> Integer,
        blob -> Text,
        media -> Text,
        plain_bytes -> BigInt,
        sealed_bytes -> BigInt,
        plain_index -> Nullable<Binary>,
        delivery_id -> Nullable<Text>,
        report_version -> Nullable<Text>,
    }
}

diesel::table! {
    opening (id) {
        id -> Text,
        link_id -> Text,
        cookie_hash -> Binary,
        state -> Text,
        begun_at -> BigInt,
        claimed_at -> Nullable<BigInt>,
        lease_until -> Nullable<BigInt>,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    notice (id) {
        id -> Text,
        delivery_id -> Text,
        link_id -> Text,
        kind -> Text,
        channel -> Text,
        state -> Text,
        due_at -> BigInt,
        lease_until -> Nullable<BigInt>,
        attempts -> Integer,
        ambiguous -> Integer,
        created_at -> BigInt,
        first_attempt_at -> Nullable<BigInt>,
        ended_at -> Nullable<BigInt>,
        secret_sealed -> Nullable<Binary>,
        secret_key -> Nullable<Text>,
        why -> Nullable<Text>,
        lease_holder -> Nullable<Text>,
        arrived_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    patient (patient_index) {
        patient_index -> Binary,
        key_sealed -> Nullable<Binary>,
        created_at -> BigInt,
        forgotten_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    preference (patient_index, word) {
        patient_index -> Binary,
        word -> Text,
        set_at -> BigInt,
        set_by -> Text,
    }
}

diesel::table! {
    poll (ehr, kind) {
        ehr -> Text,
        kind -> Text,
        started_at -> BigInt,
        watermark -> BigInt,
        next_at -> BigInt,
        lease_until -> Nullable<BigInt>,
        last_ok_at -> Nullable<BigInt>,
        why -> Nullable<Text>,
        search_from -> Nullable<BigInt>,
        clock_off_ms -> Nullable<BigInt>,
        lease_holder -> Nullable<Text>,
    }
}

diesel::table! {
    subscription (ehr, kind) {
        ehr -> Text,
        kind -> Text,
        remote_id -> Nullable<Text>,
        status -> Text,
        next_at -> BigInt,
        lease_until -> Nullable<BigInt>,
        tries -> Integer,
        why -> Nullable<Text>,
        lease_holder -> Nullable<Text>,
    }
}

diesel::table! {
    topic (ehr) {
        ehr -> Text,
        remote_id -> Nullable<Text>,
        status -> Text,
        terms -> Nullable<Text>,
        next_at -> BigInt,
        lease_until -> Nullable<BigInt>,
        lease_holder -> Nullable<Text>,
        tries -> Integer,
        why -> Nullable<Text>,
        asked_at -> Nullable<BigInt>,
        heard_at -> Nullable<BigInt>,
        beat_at -> Nullable<BigInt>,
        numbered -> Nullable<Text>,
        highest -> Nullable<BigInt>,
    }
}

diesel::table! {
    event_gap (ehr, first_number) {
        ehr -> Text,
        first_number -> BigInt,
        last_number -> BigInt,
        due_at -> BigInt,
    }
}

diesel::table! {
    operator (name) {
        name -> Text,
        role -> Text,
        key_mac -> Binary,
        key_made_at -> BigInt,
        added_at -> BigInt,
        added_by -> Text,
        ended_at -> Nullable<BigInt>,
        ended_by -> Nullable<Text>,
        recovered_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    rules_version (hash) {
        hash -> Text,
        rules_id -> Text,
        version -> Text,
        bundle -> Text,
        author -> Text,
        proposed_at -> BigInt,
        note -> Nullable<Text>,
        state -> Text,
        approver -> Nullable<Text>,
        approved_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    rules_activation (n) {
        n -> BigInt,
        hash -> Text,
        effective_at -> BigInt,
        made_at -> BigInt,
        made_by -> Text,
        kind -> Text,
    }
}

diesel::table! {
    rules_redecision (delivery_id) {
        delivery_id -> Text,
        rules_hash -> Text,
        verdict -> Text,
        decision -> Text,
        trace -> Text,
        state_detail -> Text,
        noted_at -> BigInt,
    }
}

diesel::table! {
    incident (n) {
        n -> BigInt,
        why -> Text,
        criteria -> Text,
        proposed_by -> Text,
        proposed_at -> BigInt,
        approved_by -> Nullable<Text>,
        approved_at -> Nullable<BigInt>,
        ended_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    incident_delivery (incident, delivery_id) {
        incident -> BigInt,
        delivery_id -> Text,
        state_before -> Text,
        outcome -> Nullable<Text>,
        opened -> Nullable<BigInt>,
        settled_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    former_link (delivery_id, link_id) {
        delivery_id -> Text,
        link_id -> Text,
    }
}

diesel::table! {
    signing_key (kid) {
        kid -> Text,
        algorithm -> Text,
        turn -> Text,
        jwk -> Text,
        key_sealed -> Binary,
        made_at -> BigInt,
        signs_since -> Nullable<BigInt>,
        ends_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    look (ehr, what) {
        ehr -> Text,
        what -> Text,
        watermark -> BigInt,
        next_at -> BigInt,
        lease_until -> Nullable<BigInt>,
        lease_holder -> Nullable<Text>,
        last_ok_at -> Nullable<BigInt>,
        offered -> Text,
        why -> Nullable<Text>,
    }
}

diesel::table! {
    panel_patient (ehr, kind, patient_index) {
        ehr -> Text,
        kind -> Text,
        patient_index -> Binary,
        id_sealed -> Binary,
        watermark -> BigInt,
        next_at -> BigInt,
        listed_at -> BigInt,
        dated_at -> BigInt,
        why -> Nullable<Text>,
    }
}

diesel::table! {
    past_search (ehr, what) {
        ehr -> Text,
        what -> Text,
        state -> Text,
        since_at -> BigInt,
        until_at -> BigInt,
        kind -> Text,
        reached_at -> BigInt,
        patient_index -> Nullable<Binary>,
        seen -> BigInt,
        heard -> BigInt,
        asked_by -> Text,
        asked_at -> BigInt,
        next_at -> BigInt,
        lease_until -> Nullable<BigInt>,
        lease_holder -> Nullable<Text>,
        ended_at -> Nullable<BigInt>,
        why -> Nullable<Text>,
        left_out -> BigInt,
    }
}

diesel::table! {
    contact (patient_index, contact_index, clinic) {
        clinic -> Text,
        patient_index -> Binary,
        contact_index -> Binary,
        state -> Text,
        state_at -> BigInt,
        set_by -> Nullable<Text>,
        delivery_id -> Text,
    }
}

diesel::table! {
    paper (delivery_id) {
        delivery_id -> Text,
        paper_index -> Binary,
    }
}

diesel::table! {
    paper_doubt (delivery_id, file_index) {
        delivery_id -> Text,
        file_index -> Binary,
        released_at -> Nullable<BigInt>,
    }
}

diesel::allow_tables_to_appear_in_same_query! {
    control, key_mark, audit_line, event, source, delivery, link, sealed_file, opening, notice, patient, preference,
    poll, subscription, topic, event_gap, operator, rules_version, rules_activation, rules_redecision, incident,
    incident_delivery, former_link, signing_key, likeness, twin, replacement, look, panel_patient, past_search, paper,
    contact, challenge, asked, answered, question, slip, reminder, wish, opt_out, health_link, staff_mail,
    staff_note,
}
