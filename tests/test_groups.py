"""Tests that share a costly fixture must run on one worker; a pytest that xdist does not know drops that in silence."""

import pytest


@pytest.mark.xdist_group("kept")
def test_a_group_is_kept_together(request):
    if not request.config.getoption("loadgroup", False):
        pytest.skip("not run by --dist loadgroup")
    assert request.node.nodeid.endswith("@kept")
