"""Setting commits of real desired-state repositories, by the real parser."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from desired_state.mirror import Mirror
from desired_state.model import Setting
from desired_state.parser import Parser
from desired_state.setting_commits import setting_commits

Story = Any
SERVICE = "owner: us\npackage: {0}\ndeploy:\n  type: plain\n"


class Plain(BaseModel):
    """The settings of a deployment type that has none."""


@pytest.fixture
def repository(story: Story) -> Story:
    story.commit(
        "root",
        fairlead="apiVersion: fairlead/v1\nenvironments: [prod]\n",
        environments__prod__environment='account: "123456789012"\nregions: [us-east-1]\n',
        services__shop=SERVICE.format("shop"),
        services__bar=SERVICE.format("bar"),
        environments__prod__shop="version: 1.0.0\n",
        environments__prod__bar="version: 1.0.0\n",
    )
    return story


class Reader:
    """Finds the settings of a story's present head."""

    def __init__(self, story: Story, mirror: Mirror, parser: Parser) -> None:
        self.story, self.mirror, self.parser = story, mirror, parser

    def settings(self, folder: str = "", **known: Any) -> dict[str, Setting]:
        head = self.mirror.fetch().sha
        desired = self.parser.parse(self.mirror.tree(head).under(folder))
        return setting_commits(self.mirror, head, desired, self.parser, folder=folder, **known)

    def told(self, settings: Mapping[str, Setting]) -> dict[str, tuple[str, ...]]:
        names = {sha: name for name, sha in self.story.commits.items()}
        return {
            fleet: (names[setting.commit], *(names[sha] for sha in setting.reverts))
            for fleet, setting in settings.items()
        }


@pytest.fixture
def reader(repository: Story, tmp_path: Path) -> Iterator[Reader]:
    with Mirror(tmp_path / "mirror", str(repository.folder)) as mirror:
        yield Reader(repository, mirror, Parser({"plain": Plain}))


def test_a_bump_a_comment_and_a_service_change(repository: Story, reader: Reader) -> None:
    repository.commit("bump", environments__prod__shop="version: 1.0.1\n")
    repository.commit("owner", services__bar=SERVICE.format("bar").replace("us", "them"))
    repository.commit("comment", environments__prod__shop="# yes\nversion: 1.0.1\n")

    assert {"prod/shop": ("bump",), "prod/bar": ("root",)} == reader.told(reader.settings())


def test_a_package_added_to_a_service_sets_its_fleets(repository: Story, reader: Reader) -> None:
    repository.commit(
        "widen",
        services__bar=SERVICE.replace("package: {0}", "packages: {{bar: {{}}, tool: {{}}}}").format("bar"),
        environments__prod__bar="versions: {bar: 1.0.0, tool: 1.0.0}\n",
    )

    assert {"prod/shop": ("root",), "prod/bar": ("widen",)} == reader.told(reader.settings())


def test_the_service_that_a_fleet_once_named_is_followed(repository: Story, reader: Reader) -> None:
    """The old service file changed while the fleet still used it, with the fleet's own file untouched."""
    repository.commit("other service", environments__prod__shop="service: bar\nversion: 1.0.0\n")
    repository.commit("rename package", services__bar=SERVICE.format("beer"))
    before = reader.told(reader.settings())
    repository.commit("back to its own", environments__prod__shop="version: 1.0.0\n")

    assert {"prod/shop": ("rename package",), "prod/bar": ("rename package",)} == before
    assert ("back to its own", "rename package", "other service") == reader.told(reader.settings())["prod/shop"]


def test_a_revert_names_what_it_reverts(repository: Story, reader: Reader) -> None:
    repository.commit("bump", environments__prod__shop="version: 1.0.1\n")
    repository.revert("undo", "bump")

    assert {"prod/shop": ("undo", "bump"), "prod/bar": ("root",)} == reader.told(reader.settings())


def test_a_revert_on_a_merged_branch_names_what_it_reverts(repository: Story, reader: Reader) -> None:
    repository.commit("bump", environments__prod__shop="version: 1.0.1\n")
    repository.commit("redeploy", environments__prod__shop="version: 1.0.1\nredeploy: once more\n")
    repository.branch("pr")
    repository.git("revert", "--no-commit", "--no-edit", repository.commits["bump"], "--strategy-option=theirs")
    repository.write(environments__prod__shop="version: 1.0.0\nredeploy: once more\n")
    repository.git("commit", "--quiet", "--all", "-m", f"undo\n\nThis reverts commit {repository.commits['bump']}.")
    repository.on("main")
    repository.merge("merge", "pr")

    assert ("merge", "bump") == reader.told(reader.settings())["prod/shop"]


def test_a_broken_file_keeps_the_last_good_setting(repository: Story, reader: Reader) -> None:
    repository.commit("bump", environments__prod__shop="version: 1.0.1\n")
    repository.commit("break", environments__prod__shop="version: [\n")

    settings = reader.settings()

    assert {"prod/shop": ("bump",), "prod/bar": ("root",)} == reader.told(settings)


def test_a_broken_service_file_breaks_no_run(repository: Story, reader: Reader) -> None:
    repository.commit("break", services__bar="{")
    repository.commit("repair", services__bar=SERVICE.format("bar"))

    assert {"prod/shop": ("root",), "prod/bar": ("root",)} == reader.told(reader.settings())


def test_a_folder_of_the_repository_is_read(repository: Story, reader: Reader) -> None:
    (repository.folder / "fleets").mkdir()
    repository.git("mv", "fairlead.yaml", "environments", "services", "fleets/")
    repository.commit("moved")
    repository.commit("outside", environments__prod__shop="version: 9\n")
    repository.commit("inside", fleets__environments__prod__shop="version: 1.0.1\n")

    assert {"prod/shop": ("inside",), "prod/bar": ("moved",)} == reader.told(reader.settings("/fleets/"))


def test_known_settings_are_taken_over(repository: Story, reader: Reader) -> None:
    known = reader.settings()
    earlier = repository.commits["root"]
    repository.commit("bump", environments__prod__shop="version: 1.0.1\n")

    settings = reader.settings(known_head=earlier, known=known)

    assert known["prod/bar"] is settings["prod/bar"]
    assert {"prod/shop": ("bump",), "prod/bar": ("root",)} == reader.told(settings)


def test_after_a_force_push_known_settings_of_lost_commits_are_not_taken_over(
    repository: Story, reader: Reader
) -> None:
    lost = repository.commit("lost", environments__prod__shop="version: 1.0.1\n")
    known = reader.settings()
    repository.git("reset", "--quiet", "--hard", repository.commits["root"])
    repository.commit("other", elsewhere="x")
    repository.commit("again", environments__prod__shop="version: 1.0.1\n")

    settings = reader.settings(known_head=lost, known=known)

    assert {"prod/shop": ("again",), "prod/bar": ("root",)} == reader.told(settings)
