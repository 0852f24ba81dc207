"""Pages of other sites, in a real browser that is logged in to the page: nothing is read, shown or done."""

from pathlib import Path

import pytest

from tests.browser import free_port, served
from tests.foreign_site import ACTIONS, BINDINGS, LOGIN, Served, address_of, try_all

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_foreign_site_gets_its_way_with_nothing(binding: str, tmp_path: Path) -> None:
    port = free_port()
    with served(tmp_path, "--port", str(port), *BINDINGS[binding]):
        tried = try_all(Served(address_of(binding, port), tmp_path, LOGIN if "--login" in binding else ""))
    assert len(tried) == 3 * len(ACTIONS) == 39
    assert [action for action, is_failure in tried.items() if is_failure] == []
