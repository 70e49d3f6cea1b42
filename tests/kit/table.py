"""Which test of the kit must fail on which broken bucket or plugin."""

from __future__ import annotations

__all__ = ["ARGUMENTS", "BUCKETS", "CLASSES", "PLUGINS", "RIGHT", "RIGHT_BUCKETS"]

CLASSES = ("Bucket", "Race", "ObjectStore", "Registry", "SharedRegistry", "Maintenance")
"""The parts of the kit that a bucket is tried with."""

BUCKETS = [
    ("LosesEmptyBlobs", "Bucket::test_reads_what_was_written[empty]"),
    ("TextMode", "Bucket::test_reads_what_was_written[3MiB]"),
    ("KeepsTheTail", "Bucket::test_write_replaces"),
    ("StaleRead", "Bucket::test_write_replaces"),
    ("RemembersReads", "Bucket::test_seen_by_others_at_once"),
    ("PlaceOfItsOwn", "Bucket::test_reopened"),
    ("WritesOnce", "Bucket::test_write_replaces"),
    ("WritesOnce", "ObjectStore::test_damage_is_noticed[another]"),
    ("RangeOffByOne", "Bucket::test_ranges[3-4-3456]"),
    ("RaisesPastTheEnd", "Bucket::test_ranges[1000-5-]"),
    ("WrongSize", "Bucket::test_stat"),
    ("LocalTime", "Bucket::test_stat"),
    ("KeepsTheTime", "Bucket::test_written_again"),
    ("DeletesNothing", "Bucket::test_delete"),
    ("DeletesNothing", "Registry::test_missing_run"),
    ("DeletesSome", "Bucket::test_many"),
    ("DeletesSome", "Maintenance::test_mirror"),
    ("DeletesNoVersion", "Bucket::test_delete_only_a_version"),
    ("DeletesNoVersion", "Maintenance::test_prune"),
    ("RemembersSizes", "Maintenance::test_garbage_that_is_wanted_again"),
    ("WritesOnce", "Maintenance::test_verify"),
    ("StaleRead", "Maintenance::test_repair"),
    ("QuotedInLists", "Maintenance::test_garbage"),
    ("WrongSize", "Maintenance::test_copy"),
    ("KeepsTheTail", "Maintenance::test_garbage_of_runs_that_cannot_be_read"),
    ("DecodesPercent", "Bucket::test_odd_keys[percent%20and%25]"),
    ("DecodesPlus", "Bucket::test_odd_keys[plus+plus]"),
    ("EqualsEscapes", "Bucket::test_keys_do_not_meet[escapes]"),
    ("NormalisesUnicode", "Bucket::test_keys_do_not_meet[unicode]"),
    ("IgnoresCase", "Registry::test_names_do_not_meet"),
    ("IgnoresCase", "Bucket::test_keys_do_not_meet[case]"),
    ("PatternPrefix", "Bucket::test_odd_prefixes[quotes'\"<>&;=,:@!$*()[]{}|^`~]"),
    ("SharedPrefix", "Bucket::test_prefixes_are_isolated"),
    ("FolderPrefix", "Bucket::test_list_in_order_with_literal_prefix"),
    ("OnePage", "Bucket::test_more_than_a_page"),
    ("OrderOfUtf16", "Bucket::test_list_in_order_with_literal_prefix"),
    ("StaleList", "Bucket::test_list_sizes"),
    ("StaleList", "SharedRegistry::test_mended_record_is_served"),
    ("AfterIsIncluded", "Bucket::test_list_start_after"),
    ("LiveList", "Bucket::test_delete_while_listing"),
    ("OutOfOrder", "Bucket::test_many"),
    ("VersionIsSize", "Bucket::test_versions_of_equal_sizes"),
    ("QuotedInLists", "Bucket::test_replace_with_a_listed_version"),
    ("LostUpdate", "Bucket::test_replace_only_a_version"),
    ("LostUpdate", "SharedRegistry::test_save_if_version"),
    ("SwallowsConflict", "Bucket::test_create_only_if_absent"),
    ("Tombstone", "Bucket::test_create_again_after_delete"),
    ("DeletesAnyVersion", "Bucket::test_delete_only_a_version"),
    ("Pretends", "Bucket::test_refuses_what_it_cannot"),
    ("LooksFirst", "Race::test_racing_threads_create_once"),
    ("LooksFirst", "Race::test_counting_threads_lose_nothing"),
    ("LooksFirst", "SharedRegistry::test_updates_of_threads_lose_nothing"),
    ("TornWrite", "Race::test_readers_never_see_a_torn_blob"),
    ("OneBuffer", "Race::test_threads_do_not_meet"),
    ("LocksThreadsOnly", "Race::test_counting_processes_lose_nothing"),
    ("LostInFork", "Race::test_used_after_fork"),
    ("HoldsUploads", "Bucket::test_upload_streams"),
    ("HoldsDownloads", "Bucket::test_download_streams"),
    ("SwapsParts", "Bucket::test_upload_and_download[20971527]"),
    ("UploadsShortFiles", "Bucket::test_upload_of_a_short_file[small]"),
    ("UploadsInPlace", "Bucket::test_upload_of_a_failing_file"),
    ("Rewinds", "Bucket::test_from_where_the_file_stands"),
    ("LeaksSdkError", "Bucket::test_missing_key[read]"),
    ("ErrorWithoutCause", "Bucket::test_missing_key_has_its_cause[read]"),
    ("LongKeyCrashes", "Bucket::test_strange_keys[long]"),
    ("MissingBucketIsEmpty", "Bucket::test_missing_bucket"),
    ("TokenInRepr", "Bucket::test_secrets_are_not_shown"),
    ("TokenInLog", "Bucket::test_secrets_are_not_shown"),
    ("TokenInCause", "Bucket::test_secrets_are_not_shown"),
    ("TokenInDescription", "Bucket::test_secrets_are_not_shown"),
    ("TokenInLocation", "Bucket::test_secrets_are_not_shown"),
    ("ClosesOnce", "Bucket::test_close_twice"),
]
"""Bucket and test."""

PLUGINS = [
    ("NoUpperBound", "test_depends_on_a_range_of_core"),
    ("NoLowerBound", "test_depends_on_a_range_of_core"),
    ("Pinned", "test_depends_on_a_range_of_core"),
    ("NoCore", "test_depends_on_a_range_of_core"),
    ("ImportsItsSdk", "test_import_loads_no_sdk"),
    ("ImportsWhatTheSdkNeeds", "test_import_loads_no_sdk"),
    ("FailsToImport", "test_record"),
    ("AnotherScheme", "test_record"),
    ("SchemeWithoutEntryPoint", "test_entry_points_are_the_schemes"),
    ("UpperCaseScheme", "test_schemes"),
    ("SecondInterface", "test_record"),
    ("NamedInterface", "test_record"),
    ("NoSummary", "test_summary"),
    ("NoHelp", "test_parameters_are_explained"),
    ("NoExample", "test_parameters_are_explained"),
    ("SameNameTwice", "test_parameters_are_explained"),
    ("WrongExample", "test_examples_are_accepted"),
]
"""Plugin and test."""

RIGHT_BUCKETS = ["DefaultUpload", "MemoryBucket", "PlainBucket"]
"""Buckets with nothing wrong, which declare different capabilities."""

RIGHT = [
    "TestRightPlugin",
    *(f"Test{bucket}{part}" for bucket in ("MemoryBucket", "PlainBucket") for part in CLASSES),
]
"""Test classes of what is right, none of whose tests may fail."""

ARGUMENTS = [
    *RIGHT,
    "TestDefaultUploadBucket::test_upload_streams",
    *(f"Test{bucket}{test}" for bucket, test in BUCKETS),
    *(f"Test{plugin}Plugin::{test}" for plugin, test in PLUGINS),
]
