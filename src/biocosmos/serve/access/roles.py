"""Who asks, and what a route needs of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from fastapi import Depends, HTTPException, Request

from biocosmos.settings import SettingError

Role = Literal["viewer", "annotator", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""From the one that may least: a viewer reads, an annotator names and tags, an admin runs jobs and changes what all see."""


@dataclass(frozen=True)
class User:
    """Somebody who is known. name: as it stands in what they do; role: what they may."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether this user may do what needs ``role``."""
        return ROLES.index(self.role) >= ROLES.index(role)


def needing(role: Role) -> Callable[[Request], User]:
    """A dependency of FastAPI: the user who asks. It answers 401 where nobody is known, 403 to who may not."""

    def user(request: Request) -> User:
        found = getattr(request.state, "user", None)
        if not isinstance(found, User):
            raise HTTPException(401, "nobody is logged in")
        if not found.may(role):
            raise HTTPException(403, f"{found.name} is {_a(found.role)}, and this needs {_a(role)}: ask who runs this server")
        return found

    user.role = role  # type: ignore[attr-defined]  # by which a test knows that every route asks
    return user


def _a(role: Role) -> str:
    return f"an {role}" if role.startswith("a") else f"a {role}"


Viewer = Annotated[User, Depends(needing("viewer"))]
Annotator = Annotated[User, Depends(needing("annotator"))]
Admin = Annotated[User, Depends(needing("admin"))]


def role_of(text: str) -> Role:
    """The role of this name. Raises SettingError for none."""
    for role in ROLES:
        if text == role:
            return role
    raise SettingError(f"there is no role {text!r}: it is one of {', '.join(ROLES)}")
