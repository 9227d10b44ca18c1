//! What every kind of subscribing database promises ([`lienthong_contract::sink::Sink`]), and what one kind promises alone.
//! A new kind implements [`kind::Kind`] and [`target_types::TargetTypes`] and gets a list at the end.

#[macro_use]
#[path = "support/kind.rs"]
mod kind;
#[path = "support/oracle.rs"]
mod oracle;
#[path = "support/subscriber.rs"]
mod subscriber;
#[path = "support/target_types.rs"]
mod target_types;

#[path = "sink_promises/families.rs"]
mod families;
#[path = "sink_promises/fit.rs"]
mod fit;
#[path = "sink_promises/guard.rs"]
mod guard;
#[path = "sink_promises/lanes.rs"]
mod lanes;
#[path = "sink_promises/model.rs"]
mod model;
#[path = "sink_promises/once.rs"]
mod once;
#[path = "sink_promises/postgres_only.rs"]
mod postgres_only;
#[path = "sink_promises/values.rs"]
mod values;

use kind::{Postgres, Sqlite};

/// The promises of every kind.
macro_rules! every_promise {
    ($name:ident, $kind:ident) => {
        promises! { $name, $kind:
            once::rows_ledger_receipt_and_offset_are_there_together,
            once::one_poisoned_row_leaves_nothing_behind,
            once::a_poisoned_later_round_takes_the_earlier_ones_with_it,
            once::an_unexpected_offset_is_fenced_and_writes_nothing,
            once::of_two_workers_exactly_one_delivers,
            once::heartbeats_move_the_offset_and_nothing_else,
            once::a_batch_that_filters_to_nothing_leaves_a_receipt,
            once::rounds_run_in_their_order,
            once::partitions_do_not_stand_in_each_others_way,
            lanes::all_lanes_of_a_delivery_move_or_none_does,
            lanes::one_fenced_lane_keeps_every_lane_from_being_written,
            lanes::lanes_that_begin_move_beside_lanes_that_go_on,
            lanes::receipts_chain_in_each_lane_of_a_delivery_by_itself,
            lanes::a_key_of_two_lanes_ends_at_the_newer_version_in_either_order,
            lanes::deliveries_that_share_lanes_in_any_order_end_with_one_of_them_written,
            guard::an_older_write_never_overwrites_a_newer_one,
            guard::the_same_version_again_repairs_a_damaged_row_and_else_changes_nothing,
            guard::groups_take_their_newest_independently_and_leave_other_columns_alone,
            guard::nulls_are_values,
            guard::a_late_update_does_not_resurrect_a_deleted_row_and_a_newer_insert_creates_it_again,
            guard::a_value_newer_than_the_delete_of_any_group_keeps_the_row,
            guard::an_update_of_a_missing_row_is_skipped_and_the_ledger_does_not_learn_it,
            guard::a_void_sets_the_time_keeps_the_row_and_leaves_a_mark,
            guard::a_clear_empties_one_group_and_older_values_stay_away,
            guard::a_revocation_undoes_only_its_own_record,
            guard::a_revocation_that_overtakes_its_event_forbids_it,
            guard::a_revocation_that_overtakes_its_event_forbids_all_its_groups,
            guard::with_soft_it_is_all_the_same_whether_the_event_or_its_revocation_comes_first,
            families::a_delete_counts_whatever_the_other_family_wrote,
            families::the_other_family_writes_a_row_that_came_to_life_again,
            families::the_other_family_creates_a_row_only_before_its_first_delete,
            guard::a_version_in_a_column_guards_as_well,
            model::random_deliveries_end_as_the_oracle_says,
            model::rounds_of_any_size_end_equal,
            values::every_kind_of_cell_and_null_arrive_as_they_were,
            values::a_group_may_name_the_key_and_keys_may_be_of_several_kinds,
            values::receipts_form_a_chain_per_partition_that_can_be_recomputed,
            fit::what_fits_passes_and_the_check_changes_nothing,
            fit::missing_tables_of_the_bus_are_named_and_prepare_mends_them,
            fit::the_printed_statements_prepare_as_well,
            fit::a_missing_table_is_named_with_its_statement,
            fit::missing_columns_are_all_named_with_their_statements,
            fit::a_missing_unique_key_is_named_with_its_statement,
            fit::a_column_of_the_wrong_type_is_named,
            fit::no_error_shows_a_value,
            fit::a_target_that_changed_since_the_check_is_unfit_and_nothing_is_written,
        }
    };
}

every_promise! { postgres, Postgres }
every_promise! { sqlite, Sqlite }
