"""What the models of `deploy` share: keys that nobody knows are refused, and names that become a path."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class Closed(BaseModel):
    """Frozen; a key that is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _segment(value: str) -> str:
    """Such a name becomes a segment of Gate's path, where `..` would lead a signed request elsewhere."""
    if value.strip() in {".", ".."} or not value.isprintable():
        raise ValueError("must be the name that Spinnaker shows")
    if "/" in value:  # Tomcat, which Gate runs in, refuses such a path however it is written
        raise ValueError("holds a slash, and Gate takes no such name; take it out, or use the pipeline's id")
    return value


PathSegment = Annotated[str, AfterValidator(_segment)]
