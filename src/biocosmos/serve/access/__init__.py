"""Who may come in, and what comes back out: users, sessions, the gate before every route, errors as one line.

    access = Access.from_settings(users=None, token=secrets.token_urlsafe(24), host="127.0.0.1")
    app = FastAPI(**OWN_PAGES)
    app.state.access = access
    install_errors(app)
    app.add_middleware(Gate, access=access)

    @api.get("/specimens")
    def specimens(user: Viewer) -> ...           # Viewer: everybody who is known; Annotator and Admin: who may more

A test of routes says who it is, and speaks to an address of this machine:

    client = TestClient(app, base_url="http://127.0.0.1:8765", headers={"Authorization": f"Bearer {token}"})
"""

from __future__ import annotations

from typing import Any

from biocosmos.serve.access.admission import Access, Denied
from biocosmos.serve.access.answers import install_errors
from biocosmos.serve.access.gate import Gate
from biocosmos.serve.access.limits import Limits
from biocosmos.serve.access.roles import Admin, Annotator, Role, User, Viewer

OWN_PAGES: dict[str, Any] = {"docs_url": None, "redoc_url": None, "telemetry": {"auto_configure": False, "logs": False}}
"""What FastAPI is made with: its own pages come from a CDN, and nothing is told to anybody."""

__all__ = ["OWN_PAGES", "Access", "Admin", "Annotator", "Denied", "Gate", "Limits", "Role", "User", "Viewer", "install_errors"]
