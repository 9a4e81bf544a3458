"""The tests of the contracts that prove defects, marked for our own runs.

A user of the contracts has no such marker, so the marks are not in the contracts.
"""

import pytest

from layerkit.testing.contracts import UnitOfWorkContract as Contract

defect = pytest.mark.defect

defect("R1")(Contract.test_a_bulk_verb_never_takes_a_mistake_for_all)
defect("R1")(Contract.test_an_unknown_field_is_never_every_row)
defect("R2")(Contract.test_get_many_keeps_the_order_of_the_ids)
defect("R3", "R4", "R17", "R22")(
    Contract.test_texts_are_compared_exactly_and_have_no_wildcards
)
defect("R6", "R14", "R16", "R35")(Contract.test_pages_hold_every_entity_once)
defect("R6")(Contract.test_pages_hold_every_entity_once)
defect("R9", "R26")(Contract.test_update_changes_only_what_is_given)
defect("R10")(Contract.test_a_stale_version_refuses_every_change)
defect("R10", "R44")(Contract.test_racing_changes_are_stored_or_stale)
defect("R10", "R27")(Contract.test_every_path_moves_the_version_and_the_stamp)
defect("R10", "R27")(Contract.test_an_update_to_the_same_moves_the_version)
defect("R11")(Contract.test_a_savepoint_lets_a_caught_error_pass)
defect("R14")(Contract.test_find_skips_and_limits_after_sorting)
defect("R15", "R17")(Contract.test_filters_follow_the_logic_of_sql)
defect("R18")(Contract.test_a_taken_unique_value_names_its_fields)
defect("R18")(Contract.test_a_unit_frees_the_unique_values_it_gives_up)
defect("R19")(Contract.test_delete_of_what_is_absent_is_false)
defect("R20")(Contract.test_an_entity_handed_out_is_no_live_object)
defect("R21", "R35")(Contract.test_orders_put_nulls_last_and_break_ties_by_key)
defect("R23", "R24", "R25")(
    Contract.test_cursors_lead_forward_and_back_over_every_entity_once
)
defect("R28")(Contract.test_what_is_deleted_is_hidden_from_verbs)
defect("R28")(Contract.test_aggregates_obey_scope_and_soft_deletion)
defect("R29")(Contract.test_a_hidden_record_frees_its_unique_value)
defect("R30")(Contract.test_racing_upserts_leave_one_and_raise_nothing)
defect("R37")(Contract.test_hooks_run_after_the_commit_in_their_order)
defect("R39")(Contract.test_get_many_keeps_the_order_of_the_ids)
defect("R40")(Contract.test_two_verbs_at_once_in_one_unit_are_refused)
defect("R42")(Contract.test_no_verb_leaves_its_view)
defect("R42")(Contract.test_an_upsert_that_adds_obeys_its_view)
defect("R43")(Contract.test_a_cursor_that_was_changed_is_refused)
defect("R43")(Contract.test_a_cursor_of_another_list_is_refused)
defect("R43")(Contract.test_a_cursor_of_another_view_is_refused)
defect("R44")(Contract.test_a_changed_attribute_is_found_and_stored)
defect("R44")(Contract.test_guards_and_scopes_see_changed_attributes)
defect("R44")(Contract.test_nothing_is_moved_out_of_its_view)
