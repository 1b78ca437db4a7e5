"""Real nodes in network namespaces: skipped where there can be none."""
import netns
import pytest


def pytest_collection_modifyitems(items):
    reason = netns.missing()
    if reason:
        for item in items:
            item.add_marker(pytest.mark.skip(reason=reason))
