"""What each server does otherwise than S3, by the tests that show it, and why."""

from __future__ import annotations

from typing import Final

__all__ = ["DEVIATIONS", "AtTimes"]


class AtTimes(str):
    """The reason of a failure that only some runs show."""

    __slots__ = ()


_PAGES: Final = "lists stop behind the first page if the prefix has a space: an error says so"
_TORN: Final = AtTimes("a range that is read during a write may mix both versions")
_NO_DELETE: Final = "DELETE with If-Match is answered with 501"
_LOCALSTACK: Final = {
    "TestBucket::test_more_than_a_page": _PAGES,
    "TestRegistry::test_all_runs": _PAGES,
    "TestBucket::test_delete_only_a_version": _NO_DELETE,
    "TestMaintenance::test_prune": _NO_DELETE,
    "TestMaintenance::test_mirror": _NO_DELETE,
    "TestSharedRegistry::test_updates_of_threads_lose_nothing": _TORN,
    "TestSharedRegistry::test_updates_of_processes_lose_nothing": _TORN,
}

_CEPH: Final[dict[str, str]] = {}

_NONE: Final = "If-Match and If-None-Match are passed over"
_LUCK: Final = AtTimes(f"{_NONE}; processes that happen to start one after another lose nothing")
_REFUSED: Final = "conditions are passed over, and so update and save(if_version=) refuse"
_ALONE: Final = "conditions are passed over, and so gc refuses unless nobody else writes"
_TIMES: Final = "If-None-Match is passed over, and so what is there is written again"
_RCLONE: Final = {
    "TestBucket::test_conflict_has_its_cause[conditional_create]": _NONE,
    "TestBucket::test_conflict_has_its_cause[conditional_replace]": _NONE,
    "TestBucket::test_write_many_if_absent": _NONE,
    "TestBucket::test_create_only_if_absent": _NONE,
    "TestBucket::test_replace_only_a_version": _NONE,
    "TestBucket::test_replace_what_is_gone": _NONE,
    "TestBucket::test_replace_with_a_foreign_version": _NONE,
    "TestBucket::test_upload_and_download[20971527]": "completing a large upload tells an ETag "
    "that the object never has",
    "TestRaces::test_racing_threads_create_once": _NONE,
    "TestRaces::test_racing_processes_create_once": _NONE,
    "TestRaces::test_counting_threads_lose_nothing": _NONE,
    "TestRaces::test_counting_processes_lose_nothing": _LUCK,
    "TestObjectStore::test_put_again_changes_nothing[0]": _TIMES,
    "TestObjectStore::test_put_again_changes_nothing[1]": _TIMES,
    "TestObjectStore::test_put_again_changes_nothing[4096]": _TIMES,
    "TestMaintenance::test_garbage": _ALONE,
    "TestMaintenance::test_garbage_that_is_wanted_again": _ALONE,
    "TestMaintenance::test_garbage_of_runs_that_cannot_be_read": _ALONE,
    "TestRegistry::test_raw_names_of_devqubit_0_1": _NONE,
    "TestSharedRegistry::test_update_of_a_colleague_is_seen": _REFUSED,
    "TestSharedRegistry::test_own_writes_need_no_refresh": _REFUSED,
    "TestSharedRegistry::test_save_if_version": _REFUSED,
    "TestSharedRegistry::test_update": _REFUSED,
    "TestSharedRegistry::test_failed_update_changes_nothing": _REFUSED,
    "TestSharedRegistry::test_updates_of_threads_lose_nothing": _REFUSED,
    "TestSharedRegistry::test_updates_of_processes_lose_nothing": _REFUSED,
    "TestSharedRegistry::test_stale_runs_are_recovered": _REFUSED,
}

DEVIATIONS: Final = {"localstack": _LOCALSTACK, "ceph": _CEPH, "rclone": _RCLONE}
"""For each server the tests that fail there: `Class::test`, or `Class::test[parameters]`."""
