import pytest

from tests.scheduler.world import Template, World, opened


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    return Template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def url(template, tmp_path):
    return template.copy(tmp_path / "loa.db")


@pytest.fixture
async def world(url):
    store = opened(url)
    yield World(store)
    await store.aclose()
