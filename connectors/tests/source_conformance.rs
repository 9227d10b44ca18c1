//! What every kind of publishing database promises ([`lienthong_contract::source::Source`]), and what one kind promises alone.
//! A new kind implements [`kind::Kind`] and gets a list at the end.

#[macro_use]
#[path = "support/kind.rs"]
mod kind;
#[path = "support/log_kind.rs"]
mod log_kind;
#[path = "support/owner.rs"]
mod owner;
#[path = "support/publisher.rs"]
mod publisher;
#[path = "support/recreate.rs"]
mod recreate;

#[path = "source_promises/again.rs"]
mod again;
#[path = "source_promises/asked.rs"]
mod asked;
#[path = "source_promises/asked_held.rs"]
mod asked_held;
#[path = "source_promises/beside.rs"]
mod beside;
#[path = "source_promises/changes.rs"]
mod changes;
#[path = "source_promises/joined.rs"]
mod joined;
#[path = "source_promises/nested.rs"]
mod nested;
#[path = "source_promises/postgres_aside.rs"]
mod postgres_aside;
#[path = "source_promises/postgres_attached.rs"]
mod postgres_attached;
#[path = "source_promises/postgres_cost.rs"]
mod postgres_cost;
#[path = "source_promises/postgres_grants.rs"]
mod postgres_grants;
#[path = "source_promises/postgres_identity.rs"]
mod postgres_identity;
#[path = "source_promises/postgres_log.rs"]
mod postgres_log;
#[path = "source_promises/postgres_log_forms.rs"]
mod postgres_log_forms;
#[path = "source_promises/postgres_log_random.rs"]
mod postgres_log_random;
#[path = "source_promises/postgres_look_up.rs"]
mod postgres_look_up;
#[path = "source_promises/postgres_nested.rs"]
mod postgres_nested;
#[path = "source_promises/postgres_order.rs"]
mod postgres_order;
#[path = "source_promises/postgres_partitions.rs"]
mod postgres_partitions;
#[path = "source_promises/postgres_retained.rs"]
mod postgres_retained;
#[path = "source_promises/postgres_rights.rs"]
mod postgres_rights;
#[path = "source_promises/postgres_truncate.rs"]
mod postgres_truncate;
#[path = "source_promises/postgres_values.rs"]
mod postgres_values;
#[path = "source_promises/removal.rs"]
mod removal;
#[path = "source_promises/safety.rs"]
mod safety;
#[path = "source_promises/sqlite_only.rs"]
mod sqlite_only;
#[path = "source_promises/values.rs"]
mod values;

use kind::{Postgres, Sqlite};
use log_kind::PostgresLog;

/// The promises of every kind, however it captures.
macro_rules! every_promise {
    ($name:ident, $kind:ident $(, $($more:ident::$promise:ident),+)?) => {
        promises! { $name, $kind:
            changes::rows_that_were_there_come_as_snapshot_rows_once,
            changes::inserts_updates_and_deletes_come_with_what_was_before_and_after,
            changes::a_changed_key_is_a_delete_and_an_insert,
            changes::a_key_that_moves_away_and_is_taken_again_in_one_transaction_ends_right,
            changes::every_row_of_a_large_transaction_comes_in_small_polls,
            changes::a_transaction_that_is_rolled_back_gives_nothing,
            changes::what_a_savepoint_takes_back_gives_nothing,
            changes::a_statement_that_hits_no_row_gives_nothing,
            changes::changes_after_prepare_and_before_the_first_open_are_not_lost,
            changes::several_tables_come_with_their_own_columns_only,
            changes::times_are_the_sources_and_in_microseconds,
            again::what_a_position_does_not_cover_comes_again_with_the_same_ids,
            again::a_first_load_goes_on_from_any_position_with_the_same_ids,
            again::a_first_load_that_begins_again_gives_the_same_ids,
            again::ids_do_not_show_the_key,
            again::forgetting_a_position_inside_the_first_load_loses_nothing,
            again::crashes_at_random_points_with_forgetting_end_exact,
            again::a_new_first_load_after_forgetting_gives_every_row,
            beside::random_changes_replay_to_the_tables_rows,
            beside::changes_between_the_chunks_of_a_first_load_end_right,
            beside::a_row_deleted_before_its_chunk_does_not_come_back,
            beside::writers_beside_the_reader_are_followed_in_each_rows_order,
            beside::a_table_captured_later_is_loaded_and_the_others_are_not_loaded_again,
            beside::a_large_table_is_loaded_in_chunks,
            joined::a_row_takes_values_of_another_table_where_it_stands_in_one_transaction_or_later,
            joined::a_look_up_that_cannot_be_done_is_refused_at_its_place,
            nested::order_per_source_row_holds_when_the_owners_trigger_writes_the_same_row,
            nested::order_holds_for_every_row_of_a_statement,
            nested::order_holds_when_a_trigger_writes_other_rows_of_the_statement,
            nested::order_holds_when_a_trigger_of_another_table_writes_back,
            nested::a_row_that_its_own_trigger_brings_back_or_takes_away_ends_right,
            nested::random_changes_beside_the_owners_triggers_replay_to_the_tables_rows,
            removal::what_prepare_made_is_taken_away_and_nothing_else,
            removal::a_source_that_is_held_is_left_alone,
            removal::the_printed_statements_take_away_as_well,
            safety::a_source_is_held_by_one_at_a_time,
            safety::preparing_again_is_harmless,
            safety::the_printed_statements_prepare_as_well,
            safety::the_catalogue_names_columns_with_types,
            safety::a_position_of_another_source_is_refused,
            safety::a_recreated_database_has_another_lineage,
            safety::a_column_that_is_added_and_not_captured_is_harmless,
            safety::waiting_ends_soon_after_a_commit,
            safety::waiting_ends_at_the_latest_when_asked,
            safety::a_wait_that_is_given_up_does_no_harm,
            values::texts_integers_and_nulls_come_unchanged,
            values::names_with_blanks_capitals_and_quotes_are_names,
            values::columns_may_have_any_short_name,
            values::rows_with_text_keys_are_loaded_once_each_in_any_chunk_size,
            $($($more::$promise,)+)?
        }
    };
}

/// Also those of kinds that capture by an outbox.
macro_rules! every_promise_of_an_outbox {
    ($name:ident, $kind:ident) => {
        every_promise! { $name, $kind,
            again::forgetting_removes_what_is_covered_and_nothing_more,
            removal::changes_that_wait_are_named_and_lost_only_where_that_is_said,
            safety::another_outbox_of_the_same_database_is_another_source,
            safety::what_is_not_prepared_is_named_with_its_fix
        }
    };
}

every_promise_of_an_outbox! { postgres, Postgres }
every_promise_of_an_outbox! { sqlite, Sqlite }
every_promise! { log, PostgresLog }

/// Also those of kinds that can be asked for rows.
macro_rules! every_promise_of_one_that_can_be_asked {
    ($name:ident, $kind:ident) => {
        promises! { $name, $kind:
            asked::a_range_a_list_and_a_whole_table_are_read_once_each,
            asked::what_cannot_be_read_is_refused_without_a_value_and_the_next_is_served,
            asked::changes_beside_a_request_come_once_and_in_order,
            asked::a_request_goes_on_from_any_position,
            asked::changes_are_not_held_back_by_a_slow_request,
        }
    };
}

every_promise_of_one_that_can_be_asked! { log_asked, PostgresLog }

/// Also those of every way in which PostgreSQL is captured from.
macro_rules! every_promise_of_postgres {
    ($name:ident, $kind:ident) => {
        promises! { $name, $kind:
            postgres_order::transactions_that_commit_in_another_order_than_they_began_are_all_given_out,
            postgres_order::a_late_commit_in_the_middle_of_a_paged_transaction_is_not_skipped,
            postgres_order::a_transaction_open_during_the_whole_first_load_is_not_lost,
            postgres_order::keys_that_move_up_in_one_statement_end_right,
            postgres_order::cascades_upserts_copies_and_merges_are_captured,
            postgres_rights::broken_connections_lose_and_double_nothing,
            postgres_rights::a_connection_that_breaks_during_a_wait_is_told_within_the_wait,
            postgres_values::every_type_is_read_as_its_cell_by_first_load_and_by_change,
            postgres_values::what_no_cell_can_hold_is_named_by_column_and_rule_and_the_stream_goes_on,
            postgres_values::keys_of_any_type_are_loaded_in_chunks,
        }
    };
}

every_promise_of_postgres! { postgres_server, Postgres }
every_promise_of_postgres! { log_server, PostgresLog }
