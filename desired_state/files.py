"""One file at a time: from a tree's blob to a checked value, remembered by path and blob id."""

from dataclasses import dataclass

from pydantic import BaseModel

from desired_state import configs
from desired_state.cache import Cache
from desired_state.documents import MAX_BYTES, Document, Finding, MapNode, Position, read
from desired_state.formats import EnvironmentFile, FairleadFile, FleetFile, FreezeFile, ServiceFile, SuspendFile
from desired_state.layout import Kind, place
from desired_state.placeholders import misplaced
from desired_state.problems import check
from desired_state.trees import Entry, Tree

MODELS: dict[Kind, type[BaseModel]] = {
    Kind.ROOT: FairleadFile,
    Kind.SERVICE: ServiceFile,
    Kind.ENVIRONMENT: EnvironmentFile,
    Kind.ENVIRONMENT_SUSPEND: SuspendFile,
    Kind.FLEET: FleetFile,
    Kind.FLEET_SUSPEND: SuspendFile,
    Kind.FREEZE: FreezeFile,
}
_DOCUMENTS = 16_384  # nodes are large; a document that was dropped is read again when it is asked for
_CHECKED = 262_144


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One file by itself. Sound only without findings; `value` is None for configuration, which has no model."""

    value: BaseModel | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def sound(self) -> bool:
        """Nothing is wrong with this file as such."""
        return not self.findings


class Files:
    """Reads files of any number of trees."""

    def __init__(self, below: "Files | None" = None) -> None:
        self._documents: Cache[tuple[str, str], Document] = Cache(_DOCUMENTS, below._documents if below else None)
        self._checked: Cache[tuple[str, str, str], Checked] = Cache(_CHECKED, below._checked if below else None)

    def root(self, tree: Tree, path: str) -> MapNode | None:
        """The file's content with positions; None where there is no such file or it cannot be read."""
        entry = tree.entries().get(path)
        return None if entry is None else self._document(tree, path, entry).root

    def checked(self, tree: Tree, path: str, entry: Entry) -> Checked:
        """The file, validated by itself."""
        return self._checked.get((path, entry.blob, entry.mode), lambda: self._check(tree, path, entry))

    def _document(self, tree: Tree, path: str, entry: Entry) -> Document:
        refusal = _refusal(entry)
        if refusal:
            return Document(root=None, findings=(Finding(Position(path, 1, 1), refusal),))
        return self._documents.get((path, entry.blob), lambda: read(tree.read(entry.blob), path))

    def _check(self, tree: Tree, path: str, entry: Entry) -> Checked:
        document = self._document(tree, path, entry)
        if document.root is None or document.findings:
            return Checked(findings=document.findings)
        model = MODELS.get(place(path).kind)
        if model is None:
            return Checked(findings=tuple(configs.faults(document.root)))
        value, findings = check(model, document.root)
        found = (*findings, *misplaced(document.root))
        return Checked(value=None if found else value, findings=found)


def _refusal(entry: Entry) -> str:
    """Why this entry is not read at all; empty where it is."""
    if entry.mode == "120000":
        return "a symbolic link stands here and is not followed; commit the file itself"
    if not entry.readable:
        return "a submodule stands here and is not read; commit the file itself"
    if entry.size > MAX_BYTES:
        return f"the file is larger than {MAX_BYTES // 1024} KiB; split it or move data elsewhere"
    return ""
