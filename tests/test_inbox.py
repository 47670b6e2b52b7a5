"""What a scan left out reaches the cohort's page, with its reason."""

import json

from tissuemake.inbox import left_out


def test_what_was_left_out_is_a_finding_and_what_waits_or_was_taken_is_none(tmp_path):
    found = {
        "monday/a/outs": {"state": "taken", "sample": "a"},
        "monday/b/outs": {"state": "waiting", "code": "just_arrived", "message": "m", "remedy": "r"},
        "monday/c/outs": {
            "state": "left_out",
            "code": "unreadable",
            "message": "Cut short.",
            "remedy": "Copy.",
        },
        "monday/d/outs": {"state": "left_out", "code": "removed", "message": "m", "remedy": "r"},
    }
    path = tmp_path / "inbox.json"
    path.write_text(json.dumps({"inboxes": {"/inbox": {"found": found}}}))
    finding = {"level": "fail", "code": "unreadable", "message": "Cut short.", "remedy": "Copy."}
    assert left_out(path) == {"left-out-1": {**finding, "sample": "monday/c/outs"}}


def test_no_scan_or_a_memory_that_is_none_leaves_nothing_out(tmp_path):
    assert left_out(tmp_path / "none.json") == {}
    for text in ("{", "[]", '{"inboxes": {"/inbox": {"found": ["x"]}}}'):
        (tmp_path / "inbox.json").write_text(text)
        assert left_out(tmp_path / "inbox.json") == {}
